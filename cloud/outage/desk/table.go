package desk

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Filter is which outages are asked for; what is empty leaves none out.
type Filter struct {
	Open   bool // those that aren't over
	State  lifecycle.State
	Feeder string
	Zone   string // of it and of the zones within it
}

// Place is an outage's place in their list.
type Place struct {
	Found telemetry.Micros
	ID    string
}

func (o Outage) Place() Place { return Place{o.Found, o.ID} }

// Acknowledging an alarm changes no outage, so it is read with it. The last condition is
// that of the index.
const selectOutage = `SELECT o.data, COALESCE(a.acknowledged, FALSE), COALESCE(a.acknowledged_by, ''), (SELECT COUNT(*) FROM alarm c WHERE o.alarm <> '' AND c.suppressed_by = o.alarm AND c.suppressed_by <> '')
	FROM outage o LEFT JOIN alarm a ON a.id = o.alarm `

func read(t *store.Tx, query string, args ...any) (list []Outage, err error) {
	list = []Outage{}
	err = t.Each(func(r *sql.Rows) error {
		var data string
		var o Outage
		var acknowledged bool
		var by string
		var alarms int64
		err := r.Scan(&data, &acknowledged, &by, &alarms)
		if err == nil {
			err = json.Unmarshal([]byte(data), &o)
		}
		o.Acknowledged, o.AcknowledgedBy, o.Alarms = acknowledged, by, alarms
		list = append(list, o)
		return err
	}, query, args...)
	return list, err
}

// List is outages, those found last first, and the number of the last fact that they
// include.
func List(ctx context.Context, s *store.Store, f Filter, page store.Page[Place]) (seq int64, list []Outage, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		if seq, err = t.LastFact(); err != nil {
			return err
		}
		var of store.Conditions
		if f.Open {
			of.And(`o.over = 0`)
		}
		if f.State != "" {
			of.And(`o.state = ?`, string(f.State))
		}
		if f.Feeder != "" {
			of.And(`o.feeder = ?`, f.Feeder)
		}
		if f.Zone != "" {
			of.And(`o.zone IN (SELECT zone FROM grid_zone WHERE within = ?)`, f.Zone)
		}
		if p := page.After; p != nil {
			of.And(`(o.found, o.id) < (?, ?)`, int64(p.Found), p.ID)
		}
		of.And(t.SeenAsset("o.zone"))
		list, err = read(t, selectOutage+of.Where()+` ORDER BY o.found DESC, o.id DESC LIMIT ?`, append(of.Args, page.Limit)...)
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("outages: list: %w", err)
	}
	return seq, list, nil
}

// find is an outage that the context may see, or an ErrNotFound.
func find(t *store.Tx, id string) (Outage, error) {
	list, err := read(t, selectOutage+`WHERE o.id = ? AND `+t.SeenAsset("o.zone"), id)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Outage{}, err
	}
	return list[0], nil
}

// MostHistory bounds what Get returns of each: the newest part of it.
const MostHistory = 1000

// Get is an outage, what has become of it, and the steps of its restoration, oldest first.
func Get(ctx context.Context, s *store.Store, id string) (o Outage, entries []OutageEntry, steps []Step, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		if o, err = find(t, id); err != nil {
			return err
		}
		entries, steps = []OutageEntry{}, []Step{}
		err := t.Each(func(r *sql.Rows) error {
			var e OutageEntry
			err := r.Scan(&e.Seq, &e.At, &e.Action, &e.State, &e.By, &e.Comment, &e.Detail)
			entries = append(entries, e)
			return err
		}, `SELECT * FROM (SELECT fact, at, action, state, actor, comment, detail FROM outage_entry WHERE outage = ? ORDER BY fact DESC LIMIT ?) e ORDER BY fact`, id, MostHistory)
		if err != nil {
			return err
		}
		return t.Each(func(r *sql.Rows) error {
			var step Step
			err := r.Scan(&step.At, &step.Points, &step.Customers, &step.CustomersOut, &step.Tie)
			steps = append(steps, step)
			return err
		}, `SELECT at, points, customers, customers_out, tie FROM outage_step WHERE outage = ? ORDER BY number`, id)
	})
	if err != nil {
		return Outage{}, nil, nil, fmt.Errorf("outage %s: %w", id, err)
	}
	return o, entries, steps, nil
}

// NeedingOf counts the customers without supply now that need it more than others.
func NeedingOf(ctx context.Context, s *store.Store, id string) (n Needing, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		return t.QueryRow(`SELECT COALESCE(SUM(CASE c.priority WHEN 'life-support' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE c.priority WHEN 'critical' THEN 1 ELSE 0 END), 0),
			COALESCE(SUM(CASE c.priority WHEN 'important' THEN 1 ELSE 0 END), 0)
			FROM outage_point p JOIN customer c ON c.point = p.point WHERE p.outage = ? AND p.until = 0 AND c.priority <> 'normal'`,
			[]any{id}, &n.LifeSupport, &n.Critical, &n.Important)
	})
	if err != nil {
		return Needing{}, fmt.Errorf("outage %s: count its customers by priority: %w", id, err)
	}
	return n, nil
}

