package desk

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Switchings lists how the network is operated where somebody has said so, or where it is
// measured and not normal, by asset. The place of one is its asset.
func Switchings(ctx context.Context, s *store.Store, page store.Page[string]) (list []Switching, err error) {
	list = []Switching{}
	err = s.Ask(ctx, func(t *store.Tx) error {
		var of store.Conditions
		if page.After != nil {
			of.And(`s.asset > ?`, *page.After)
		}
		of.And(t.SeenAsset(`COALESCE(g.zone, '')`))
		list, err = switchings(t, of.Where()+` ORDER BY s.asset LIMIT ?`, append(of.Args, page.Limit)...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("switching: list: %w", err)
	}
	return list, nil
}

func switchings(t *store.Tx, where string, args ...any) (list []Switching, err error) {
	list = []Switching{}
	err = t.Each(func(r *sql.Rows) error {
		var w Switching
		err := r.Scan(&w.Asset, &w.Kind, &w.Position, &w.Phases, &w.Cut, &w.Tag, &w.Gateway, &w.By, &w.Comment, &w.At)
		list = append(list, w)
		return err
	}, `SELECT s.asset, COALESCE(g.kind, ''), s.position, s.phases, s.cut, s.tag, s.gateway, s.actor, s.comment, s.at
		FROM switching s LEFT JOIN grid_asset g ON g.id = s.asset`+where, args...)
	return list, err
}

// Operated says how a line, switch or transformer is operated.
type Operated struct {
	Asset    string
	Position string  // open, closed, or normal: nobody says any more; "": as before
	Phases   string  // that are open, "": all of them
	Cut      *bool   // nil: as before
	Tag      *string // nil: as before
	At       telemetry.Micros
	Since    telemetry.Micros // when it was operated; 0: At
	By       string
	Comment  string
}

// Operate keeps it, as evidence too. ErrNoAsset: there is no such line, switch or
// transformer; ErrMeasured: its position is measured; ErrTagged: it may not be operated.
func Operate(ctx context.Context, s *store.Store, w Operated) (now Switching, err error) {
	err = s.Write(ctx, func(t *store.Tx) error {
		now, err = operate(t, w)
		return err
	})
	if err != nil {
		return Switching{}, fmt.Errorf("switching of %s: %w", w.Asset, err)
	}
	return now, nil
}

func operate(t *store.Tx, w Operated) (now Switching, err error) {
	kind, err := assetKind(t, w.Asset)
	if err != nil {
		return now, err
	}
	if kind != "switch" && kind != "line" && kind != "transformer" {
		return now, ErrNoAsset
	}
	list, err := switchings(t, ` WHERE s.asset = ?`, w.Asset)
	if err != nil {
		return now, err
	}
	now = Switching{Asset: w.Asset, Position: "normal"}
	if len(list) > 0 {
		now = list[0]
	}
	before := now
	if w.Position != "" {
		now.Position, now.Phases = w.Position, w.Phases
	}
	if w.Cut != nil {
		now.Cut = *w.Cut
	}
	if w.Tag != nil {
		now.Tag = *w.Tag
	}
	moved := now.Position != before.Position || now.Phases != before.Phases || now.Cut != before.Cut
	if now.Position != before.Position || now.Phases != before.Phases {
		if measured, err := isMeasured(t, w.Asset); err != nil || measured {
			return now, cmp.Or(err, ErrMeasured)
		}
		now.Gateway = ""
	}
	if moved && before.Tag != "" && now.Tag != "" {
		return now, fmt.Errorf("%w: %s", ErrTagged, before.Tag)
	}
	now.Kind, now.By, now.At, now.Comment = kind, w.By, cmp.Or(w.Since, w.At), w.Comment
	if err := noteSwitching(t, now); err != nil {
		return now, err
	}
	if err := saveSwitching(t, now); err != nil {
		return now, err
	}
	if moved {
		v := now.observation()
		v.Arrival = int64(w.At)
		if err := evidence.Note(t, v); err != nil {
			return now, err
		}
	}
	return now, t.Audit(store.Change{At: w.At, By: w.By, Action: "switching", Subject: kind + " " + w.Asset,
		Detail: fmt.Sprintf("%s, open phases %q, cut %t, tag %q: %s", now.Position, now.Phases, now.Cut, now.Tag, w.Comment)})
}

// isMeasured is whether the newest position that was measured of a switch is one.
func isMeasured(t *store.Tx, asset string) (is bool, err error) {
	err = t.QueryRow(`SELECT position <> 'normal' FROM switching_entry WHERE asset = ? AND gateway <> '' ORDER BY at DESC, seq DESC LIMIT 1`, []any{asset}, &is)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return is, err
}

// noteSwitching keeps it in the history of its asset.
func noteSwitching(t *store.Tx, w Switching) error {
	_, err := t.Exec(`INSERT INTO switching_entry (asset, at, position, phases, cut, tag, gateway, actor, comment) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.Asset, int64(w.At), w.Position, w.Phases, w.Cut, w.Tag, w.Gateway, w.By, w.Comment)
	return err
}

func saveSwitching(t *store.Tx, w Switching) error {
	if w.Position == "normal" && !w.Cut && w.Tag == "" {
		_, err := t.Exec(`DELETE FROM switching WHERE asset = ?`, w.Asset)
		return err
	}
	_, err := t.Exec(`INSERT INTO switching (asset, position, phases, cut, tag, gateway, actor, comment, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (asset) DO UPDATE SET position = excluded.position, phases = excluded.phases, cut = excluded.cut, tag = excluded.tag,
			gateway = excluded.gateway, actor = excluded.actor, comment = excluded.comment, at = excluded.at`,
		w.Asset, w.Position, w.Phases, w.Cut, w.Tag, w.Gateway, w.By, w.Comment, int64(w.At))
	return err
}

// observation is the position that it says.
func (w Switching) observation() evidence.Observation {
	open := w.Position == "open" || w.Cut
	v := outage.Evidence{Kind: outage.Position, Arrival: int64(w.At), Source: int64(w.At), Switch: w.Asset, By: w.By, Gateway: w.Gateway}
	if w.Position != "normal" || w.Cut {
		v.Open = &open
	} else {
		v.Bad = true // nobody says any more
	}
	if open && w.Phases != "" && !w.Cut {
		_ = v.Phases.UnmarshalText([]byte(w.Phases)) // it was checked when it was said
	}
	return evidence.Observation{Evidence: v, Comment: w.Comment}
}
