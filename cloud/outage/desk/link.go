package desk

import (
	"context"
	"slices"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// link puts the alarms that wait for it under the alarms of outages, if any does.
func (s *session) link(ctx context.Context, _ []outage.Change) error {
	if s.engine == nil {
		return nil
	}
	var held []alarm.Held
	err := s.cfg.Store.Read(ctx, func(t *store.Tx) (err error) {
		held, err = alarm.HeldAlarms(t)
		return err
	})
	if err != nil || len(held) == 0 || len(s.causes()) == 0 {
		return err
	}
	if fits := slices.ContainsFunc(held, func(h alarm.Held) bool { return s.causeOf(h, s.causes()) != "" }); !fits {
		return nil
	}
	return s.cfg.Store.Write(ctx, func(t *store.Tx) error { return s.linkIn(t, s.now) })
}

func (s *session) linkIn(t *store.Tx, at int64) error {
	if s.engine == nil {
		return nil
	}
	causes := s.causes()
	if len(causes) == 0 {
		return nil
	}
	held, err := alarm.HeldAlarms(t)
	if err != nil {
		return err
	}
	for _, h := range held {
		if outage := s.causeOf(h, causes); outage != "" {
			if err := alarm.Suppress(t, h.ID, alarm.IDOfOutage(outage), "Outage "+outage+" stands for it", telemetry.Micros(at)); err != nil {
				return err
			}
		}
	}
	return nil
}

// cause is an outage that people were told of, and where it begins.
type cause struct {
	id   string
	node int // that its device supplies; None: not known
	ever map[string]bool
}

// causes are the outages that stand for alarms now.
func (s *session) causes() (list []cause) {
	for _, i := range s.engine.Incidents() {
		if !i.Announced() || i.State.Over() {
			continue
		}
		c := cause{id: i.ID, node: grid.None, ever: make(map[string]bool, len(i.Ever))}
		for _, p := range i.Ever {
			c.ever[p] = true
		}
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
		if isPoint && c.ever[h.Asset] || !isPoint && below(s.network, node, c.node) {
			return c.id
		}
	}
	return ""
}

func below(n *network.Network, node, of int) bool {
	return node != grid.None && of != grid.None && n.Normal().IsBelow(node, of)
}
