package opcua

import (
	"context"
	"slices"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/telemetry"
)

// accessRead and accessWrite are bits of the attribute AccessLevel.
const (
	accessRead  = 1
	accessWrite = 2
)

// about is what a server says of a variable.
type about struct {
	dataType *ua.NodeID
	rank     int32
	access   uint8
	unit     string
	states   telemetry.States
}

// about asks for what the server says of variables.
func (l *link) about(ctx context.Context, places []*place) ([]about, error) {
	list := make([]about, len(places))
	attributes := []ua.AttributeID{ua.AttributeIDDataType, ua.AttributeIDValueRank, ua.AttributeIDUserAccessLevel}
	var ids []*ua.ReadValueID
	for _, p := range places {
		for _, a := range attributes {
			ids = append(ids, &ua.ReadValueID{NodeID: p.id, AttributeID: a})
		}
	}
	err := l.read(ctx, ids, func(i int, v *ua.DataValue) {
		if v.Value == nil || v.Status>>30 != 0 {
			return
		}
		at := &list[i/len(attributes)]
		switch v := v.Value.Value().(type) {
		case *ua.NodeID:
			at.dataType = v
		case int32:
			at.rank = v
		case uint8:
			at.access = v
		}
	})
	if err != nil {
		return nil, err
	}
	return list, l.aboutValues(ctx, places, list)
}

// aboutValues asks for what the properties of variables say of their values.
func (l *link) aboutValues(ctx context.Context, places []*place, list []about) error {
	var ids []*ua.NodeID
	var of []int
	for n, p := range places {
		for _, property := range []string{"EngineeringUnits", "EnumStrings", "EnumValues"} {
			if id := p.properties[property]; id != nil {
				ids = append(ids, id)
				of = append(of, n)
			}
		}
	}
	values, err := l.attributes(ctx, ids, ua.AttributeIDValue)
	if err != nil {
		return err
	}
	for n, v := range values {
		at := &list[of[n]]
		switch v := v.(type) {
		case *ua.ExtensionObject:
			if eu, is := v.Value.(*ua.EUInformation); is {
				at.unit = unitOf(eu)
			}
		case []*ua.LocalizedText:
			at.states = statesOf(len(v), func(i int) (int64, string) {
				if v[i] == nil {
					return int64(i), ""
				}
				return int64(i), v[i].Text
			})
		case []*ua.ExtensionObject:
			at.states = statesOf(len(v), func(i int) (int64, string) {
				if v[i] != nil {
					if e, is := v[i].Value.(*ua.EnumValueType); is && e.DisplayName != nil {
						return e.Value, e.DisplayName.Text
					}
				}
				return 0, ""
			})
		}
	}
	return l.enumerations(ctx, list)
}

// enumerations asks for the names of the values of data types that are enumerations.
func (l *link) enumerations(ctx context.Context, list []about) error {
	var ids []*ua.NodeID
	place := map[string]int{}
	for _, a := range list {
		if a.dataType == nil || len(a.states) > 0 || builtinOf(a.dataType) != 0 {
			continue
		}
		key := a.dataType.String()
		if _, known := place[key]; !known {
			place[key] = len(ids)
			ids = append(ids, a.dataType)
		}
	}
	definitions, err := l.attributes(ctx, ids, ua.AttributeIDDataTypeDefinition)
	if err != nil {
		return err
	}
	for n := range list {
		a := &list[n]
		if a.dataType == nil || len(a.states) > 0 {
			continue
		}
		at, is := place[a.dataType.String()]
		if !is {
			continue
		}
		object, _ := definitions[at].(*ua.ExtensionObject)
		if object == nil {
			continue
		}
		if d, is := object.Value.(*ua.EnumDefinition); is {
			a.states = statesOf(len(d.Fields), func(i int) (int64, string) {
				if d.Fields[i] == nil {
					return 0, ""
				}
				return d.Fields[i].Value, d.Fields[i].Name
			})
		}
	}
	return nil
}

// mostStates bounds the names of one signal's values, and longestState each of them, as a
// configuration has them.
const (
	mostStates   = 256
	longestState = 64
)

// statesOf is the names of values. Names that can't be, or come twice, are left out.
func statesOf(n int, at func(i int) (int64, string)) telemetry.States {
	states := telemetry.States{}
	var used []string
	for i := range min(n, mostStates) {
		value, name := at(i)
		if name == "" || len(name) > longestState || slices.Contains(used, name) || states[value] != "" {
			continue
		}
		used = append(used, name)
		states[value] = name
	}
	if len(states) == 0 {
		return nil
	}
	return states
}
