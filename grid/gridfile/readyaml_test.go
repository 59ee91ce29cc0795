package gridfile

import (
	"reflect"
	"testing"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/internal/table"
)

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

func TestAssetsAreBounded(t *testing.T) {
	y := yamlReader{path: "g", first: map[string]int{}, total: table.MaxAssets - 1, chunk: chunk{line: 1, indent: -1}}
	y.read([]byte("zones:\n- {id: a}\n- {id: b}\n- {id: c}\n"))
	if len(y.model.Zones) != 2 || len(y.findings) != 1 || y.findings[0].String() != "g:4:1: error: there are more than 2000000 assets; what follows isn't read" {
		t.Errorf("%d zones, %v", len(y.model.Zones), y.findings)
	}
}