// Points lists the service points of an outage by id. The place of one is its id. Those
// of zones that the context doesn't show aren't listed.
func Points(ctx context.Context, s *store.Store, id string, page store.Page[string]) (list []Point, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		if _, err := find(t, id); err != nil {
			return err
		}
		var of store.Conditions
		of.And(`p.outage = ?`, id)
		if page.After != nil {
			of.And(`p.point > ?`, *page.After)
		}
		of.And(t.SeenAsset(`COALESCE(g.zone, '')`))
		list = []Point{}
		return t.Each(func(r *sql.Rows) error {
			var p Point
			var until telemetry.Micros
			err := r.Scan(&p.ID, &p.Name, &p.Priority, &p.Customers, &p.Since, &until, &p.X, &p.Y)
			if p.Out = until == 0; !p.Out {
				p.Until = &until
			}
			list = append(list, p)
			return err
		}, `SELECT p.point, COALESCE(g.name, ''), COALESCE(g.type, ''), p.customers, p.since, p.until, g.x, g.y
			FROM outage_point p LEFT JOIN grid_asset g ON g.id = p.point`+of.Where()+` ORDER BY p.point LIMIT ?`, append(of.Args, page.Limit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("outage %s: list its service points: %w", id, err)
	}
	return list, nil
}

// EvidenceOf lists what an outage rests on, newest first: of each conclusion the newest
// pieces. The place of one is its number.
func EvidenceOf(ctx context.Context, s *store.Store, id string, page store.Page[int64]) (list []Evidence, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		if _, err := find(t, id); err != nil {
			return err
		}
		var of store.Conditions
		of.And(`f.outage = ?`, id)
		if page.After != nil {
			of.And(`e.seq < ?`, *page.After)
		}
		list = []Evidence{}
		return t.Each(func(r *sql.Rows) error {
			var e Evidence
			var source telemetry.Micros
			err := r.Scan(&e.Seq, &e.At, &source, &e.Kind, &e.Asset, &e.Gateway, &e.Device, &e.Alarm, &e.Rule, &e.By, &e.Comment)
			if source != 0 {
				e.Source = &source
			}
			list = append(list, e)
			return err
		}, `SELECT e.seq, e.at, e.source, e.kind, e.asset, e.gateway, e.device, e.alarm, e.rule, e.actor, e.comment
			FROM outage_reference f JOIN outage_evidence e ON e.seq = f.evidence`+of.Where()+` ORDER BY e.seq DESC LIMIT ?`, append(of.Args, page.Limit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("outage %s: list its evidence: %w", id, err)
	}
	return list, nil
}

// entry is what is kept with a change.
type entry struct {
	At      telemetry.Micros
	Action  lifecycle.Action
	By      string
	Comment string
	Detail  string
}

// save keeps an outage after a change, tells of it, and adds it to its timeline. told is
// the engine's revision that it holds.
func save(t *store.Tx, o *Outage, told int, e entry) error {
	o.Revision++
	o.Updated = e.At
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	over := int64(0)
	if o.Over != nil {
		over = int64(*o.Over)
	}
	if _, err := t.Exec(`INSERT INTO outage (id, state, zone, feeder, device, alarm, plan, found, over, told, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, zone = excluded.zone, feeder = excluded.feeder, device = excluded.device, alarm = excluded.alarm, plan = excluded.plan, found = excluded.found,
			over = excluded.over, told = CASE WHEN excluded.told > outage.told THEN excluded.told ELSE outage.told END, data = excluded.data`,
		o.ID, string(o.State), o.Zone, o.Feeder, o.Device, o.Alarm, o.Plan, int64(o.Found), over, told, string(data)); err != nil {
		return err
	}
	seq, err := t.AddFact(FactKind, e.At, o)
	if err != nil {
		return err
	}
	_, err = t.Exec(`INSERT INTO outage_entry (fact, outage, at, action, state, actor, comment, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		seq, o.ID, int64(e.At), string(e.Action), string(o.State), e.By, e.Comment, e.Detail)
	return err
}

// toldOf is the engine's revision of an outage that is stored; -1: none is.
func toldOf(t *store.Tx, id string) (told int, err error) {
	err = t.QueryRow(`SELECT told FROM outage WHERE id = ?`, []any{id}, &told)
	if errors.Is(err, sql.ErrNoRows) {
		return -1, nil
	}
	return told, err
}

// Summary is how much is out now.
type Summary struct {
	Outages      int64           `json:"outages" doc:"That go on"`
	Unannounced  int64           `json:"unannounced" doc:"Of these, how many nobody was told of aloud yet, planned ones apart"`
	Planned      int64           `json:"planned" doc:"Of these, how many are planned"`
	CustomersOut int64           `json:"customers_out"`
	PointsOut    int64           `json:"points_out"`
	Critical     int64           `json:"critical" doc:"Service points of that priority that are out"`
	Feeders      []FeederSummary `json:"feeders" doc:"Those with most customers out first"`
}

// FeederSummary is how much is out on a feeder.
type FeederSummary struct {
	Feeder       string `json:"feeder"`
	Outages      int64  `json:"outages"`
	CustomersOut int64  `json:"customers_out"`
}
