package modbus

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	goburrow "github.com/goburrow/modbus"
)

// examplePage is the answer of the standard's example (V1.1b3, 6.21), with the
// length that its second object has.
var examplePage = pageOf(accessBasic, 1, 0, 0, "Company identification", "Product code XX", "V2.11")

// pageOf is an answer with objects from an id on; next is the one to go on with, 0
// for none.
func pageOf(access, conformity, first, next byte, objects ...string) []byte {
	more := byte(0)
	if next > 0 {
		more = 0xFF
	}
	b := []byte{43, 14, access, conformity, more, next, byte(len(objects))}
	for i, o := range objects {
		b = append(append(b, first+byte(i), byte(len(o))), o...)
	}
	return b
}

func TestParsePage(t *testing.T) {
	p, err := parsePage(accessBasic, examplePage)
	if err != nil || p.more || p.conformity != 1 || len(p.objects) != 3 || string(p.objects[2].Value) != "V2.11" {
		t.Errorf("%+v, %v", p, err)
	}
	with := func(at int, b byte) []byte {
		out := bytes.Clone(examplePage)
		out[at] = b
		return out
	}
	for name, in := range map[string][]byte{
		"nothing":          nil,
		"a head too short": examplePage[:6],
		"one byte less":    examplePage[:len(examplePage)-1],
		"one byte more":    append(bytes.Clone(examplePage), 0),
		"an object more":   with(objectCountAt, 4),
		"an object less":   with(objectCountAt, 2),
		"a longer object":  with(objectsAt+1, 0xFF),
		"another MEI type": with(1, 13),
		"another access":   with(2, accessRegular),
		"another function": with(0, 42),
	} {
		if p, err := parsePage(accessBasic, in); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// device43 answers function 43, MEI type 14, by access and object; what isn't there
// gets an exception, 0 is silence.
type device43 struct {
	pages     map[[2]byte][]byte
	exception byte
	asked     [][2]byte
}

var errSilent = errors.New("no answer")

func (d *device43) ask(access, object byte) ([]byte, error) {
	at := [2]byte{access, object}
	d.asked = append(d.asked, at)
	if p := d.pages[at]; p != nil {
		return p, nil
	}
	if d.exception == 0 {
		return nil, errSilent
	}
	return nil, &goburrow.ModbusError{FunctionCode: 0xAB, ExceptionCode: d.exception}
}

func TestIdentify(t *testing.T) {
	for _, c := range []struct {
		name       string
		device     device43
		want       string // the objects
		incomplete string
		fails      bool
		asked      int
	}{
		{
			name:   "basic only",
			device: device43{pages: map[[2]byte][]byte{{1, 0}: examplePage}},
			want:   "0=Company identification 1=Product code XX 2=V2.11", asked: 1,
		},
		{
			name: "every level, in several answers",
			device: device43{pages: map[[2]byte][]byte{
				{1, 0}: pageOf(1, 0x83, 0, 1, "Maker"), {1, 1}: pageOf(1, 0x83, 1, 0, "Code", "1.0"),
				{2, 0}: pageOf(2, 0x83, 0, 4, "Maker", "Code", "1.0", "http://x"), {2, 4}: pageOf(2, 0x83, 4, 0, "Name", "Model"),
				{3, 0}: pageOf(3, 0x83, 0x80, 0, "private"),
			}},
			want: "0=Maker 1=Code 2=1.0 3=http://x 4=Name 5=Model 128=private", asked: 5,
		},
		{
			name: "a higher level that it hasn't got after all", device: device43{exception: 3, pages: map[[2]byte][]byte{{1, 0}: pageOf(1, 2, 0, 0, "Maker")}},
			want: "0=Maker", incomplete: "illegal data value", asked: 2,
		},
		{
			name: "nothing after the first answer", device: device43{pages: map[[2]byte][]byte{{1, 0}: pageOf(1, 3, 0, 1, "Maker")}},
			want: "0=Maker", incomplete: "no answer", asked: 2,
		},
		{
			name: "for ever the same", device: device43{pages: map[[2]byte][]byte{
				{1, 0}: pageOf(1, 1, 0, 1, "Maker"), {1, 1}: pageOf(1, 1, 1, 1, "Code"),
			}},
			want: "0=Maker 1=Code", incomplete: "goes on with object 1 after object 1", asked: 2,
		},
		{
			name: "one by one only", device: device43{exception: 3, pages: map[[2]byte][]byte{
				{4, 0}: pageOf(4, 0x81, 0, 0, "Maker"), {4, 1}: pageOf(4, 0x81, 1, 0, "Code"), {4, 2}: pageOf(4, 0x81, 9, 0, "another object"),
			}},
			want: "0=Maker 1=Code", asked: 4,
		},
		{name: "no such function", device: device43{exception: 1}, fails: true, asked: 1},
		{name: "no such access", device: device43{exception: 3}, fails: true, asked: 4},
		{name: "silence", device: device43{}, fails: true, asked: 1},
		{name: "nonsense", device: device43{pages: map[[2]byte][]byte{{1, 0}: {43, 14}}}, fails: true, asked: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := identify(c.device.ask)
			var objects []string
			for _, o := range id.Objects {
				objects = append(objects, fmt.Sprintf("%d=%s", o.ID, o.Value))
			}
			if got := strings.Join(objects, " "); got != c.want || (err != nil) != c.fails {
				t.Errorf("%q, %v", got, err)
			}
			if (id.Incomplete != "") != (c.incomplete != "") || !strings.Contains(id.Incomplete, c.incomplete) {
				t.Errorf("incomplete: %q", id.Incomplete)
			}
			if len(c.device.asked) != c.asked {
				t.Errorf("asked %v", c.device.asked)
			}
		})
	}
}

// A device that always announces more is believed for a while only.
func TestIdentificationHasAnEnd(t *testing.T) {
	asked := 0
	id, err := identify(func(access, object byte) ([]byte, error) {
		asked++
		return pageOf(access, 1, object, object+1, "x"), nil
	})
	if err != nil || id.Incomplete == "" || asked != maxPages {
		t.Errorf("%d asked, %q, %v", asked, id.Incomplete, err)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "",
		" SDM630 \x00 rest":           "SDM630",
		"a\x1b[2Jb\r\ndevices:\u202e": "a [2Jb devices:",
		"Z\xe4hler":                   "Zähler",
		"Zähler":                      "Zähler",
	} {
		if got := Printable([]byte(in)); got != want {
			t.Errorf("%q: %q, expected %q", in, got, want)
		}
	}
}

// FuzzIdentification holds parsePage and the framing to each other: what the one
// takes for a whole answer, the other reads to its last byte, or refuses.
func FuzzIdentification(f *testing.F) {
	f.Add(byte(1), examplePage)
	f.Add(byte(3), pageOf(3, 0x83, 0x80, 0x81, "private"))
	f.Add(byte(1), []byte{43, 14, 1, 1, 0, 0, 255, 0, 255})
	f.Fuzz(func(t *testing.T, access byte, in []byte) {
		want := reply{head: [7]byte{43, 14, access}, known: 3}
		n, err := want.length(in)
		p, refused := parsePage(access, in)
		if refused == nil && (err != nil || n != len(in)) && len(in) <= maxPDU {
			t.Fatalf("%d of %d bytes, %v", n, len(in), err)
		}
		if err == nil && n == len(in) && n > 2 && refused != nil {
			t.Fatal(refused)
		}
		if refused == nil {
			again := []byte{43, 14, access, p.conformity, in[4], p.next, byte(len(p.objects))}
			for _, o := range p.objects {
				again = append(append(again, o.ID, byte(len(o.Value))), o.Value...)
			}
			if !bytes.Equal(again, in) {
				t.Fatalf("% x from % x", again, in)
			}
		}
		id, err := identify(func(byte, byte) ([]byte, error) { return in, nil })
		if err != nil && len(id.Objects) > 0 {
			t.Fatal(err)
		}
		if !slices.IsSortedFunc(id.Objects, func(a, b Object) int { return int(a.ID) - int(b.ID) }) {
			t.Fatal(id.Objects)
		}
		for _, o := range id.Objects {
			if text := id.Text(o.ID); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
				t.Fatalf("%q", text)
			}
		}
	})
}
