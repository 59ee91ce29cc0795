package opcua

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/telemetry"
)

// mostElements bounds what one node's value is flattened into.
const mostElements = 4096

// scalar is a value that has no members. ok is false for one that has.
func scalar(v any) (_ telemetry.Value, ok bool) {
	switch v := v.(type) {
	case nil:
		return telemetry.Value{}, true
	case bool:
		return telemetry.BoolValue(v), true
	case int8:
		return telemetry.IntValue(int64(v)), true
	case int16:
		return telemetry.IntValue(int64(v)), true
	case int32:
		return telemetry.IntValue(int64(v)), true
	case int64:
		return telemetry.IntValue(v), true
	case uint8:
		return telemetry.UintValue(uint64(v)), true
	case uint16:
		return telemetry.UintValue(uint64(v)), true
	case uint32:
		return telemetry.UintValue(uint64(v)), true
	case uint64:
		return telemetry.UintValue(v), true
	case float32:
		return telemetry.FloatValue(float64(v)), true
	case float64:
		return telemetry.FloatValue(v), true
	case string:
		return telemetry.TextValue(v), true
	case time.Time:
		return telemetry.TextValue(v.UTC().Format(time.RFC3339Nano)), true
	case []byte:
		return telemetry.TextValue(hex.EncodeToString(v[:min(len(v), telemetry.MaxTextBytes/2)])), true
	case ua.StatusCode:
		return telemetry.UintValue(uint64(v)), true
	case ua.XMLElement:
		return telemetry.TextValue(string(v)), true
	case *ua.GUID:
		return textOf(v == nil, func() string { return v.String() }), true
	case *ua.NodeID:
		return textOf(v == nil, func() string { return v.String() }), true
	case *ua.ExpandedNodeID:
		return textOf(v == nil || v.NodeID == nil, func() string { return v.String() }), true
	case *ua.QualifiedName:
		return textOf(v == nil, func() string { return v.Name }), true
	case *ua.LocalizedText:
		return textOf(v == nil, func() string { return v.Text }), true
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Int32 || r.Kind() == reflect.Uint32 { // an enumeration of gopcua's
		if r.CanInt() {
			return telemetry.IntValue(r.Int()), true
		}
		return telemetry.UintValue(r.Uint()), true
	}
	return telemetry.Value{}, false
}

func textOf(none bool, text func() string) telemetry.Value {
	if none {
		return telemetry.Value{}
	}
	return telemetry.TextValue(text())
}

// object is the value of a structure.
type object []member

type member struct {
	name  string
	value any
}

// inner is what a value is apart from what it comes wrapped in; nil is none.
func (l *library) inner(v any) (any, error) {
	for range deepest {
		switch w := v.(type) {
		case *ua.Variant:
			if w == nil {
				return nil, nil
			}
			v = w.Value()
		case *ua.DataValue:
			if w == nil || w.Value == nil || validity(w.Status) == telemetry.Bad {
				return nil, nil
			}
			v = w.Value
		case *ua.ExtensionObject:
			return l.structure(w)
		default:
			return v, nil
		}
	}
	return nil, errDeep
}

var (
	errDeep      = fmt.Errorf("values are nested deeper than %d", deepest)
	errNoMember  = errors.New("the value has no such member")
	errManyParts = errors.New("the value has members; element says which one is meant")
)

// pick is the member of a value that the steps lead to.
func (l *library) pick(v any, steps []step) (any, error) {
	v, err := l.inner(v)
	for _, s := range steps {
		if err != nil {
			return nil, err
		}
		if v, err = memberOf(v, s); err == nil {
			v, err = l.inner(v)
		}
	}
	return v, err
}

// memberOf is a member of a value.
func memberOf(v any, s step) (any, error) {
	if o, is := v.(object); is {
		for _, m := range o {
			if s.name != "" && m.name == s.name {
				return m.value, nil
			}
		}
		return nil, errNoMember
	}
	r := reflect.ValueOf(v)
	switch {
	case s.name == "" && r.Kind() == reflect.Slice && !isBytes(v):
		if s.index >= r.Len() {
			return nil, errNoMember
		}
		return r.Index(s.index).Interface(), nil
	case s.name != "" && r.Kind() == reflect.Pointer && !r.IsNil() && r.Elem().Kind() == reflect.Struct:
		if f := r.Elem().FieldByName(s.name); f.IsValid() && f.CanInterface() {
			return f.Interface(), nil
		}
	}
	return nil, errNoMember
}

// isBytes reports whether a value is a text of bytes rather than an array of them.
func isBytes(v any) bool { _, is := v.([]byte); return is }

// leaf is a part of a value that has no members.
type leaf struct {
	element Element
	value   telemetry.Value
}

// leaves are all parts of a value; the value itself if it has none.
func (l *library) leaves(v any) ([]leaf, error) {
	var list []leaf
	var walk func(v any, at Element, depth int) error
	walk = func(v any, at Element, depth int) error {
		v, err := l.inner(v)
		if err != nil {
			return err
		}
		if value, ok := scalar(v); ok {
			if len(list) == mostElements {
				return fmt.Errorf("the value has more than %d members", mostElements)
			}
			list = append(list, leaf{at, value})
			return nil
		}
		if depth == deepest {
			return errDeep
		}
		if o, is := v.(object); is {
			for _, m := range o {
				if err := walk(m.value, at.member(m.name), depth+1); err != nil {
					return err
				}
			}
			return nil
		}
		r := reflect.ValueOf(v)
		switch {
		case r.Kind() == reflect.Slice:
			for i := range r.Len() {
				if err := walk(r.Index(i).Interface(), at.at(i), depth+1); err != nil {
					return err
				}
			}
		case r.Kind() == reflect.Pointer && !r.IsNil() && r.Elem().Kind() == reflect.Struct:
			for i := range r.Elem().NumField() {
				if f := r.Elem().Field(i); f.CanInterface() {
					if err := walk(f.Interface(), at.member(r.Elem().Type().Field(i).Name), depth+1); err != nil {
						return err
					}
				}
			}
		default:
			return fmt.Errorf("a value of type %T", v)
		}
		return nil
	}
	err := walk(v, "", 0)
	return list, err
}

// sampler makes samples of the values of one node's member.
type sampler struct {
	steps         []step
	scale, offset float64
	bool          bool // what isn't one is a wrong answer
	signal        telemetry.SignalID
}

// sample is what a value says of the signal. The error says why it says nothing, where
// its status doesn't.
func (l *library) sample(s *sampler, v *ua.DataValue, received time.Time) (telemetry.Sample, error) {
	at, stamped := stamp(v, received)
	out := telemetry.Sample{Signal: s.signal, Time: telemetry.MicrosOf(at)}
	q := quality(v.Status)
	if stamped {
		q = q.WithTime(telemetry.DeviceTime)
	}
	lack := func(r telemetry.Reason) {
		out.Quality = telemetry.MakeQuality(telemetry.Bad, q.TimeQuality(), r) | q&queueOverflow
	}
	out.Quality = q
	if q.Validity() == telemetry.Bad {
		return out, nil
	}
	picked, err := l.pick(v.Value, s.steps)
	switch {
	case errors.Is(err, errNoMember):
		lack(telemetry.NotImplemented)
		return out, err
	case err != nil:
		lack(telemetry.Malformed)
		return out, err
	}
	value, ok := scalar(picked)
	if !ok {
		lack(telemetry.Malformed)
		return out, errManyParts
	}
	if value.Kind() == telemetry.None {
		lack(telemetry.NotImplemented)
		return out, nil
	}
	if value.Kind() == telemetry.Float64 {
		if f, _ := value.Float(); math.IsNaN(f) {
			lack(telemetry.NotANumber)
			return out, nil
		}
	}
	if s.bool && value.Kind() != telemetry.Bool {
		lack(telemetry.Malformed)
		return out, fmt.Errorf("expected a bool, and it is %v", value.Kind())
	}
	if s.scale != 1 || s.offset != 0 {
		f, number := value.Float()
		if !number {
			lack(telemetry.Malformed)
			return out, errors.New("a text can't be scaled")
		}
		value = telemetry.FloatValue(f*s.scale + s.offset)
	}
	out.Value = value
	return out, nil
}

const (
	// farthest is how far ahead of ours a server's clock may be before its times aren't
	// believed.
	farthest = time.Minute
	// oldest is before anything that a server could tell of. What is before that, such as
	// the year 1601 of a time that isn't there, is none.
	oldest = 1971
)

// stamp is when a value came about, by its source or else its server; stamped is false if
// neither says it credibly, and it is when the value was received.
func stamp(v *ua.DataValue, received time.Time) (at time.Time, stamped bool) {
	for _, t := range []time.Time{v.SourceTimestamp, v.ServerTimestamp} {
		if t.Year() >= oldest && t.Before(received.Add(farthest)) {
			return t, true
		}
	}
	return received, false
}
