package gridfile

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridtest"
)

// What is canonical reads as configfile reads it, with the same places.
func FuzzCanonical(f *testing.F) {
	for _, entry := range []string{
		"{id: a, from: b, to: c}", `{id: "a: \"b", from: "x y", to: "null"}`, "{id: true, from: Null, to: nan}", "{id: 1, from: 0x1, to: 1e3}", "{id: a1, from: -1, to: _}",
		"{id: a, from: b, to: c, voltage: 00.4 kV}", "{id: a, from: b, to: c, voltage: 0.4 kV, phases: A, length: -5 m}", "{id: a, from: b, to: c, position: 1 -2}",
		"{id: a, from: b, to: c, out_of_service: true}", "{id: a, from: b, to: c, out_of_service: yes}", "{id: a, from: b, to: c, valid_from: \"2026-01-01T00:00:00Z\"}",
		"{id: a, from: b, id: c}", "{id: a, from: b, to: c, id: d}", "{id: a, from: b/c-d_e.f, to: c d}", "{id: a , from: b,  to: c}", "{id: a, from: b #c, to: d}", "{id: a, from: b, to: c} # d", "{id: a, from: é, to: \"é\u0085\"}",
		"{id: a, from: b, to: 'c'}", "{id: , from: b, to: ~}", "{}", "{id: a,from: b, to: c}", "{id: a, from: b\n, to: c}", "{id: a, from: b, to: - c}", "{id: a, from: b, to: c", "{id: \"\", from: b, to: c}",
		"{id: y, from: on, to: no}", "{id: a, from: b, to: c, voltage: \"20 kV\"}", "{id: a, from: b, to: c:d}", "{id: a, from: \"b\"c, to: d}", "{id: a, from: b, to: \"\t\"}", "{id: Inf, from: .inf, to: -inf}",
	} {
		f.Add("lines", entry)
	}
	for _, customers := range []string{"1", "01", "-1", "+1", "0x10", "1.0", "99999999999", "\"1\"", "0", "-0", "1_0", "true", ""} {
		f.Add("service_points", "{id: a, node: b, customers: "+customers+"}")
	}
	f.Fuzz(func(t *testing.T, section, entry string) {
		src := []byte(section + ":\n  - " + entry + "\n")
		fast, found := ReadYAML("g", src)
		slow, expected := readYAML("g", src, false)
		if !reflect.DeepEqual(fast, slow) || !reflect.DeepEqual(found, expected) {
			t.Fatalf("%s\n%+v\n%+v\n%v\n%v", src, fast, slow, found, expected)
		}
	})
}

// What is taken apart reads as it does in one piece, and what is wrong in one
// piece is found.
func FuzzTakenApart(f *testing.F) {
	for _, src := range []string{
		"name: a\nlines:\n  - {id: L, from: a, to: b}\n\n  # c\n  - id: M\n    from: a\n    to: b\nzones: [{id: z}]\n", "---\nlines:\n- {id: L, from: a, to: b}\n- {id: M, from: a, to: b}\ncoordinates: wgs84",
		"lines:\n  x: 1\n  - {id: L, from: a, to: b}\n  - {id: M, from: a, to: b}", "{name: a, zones: [{id: z}]}", "name: |\n  a\n  - b\nzones:\n  - id: z\n    name: >-\n      a\n      - b\n",
		"name: \"a\n  - b\"\nzones:\n  - {id: z,\n    name: a}\n", "zones:\n    - {id: a}\n  - {id: b}\n", "zones:\n - - id: a\n", "zones: [\n{id: a}\n]\n", "a\nb: c", "\"zones\":\n  - id: 'a'\n", "name: a\n---\n",
		"# c\n---\n# d\nname: a\n...\n", "zones:\n  - id: a\n   - id: b\n", "? name\n: a\n", "name:\n  a\n", "zones:\n\n\n- id: a\n\n- id: b\n  name: |\n    x\n\n- id: c",
	} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var want grid.Model
		_, err := configfile.Decode("g", src, &want)
		got, findings := ReadYAML("g", src)
		if (err != nil) != (len(findings) > 0) {
			t.Fatalf("%q: in one piece %v, taken apart %v", src, err, findings)
		}
		got.Each(func(_ grid.Kind, _ int, a *grid.Asset) { a.Place = grid.Place{} })
		if err == nil && !equalModels(got, want) {
			t.Fatalf("%q:\n%+v\n%+v", src, got, want)
		}
	})
}

// equalModels takes a list that is empty for one that isn't there.
func equalModels(a, b grid.Model) bool {
	for _, m := range []*grid.Model{&a, &b} {
		v := reflect.ValueOf(m).Elem()
		for i := range sections {
			if list := v.Field(sections[i].index); list.Len() == 0 {
				list.SetZero()
			}
		}
	}
	return reflect.DeepEqual(a, b)
}

// What is written is canonical, or a large network takes a minute to read.
func TestWrittenIsCanonical(t *testing.T) {
	var out bytes.Buffer
	if err := WriteYAML(&out, gridtest.Radial(500, 1)); err != nil {
		t.Fatal(err)
	}
	for i := range sections {
		s := &sections[i]
		_, list, there := strings.Cut(out.String(), "\n"+s.name+":\n")
		list, _, _ = strings.Cut(list, "\n\n")
		if !there {
			continue
		}
		y := yamlReader{chunk: chunk{text: []byte(list), indent: 2}}
		if !y.canonicalList(s) {
			t.Errorf("%s aren't read as they are written:\n%.300s", s.name, list)
		}
	}
}
