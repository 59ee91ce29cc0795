package grid

import (
	"slices"
	"strings"

	"github.com/busbar/busbar/configfile"
)

// reference is what one asset says of another.
type reference struct {
	key   string
	id    string
	kinds []Kind
}

// references checks that what assets refer to exists, as long as they do.
func (c *checker) references() {
	m := c.model
	inZone := func(a *Asset) { c.refers(a, reference{"zone", a.Zone, []Kind{KindZone}}) }
	inSubstation := func(a *Asset, id string) {
		c.refers(a, reference{"substation", id, []Kind{KindSubstation}})
	}
	m.Each(func(_ Kind, _ int, a *Asset) { inZone(a) })
	for i := range m.Zones {
		v := &m.Zones[i]
		c.refers(&v.Asset, reference{"parent", v.Parent, []Kind{KindZone}})
	}
	c.zonesInZones()
	for i := range m.Nodes {
		inSubstation(&m.Nodes[i].Asset, m.Nodes[i].Substation)
	}
	for i := range m.Feeders {
		v := &m.Feeders[i]
		inSubstation(&v.Asset, v.Substation)
		c.refers(&v.Asset, reference{"head", v.Head, []Kind{KindSwitch, KindLine, KindTransformer}})
	}
	for i := range m.Switches {
		inSubstation(&m.Switches[i].Asset, m.Switches[i].Substation)
	}
	for i := range m.Transformers {
		inSubstation(&m.Transformers[i].Asset, m.Transformers[i].Substation)
	}
	c.nodesNamed()
}

// refers adds a finding unless r's asset exists throughout a's validity.
func (c *checker) refers(a *Asset, r reference) {
	if r.id == "" {
		return
	}
	var fitting []*Asset
	other := ""
	for _, v := range c.byID[r.id] {
		if slices.Contains(r.kinds, v.kind) {
			fitting = append(fitting, v.asset)
		} else {
			other = v.kind.String()
		}
	}
	switch {
	case len(fitting) == 0 && other != "":
		c.add(Error, UnknownReference, a, "%s: %s is a %s, expected a %s", r.key, r.id, other, kindList(r.kinds))
	case len(fitting) == 0:
		hint := ""
		if nearest := c.nearest(r); nearest != "" {
			hint = ", did you mean " + nearest + "?"
		}
		c.add(Error, UnknownReference, a, "%s: there is no %s %s%s", r.key, kindList(r.kinds), r.id, hint)
	case !covered(a, fitting):
		c.add(Error, NotValidThen, a, "%s: %s is not valid for all of the time that this is", r.key, r.id)
	}
}

// What bounds the search for the id that was meant: among how many, and how often.
const (
	maxNear  = 2000
	maxHints = 100
)

func (c *checker) nearest(r reference) string {
	if c.hints++; c.hints > maxHints {
		return ""
	}
	var ids []string
	c.model.Each(func(kind Kind, _ int, a *Asset) {
		if slices.Contains(r.kinds, kind) && len(ids) <= maxNear {
			ids = append(ids, a.ID)
		}
	})
	if len(ids) > maxNear {
		return ""
	}
	return configfile.Nearest(r.id, ids)
}

func kindList(kinds []Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// covered reports whether versions, in the order of their beginnings, leave no
// gap in a's validity.
func covered(a *Asset, versions []*Asset) bool {
	const always = Time(1<<63 - 1)
	end := func(t Time) Time {
		if t == 0 {
			return always
		}
		return t
	}
	to := a.ValidFrom
	for _, v := range versions {
		if v.ValidFrom > to {
			return false
		}
		if to = max(to, end(v.ValidTo)); to >= end(a.ValidTo) {
			return true
		}
	}
	return false
}

// zonesInZones checks that no zone contains itself, by whichever of its entries.
func (c *checker) zonesInZones() {
	entries := map[string][]*Zone{}
	for i := range c.model.Zones {
		v := &c.model.Zones[i]
		entries[v.ID] = append(entries[v.ID], v)
	}
	type step struct {
		id   string
		next int // of its entries
	}
	const done = -1
	place := map[string]int{} // on the way, from 1
	for i := range c.model.Zones {
		id := c.model.Zones[i].ID
		if place[id] == done {
			continue
		}
		way := []step{{id: id}}
		place[id] = 1
		for len(way) > 0 {
			last := &way[len(way)-1]
			if last.next == len(entries[last.id]) {
				place[last.id] = done
				way = way[:len(way)-1]
				continue
			}
			parent := entries[last.id][last.next].Parent
			last.next++
			switch at := place[parent]; {
			case parent == "" || at == done:
			case at == 0:
				way = append(way, step{id: parent})
				place[parent] = len(way)
			default:
				v := entries[parent][way[at-1].next-1]
				c.add(Error, UnknownReference, &v.Asset, "parent: the zone contains itself, by way of %s", v.Parent)
			}
		}
	}
}

// nodesNamed checks that what equipment is connected to isn't something else
// than a node: a line's end given as the id of a switch is a mistake that would
// otherwise make a node of that name.
func (c *checker) nodesNamed() {
	m := c.model
	at := func(a *Asset, key, node string) {
		for _, v := range c.byID[node] {
			if v.kind != KindNode {
				c.add(Error, UnknownReference, a, "%s: %s is a %s, expected a node", key, node, v.kind)
				return
			}
		}
		var entries []*Asset
		for _, v := range c.byID[node] {
			entries = append(entries, v.asset)
		}
		if len(entries) > 0 && !covered(a, entries) {
			c.add(Error, NotValidThen, a, "%s: node %s is not valid for all of the time that this is", key, node)
		}
	}
	for i := range m.Sources {
		at(&m.Sources[i].Asset, "node", m.Sources[i].Node)
	}
	for i := range m.Lines {
		at(&m.Lines[i].Asset, "from", m.Lines[i].From)
		at(&m.Lines[i].Asset, "to", m.Lines[i].To)
	}
	for i := range m.Switches {
		at(&m.Switches[i].Asset, "from", m.Switches[i].From)
		at(&m.Switches[i].Asset, "to", m.Switches[i].To)
	}
	for i := range m.Transformers {
		at(&m.Transformers[i].Asset, "from", m.Transformers[i].From)
		at(&m.Transformers[i].Asset, "to", m.Transformers[i].To)
	}
	for i := range m.ServicePoints {
		at(&m.ServicePoints[i].Asset, "node", m.ServicePoints[i].Node)
	}
}
