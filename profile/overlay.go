package profile

import (
	"reflect"
	"strings"
)

// Override is the profile's signals with a device's own over them. One of the
// same name replaces what it gives, key by key; others come after them. given
// says which keys the j-th of own has; place is, for each of the result, where in
// own it was, or -1.
func Override(signals, own []Signal, given func(j int, key string) bool) (merged []Signal, place []int) {
	at := map[string]int{}
	for _, s := range signals {
		at[s.Name] = len(merged)
		merged, place = append(merged, s), append(place, -1)
	}
	for j, s := range own {
		i, known := at[s.Name]
		if !known {
			merged, place = append(merged, s), append(place, j)
			continue
		}
		place[i] = j
		if s.hasAddress() {
			merged[i].Input, merged[i].Holding, merged[i].Coil, merged[i].Discrete = nil, nil, nil, nil
		}
		overlay(reflect.ValueOf(&merged[i]).Elem(), reflect.ValueOf(s), func(key string) bool { return given(j, key) })
	}
	return merged, place
}

func (s Signal) hasAddress() bool {
	return s.Input != nil || s.Holding != nil || s.Coil != nil || s.Discrete != nil
}

// overlay sets the fields of a struct to those of another that are given.
func overlay(into, from reflect.Value, given func(key string) bool) {
	for i := range from.NumField() {
		key, options, _ := strings.Cut(from.Type().Field(i).Tag.Get("yaml"), ",")
		if options == "inline" {
			overlay(into.Field(i), from.Field(i), given)
		} else if given(key) {
			into.Field(i).Set(from.Field(i))
		}
	}
}
