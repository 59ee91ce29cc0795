package gatewayconfig

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/busbar/busbar/rules"
)

// Change is one difference between two configurations.
type Change struct {
	What string // gateway, forward, buffer, …; asset, device or rule with its name
	// Key is what of it is different, as in the file: max_size, signals PhV.phsA scale.
	// "" if all of it was added or removed.
	Key string
	// What it was and becomes; "", and added or removed, if it is in one of them only.
	From, To string
	// Restart says that only a start of the gateway makes it so.
	Restart bool
}

// Name says where it is, and How what happens there.
func (c Change) Name() string {
	if c.Key == "" {
		return c.What
	}
	return c.What + "." + c.Key
}

// How says what becomes of it.
func (c Change) How() string {
	switch {
	case c.Key == "":
		return c.To
	case c.From == "":
		return c.Key + " " + c.To
	}
	return c.Key + " " + c.From + " becomes " + c.To
}

// Changes are the differences that make from into c, those that take a restart
// first. Assets and devices are told apart by their ids, rules by their names.
// What defaults say is seen in the devices, too.
func (c Config) Changes(from Config) []Change {
	var changes []Change
	for _, part := range []struct {
		name     string
		old, new any
		live     bool
	}{
		{"gateway", from.Gateway, c.Gateway, false}, {"forward", from.Forward, c.Forward, false}, {"buffer", from.Buffer, c.Buffer, false},
		{"serve", from.Serve, c.Serve, false},
		{"status", from.Status, c.Status, false}, {"network", from.Network, c.Network, false}, {"time", from.Time, c.Time, false}, {"update", from.Update, c.Update, false}, {"defaults", from.Defaults, c.Defaults, true},
	} {
		d := differ{what: part.name, restart: !part.live}
		d.compare("", reflect.ValueOf(part.old), reflect.ValueOf(part.new))
		changes = append(changes, d.changes...)
	}
	if from.Serve.IEC104 != nil && c.Serve.IEC104 != nil && reflect.DeepEqual(from.Serve.IEC104, c.Serve.IEC104) && !reflect.DeepEqual(from.ServedPoints(), c.ServedPoints()) {
		changes = append(changes, Change{What: "serve", Key: "iec104 signals", From: "as devices had them", To: "as devices have them", Restart: true})
	}
	changes = append(changes, difference("asset", from.Assets, c.Assets, func(a Asset) string { return a.ID })...)
	changes = append(changes, difference("device", from.Devices, c.Devices, func(d Device) string { return d.ID })...)
	return append(changes, difference("rule", from.Rules, c.Rules, ruleName)...)
}

// Restarts are those of the changes that take a restart.
func Restarts(changes []Change) []Change {
	return slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return !c.Restart })
}

func ruleName(r rules.Rule) string {
	if r.Name != "" {
		return r.Name
	}
	return "use " + r.Use
}

// difference compares two lists. Of several with one name the last counts.
func difference[T any](what string, from, to []T, name func(T) string) []Change {
	old := map[string]T{}
	for _, t := range from {
		old[name(t)] = t
	}
	var changes []Change
	for _, t := range to {
		before, known := old[name(t)]
		delete(old, name(t))
		if !known {
			changes = append(changes, Change{What: what + " " + name(t), To: "added"})
			continue
		}
		d := differ{what: what + " " + name(t)}
		d.compare("", reflect.ValueOf(before), reflect.ValueOf(t))
		changes = append(changes, d.changes...)
	}
	for _, removed := range slices.Sorted(maps.Keys(old)) {
		changes = append(changes, Change{What: what + " " + removed, To: "removed"})
	}
	return changes
}

// differ lists the keys in which two values of one type differ.
type differ struct {
	what    string
	restart bool
	changes []Change
}

func (d *differ) add(key, from, to string) {
	d.changes = append(d.changes, Change{What: d.what, Key: strings.TrimSpace(key), From: from, To: to, Restart: d.restart})
}

func (d *differ) compare(key string, a, b reflect.Value) {
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		return
	}
	switch {
	case scalar(a.Type()):
		d.add(key, text(a), text(b))
	case a.Kind() == reflect.Pointer && (a.IsNil() || b.IsNil() || scalar(a.Type().Elem())):
		d.add(key, text(a), text(b))
	case a.Kind() == reflect.Pointer:
		d.compare(key, a.Elem(), b.Elem())
	case a.Kind() == reflect.Struct:
		for i := range a.NumField() {
			name, inline := keyOf(a.Type().Field(i))
			if inline {
				d.compare(key, a.Field(i), b.Field(i))
			} else {
				d.compare(key+separator(key)+name, a.Field(i), b.Field(i))
			}
		}
	case a.Kind() == reflect.Map:
		keys := map[string]bool{}
		for _, k := range append(a.MapKeys(), b.MapKeys()...) {
			keys[k.String()] = true
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			if from, to := member(a, k), member(b, k); from != to {
				d.add(key+separator(key)+k, from, to)
			}
		}
	case a.Type() == reflect.TypeFor[[]Signal]():
		d.signals(key, a.Interface().([]Signal), b.Interface().([]Signal))
	default:
		d.add(key, text(a), text(b))
	}
}

func (d *differ) signals(key string, from, to []Signal) {
	for _, c := range difference(key, from, to, func(s Signal) string { return s.Name }) {
		if c.Key == "" {
			d.add(c.What, "", c.To)
		} else {
			d.add(c.What+" "+c.Key, c.From, c.To)
		}
	}
	if len(d.changes) == 0 {
		d.add(key, "", "in another order")
	}
}

func separator(key string) string {
	if key == "" {
		return ""
	}
	return "."
}

// keyOf is a field's key in the file. One that isn't in the file comes from the
// profile.
func keyOf(f reflect.StructField) (name string, inline bool) {
	tag, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	switch {
	case options == "inline":
		return "", true
	case tag == "-":
		return "profile's " + strings.ToLower(f.Name), false
	}
	return tag, false
}

// scalar reports whether a type is one value in the file.
func scalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Array:
		return false
	case reflect.Struct:
		return t.Implements(reflect.TypeFor[fmt.Stringer]())
	}
	return true
}

// text is a value as it would be written, in short.
func text(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return "none"
	case v.Kind() == reflect.Pointer:
		return text(v.Elem())
	case v.Kind() == reflect.Slice:
		list := make([]string, v.Len())
		for i := range list {
			list[i] = text(v.Index(i))
		}
		return "[" + strings.Join(list, ", ") + "]"
	case v.Kind() == reflect.Struct && !scalar(v.Type()):
		var list []string
		for i := range v.NumField() {
			if name, inline := keyOf(v.Type().Field(i)); !v.Field(i).IsZero() {
				entry := name + ": " + text(v.Field(i))
				if inline {
					entry = strings.Trim(text(v.Field(i)), "{}")
				}
				list = append(list, entry)
			}
		}
		return "{" + strings.Join(list, ", ") + "}"
	case v.Kind() == reflect.String && v.Len() == 0:
		return "none"
	case v.Kind() == reflect.String && strings.ContainsAny(v.String(), " \n"):
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}

func member(m reflect.Value, key string) string {
	v := m.MapIndex(reflect.ValueOf(key))
	if !v.IsValid() {
		return "none"
	}
	return text(v)
}
