package opcua

import (
	"context"
	"strings"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/telemetry"
)

// Listed is a node of a server, for people.
type Listed struct {
	Node  Node
	Depth int    // below the node where the list begins; 1 is right below
	Name  string // its browse name
	Path  string // the words of the browse names that lead to it, with dots between
	Class string // object, variable or method
	// Of variables:
	Type        string // of its value, as the server names it, with [] if it is an array
	Unit        string // after UCUM
	Quality     telemetry.Quality
	Readable    bool
	Writable    bool
	Historizing bool // its history can be read
	Parts       []Part
}

// Part is a part of a variable's value that has no parts itself.
type Part struct {
	Element Element
	Signal  string // that it would have if it were followed
	Kind    telemetry.Kind
	Value   telemetry.Value
	States  telemetry.States // of an enumeration
}

// List is what a server has below a node, as far as it matches or leads to what does,
// in the order of a tree. whole is false if it has more than is looked at. Of the device
// only the connection matters.
func List(ctx context.Context, d Device, from Node, match Pattern) (list []Listed, whole bool, err error) {
	l, err := dial(ctx, d, nil)
	if err != nil {
		return nil, false, err
	}
	defer func() {
		goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		l.Close(goodbye)
	}()
	start, err := from.on(l.Namespaces)
	if err != nil {
		return nil, false, err
	}
	var places, variables []*place
	whole, err = l.below(ctx, start, l.Namespaces, func(p *place) { places = append(places, p) })
	if err != nil {
		return nil, false, err
	}
	leads := map[*place]bool{}
	children := map[*place][]*place{}
	var root *place
	for _, p := range places {
		children[p.parent] = append(children[p.parent], p)
		if len(p.path) == 1 {
			root = p.parent
		}
		if !match.matches(p.path) || match != "" && p.class == ua.NodeClassObject {
			continue
		}
		if p.class == ua.NodeClassVariable {
			variables = append(variables, p)
		}
		for at := p; at != nil; at = at.parent {
			leads[at] = true
		}
	}
	described, err := l.describe(ctx, variables)
	if err != nil {
		return nil, false, err
	}
	var walk func(p *place)
	walk = func(p *place) {
		for _, c := range children[p] {
			if !leads[c] {
				continue
			}
			at, is := described[c]
			if !is {
				at = Listed{Class: "object"}
				switch c.class {
				case ua.NodeClassMethod:
					at.Class = "method"
				case ua.NodeClassVariable:
					at.Class = "variable"
				}
			}
			at.Node, at.Depth, at.Name, at.Path = c.node, len(c.path), c.name, strings.Join(c.path, ".")
			list = append(list, at)
			walk(c)
		}
	}
	if root != nil {
		walk(root)
	}
	return list, whole, nil
}

// describe says of variables what they are, and what they are now.
func (l *link) describe(ctx context.Context, places []*place) (map[*place]Listed, error) {
	about, err := l.about(ctx, places)
	if err != nil {
		return nil, err
	}
	types, err := l.typeNames(ctx, about)
	if err != nil {
		return nil, err
	}
	wants := make([]want, len(places))
	for n, p := range places {
		wants[n].id = p.id
	}
	values, err := l.values(ctx, wants)
	if err != nil {
		return nil, err
	}
	for n, v := range values {
		if about[n].access&accessRead != 0 && v.Value != nil {
			_, _ = l.leaves(v.Value) // finds out which structures aren't known
		}
	}
	if learned, err := l.learnWanted(ctx); err != nil {
		return nil, err
	} else if learned {
		if values, err = l.values(ctx, wants); err != nil {
			return nil, err
		}
	}
	described := map[*place]Listed{}
	for n, p := range places {
		a := about[n]
		at := Listed{
			Class: "variable", Unit: a.unit, Quality: quality(values[n].Status), Readable: a.access&accessRead != 0,
			Writable: a.access&accessWrite != 0, Historizing: a.access&accessHistory != 0,
		}
		if a.dataType != nil {
			at.Type = types[a.dataType.String()]
		}
		if a.rank >= 0 {
			at.Type += "[]"
		}
		v := variable{dataType: a.dataType, rank: a.rank, states: a.states}
		parts, err := l.leaves(values[n].Value)
		if err != nil || validity(values[n].Status) == telemetry.Bad {
			parts = nil
			if v.plain() {
				parts = []leaf{{}}
			}
		}
		for _, part := range parts {
			q := Part{Element: part.element, Signal: signalName(strings.Join(p.path, "."), part.element), Kind: v.kind(part.value), Value: part.value}
			if part.element == "" {
				q.States = a.states
			}
			at.Parts = append(at.Parts, q)
		}
		described[p] = at
	}
	return described, nil
}

// typeNames are the browse names of data types, by their ids.
func (l *link) typeNames(ctx context.Context, about []about) (map[string]string, error) {
	names := map[string]string{}
	var ids []*ua.NodeID
	for _, a := range about {
		if a.dataType == nil {
			continue
		}
		key := a.dataType.String()
		if _, known := names[key]; !known {
			names[key] = key
			ids = append(ids, a.dataType)
		}
	}
	values, err := l.attributes(ctx, ids, ua.AttributeIDBrowseName)
	if err != nil {
		return nil, err
	}
	for n, v := range values {
		if name, is := v.(*ua.QualifiedName); is && name != nil && name.Name != "" {
			names[ids[n].String()] = name.Name
		}
	}
	return names, nil
}
