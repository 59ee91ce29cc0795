package configfile

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// maxErrors bounds a list of errors: nobody reads on.
const maxErrors = 200

// KeyExplainer is implemented by a struct that knows why a key which isn't its
// own is refused. An empty answer leaves it at "unknown key".
type KeyExplainer interface {
	ExplainKey(key string) string
}

// Defaulter is implemented by a pointer to a struct of a list, map or pointer
// field: SetDefaults is called on each new one before its keys are read.
type Defaulter interface {
	SetDefaults()
}

// Decode reads one file into the struct that into points to. path is used in
// messages and for File.Dir only. Values that the file doesn't give stay as they
// are, so defaults are set before, or by Defaulter.
//
// Fields take part by the tag `yaml:"name"`; the option "required" makes a
// missing key an error, `yaml:",inline"` reads an embedded struct's keys in
// place. A field is a bool, integer, float, string, struct, an
// encoding.TextUnmarshaler, or a slice, map with string keys or pointer of
// these; any other is a programming error and panics.
//
// The File is never nil. The error is Errors, with everything that was wrong;
// what could be decoded has been. Checks of meaning go on with File.Errorf, and
// File.Err then returns both.
func Decode(path string, src []byte, into any) (*File, error) {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() || target.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("configfile: Decode into %T, expected a pointer to a struct", into))
	}
	f := &File{path: path, broken: map[string]bool{}}
	f.parse(src)
	if !f.broken[""] {
		if f.root == nil {
			f.root = &node{kind: mapping, position: position{1, 1}}
		}
		f.decode(f.root, target.Elem(), "")
	}
	return f, f.Err()
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

func setDefaults(p reflect.Value) {
	if d, ok := p.Interface().(Defaulter); ok {
		d.SetDefaults()
	}
}

// decode sets v from n. A null leaves v as it is.
func (f *File) decode(n *node, v reflect.Value, path string) {
	if n.kind == null {
		return
	}
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		p := reflect.New(t.Elem())
		setDefaults(p)
		f.decode(n, p.Elem(), path)
		v.Set(p)
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		f.decodeText(n, v, path)
	case t.Kind() == reflect.Struct:
		if f.expect(n, mapping, path) {
			f.decodeStruct(n, v, path)
		}
	case t.Kind() == reflect.Slice:
		if f.expect(n, list, path) {
			f.decodeList(n, v, path)
		}
	case t.Kind() == reflect.Map:
		if f.expect(n, mapping, path) {
			f.decodeMap(n, v, path)
		}
	default:
		if f.expect(n, scalar, path) {
			f.decodeScalar(n, v, path)
		}
	}
}

// expect reports whether n is of the kind wanted, and adds the error if not.
func (f *File) expect(n *node, want kind, path string) bool {
	if n.kind == want {
		return true
	}
	wanted := map[kind]string{scalar: "a single value", mapping: `a mapping of "key: value"`, list: "a list"}[want]
	f.breakAt(n.place(), path, "%s, expected %s", n, wanted)
	return false
}

func (f *File) decodeList(n *node, v reflect.Value, path string) {
	out := reflect.MakeSlice(v.Type(), len(n.entries), len(n.entries))
	for i, e := range n.entries {
		item := e.value
		if item.kind == null {
			f.breakAt(item.position, Item(path, i), "the list entry is empty, expected a value")
			continue
		}
		setDefaults(out.Index(i).Addr())
		f.decode(item, out.Index(i), Item(path, i))
	}
	v.Set(out)
}

func (f *File) decodeMap(n *node, v reflect.Value, path string) {
	if v.Type().Key().Kind() != reflect.String {
		panic(fmt.Sprintf("configfile: %s: a map needs string keys", v.Type()))
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.entries))
	for _, e := range n.entries {
		if e.value.kind == null {
			continue
		}
		value := reflect.New(v.Type().Elem())
		setDefaults(value)
		f.decode(e.value, value.Elem(), Join(path, e.key))
		out.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), value.Elem())
	}
	v.Set(out)
}

// structure is what the tags of a struct's type say.
type structure struct {
	fields []field
	names  []string // of the fields
}

type field struct {
	index    []int
	required bool
}

var structures sync.Map // by reflect.Type, of *structure

func structureOf(t reflect.Type) *structure {
	if s, known := structures.Load(t); known {
		return s.(*structure)
	}
	s := &structure{}
	s.add(t, nil)
	structures.Store(t, s)
	return s
}

func (s *structure) add(t reflect.Type, within []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, ok := sf.Tag.Lookup("yaml")
		if !ok || tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		index := append(slices.Clone(within), i)
		switch {
		case options == "inline" && name == "" && sf.Type.Kind() == reflect.Struct:
			s.add(sf.Type, index)
		case name != "" && sf.IsExported() && (options == "" || options == "required"):
			s.fields, s.names = append(s.fields, field{index, options == "required"}), append(s.names, name)
		default:
			panic(fmt.Sprintf("configfile: %s.%s: tag %q", t, sf.Name, tag))
		}
	}
}

func (f *File) decodeStruct(n *node, v reflect.Value, path string) {
	s := structureOf(v.Type())
	names := s.names
	var missing []string
	for i, field := range s.fields {
		if field.required && !n.gives(names[i]) {
			missing = append(missing, names[i])
		}
	}
	for _, e := range n.entries {
		at := Join(path, e.key)
		i := slices.Index(names, e.key)
		if i >= 0 {
			f.decode(e.value, v.FieldByIndex(s.fields[i].index), at)
			continue
		}
		if explainer, ok := v.Interface().(KeyExplainer); ok {
			if why := explainer.ExplainKey(e.key); why != "" {
				f.breakAt(e.value.key, at, "%s", why)
				continue
			}
		}
		if nearest := Nearest(e.key, names); nearest != "" {
			f.breakAt(e.value.key, at, "unknown key %s, did you mean %q?", shortQuote(e.key), nearest)
			if !n.gives(nearest) {
				f.broken[Join(path, nearest)] = true
				missing = slices.DeleteFunc(missing, func(name string) bool { return name == nearest })
			}
			continue
		}
		f.breakAt(e.value.key, at, "unknown key %s, expected one of %s", shortQuote(e.key), strings.Join(names, ", "))
	}
	for _, name := range missing {
		f.breakAt(n.place(), Join(path, name), "the key is missing, expected a value")
	}
}

// gives reports whether a mapping has a key with a value.
func (n *node) gives(key string) bool {
	value := n.value(key)
	return value != nil && value.kind != null
}
