package desk

import (
	"context"
	"database/sql"
	"maps"
	"slices"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// link puts the alarms that wait for it under the alarms of outages, if any does. While
// nobody has told anything since it last looked, there is nothing new.
func (s *session) link(ctx context.Context) error {
	var under map[string][]string
	var last int64
	err := s.cfg.Store.Read(ctx, func(t *store.Tx) (err error) {
		if last, err = t.LastFact(); err == nil && last != s.linked {
			under, err = s.waiting(t)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.linked = last
	if len(under) == 0 {
		return nil
	}
	return s.cfg.Store.Write(ctx, func(t *store.Tx) error { return s.linkIn(t, s.now) })
}

func (s *session) linkIn(t *store.Tx, at int64) error {
	under, err := s.waiting(t)
	for _, id := range slices.Sorted(maps.Keys(under)) {
		if err == nil {
			err = alarm.Suppress(t, under[id], alarm.IDOfOutage(id), "Outage "+id+" stands for it", telemetry.Micros(at))
		}
	}
	return err
}

// waiting are the alarms that wait, by the outage that stands for them.
func (s *session) waiting(t *store.Tx) (map[string][]string, error) {
	if s.engine == nil {
		return nil, nil
	}
	causes := s.causes()
	if len(causes) == 0 {
		return nil, nil
	}
	stands := map[string]bool{}
	err := t.Each(func(r *sql.Rows) error {
		var id string
		var state lifecycle.State
		err := r.Scan(&id, &state)
		stands[id] = state.Out() || state == lifecycle.Restored
		return err
	}, `SELECT id, state FROM outage WHERE over = 0`)
	if err != nil {
		return nil, err
	}
	// What people have verified, dismissed or merged stands for nothing, whatever the
	// evidence says.
	causes = slices.DeleteFunc(causes, func(c cause) bool { return !stands[c.id] })
	held, err := alarm.HeldAlarms(t)
	under := map[string][]string{}
	for _, h := range held {
		if id := s.causeOf(h, causes); id != "" {
			under[id] = append(under[id], h.ID)
		}
	}
	return under, err
}

// cause is an outage that people were told of, and where it begins.
type cause struct {
	id   string
	node int // that its device supplies; None: not known
	ever []string
}

// causes are the outages that stand for alarms now.
func (s *session) causes() (list []cause) {
	for _, i := range s.engine.Incidents() {
		if !i.Announced() && i.Class != outage.Planned || i.State.Over() {
			continue
		}
		c := cause{id: i.ID, node: grid.None, ever: i.Ever}
		if edge := s.network.EdgeOf(i.Device); edge != grid.None {
			c.node = s.network.Normal().Below(edge)
		}
		list = append(list, c)
	}
	return list
}

// causeOf is the outage that stands for an alarm: its service point is in it, or its asset
// is supplied through the device that has opened; "" if none does.
func (s *session) causeOf(h alarm.Held, causes []cause) string {
	isPoint := s.network.PointOf(h.Asset) != grid.None
	node := grid.None
	if !isPoint {
		node = nodeOf(s.network, h.Asset)
	}
	for _, c := range causes {
		if isPoint && c.has(h.Asset) || !isPoint && below(s.network, node, c.node) {
			return c.id
		}
	}
	return ""
}

func (c cause) has(point string) bool {
	_, found := slices.BinarySearch(c.ever, point)
	return found
}

func below(n *network.Network, node, of int) bool {
	return node != grid.None && of != grid.None && n.Normal().IsBelow(node, of)
}
