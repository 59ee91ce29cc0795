package gateway

import (
	"reflect"
	"testing"

	"github.com/busbar/busbar/gatewayconfig"
)

// A signal is the same again that is packed while it runs, whatever is written of it.
func TestWhatRunsIsUnpackedAsItWas(t *testing.T) {
	var s gatewayconfig.Signal
	fill(t, reflect.ValueOf(&s).Elem(), "signal")
	s.Found = "" // what is written isn't found
	lists := [][]gatewayconfig.Signal{{s, {Name: "PhV"}}, nil, {}, {s}}
	p := newPacker()
	if got := unpackSignals(p.signals(lists)); !reflect.DeepEqual(got, lists) {
		t.Errorf("%+v\n%+v", got, lists)
	}
	if got := unpackSignals(p.signals(nil)); got != nil {
		t.Errorf("%+v", got)
	}
	for _, source := range []Source{
		{Text: []byte("gateway: {}\n"), Profiles: map[string][]byte{"a.csv": []byte("\xD6l;1\n"), "b.yaml": {}}},
		{Profiles: map[string][]byte{}},
	} {
		if got := (&live{files: p.source(source)}).source(); !reflect.DeepEqual(got, source) {
			t.Errorf("%+v, expected %+v", got, source)
		}
	}
}

// fill gives everything a value that isn't the zero one.
func fill(t *testing.T, v reflect.Value, at string) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				t.Errorf("%s.%s wouldn't be packed", at, f.Name)
				continue
			}
			fill(t, v.Field(i), at+"."+f.Name)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), at)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), at)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, at)
		fill(t, value, at)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1.25)
	default:
		t.Errorf("%s is of a kind that isn't known here: %v", at, v.Type())
	}
}
