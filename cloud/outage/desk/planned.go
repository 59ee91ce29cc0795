package desk

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// PlanState is how far planned switching has come.
type PlanState string

const (
	PlanAhead     PlanState = "ahead"
	PlanNow       PlanState = "now"     // its time is now
	PlanOverrun   PlanState = "overrun" // its time is over, and an outage of it goes on
	PlanOver      PlanState = "over"
	PlanCancelled PlanState = "cancelled"
)

// Planned is switching that is planned: outages of its devices, and of what is supplied
// through them, that begin in its time are planned, and nobody is told of them.
type Planned struct {
	ID        string           `json:"id"`
	Revision  int64            `json:"revision" doc:"Rises with each change"`
	State     PlanState        `json:"state" enum:"ahead,now,overrun,over,cancelled" doc:"overrun: its time is over and an outage of it goes on"`
	Devices   []string         `json:"devices" doc:"Lines, switches, transformers and service points that are without supply or opened"`
	From      telemetry.Micros `json:"from_us"`
	Until     telemetry.Micros `json:"until_us" doc:"The first instant at which it is over"`
	Reason    string           `json:"reason" doc:"What is done"`
	Feeder    string           `json:"feeder" doc:"Of its first device"`
	Zone      string           `json:"zone" doc:"Of its first device"`
	Points    int64            `json:"points" doc:"Service points that are supplied through its devices in normal operation, when it was entered or changed last"`
	Customers int64            `json:"customers" doc:"Of these"`
	Critical  int64            `json:"critical" doc:"Of these service points, those of that priority"`
	Outages   []string         `json:"outages" doc:"That are part of it, those found last first; at most 100"`
	By        string           `json:"by" doc:"Who has entered it"`
	At        telemetry.Micros `json:"at_us"`
	ChangedBy string           `json:"changed_by" doc:"Who has changed it last"`
	ChangedAt telemetry.Micros `json:"changed_us"`
	Comment   string           `json:"comment" doc:"Why it was changed last, or cancelled"`
	Cancelled bool             `json:"cancelled"`
}

// PlannedEntry is what has become of planned switching, and who did it.
type PlannedEntry struct {
	Number  int64            `json:"number"`
	At      telemetry.Micros `json:"at_us"`
	Action  string           `json:"action" enum:"entered,changed,cancelled"`
	By      string           `json:"by"`
	Comment string           `json:"comment" doc:"Why"`
	Detail  string           `json:"detail" doc:"What has changed, in words"`
}

// PlannedPlace is its place in their list.
type PlannedPlace struct {
	From telemetry.Micros
	ID   string
}

func (p Planned) Place() PlannedPlace { return PlannedPlace{p.From, p.ID} }

var (
	ErrNoPlan    = errors.New("no such planned outage")
	ErrCancelled = errors.New("it is cancelled")
	ErrPast      = errors.New("its time is over")
)

// mostPlanOutages bounds those that come with planned switching.
const mostPlanOutages = 100

// Plan enters planned switching: Devices, From, Until, Reason, By and At of it. ErrNoAsset: one
// of its devices isn't there; ErrPast: its time is over. dry keeps nothing, and answers what it
// would be.
func Plan(ctx context.Context, s *store.Store, n *network.Network, p Planned, dry bool) (Planned, error) {
	id := make([]byte, 5)
	_, _ = rand.Read(id)
	p.ID = "p" + hex.EncodeToString(id)
	p.Revision, p.Outages, p.ChangedBy, p.ChangedAt = 1, []string{}, p.By, p.At
	err := s.Write(ctx, func(t *store.Tx) error {
		if err := p.fill(t, n); err != nil || dry {
			return err
		}
		return savePlanned(t, p, PlannedEntry{Number: 1, At: p.At, Action: "entered", By: p.By, Detail: p.words()})
	})
	if err != nil {
		return Planned{}, fmt.Errorf("planned outage: %w", err)
	}
	p.State = p.stateAt(p.At, false)
	return p, nil
}

// Replan changes planned switching. revision, unless it is 0, is that of the one that was
// seen: an ErrRevision says that it has changed since. ErrCancelled: it is.
func Replan(ctx context.Context, s *store.Store, n *network.Network, to Planned, revision int64, comment string) (p Planned, err error) {
	return changePlanned(ctx, s, to.ID, revision, to.At, func(t *store.Tx) (Planned, PlannedEntry, error) {
		p, err := planned(t, to.ID, to.At)
		if err != nil {
			return p, PlannedEntry{}, err
		}
		before := p
		p.Devices, p.From, p.Until, p.Reason = to.Devices, to.From, to.Until, to.Reason
		if err := p.fill(t, n); err != nil {
			return p, PlannedEntry{}, err
		}
		p.ChangedBy, p.ChangedAt, p.Comment = to.By, to.At, comment
		return p, PlannedEntry{At: to.At, Action: "changed", By: to.By, Comment: comment, Detail: p.changesSince(before)}, nil
	})
}

