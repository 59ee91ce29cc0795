package configfile

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

const inPiecesYAML = `# a file
---
gateway: {id: gw, site: "north"} # here

forward:
  kafka:
    brokers: [localhost:9092, "b:1"]
devices: # all of them

  - id: a
    iec104:
      endpoint: tcp://a
    # its signals
    signals:
    - {name: A, ioa: 1}
    - {name: B, ioa: 2, unit: "V"} # volts
    - name: C
      text: it's one, not two
      limits: [-1, 'it''s']
  - id: b
    signals:
      - {name: "A # none", ioa: 1}

      - {name: 'it''s'}
  - {id: c}
rules:
- when: a > 1
  summary:
  # nothing

- use: en50160
last: x
`

func whole(src string) (*node, *File) {
	f := &File{broken: map[string]bool{}, lines: strings.Split(src, "\n")}
	return f.tree(src + "\n"), f
}

// However small the pieces are, they make the same tree as the whole file.
func TestPiecesMakeTheWhole(t *testing.T) {
	want, f := whole(inPiecesYAML)
	if want == nil || f.Err() != nil {
		t.Fatal(f.Err())
	}
	for size := 1; size < len(inPiecesYAML); size += 7 {
		got, ok := f.inPieces(size, f.tree)
		if !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("in pieces of %d bytes: %v, %+v, expected %+v", size, ok, got, want)
		}
	}
	if strings.Join(f.lines, "\n") != inPiecesYAML {
		t.Error("the lines have changed")
	}
}

// What isn't written plainly is parsed as a whole, and what is wrong there has its place.
func TestALongFileIsReadAsAShortOne(t *testing.T) {
	var long strings.Builder
	long.WriteString("id: a\npoints:\n")
	for i := range 5000 {
		fmt.Fprintf(&long, "  - {name: P%d, address: %d}\n", i, i%100)
	}
	for tail, want := range map[string]string{
		"":                           "",
		"rank: 3\n":                  "",
		"key: \"a\n  b\"\nrank: 3\n": "",
		"\"key\": a\n":               "",
		"rank: 300\n":                "s.yaml:5003:7: rank: 300 is out of range",
		"points: []\n":               "s.yaml:5003:1: points: the key is given twice, first in line 2",
		"key: \"a\nrank: 3\n":        "s.yaml:5003:6: this is not YAML: the quotes that begin here aren't closed",
		"  - {name: A, adress: 5}\n  - name: B\n": `s.yaml:5003:15: points[5000].adress: unknown key "adress", did you mean "address"?`,
		"key: &a b\n": "s.yaml:5003:6: \"&\" begins a YAML anchor or alias",
	} {
		var s station
		_, err := Decode("s.yaml", []byte(long.String()+tail), &s)
		switch {
		case want == "" && (err != nil || len(s.Points) != 5000 || s.Points[4999].Name != "P4999"):
			t.Errorf("%q: %v, %d points", tail, err, len(s.Points))
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, expected %s", tail, err, want)
		}
	}
}

