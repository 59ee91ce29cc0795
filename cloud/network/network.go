// Package network keeps the model of the electricity network in the store: whole, under
// one version after the other, and as rows of what is part of it now.
package network

import (
	"cmp"
	"slices"
	"strings"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// Network is a version of the model at one time. It isn't changed after it was made, and
// is safe for concurrent use.
type Network struct {
	Version int64
	AsOf    telemetry.Micros
	*grid.Snapshot

	entries map[string]entry    // what is neither an edge, nor a node or point
	within  map[string][]string // of each zone: itself, and the zones that contain it
	station map[string]string   // the zone of each substation
	tops    map[string][]int    // of each substation: the nodes that nothing else of it supplies
	// By node: its zone, and the nearest transformer that supplies it, or None.
	nodeZone        []string
	nodeTransformer []int
	// By source that is part of it: the node that it feeds, and its index in the model.
	sources, sourceIndex []int
}

// entry is where an asset is in the model.
type entry struct {
	kind  grid.Kind
	index int
}

// At is a model's network at a time. The model must not change afterwards.
func At(m *grid.Model, version int64, asOf telemetry.Micros) *Network {
	n := &Network{Version: version, AsOf: asOf, Snapshot: m.At(int64(asOf)),
		entries: map[string]entry{}, within: map[string][]string{}, station: map[string]string{}, tops: map[string][]int{}}
	m.Each(func(kind grid.Kind, i int, a *grid.Asset) {
		switch kind {
		case grid.KindZone, grid.KindSubstation, grid.KindSource, grid.KindFeeder:
			if _, twice := n.entries[a.ID]; !twice && a.ValidAt(int64(asOf)) {
				n.entries[a.ID] = entry{kind, i}
			}
		}
	})
	for id, e := range n.entries {
		switch e.kind {
		case grid.KindZone:
			n.within[id] = n.containing(id)
		case grid.KindSubstation:
			n.station[id] = m.Substations[e.index].Zone
		}
	}
	n.spread()
	n.findSources()
	return n
}

// containing is a zone and those that contain it, each once. The check refuses zones in a
// circle; here they end.
func (n *Network) containing(zone string) (list []string) {
	for {
		e, ok := n.entries[zone]
		if !ok || e.kind != grid.KindZone || slices.Contains(list, zone) {
			return list
		}
		list = append(list, zone)
		zone = n.Model().Zones[e.index].Parent
	}
}

// spread gives each node its zone, and the transformer that supplies it: a node that
// says nothing has those of what supplies it in normal operation.
func (n *Network) spread() {
	o := n.Normal()
	n.nodeZone, n.nodeTransformer = make([]string, n.Nodes()), make([]int, n.Nodes())
	for _, island := range o.Islands() {
		for _, node := range o.Downstream(island.Root) { // each behind what supplies it
			at := int(node)
			zone, transformer := "", grid.None
			if v := n.NodeEntry(at); v != nil {
				zone = cmp.Or(v.Zone, n.station[v.Substation])
			}
			if supply := o.Supply(at); supply != grid.None {
				zone = cmp.Or(zone, n.ownZone(supply), n.nodeZone[o.Upstream(at)])
				if transformer = n.nodeTransformer[o.Upstream(at)]; n.Edge(supply).Kind == grid.KindTransformer {
					transformer = supply
				}
			} else if island.Source != grid.None {
				zone = cmp.Or(zone, n.Model().Sources[island.Source].Zone, n.sideZone(at))
			}
			n.nodeZone[at], n.nodeTransformer[at] = zone, transformer
			if station := n.stationOf(at); station != "" {
				// What is downstream of a node follows it at once.
				if tops := n.tops[station]; len(tops) == 0 || !o.IsBelow(at, tops[len(tops)-1]) {
					n.tops[station] = append(tops, at)
				}
			}
		}
	}
}

// stationOf is the substation that a node is in, or else what supplies it.
func (n *Network) stationOf(node int) string {
	if station := n.substationAt(node); station != "" {
		return station
	}
	supply := n.Normal().Supply(node)
	if supply == grid.None {
		return ""
	}
	return n.edgeStation(supply)
}

// sideZone is the zone that something at a node says that it is of: a source may feed a
// node of which nothing is known but that a substation's transformer is there.
func (n *Network) sideZone(node int) (zone string) {
	n.EdgesAt(node, func(edge, _ int) { zone = cmp.Or(zone, n.ownZone(edge)) })
	return zone
}

// ownZone is the zone of an edge by its own word: it, or its substation's.
func (n *Network) ownZone(edge int) string {
	e, m := n.Edge(edge), n.Model()
	switch e.Kind {
	case grid.KindSwitch:
		v := &m.Switches[e.Index]
		return cmp.Or(v.Zone, n.station[v.Substation])
	case grid.KindTransformer:
		v := &m.Transformers[e.Index]
		return cmp.Or(v.Zone, n.station[v.Substation])
	}
	return m.Lines[e.Index].Zone
}

// edgeZone is the zone of an edge: its own, or that of what it supplies, or of its ends.
func (n *Network) edgeZone(edge int) string {
	if zone := n.ownZone(edge); zone != "" {
		return zone
	}
	if below := n.Normal().Below(edge); below != grid.None {
		return n.nodeZone[below]
	}
	e := n.Edge(edge)
	return cmp.Or(n.nodeZone[e.A], n.nodeZone[e.B])
}

// entryZone is the zone of a zone, substation, source or feeder.
func (n *Network) entryZone(e entry) string {
	m := n.Model()
	switch e.kind {
	case grid.KindZone:
		return m.Zones[e.index].ID
	case grid.KindSubstation:
		return m.Substations[e.index].Zone
	case grid.KindSource:
		v := &m.Sources[e.index]
		return cmp.Or(v.Zone, n.zoneAt(v.Node))
	}
	v := &m.Feeders[e.index]
	zone := cmp.Or(v.Zone, n.station[v.Substation])
	if head := n.EdgeOf(v.Head); zone == "" && head != grid.None {
		zone = n.edgeZone(head)
	}
	return zone
}

func (n *Network) zoneAt(id string) string {
	if node := n.Node(id); node != grid.None {
		return n.nodeZone[node]
	}
	return ""
}

// pointZone is the zone of a service point.
func (n *Network) pointZone(point int) string {
	return cmp.Or(n.PointAsset(point).Zone, n.nodeZone[n.Point(point).Node])
}

// KindName is what a kind is called in tables and answers.
func KindName(k grid.Kind) string { return strings.ReplaceAll(k.String(), " ", "_") }

// ZoneOf is the zone of a line, switch, transformer, service point or node; "" if it has
// none, or isn't part of the network.
func (n *Network) ZoneOf(id string) string {
	if edge := n.EdgeOf(id); edge != grid.None {
		return n.edgeZone(edge)
	}
	if point := n.PointOf(id); point != grid.None {
		return n.pointZone(point)
	}
	return n.zoneAt(id)
}
