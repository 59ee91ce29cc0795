package desk

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// Operation is what is known of how a network is operated now: positions that are measured
// and said, outages, and the voltage at its sources and at some busbars. All zones are in it,
// whatever the context shows.
//
// The device of an outage is open once that is confirmed, and may be before; see opening.says. A
// closed position of a gateway that isn't heard isn't known any more; an open one stays.
func Operation(ctx context.Context, s *store.Store, n *network.Network, busbars []int) (network.Operated, error) {
	o := network.Operated{Edges: map[int]network.Supply{}, Nodes: map[int]network.Supply{}}
	heard, err := heardGateways(ctx, s)
	if err != nil {
		return o, err
	}
	measured, err := measuredPositions(ctx, s, n)
	if err != nil {
		return o, err
	}
	closed := map[int]telemetry.Micros{} // since when it is told of an edge
	for id, m := range measured {
		edge := n.EdgeOf(id)
		switch {
		case m.open && !m.bad:
			o.Edges[edge] = network.Dead
		case m.bad, !heard[m.gateway]:
			o.Edges[edge] = network.Unknown
		default:
			o.Edges[edge], closed[edge] = network.Live, m.at
		}
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
				} else {
					closed[edge] = w.At
				}
			}
			if w.Cut {
				o.Edges[edge] = network.Dead
			}
		}
		outages, err := openings(t, n)
		if err != nil {
			return err
		}
		for _, of := range outages {
			switch is := of.says(closed[of.edge]); {
			case is == network.Dead, is == network.Unknown && o.Edges[of.edge] != network.Dead:
				o.Edges[of.edge] = is
			case is == network.Live && of.state.Out() && of.of.Class != outage.PhaseLoss:
				if err := addOut(t, n, of.id, o.Nodes); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return o, fmt.Errorf("operation of the network: %w", err)
	}
	return o, measureNodes(ctx, s, n, o, busbars, heard)
}

// isSure is whether customers are without supply, of a state in which they may be.
func isSure(s lifecycle.State) bool { return s != lifecycle.Suspected && s != lifecycle.Probable }

// heardGateways are those that say how often they can be heard, and are.
func heardGateways(ctx context.Context, s *store.Store) (heard map[string]bool, err error) {
	heard = map[string]bool{}
	err = s.Ask(ctx, func(t *store.Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var gateway string
			err := r.Scan(&gateway)
			heard[gateway] = true
			return err
		}, `SELECT h.gateway FROM presence h WHERE `+store.IsHeard)
	})
	if err != nil {
		return nil, fmt.Errorf("operation of the network: look which gateways are heard: %w", err)
	}
	return heard, nil
}

// opening is an outage that goes on whose device is an edge.
type opening struct {
	id    string
	edge  int
	state lifecycle.State
	found telemetry.Micros
	of    struct {
		Class     outage.Class `json:"class"`
		Points    int64        `json:"points"`
		PointsOut int64        `json:"points_out"`
	}
}

// says is what its device does. A device that was told to be closed after the outage was found,
// since, is open no more if a part of what was out has supply again; if none has, it isn't known.
// Live: the outage doesn't say.
func (o opening) says(closed telemetry.Micros) network.Supply {
	switch {
	case !o.state.Out() || o.of.Class == outage.PhaseLoss:
		return network.Live
	case !isSure(o.state):
		return network.Unknown
	case closed <= o.found:
		return network.Dead
	case o.of.PointsOut < o.of.Points:
		return network.Live
	}
	return network.Unknown
}

func openings(t *store.Tx, n *network.Network) (list []opening, err error) {
	err = t.Each(func(r *sql.Rows) error {
		var o opening
		var device, data string
		if err := r.Scan(&o.id, &device, &o.state, &o.found, &data); err != nil {
			return err
		}
		if o.edge = n.EdgeOf(device); o.edge == grid.None {
			return nil
		}
		list = append(list, o)
		return json.Unmarshal([]byte(data), &list[len(list)-1].of)
	}, `SELECT id, device, state, found, data FROM outage WHERE over = 0`)
	return list, err
}

// addOut adds the nodes all of whose service points are without supply in an outage.
func addOut(t *store.Tx, n *network.Network, id string, nodes map[int]network.Supply) error {
	out := map[int]int{}
	err := t.Each(func(r *sql.Rows) error {
		var point string
		err := r.Scan(&point)
		if p := n.PointOf(point); p != grid.None {
			out[n.Point(p).Node]++
		}
		return err
	}, `SELECT point FROM outage_point WHERE outage = ? AND until = 0`, id)
	for node, count := range out {
		if count == len(n.PointsAt(node)) {
			nodes[node] = network.Dead
		}
	}
	return err
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
