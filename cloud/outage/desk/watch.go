package desk

import (
	"context"
	"time"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// watch follows the positions of the switches that are measured, by the newest samples in
// the store.
type watch struct {
	store *store.Store
	known map[string]position // by switch; nil: nothing is known yet
	last  time.Time
	// when meters were looked for
	counted time.Time
}

// position is what a switch's signal shows.
type position struct {
	open, bad bool
	at        telemetry.Micros
	gateway   string
}

// The values of Pos, a double point after IEC 61850.
const (
	posOpen   = 1
	posClosed = 2
)

// look keeps as evidence which positions have changed.
func (w *watch) look(ctx context.Context, n *network.Network, now time.Time) error {
	if now.Sub(w.last) < positionsEvery {
		return nil
	}
	w.last = now
	positions, err := measuredPositions(ctx, w.store, n)
	if err != nil || positions == nil {
		return err
	}
	if w.known == nil {
		if w.known, err = w.recall(ctx); err != nil {
			return err
		}
	}
	var moved []Switching
	for i := range n.Model().Switches {
		s := &n.Model().Switches[i]
		is, found := positions[s.ID]
		if !found {
			continue
		}
		was, seen := w.known[s.ID]
		if seen && was.open == is.open && was.bad == is.bad {
			continue
		}
		w.known[s.ID] = is
		m := Switching{Asset: s.ID, Position: "closed", Gateway: is.gateway, By: outage.Telemetry, At: is.at}
		switch {
		case is.bad:
			m.Position = "normal"
		case is.open:
			m.Position = "open"
		}
		if m.Position == "closed" && !s.NormallyOpen || m.Position == "open" && s.NormallyOpen {
			m.Comment = asNormal
		}
		moved = append(moved, m)
	}
	if len(moved) == 0 {
		return nil
	}
	return w.store.Write(ctx, func(t *store.Tx) error {
		for _, m := range moved {
			v := m.observation()
			v.Arrival, v.Source = int64(telemetry.MicrosOf(now)), int64(m.At)
			if err := evidence.Note(t, v); err != nil {
				return err
			}
			if err := measured(t, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// measuredPositions is what the newest samples show of the switches that are measured and
// have any, by their ids; nil if none of the model is measured.
func measuredPositions(ctx context.Context, st *store.Store, n *network.Network) (map[string]position, error) {
	signals := map[string]bool{}
	for _, s := range n.Model().Switches {
		if s.Telemetered() {
			signals[s.Signal] = true
		}
	}
	if len(signals) == 0 {
		return nil, nil
	}
	list, err := st.SeriesNamed(ctx, signals)
	if err != nil {
		return nil, err
	}
	byAsset, byDevice := map[store.Telemetered]store.Series{}, map[store.Telemetered]store.Series{}
	for _, s := range list {
		byAsset[store.Telemetered{Device: s.Asset, Name: s.Name}] = s
		byDevice[store.Telemetered{Gateway: s.Gateway, Device: s.Device, Name: s.Name}] = s
		byDevice[store.Telemetered{Device: s.Device, Name: s.Name}] = s
	}
	positions := map[string]position{}
	for i := range n.Model().Switches {
		s := &n.Model().Switches[i]
		if !s.Telemetered() || n.EdgeOf(s.ID) < 0 {
			continue
		}
		series, found := byAsset[store.Telemetered{Device: s.ID, Name: s.Signal}]
		if s.Device != "" {
			series, found = byDevice[store.Telemetered{Gateway: s.Gateway, Device: s.Device, Name: s.Signal}]
		}
		if found && series.Latest != nil {
			is := positionOf(*series.Latest)
			is.gateway = series.Gateway
			positions[s.ID] = is
		}
	}
	return positions, nil
}

// asNormal marks a position that is measured and normal, which isn't listed.
const asNormal = "normal"

// measured keeps a position in the list of how the network is operated, and what people
// have said beside it.
func measured(t *store.Tx, m Switching) error {
	list, err := switchings(t, ` WHERE s.asset = ?`, m.Asset)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		m.Cut, m.Tag = list[0].Cut, list[0].Tag
	}
	normal := m.Comment == asNormal
	m.Comment = ""
	if err := noteSwitching(t, m); err != nil {
		return err
	}
	if normal && !m.Cut && m.Tag == "" {
		_, err := t.Exec(`DELETE FROM switching WHERE asset = ?`, m.Asset)
		return err
	}
	return saveSwitching(t, m)
}

func positionOf(s telemetry.Sample) position {
	p := position{at: s.Time, bad: s.Quality.Validity() != telemetry.Good}
	switch v, ok := s.Value.Float(); {
	case !ok:
		p.bad = true
	case v == posOpen:
		p.open = true
	case v != posClosed:
		p.bad = true
	}
	return p
}

// recall is the positions that were told last.
func (w *watch) recall(ctx context.Context) (map[string]position, error) {
	known := map[string]position{}
	err := w.store.Read(ctx, func(t *store.Tx) error {
		return evidence.Positions(t, func(v outage.Evidence) {
			known[v.Switch] = position{open: v.Open != nil && *v.Open, bad: v.Bad}
		})
	})
	return known, err
}

// lookForMeters keeps as evidence which service points are measured, by which gateways, and
// where these stand, as births and gateways say.
func (w *watch) lookForMeters(ctx context.Context, now time.Time) error {
	if now.Sub(w.counted) < metersEvery {
		return nil
	}
	w.counted = now
	var found []evidence.Observation
	err := w.store.Read(ctx, func(t *store.Tx) error {
		return evidence.Unknown(t, func(v outage.Evidence) {
			v.Arrival = int64(telemetry.MicrosOf(now))
			found = append(found, evidence.Observation{Evidence: v})
		})
	})
	if err != nil || len(found) == 0 {
		return err
	}
	return w.store.Write(ctx, func(t *store.Tx) error {
		for _, v := range found {
			if err := evidence.Note(t, v); err != nil {
				return err
			}
		}
		return nil
	})
}
