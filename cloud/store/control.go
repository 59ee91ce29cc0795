package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// ControlStep is a step of somebody's attempt to operate a device, as its gateway
// has told it.
type ControlStep struct {
	telemetry.Control
	Gateway string
	At      telemetry.Micros // by the gateway's clock
	Place   ControlPlace
}

// CheckControl reports what of a step can't be kept. Actions, origins and outcomes
// that aren't known here are kept as they are: newer gateways may have more.
func CheckControl(c telemetry.Control) error {
	for _, text := range []string{c.ID, string(c.Action), c.Device, c.Signal, c.Asset, c.Unit, string(c.Origin), c.By, c.Requested, c.Old, c.ReadBack, string(c.Outcome), c.Cause} {
		if len(text) > 300 {
			return fmt.Errorf("%.80q is longer than 300 bytes", text)
		}
	}
	switch {
	case c.Action == "" || c.Outcome == "":
		return errors.New("a step says not what it is, or what came of it")
	case len(c.Detail) > longestCause:
		return fmt.Errorf("its detail is longer than %d bytes", longestCause)
	}
	return nil
}

// SaveControl keeps a step that a record of a gateway tells of.
func (t *Tx) SaveControl(of record.Identity, c telemetry.Control, at telemetry.Micros) error {
	_, err := t.Exec(`INSERT INTO control_step (gateway, epoch, seq, at, attempt, action, device, signal, asset, unit, origin, actor, requested, old, read_back, outcome, cause, detail)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		of.Gateway, of.Epoch.String(), int64(of.First), int64(at), c.ID, string(c.Action), c.Device, c.Signal, c.Asset, c.Unit, string(c.Origin), c.By,
		c.Requested, c.Old, c.ReadBack, string(c.Outcome), c.Cause, c.Detail)
	if err != nil {
		return fmt.Errorf("store: keep a step of operating %s of %s by gateway %s: %w", c.Signal, c.Device, of.Gateway, err)
	}
	return nil
}

// ControlPlace is a step's place in their list.
type ControlPlace struct {
	At             telemetry.Micros
	Gateway, Epoch string
	Seq            int64
}

// ControlSteps lists steps of a gateway, or of all if it is empty, and of one device if
// that is given, the newest first.
func (s *Store) ControlSteps(ctx context.Context, gateway, device string, page Page[ControlPlace]) ([]ControlStep, error) {
	var of Conditions
	if gateway != "" {
		of.And(`gateway = ?`, gateway)
	}
	if device != "" {
		of.And(`device = ?`, device)
	}
	if p := page.After; p != nil {
		of.And(`(at, gateway, epoch, seq) < (?, ?, ?, ?)`, int64(p.At), p.Gateway, p.Epoch, p.Seq)
	}
	list := []ControlStep{}
	err := s.Ask(ctx, func(t *Tx) error {
		of.And(t.Seen("gateway"))
		return t.Each(func(r *sql.Rows) error {
			var c ControlStep
			err := r.Scan(&c.Gateway, &c.Place.Epoch, &c.Place.Seq, &c.At, &c.ID, &c.Action, &c.Device, &c.Signal, &c.Asset, &c.Unit, &c.Origin, &c.By, &c.Requested, &c.Old, &c.ReadBack,
				&c.Outcome, &c.Cause, &c.Detail)
			c.Place.At, c.Place.Gateway = c.At, c.Gateway
			list = append(list, c)
			return err
		}, `SELECT gateway, epoch, seq, at, attempt, action, device, signal, asset, unit, origin, actor, requested, old, read_back, outcome, cause, detail
			FROM control_step`+of.Where()+` ORDER BY at DESC, gateway DESC, epoch DESC, seq DESC LIMIT ?`, append(of.Args, page.Limit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list what was operated: %w", err)
	}
	return list, nil
}
