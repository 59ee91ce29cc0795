package field

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/sim/publisher"
	"github.com/busbar/busbar/sim/transformer"
)

// Group is that of the Sparkplug edge nodes.
const Group = "field"

// publishers run until their context ends.
func (f *Field) publishers() (list []func(context.Context) error) {
	c := f.config
	var byMQTT []int
	nodes := publisher.EdgeNodes{Connection: mqttconn.Config{Broker: c.Broker, ClientID: "busbar-sim-field"}, Group: Group, Named: []publisher.Node{}}
	for _, x := range f.stations {
		switch x.by {
		case ByMQTT:
			byMQTT = append(byMQTT, x.meters...)
		case BySparkplug:
			if len(x.meters) > 0 {
				nodes.Named = append(nodes.Named, publisher.Node{Name: nodeOf(x), Meters: f.meters(x.meters)})
			}
		}
	}
	if len(byMQTT) > 0 {
		meters := publisher.Config{Connection: mqttconn.Config{Broker: c.Broker, ClientID: "busbar-sim-field-mqtt"}, Meters: f.meters(byMQTT)}
		list = append(list, func(ctx context.Context) error { return meters.Run(ctx, f.log) })
	}
	if len(nodes.Named) > 0 {
		list = append(list, func(ctx context.Context) error { return nodes.Run(ctx, f.log) })
	}
	return list
}

// nodeOf is the edge node of a station's meters.
func nodeOf(x station) string { return "gw-" + namer{}.asset(x.id) }

// meters is devices that publish.
func (f *Field) meters(list []int) publisher.Meters {
	m := publisher.Meters{Count: len(list), Every: f.config.Every}
	var at []terminals
	for _, i := range list {
		m.Names = append(m.Names, f.devices[i].ID)
		at = append(at, f.terminals(&f.devices[i]))
	}
	m.Measure = func() []publisher.Reading {
		readings := make([]publisher.Reading, len(at))
		for i, t := range at {
			if !t.Powers() {
				readings[i].Silent = true
				continue
			}
			r := t.Measure(0)
			readings[i] = publisher.Reading{Power: round(r.Active[0]+r.Active[1]+r.Active[2], 10), Energy: uint64(math.Round(max(r.Imported, 0))),
				Voltage: round(slices.Max(r.Voltage[:]), 100)}
		}
		return readings
	}
	return m
}

// monitor makes the transformers' OPC UA server.
func (f *Field) monitor() (err error) {
	if f.config.OPCUA == "" {
		return nil
	}
	g := f.config.Grid
	var names []string
	var edges []int
	for _, x := range f.stations {
		if x.edge != grid.None {
			names, edges = append(names, namer{}.asset(x.id)), append(edges, x.edge)
		}
	}
	if len(names) == 0 {
		return nil
	}
	midnight := time.UnixMicro(g.Now()).UTC().Truncate(24 * time.Hour)
	f.monitors, err = transformer.New(transformer.Config{
		Listen: f.config.OPCUA, Transformers: len(names), Names: names,
		Load:  func(_ time.Duration, n int) float64 { return g.Transformer(edges[n]).Loading },
		Clock: func() time.Duration { return time.UnixMicro(g.Now()).Sub(midnight) },
	})
	return err
}
