package desk

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// Operation is what is known of how a network is operated now: positions that are measured
// and said, outages, and the voltage at its sources and at some busbars. All zones are in it,
// whatever the context shows.
//
// The device of an outage is open once that is confirmed, and may be before. A closed position
// of a gateway that is silent or has stopped isn't known any more; an open one stays.
func Operation(ctx context.Context, s *store.Store, n *network.Network, busbars []int) (network.Operated, error) {
	o := network.Operated{Edges: map[int]network.Supply{}, Nodes: map[int]network.Supply{}}
	away, err := awayGateways(ctx, s)
	if err != nil {
		return o, err
	}
	measured, err := measuredPositions(ctx, s, n)
	if err != nil {
		return o, err
	}
	for id, m := range measured {
		is := network.Live
		switch {
		case m.open && !m.bad:
			is = network.Dead
		case m.bad, away[m.gateway]:
			is = network.Unknown
		}
		o.Edges[n.EdgeOf(id)] = is
	}
	err = s.Ask(ctx, func(t *store.Tx) error {
		list, err := switchings(t, "")
		if err != nil {
			return err
		}
		for _, w := range list {
			edge := n.EdgeOf(w.Asset)
			if edge == grid.None {
				continue
			}
			if _, is := measured[w.Asset]; !is && w.Position != "normal" {
				o.Edges[edge] = network.Live
				if w.Position == "open" {
					o.Edges[edge] = network.Dead
				}
			}
			if w.Cut {
				o.Edges[edge] = network.Dead
			}
		}
		return t.Each(func(r *sql.Rows) error {
			var device string
			var state lifecycle.State
			err := r.Scan(&device, &state)
			if edge := n.EdgeOf(device); edge != grid.None && state.Out() && o.Edges[edge] != network.Dead {
				o.Edges[edge] = network.Dead
				if !isSure(state) {
					o.Edges[edge] = network.Unknown
				}
			}
			return err
		}, `SELECT device, state FROM outage WHERE over = 0`)
	})
	if err != nil {
		return o, fmt.Errorf("operation of the network: %w", err)
	}
	return o, measureNodes(ctx, s, n, o, busbars, away)
}

// isSure is whether customers are without supply, of a state in which they may be.
func isSure(s lifecycle.State) bool { return s != lifecycle.Suspected && s != lifecycle.Probable }

// awayGateways are those that are silent or have stopped.
func awayGateways(ctx context.Context, s *store.Store) (away map[string]bool, err error) {
	away = map[string]bool{}
	err = s.Ask(ctx, func(t *store.Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var gateway string
			err := r.Scan(&gateway)
			away[gateway] = true
			return err
		}, `SELECT gateway FROM presence WHERE silent <> 0 OR stopped`)
	})
	if err != nil {
		return nil, fmt.Errorf("operation of the network: look which gateways are silent: %w", err)
	}
	return away, nil
}

// measureNodes adds what the voltage at sources, and at busbars, says. A busbar of which it
// isn't known has what supplies it say.
func measureNodes(ctx context.Context, s *store.Store, n *network.Network, o network.Operated, busbars []int, away map[string]bool) error {
	look := func(node int, asset string, nominal grid.Voltage, source bool) error {
		if e := n.NodeEntry(node); e != nil && nominal == 0 {
			nominal = e.Voltage
		}
		list, err := s.VoltagesOf(ctx, asset)
		if err != nil {
			return err
		}
		if is := voltageSays(list, float64(nominal), away); is == network.Dead || is == network.Unknown && source && o.Nodes[node] == "" {
			o.Nodes[node] = is
		}
		return nil
	}
	for i, node := range n.Sources() {
		of := n.SourceAt(i)
		for _, asset := range []string{of.ID, of.Node} {
			if err := look(node, asset, of.Voltage, true); err != nil {
				return err
			}
		}
	}
	for _, node := range busbars {
		if err := look(node, n.NodeID(node), 0, false); err != nil {
			return err
		}
	}
	return nil
}

// deadBelow is the part of the nominal voltage below which there is none (EN 50160).
const deadBelow = 0.05

// voltageSays is what the newest voltages of a node say; "": none is measured.
func voltageSays(list []store.Series, nominal float64, away map[string]bool) network.Supply {
	var dead bool
	for _, s := range list {
		scale := map[string]float64{"V": 1, "kV": 1000}[s.Unit]
		if s.Latest == nil || s.Latest.Quality.Validity() != telemetry.Good || away[s.Gateway] || scale == 0 {
			continue
		}
		v, ok := s.Latest.Value.Float()
		if !ok {
			continue
		}
		of := nominal
		if strings.HasPrefix(s.Name, "PhV.") {
			of /= math.Sqrt(3)
		}
		if v*scale > deadBelow*of {
			return network.Live
		}
		dead = true
	}
	switch {
	case dead:
		return network.Dead
	case len(list) > 0:
		return network.Unknown
	}
	return ""
}

// Out says of the service points that are without supply in an outage that goes on whether
// that is sure, of all zones whatever the context shows.
func Out(ctx context.Context, s *store.Store) (sure map[string]bool, err error) {
	sure = map[string]bool{}
	err = s.Ask(ctx, func(t *store.Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var point string
			var state lifecycle.State
			err := r.Scan(&point, &state)
			sure[point] = sure[point] || isSure(state)
			return err
		}, `SELECT p.point, o.state FROM outage o JOIN outage_point p ON p.outage = o.id WHERE o.over = 0 AND p.until = 0`)
	})
	if err != nil {
		return nil, fmt.Errorf("outages: list who is out: %w", err)
	}
	return sure, nil
}

// OutagesOf is the outages that go on in which a service point is without supply, as far as
// the context shows them, whether there are any, and whether that is sure of one.
func OutagesOf(ctx context.Context, s *store.Store, point string) (ids []string, out, sure bool, err error) {
	ids = []string{}
	err = s.Ask(ctx, func(t *store.Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var id string
			var state lifecycle.State
			var seen bool
			err := r.Scan(&id, &state, &seen)
			out, sure = true, sure || isSure(state)
			if seen {
				ids = append(ids, id)
			}
			return err
		}, `SELECT o.id, o.state, `+t.SeenAsset("o.zone")+` FROM outage_point p JOIN outage o ON o.id = p.outage WHERE p.point = ? AND p.until = 0 AND o.over = 0 ORDER BY o.found`, point)
	})
	if err != nil {
		return nil, false, false, fmt.Errorf("outages of service point %q: %w", point, err)
	}
	return ids, out, sure, nil
}