// Cancel ends planned switching, or has it never happen: an outage of it that goes on is
// planned no more. ErrPast: its time is over.
func Cancel(ctx context.Context, s *store.Store, id string, revision int64, by, comment string, at telemetry.Micros) (p Planned, err error) {
	return changePlanned(ctx, s, id, revision, at, func(t *store.Tx) (Planned, PlannedEntry, error) {
		p, err := planned(t, id, at)
		if err == nil && p.State == PlanOver {
			err = ErrPast
		}
		p.Cancelled, p.ChangedBy, p.ChangedAt, p.Comment = true, by, at, comment
		return p, PlannedEntry{At: at, Action: "cancelled", By: by, Comment: comment}, err
	})
}

func changePlanned(ctx context.Context, s *store.Store, id string, revision int64, at telemetry.Micros, change func(*store.Tx) (Planned, PlannedEntry, error)) (p Planned, err error) {
	err = s.Write(ctx, func(t *store.Tx) error {
		before, err := planned(t, id, at)
		switch {
		case err != nil:
			return err
		case revision != 0 && revision != before.Revision:
			return ErrRevision
		case before.Cancelled:
			return ErrCancelled
		}
		var e PlannedEntry
		if p, e, err = change(t); err != nil {
			return err
		}
		p.Revision = before.Revision + 1
		e.Number = p.Revision
		if err := savePlanned(t, p, e); err != nil {
			return err
		}
		p, err = planned(t, id, at)
		return err
	})
	if err != nil {
		return Planned{}, fmt.Errorf("planned outage %s: %w", id, err)
	}
	return p, nil
}

// fill finds what planned switching affects, by the network.
func (p *Planned) fill(t *store.Tx, n *network.Network) error {
	slices.Sort(p.Devices)
	p.Devices = slices.Compact(p.Devices)
	if p.Until <= p.At {
		return ErrPast
	}
	for _, id := range p.Devices {
		kind, err := assetKind(t, id)
		if err != nil {
			return fmt.Errorf("%w: %s", err, id)
		}
		if n.EdgeOf(id) == grid.None && n.PointOf(id) == grid.None {
			return fmt.Errorf("%w: %s is a %s, which doesn't open", ErrNoAsset, id, kind)
		}
	}
	err := t.QueryRow(`SELECT zone, feeder FROM grid_asset WHERE id = ?`, []any{p.Devices[0]}, &p.Zone, &p.Feeder)
	if err != nil {
		return err
	}
	p.Points, p.Customers, p.Critical = 0, 0, 0
	for _, point := range n.PointsBehind(p.Devices) {
		p.Points++
		p.Customers += int64(n.Point(int(point)).Customers)
		if n.PointAsset(int(point)).Priority == grid.CriticalPriority {
			p.Critical++
		}
	}
	return nil
}

func (p *Planned) words() string {
	return fmt.Sprintf("%s, %s: %s", strings.Join(p.Devices, ", "), p.time(), p.Reason)
}

func (p *Planned) time() string {
	return "from " + p.From.Moment().Format(time.RFC3339) + " until " + p.Until.Moment().Format(time.RFC3339)
}

func (p *Planned) changesSince(before Planned) string {
	var parts []string
	if !slices.Equal(p.Devices, before.Devices) {
		parts = append(parts, "devices "+strings.Join(p.Devices, ", ")+", were "+strings.Join(before.Devices, ", "))
	}
	if p.From != before.From || p.Until != before.Until {
		parts = append(parts, p.time()+", was "+before.time())
	}
	if p.Reason != before.Reason {
		parts = append(parts, "reason "+p.Reason+", was "+before.Reason)
	}
	return strings.Join(parts, "; ")
}

func (p *Planned) stateAt(now telemetry.Micros, goesOn bool) PlanState {
	switch {
	case p.Cancelled:
		return PlanCancelled
	case now < p.From:
		return PlanAhead
	case now < p.Until:
		return PlanNow
	case goesOn:
		return PlanOverrun
	}
	return PlanOver
}

