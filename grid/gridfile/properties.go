package gridfile

import (
	"reflect"

	"github.com/busbar/busbar/grid"
)

// Properties is what a model says of an asset, by the keys of YAML; its id isn't among
// them, nor what holds without being said. index is that of the list of its kind.
func Properties(m *grid.Model, kind grid.Kind, index int) map[string]string {
	s := &sections[kind] // both are in the model's order
	item := reflect.ValueOf(m).Elem().Field(s.index).Index(index)
	out := map[string]string{}
	for i := range s.fields {
		if f := &s.fields[i]; f.name != "id" && s.says(item, f) {
			out[f.name] = text(item.FieldByIndex(f.index))
		}
	}
	return out
}