// BenchmarkDecodeLong is a file with 50,000 entries in one list of one mapping in a list.
func BenchmarkDecodeLong(b *testing.B) {
	var src strings.Builder
	src.WriteString("devices:\n")
	for i := range 50 {
		fmt.Fprintf(&src, "  - id: d%d\n    points:\n", i)
		for j := range 1000 {
			fmt.Fprintf(&src, "      - {name: P%d, address: %d}\n", j, j%100)
		}
	}
	b.SetBytes(int64(src.Len()))
	for b.Loop() {
		var s struct {
			Devices []station `yaml:"devices"`
		}
		if _, err := Decode("f", []byte(src.String()), &s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeNested is a file of many levels and lines with nothing in them.
func BenchmarkDecodeNested(b *testing.B) {
	for _, levels := range []int{1, 40, 100} {
		b.Run(strconv.Itoa(levels), func(b *testing.B) {
			src := nested(levels, "- x", 1)
			src += strings.Repeat("\n", maxBytes-len(src))
			b.SetBytes(maxBytes)
			for b.Loop() {
				_, _ = Decode("f", []byte(src), &struct{}{})
			}
		})
	}
}

// Whatever is read in pieces reads the same as a whole.
func FuzzPieces(f *testing.F) {
	for _, seed := range []string{
		inPiecesYAML, stationYAML, "a:\n- x: 1\n- y: 2\nb: \"c\nd: e\"\n", "a: [1,\nb: 2]\n", "a: |\nb: c\n", "a:\n  - b: |+\n\n  - c: |2\n     d\ne:\n", "a: x\n- b: c\n",
		"a:\n  - - b: 1\n    - c: 2\n", "a:\n\tb: c\n", "a: 1\na: 2\n", "a: {b: c}\n---\nd: e\n", "a:\n - b: &x c\n - *x\n", "a: 'b\nc: d'\ne: f\n", "a:\n  - b: #\n  - c:\n",
		"id: |+\nk: v\n", "c:\n- >\n\n- [a]\n", "c:\n- # none\nm: x\n", "id:\n   y\"\n     ---\n       r: x\n", "a: [x: y, 'z' : 1]\nb: -.5\n- c\n", "a: ~\nb: it's # c\n",
	} {
		for _, size := range []int{1, 20} {
			f.Add(seed, size)
		}
	}
	f.Fuzz(func(t *testing.T, src string, size int) {
		if strings.ContainsAny(src, "\r\ufffd\ufeff") || strings.ToValidUTF8(src, "") != src { // which is before this
			return
		}
		sameAsWhole(t, src, size)
	})
}

// sameAsWhole fails unless a text that is read in pieces is read so as a whole too, and
// reports whether it is.
func sameAsWhole(t *testing.T, src string, size int) bool {
	t.Helper()
	want, file := whole(src)
	f := &File{broken: map[string]bool{}, lines: strings.Split(src, "\n")}
	got, ok := f.inPieces(size, f.tree)
	switch {
	case ok && file.Err() != nil:
		t.Fatalf("%q is read in pieces of %d bytes, as a whole: %v", src, size, file.Err())
	case ok && !reflect.DeepEqual(got, want):
		t.Fatalf("%q in pieces of %d bytes: %s, as a whole: %s", src, size, shape(got), shape(want))
	case len(f.errs) > 0 || f.before != 0 || f.above != 0 || f.absent != 0:
		t.Fatalf("%q leaves %v, %d, %d, %d", src, f.errs, f.before, f.above, f.absent)
	}
	return ok
}

// shape is all of a node, for a message.
func shape(n *node) string {
	if n == nil {
		return "nothing"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d at %v, key at %v, %q, %v", n.kind, n.position, n.key, n.text, n.quoted)
	for _, e := range n.entries {
		fmt.Fprintf(&b, " {%s: %s}", e.key, shape(e.value))
	}
	return b.String()
}

// Lines of all kinds, at whatever indentation, are read in pieces only if they are read so
// as a whole.
func TestPiecesOfLinesOfAllKinds(t *testing.T) {
	lines := []string{
		"a: x", "b: y", "c:", "d:", "- a: x", "- b:", "x", "y z", "-", "- x", "- - x", "a: |", "b: >", "- |", "e: |+", "e: |2", "# c", "", "", "f: 'x", "x'", "f: \"x", "y\"",
		"g: [x,", "x]", "g: {b: c", "}", "\tx", "a: x # c", "- # c", "h: x\t", "k: - x", "i: 'q'", "- {a: b}", "- [a]", "m: null", "n: ~", "o:  x", "-  a: x", "p : x", "q:x",
		"x: y: z", "x #c", "s: \\", "- 'x", "- >", "...", "---", "u: *", "v: 1::2", "w: [a::b]", "aa: {b: [c:1]}", "ab: # c", "ac: 'x' # c", "ad: it's", "ae: -1", "af: {}", "- ~", "- 1.5",
		"ag: 'x'#c", "ah: [a]b", "ai: x  ", "aj: ..", "ak: a: b", "al.m-n: (x)", "- am: [x] ", "an: {b, c: }", "ao: \u00a0", "ap: [\"x\" y]", "aq: {b: 'c'd}", "true: x", "ar: {a: {b:c}}", "as: [a:]", "at: <<", "au: x {", "aw: {a: b > 1, c: d | e, f: -1, g: h*}", "ax: [- a]", "ay: [a - b, c-d, %e]", "az: {a: -b}", `ba: "x\"y"`, `bb: {c: "\\", d: "\u00e4\n"}`, `bc: "\"`, `bd: "\u0"`, `be: 'x\'`, `bf: "\x"`, "av: x]",
	}
	most := []string{"a: x", "b:", "c:", "d: 1", "- x", "- e: x", "- f:", "- {a: b}", "# c", "g: [a, b]", ""}
	random := rand.New(rand.NewPCG(1, 2))
	read := 0
	for range 20000 {
		from := lines
		if random.IntN(2) == 0 {
			from = most
		}
		var src strings.Builder
		indent := 0
		for range 2 + random.IntN(7) {
			fmt.Fprintf(&src, "%*s%s\n", indent, "", from[random.IntN(len(from))])
			switch random.IntN(6) {
			case 0:
				indent = max(indent-2, 0)
			case 1, 2:
				indent += 2
			case 3:
				indent = random.IntN(7)
			case 4:
				indent = 0
			}
		}
		if sameAsWhole(t, src.String(), 1+random.IntN(25)) {
			read++
		}
	}
	if read < 500 {
		t.Errorf("%d were read in pieces", read)
	}
}

// nested is a text of so many lists in one another, and of lines in the last.
func nested(levels int, line string, lines int) string {
	var b strings.Builder
	b.WriteString("k:\n")
	for i := 1; i < levels; i++ {
		fmt.Fprintf(&b, "%*s- k:\n", 2*i, "")
	}
	for range lines {
		fmt.Fprintf(&b, "%*s%s\n", 2*levels, "", line)
	}
	return b.String()
}

// How deep values may be nested, and how many left out, doesn't depend on whether the lines
// are read in pieces.
func TestPiecesAreBoundedAsTheWhole(t *testing.T) {
	absent := func(n int) string {
		return "k:\n" + strings.Repeat("  - {name: a, address: 1}\n  - name: b\n    address:\n", n)
	}
	for name, c := range map[string]struct {
		src  string
		want bool
	}{
		"deep":      {nested(maxDepth-3, "- {a: [b]}", 300), true},
		"deeper":    {nested(maxDepth-2, "- {a: [b]}", 300), false},
		"absent":    {absent(maxAbsent), true},
		"more are":  {absent(maxAbsent + 1), false},
		"keys":      {keyLines(maxKeys), true},
		"more keys": {keyLines(maxKeys + 1), false},
	} {
		if _, f := whole(c.src); (f.Err() == nil) != c.want {
			t.Errorf("%s: as a whole: %v", name, f.Err())
		}
		for _, size := range []int{500, pieceBytes} {
			if got := sameAsWhole(t, c.src, size); got != c.want {
				t.Errorf("%s is read in pieces of %d bytes: %v", name, size, got)
			}
		}
	}
}

func keyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: a value of some length\n", i)
	}
	return b.String()
}

// A gateway's long file has its signals a line each, and is read in pieces, none
// of them much longer than it should be.
func TestAGatewaysLongFileIsReadInPieces(t *testing.T) {
	var src strings.Builder
	src.WriteString("gateway: {id: bench, site: bench}\nforward: {kafka: {brokers: [\"127.0.0.1:9092\"]}}\nbuffer: {path: buffer, max_size: 1GiB, commit_every: 2s}\nstatus: {listen: \"127.0.0.1:9090\"}\ndevices:\n")
	for i := range 5 {
		fmt.Fprintf(&src, "  - id: rtu-%d\n    iec104: {endpoint: \"tcp://127.0.0.1:%d\"}\n    signals:\n", i, 2404+i)
		for p := range 1000 {
			fmt.Fprintf(&src, "      - {name: M%d, ioa: %d, unit: A}\n", p, 1000+p)
		}
	}
	if !sameAsWhole(t, src.String(), pieceBytes) {
		t.Error("isn't read in pieces")
	}
	f := &File{broken: map[string]bool{}, lines: strings.Split(src.String(), "\n")}
	longest := 0
	_, _ = f.inPieces(pieceBytes, func(text string) *node {
		longest = max(longest, len(text))
		return f.tree(text)
	})
	if longest == 0 || longest > 2*pieceBytes {
		t.Errorf("the longest piece has %d bytes", longest)
	}
}