// savePlanned keeps planned switching after a change, as evidence too.
func savePlanned(t *store.Tx, p Planned, e PlannedEntry) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if _, err := t.Exec(`INSERT INTO planned_outage (id, zone, begins, ends, cancelled, data) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET zone = excluded.zone, begins = excluded.begins, ends = excluded.ends, cancelled = excluded.cancelled, data = excluded.data`,
		p.ID, p.Zone, int64(p.From), int64(p.Until), p.Cancelled, string(text)); err != nil {
		return err
	}
	if _, err := t.Exec(`DELETE FROM planned_device WHERE plan = ?`, p.ID); err != nil {
		return err
	}
	for _, id := range p.Devices {
		if _, err := t.Exec(`INSERT INTO planned_device (plan, device) VALUES (?, ?)`, p.ID, id); err != nil {
			return err
		}
	}
	if _, err := t.Exec(`INSERT INTO planned_entry (plan, number, at, action, actor, comment, detail) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		p.ID, e.Number, int64(e.At), e.Action, e.By, e.Comment, e.Detail); err != nil {
		return err
	}
	plan := outage.Plan{ID: p.ID, Devices: p.Devices, From: int64(p.From), Until: int64(p.Until)}
	if p.Cancelled {
		plan.Devices = nil
	}
	if err := evidence.NotePlan(t, plan, e.By, e.At); err != nil {
		return err
	}
	return t.Audit(store.Change{At: e.At, By: e.By, Action: "planned-outage-" + e.Action, Subject: "planned outage " + p.ID,
		Detail: strings.Trim(e.Detail+": "+e.Comment, ": ")})
}

func planned(t *store.Tx, id string, now telemetry.Micros) (Planned, error) {
	list, err := readPlanned(t, now, `WHERE p.id = ? AND `+t.SeenAsset("p.zone"), id)
	if err == nil && len(list) == 0 {
		err = ErrNoPlan
	}
	if err != nil {
		return Planned{}, err
	}
	return list[0], nil
}

// goesOn is the condition, in SQL, that an outage of planned switching isn't restored.
const goesOn = `EXISTS (SELECT 1 FROM outage o WHERE o.plan = p.id AND o.plan <> '' AND o.state NOT IN ('restored', 'verified', 'completed', 'dismissed', 'merged'))`

func readPlanned(t *store.Tx, now telemetry.Micros, where string, args ...any) (list []Planned, err error) {
	list = []Planned{}
	err = t.Each(func(r *sql.Rows) error {
		var text string
		var open bool
		if err := r.Scan(&text, &open); err != nil {
			return err
		}
		var p Planned
		err := json.Unmarshal([]byte(text), &p)
		p.State, p.Outages = p.stateAt(now, open), []string{}
		list = append(list, p)
		return err
	}, `SELECT p.data, `+goesOn+` FROM planned_outage p `+where, args...)
	if err != nil {
		return nil, err
	}
	for i := range list {
		err := t.Each(func(r *sql.Rows) error {
			var id string
			err := r.Scan(&id)
			list[i].Outages = append(list[i].Outages, id)
			return err
		}, `SELECT o.id FROM outage o WHERE o.plan = ? AND o.plan <> '' AND `+t.SeenAsset("o.zone")+` ORDER BY o.found DESC, o.id DESC LIMIT ?`, list[i].ID, mostPlanOutages)
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// PlannedFilter is which planned switching is asked for; what is empty leaves none out.
type PlannedFilter struct {
	Open   bool   // neither over nor cancelled
	Device string // of this device
}

// ListPlanned is planned switching, what begins last first.
func ListPlanned(ctx context.Context, s *store.Store, f PlannedFilter, now telemetry.Micros, page store.Page[PlannedPlace]) (list []Planned, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		var of store.Conditions
		if f.Open {
			of.And(`NOT p.cancelled AND (p.ends > ? OR `+goesOn+`)`, int64(now))
		}
		if f.Device != "" {
			of.And(`p.id IN (SELECT plan FROM planned_device WHERE device = ?)`, f.Device)
		}
		if at := page.After; at != nil {
			of.And(`(p.begins, p.id) < (?, ?)`, int64(at.From), at.ID)
		}
		of.And(t.SeenAsset("p.zone"))
		list, err = readPlanned(t, now, of.Where()+` ORDER BY p.begins DESC, p.id DESC LIMIT ?`, append(of.Args, page.Limit)...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("planned outages: list: %w", err)
	}
	return list, nil
}

// GetPlanned is planned switching, and what has become of it, oldest first.
func GetPlanned(ctx context.Context, s *store.Store, id string, now telemetry.Micros) (p Planned, entries []PlannedEntry, err error) {
	entries = []PlannedEntry{}
	err = s.Ask(ctx, func(t *store.Tx) error {
		if p, err = planned(t, id, now); err != nil {
			return err
		}
		return t.Each(func(r *sql.Rows) error {
			var e PlannedEntry
			err := r.Scan(&e.Number, &e.At, &e.Action, &e.By, &e.Comment, &e.Detail)
			entries = append(entries, e)
			return err
		}, `SELECT number, at, action, actor, comment, detail FROM planned_entry WHERE plan = ? ORDER BY number DESC LIMIT ?`, id, MostHistory)
	})
	if err != nil {
		return Planned{}, nil, fmt.Errorf("planned outage %s: %w", id, err)
	}
	slices.SortFunc(entries, func(a, b PlannedEntry) int { return cmp.Compare(a.Number, b.Number) })
	return p, entries, nil
}
