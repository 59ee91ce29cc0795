// Package gridfile reads and writes a grid's own formats: YAML, which is the
// one to edit, and CSV.
package gridfile

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/busbar/busbar/grid"
)

// field is a key of an asset, and a column of its table.
type field struct {
	name     string
	index    []int
	required bool
}

// section is one of a model's lists.
type section struct {
	name   string
	index  int // of the field of grid.Model
	item   reflect.Type
	fields []field
	// standard is an item of which nothing was said.
	standard reflect.Value
}

var sections = sectionsOf(reflect.TypeFor[grid.Model]())

func sectionsOf(model reflect.Type) []section {
	var out []section
	for i := range model.NumField() {
		f := model.Field(i)
		if f.Type.Kind() != reflect.Slice {
			continue
		}
		s := section{name: f.Tag.Get("yaml"), index: i, item: f.Type.Elem()}
		s.fields = fieldsOf(s.item, nil)
		standard := reflect.New(s.item)
		if d, ok := standard.Interface().(interface{ SetDefaults() }); ok {
			d.SetDefaults()
		}
		s.standard = standard.Elem()
		out = append(out, s)
	}
	return out
}

// fieldsOf puts an asset's own keys behind its id and name, and those that all
// have at the end.
func fieldsOf(t reflect.Type, at []int) []field {
	var first, own, last []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("yaml")
		if !ok {
			continue
		}
		index := append(slices.Clone(at), i)
		name, options, _ := strings.Cut(tag, ",")
		if options == "inline" {
			common := fieldsOf(f.Type, index)
			first, last = common[:2], common[2:]
			continue
		}
		own = append(own, field{name, index, options == "required"})
	}
	return slices.Concat(first, own, last)
}

// text is a value as a file has it.
func text(v reflect.Value) string {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		out, err := m.MarshalText()
		if err != nil {
			panic(fmt.Sprintf("gridfile: %s: %v", v.Type(), err)) // none of the model's types has an error
		}
		return string(out)
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10)
	}
	panic(fmt.Sprintf("gridfile: a field of type %s can't be written", v.Type()))
}

// setText sets a value from a column of a table.
func setText(v reflect.Value, s string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(s))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		if s != "true" && s != "false" {
			return fmt.Errorf("%q, expected true or false", s)
		}
		v.SetBool(s == "true")
	case reflect.Int:
		i, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return fmt.Errorf("%q, expected a whole number", s)
		}
		v.SetInt(i)
	default:
		panic(fmt.Sprintf("gridfile: a field of type %s can't be read", v.Type()))
	}
	return nil
}

// asset is what the item of a section has as every asset.
func asset(item reflect.Value) *grid.Asset {
	return item.FieldByName("Asset").Addr().Interface().(*grid.Asset)
}
