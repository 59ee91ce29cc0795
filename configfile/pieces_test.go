package configfile

import (
	"fmt"
	"reflect"
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
    - {name: B, ioa: 2,
       unit: V}
    - name: C
      text: |
        - no item
        key: no key
  - id: b
    signals:
      - {name: "A # none", ioa: 1}

      - {name: 'it''s'}
  - {id: c}
rules:
- when: a > 1
  summary: >+
    folded

    text

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
		got, ok := f.inPieces(size)
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

// Whatever is read in pieces reads the same as a whole. Only where a text of several lines
// without quotes stands isn't the same: the lexer says one or the other line of it, and by
// what comes before may refuse how it is indented.
func FuzzPieces(f *testing.F) {
	for _, seed := range []string{
		inPiecesYAML, stationYAML, "a:\n- x: 1\n- y: 2\nb: \"c\nd: e\"\n", "a: [1,\nb: 2]\n", "a: |\nb: c\n", "a:\n  - b: |+\n\n  - c: |2\n     d\ne:\n", "a: x\n- b: c\n",
		"a:\n  - - b: 1\n    - c: 2\n", "a:\n\tb: c\n", "a: 1\na: 2\n", "a: {b: c}\n---\nd: e\n", "a:\n - b: &x c\n - *x\n", "a: 'b\nc: d'\ne: f\n", "a:\n  - b: #\n  - c:\n",
	} {
		for _, size := range []int{1, 20} {
			f.Add(seed, size)
		}
	}
	f.Fuzz(func(t *testing.T, src string, size int) {
		if strings.ContainsAny(src, "\r\ufffd\ufeff") || strings.ToValidUTF8(src, "") != src { // which is before this
			return
		}
		want, file := whole(src)
		pieces := &File{broken: map[string]bool{}, lines: file.lines}
		got, ok := pieces.inPieces(size)
		if ok && file.Err() == nil && shape(got) != shape(want) {
			t.Fatalf("in pieces: %s, as a whole: %s, %v", shape(got), shape(want), file.Err())
		}
		if len(pieces.errs) > 0 || pieces.before != 0 {
			t.Fatalf("%v, %d", pieces.errs, pieces.before)
		}
	})
}

// shape is all of a node, but for where a scalar stands.
func shape(n *node) string {
	if n == nil {
		return "nothing"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d, key at %v, %q, %v", n.kind, n.key, n.text, n.quoted)
	if n.kind != scalar {
		fmt.Fprintf(&b, " at %v", n.position)
	}
	for _, e := range n.entries {
		fmt.Fprintf(&b, " {%s: %s}", e.key, shape(e.value))
	}
	return b.String()
}
