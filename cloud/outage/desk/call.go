package desk

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

const selectCall = `SELECT c.id, c.at, c.point, c.says, c.words, c.actor, COALESCE((SELECT MAX(p.outage) FROM outage_point p
	JOIN outage o ON o.id = p.outage WHERE p.point = c.point AND o.state NOT IN ('merged', 'dismissed') AND o.found <= c.at + 3600000000 AND (p.until = 0 OR p.until >= c.at) AND %s), '')
	FROM customer_call c LEFT JOIN grid_asset g ON g.id = c.point `

// Calls lists what customers have said, newest first, of one outage or of all. The place
// of one is its id.
func Calls(ctx context.Context, s *store.Store, of string, page store.Page[int64]) (list []Call, err error) {
	list = []Call{}
	err = s.Ask(ctx, func(t *store.Tx) error {
		var where store.Conditions
		if of != "" {
			if _, err := find(t, of); err != nil {
				return err
			}
			where.And(`EXISTS (SELECT 1 FROM outage_point p JOIN outage o ON o.id = p.outage
				WHERE p.outage = ? AND p.point = c.point AND o.found <= c.at + 3600000000 AND (p.until = 0 OR p.until >= c.at))`, of)
		}
		if page.After != nil {
			where.And(`c.id < ?`, *page.After)
		}
		where.And(t.SeenAsset(`COALESCE(g.zone, '')`))
		list, err = calls(t, where.Where()+` ORDER BY c.id DESC LIMIT ?`, append(where.Args, page.Limit)...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("calls: list: %w", err)
	}
	return list, nil
}

func calls(t *store.Tx, where string, args ...any) (list []Call, err error) {
	list = []Call{}
	err = t.Each(func(r *sql.Rows) error {
		var c Call
		err := r.Scan(&c.ID, &c.At, &c.ServicePoint, &c.Says, &c.Text, &c.By, &c.Outage)
		list = append(list, c)
		return err
	}, fmt.Sprintf(selectCall, t.SeenAsset("o.zone"))+where, args...)
	return list, err
}

// AddCall keeps what a customer has said, as evidence too. ErrNoAsset: there is no such
// service point.
func AddCall(ctx context.Context, s *store.Store, c Call) (added Call, err error) {
	err = s.Write(ctx, func(t *store.Tx) error {
		kind, err := assetKind(t, c.ServicePoint)
		if err != nil {
			return err
		}
		if kind != "service_point" {
			return ErrNoAsset
		}
		var id int64
		if err := t.QueryRow(`INSERT INTO customer_call (at, point, says, words, actor) VALUES (?, ?, ?, ?, ?) RETURNING id`,
			[]any{int64(c.At), c.ServicePoint, c.Says, c.Text, c.By}, &id); err != nil {
			return err
		}
		says := map[string]outage.Kind{"no-supply": outage.Call, "supply-back": outage.PointSupplied}[c.Says]
		if says != "" {
			if err := evidence.Note(t, evidence.Observation{Comment: c.Text, Evidence: outage.Evidence{Kind: says, Arrival: int64(c.At), Source: int64(c.At), Asset: c.ServicePoint, By: c.By}}); err != nil {
				return err
			}
		}
		if err := t.Audit(store.Change{At: c.At, By: c.By, Action: "call", Subject: "service point " + c.ServicePoint, Detail: c.Says}); err != nil {
			return err
		}
		list, err := calls(t, `WHERE c.id = ?`, id)
		if err == nil && len(list) > 0 {
			added = list[0]
		}
		return err
	})
	if err != nil {
		return Call{}, fmt.Errorf("call about %s: %w", c.ServicePoint, err)
	}
	return added, nil
}

// assetKind is of what kind an asset is that the context may see, or an ErrNoAsset.
func assetKind(t *store.Tx, id string) (kind string, err error) {
	err = t.QueryRow(`SELECT COALESCE(MAX(g.kind), '') FROM grid_asset g WHERE g.id = ? AND `+t.SeenAsset("g.zone"), []any{id}, &kind)
	if err == nil && kind == "" {
		err = ErrNoAsset
	}
	return kind, err
}

// Word is what a person has seen: whether a service point has supply.
type Word struct {
	Asset   string           `json:"asset"`
	Out     bool             `json:"out"`
	Comment string           `json:"comment"`
	By      string           `json:"by"`
	At      telemetry.Micros `json:"at_us"`
}

// Say keeps it as evidence. ErrNoAsset: there is no such service point.
func Say(ctx context.Context, s *store.Store, w Word) error {
	err := s.Write(ctx, func(t *store.Tx) error {
		kind, err := assetKind(t, w.Asset)
		if err == nil && kind != "service_point" {
			err = ErrNoAsset
		}
		if err != nil {
			return err
		}
		v := outage.Evidence{Kind: outage.PointSupplied, Arrival: int64(w.At), Source: int64(w.At), Asset: w.Asset, By: w.By}
		detail := "it has supply"
		if w.Out {
			v.Kind, detail = outage.PointOut, "it has no supply"
		}
		if err := evidence.Note(t, evidence.Observation{Evidence: v, Comment: w.Comment}); err != nil {
			return err
		}
		return t.Audit(store.Change{At: w.At, By: w.By, Action: "evidence", Subject: "service point " + w.Asset, Detail: detail + ": " + w.Comment})
	})
	if err != nil {
		return fmt.Errorf("word about %s: %w", w.Asset, err)
	}
	return nil
}
