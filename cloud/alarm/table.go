package alarm

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// FactKind is the kind of the facts that hold an Alarm after each transition.
const FactKind = "alarm"

// Entry is one transition of an alarm.
type Entry struct {
	Seq     int64            `json:"seq"` // of the fact that holds the alarm after it
	At      telemetry.Micros `json:"at_us"`
	Action  Action           `json:"action" enum:"raised,cleared,acknowledged,shelved,unshelved,out-of-service,in-service,suppressed,unsuppressed"`
	By      string           `json:"by"` // "gateway <id>", "cloud", "alertmanager", or the operator's name
	Comment string           `json:"comment"`
}

const selectAlarm = `SELECT a.id, a.gateway, g.site, a.rule, a.asset, a.device, a.priority, a.summary, a.active, a.acknowledged,
	a.raised, a.confirmed, a.decided, a.cleared, a.acknowledged_at, a.acknowledged_by, a.comment, a.rule_version, a.method, a.alarm_group, a.first_up,
	EXISTS (SELECT 1 FROM alarm_capture c WHERE c.gateway = a.gateway AND c.alarm = a.id),
	COALESCE(NULLIF(CASE WHEN n.kind = 'feeder' THEN n.id ELSE n.feeder END, ''), p.feeder, ''), a.suppressed_by, a.unannounced, a.chattered,
	COALESCE(h.handling, ''), COALESCE(h.since, 0), COALESCE(h.ends, 0), COALESCE(h.actor, ''), COALESCE(h.reason, ''), a.zone
	FROM alarm a JOIN gateway g ON g.id = a.gateway LEFT JOIN grid_asset n ON n.id = a.asset LEFT JOIN presence p ON p.gateway = a.gateway
	LEFT JOIN alarm_shelf h ON a.handling <> '' AND h.gateway = a.gateway AND h.rule = a.rule AND h.asset = a.asset AND h.device = a.device `

// isListed is the condition, in SQL, that an alarm asks for attention, or that it is the last
// one of a condition that people keep from being announced.
const isListed = `(a.active OR NOT a.acknowledged OR a.handling <> '')`

// Place is an alarm's place in their list.
type Place struct {
	Raised telemetry.Micros
	ID     string
}

func (a Alarm) Place() Place { return Place{a.Raised, a.ID} }

// List is alarms, those raised last first, and the number of the last fact that they
// include; with open only those that are active or not acknowledged, however old, and the
// newest of each condition that is shelved or out of service.
func List(ctx context.Context, s *store.Store, open bool, page store.Page[Place]) (seq int64, alarms []Alarm, err error) {
	var of store.Conditions
	if open {
		of.And(isListed)
	}
	if p := page.After; p != nil {
		of.And(`(a.raised, a.id) < (?, ?)`, int64(p.Raised), p.ID)
	}
	err = s.Ask(ctx, func(t *store.Tx) error {
		if seq, err = t.LastFact(); err != nil {
			return err
		}
		of.And(Seen(t))
		alarms, err = read(t, selectAlarm+of.Where()+` ORDER BY a.raised DESC, a.id DESC LIMIT ?`, append(of.Args, page.Limit)...)
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("alarm: list: %w", err)
	}
	return seq, alarms, nil
}

// MostHistory bounds the history that Get returns: the newest part of it.
const MostHistory = 1000

// Get is one alarm and its history, oldest first; ErrNotFound if there is none.
func Get(ctx context.Context, s *store.Store, id string) (a Alarm, history []Entry, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		if a, err = find(t, id); err != nil {
			return err
		}
		if a.ID == "" {
			return ErrNotFound
		}
		transitions, err := transitions(t, `WHERE e.alarm = ?`, id, MostHistory)
		for _, of := range slices.Backward(transitions) {
			history = append(history, of.Entry)
		}
		return err
	})
	if err != nil {
		return Alarm{}, nil, fmt.Errorf("alarm %s: %w", id, err)
	}
	return a, history, nil
}

// Acknowledge keeps that an operator has taken note of an alarm, active or not.
// ErrNotFound and ErrAlreadyAcknowledged leave everything as it was.
func Acknowledge(ctx context.Context, s *store.Store, id, by, comment string, at telemetry.Micros) (a Alarm, err error) {
	err = s.Write(ctx, func(t *store.Tx) error {
		if a, err = change(t, id, Change{Action: Acknowledged, At: at, By: by, Comment: comment}); err != nil {
			return err
		}
		return t.Audit(store.Change{At: at, By: by, Action: "acknowledge", Subject: "alarm " + id, Detail: comment})
	})
	if err != nil {
		return Alarm{}, fmt.Errorf("alarm %s: acknowledge: %w", id, err)
	}
	return a, nil
}

// change applies c to the stored alarm and keeps the transition, if it is one.
func change(t *store.Tx, id string, c Change) (Alarm, error) {
	before, err := find(t, id)
	if err != nil {
		return Alarm{}, err
	}
	after, changed, err := before.Apply(c)
	if err != nil || !changed {
		return after, err
	}
	if err := save(t, after, before.Decided == 0 && after.Decided != 0); err != nil {
		return Alarm{}, err
	}
	now := telemetry.MicrosOf(time.Now())
	if c.Told = min(c.Told, now); c.Told <= 0 {
		c.Told = now
	}
	announced := false
	if c.Action == Raised && after.Active {
		held, err := hold(t, after)
		quiet := false
		if err == nil {
			quiet, err = inherit(t, after)
		}
		quiet = quiet || held
		if err == nil {
			err = noteChatter(t, &after, c.Told)
		}
		if err == nil {
			_, err = t.Exec(`UPDATE alarm SET unannounced = ?, chattered = ? WHERE id = ?`, quiet, int64(after.Chattered), id)
		}
		if err != nil {
			return Alarm{}, err
		}
		announced = !quiet
	}
	// Read again for what the gateway's births add: site and series.
	if after, err = find(t, id); err != nil {
		return Alarm{}, err
	}
	return after, note(t, after, c, announced)
}

// note keeps a transition and tells of the alarm after it. announced says that the alarm
// asks for attention by it.
func note(t *store.Tx, after Alarm, c Change, announced bool) error {
	seq, err := t.AddFact(FactKind, c.At, after)
	if err != nil {
		return err
	}
	by := c.By
	if c.Action != Acknowledged && by == "" {
		by = "gateway " + c.Gateway
	}
	if c.Told == 0 {
		c.Told = c.At
	}
	_, err = t.Exec(`INSERT INTO alarm_event (fact, alarm, at, action, actor, comment, told, announced) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		seq, after.ID, int64(c.At), string(c.Action), by, c.Comment, int64(c.Told), announced)
	return err
}

func save(t *store.Tx, a Alarm, withInputs bool) error {
	_, err := t.Exec(`INSERT INTO alarm (id, gateway, rule, asset, device, priority, summary, active, acknowledged,
			raised, confirmed, decided, cleared, acknowledged_at, acknowledged_by, comment, rule_version, method, alarm_group, first_up, zone)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET rule = excluded.rule, asset = excluded.asset, device = excluded.device,
			priority = excluded.priority, summary = excluded.summary, active = excluded.active, acknowledged = excluded.acknowledged,
			raised = excluded.raised, confirmed = excluded.confirmed, decided = excluded.decided, cleared = excluded.cleared, acknowledged_at = excluded.acknowledged_at,
			acknowledged_by = excluded.acknowledged_by, comment = excluded.comment,
			rule_version = excluded.rule_version, method = excluded.method, alarm_group = excluded.alarm_group, first_up = excluded.first_up, zone = excluded.zone`,
		a.ID, a.Gateway, a.Rule, a.Asset, a.Device, string(a.Priority), a.Summary, a.Active, a.Acknowledged,
		int64(a.Raised), int64(a.Confirmed), int64(a.Decided), nullable(a.Cleared), nullable(a.AcknowledgedAt), a.AcknowledgedBy, a.Comment,
		a.Version, a.Method, a.Group, a.FirstUp, a.Zone)
	if err != nil || !withInputs {
		return err
	}
	for i, in := range a.Inputs {
		if _, err := t.Exec(`INSERT INTO alarm_input (alarm, position, device, name, unit, value, quality, time, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			a.ID, i, in.Device, in.Name, in.Unit, in.Value, in.Quality, int64(in.Time), in.State); err != nil {
			return err
		}
	}
	return nil
}

func nullable(m *telemetry.Micros) any {
	if m == nil {
		return nil
	}
	return int64(*m)
}

// find reads an alarm; the zero Alarm if there is none, or none that may be seen.
func find(t *store.Tx, id string) (Alarm, error) {
	list, err := read(t, selectAlarm+`WHERE a.id = ? AND `+Seen(t), id)
	if err != nil || len(list) == 0 {
		return Alarm{}, err
	}
	return list[0], nil
}

func read(t *store.Tx, query string, args ...any) ([]Alarm, error) {
	list, err := readBrief(t, query, args...)
	if err != nil {
		return nil, err
	}
	for some := range slices.Chunk(list, rowsAtOnce) {
		if err := addInputs(t, some); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// readBrief is read without the inputs.
func readBrief(t *store.Tx, query string, args ...any) ([]Alarm, error) {
	list := []Alarm{}
	err := t.Each(func(r *sql.Rows) error {
		var a Alarm
		var h Handling
		var ends telemetry.Micros
		err := r.Scan(&a.ID, &a.Gateway, &a.Site, &a.Rule, &a.Asset, &a.Device, &a.Priority, &a.Summary, &a.Active, &a.Acknowledged,
			&a.Raised, &a.Confirmed, &a.Decided, &a.Cleared, &a.AcknowledgedAt, &a.AcknowledgedBy, &a.Comment, &a.Version, &a.Method, &a.Group, &a.FirstUp, &a.Captured,
			&a.Feeder, &a.SuppressedBy, &a.Unannounced, &a.Chattered, &h.State, &h.Since, &ends, &h.By, &h.Reason, &a.Zone)
		a.Kind = kindOf(a.ID, a.Rule)
		if h.State != "" {
			if ends != 0 {
				h.Until = &ends
			}
			a.Handling = &h
		}
		list = append(list, a)
		return err
	}, query, args...)
	return list, err
}

// addInputs finds the series of the inputs by (gateway, device, name), the newest
// of the input's unit: signal ids are the gateway's own.
func addInputs(t *store.Tx, list []Alarm) error {
	ids, of := make([]any, len(list)), make(map[string]*Alarm, len(list))
	for i := range list {
		ids[i], of[list[i].ID] = list[i].ID, &list[i]
		list[i].Inputs = []Input{}
	}
	return t.Each(func(r *sql.Rows) error {
		var alarm string
		var in Input
		if err := r.Scan(&alarm, &in.Series, &in.Device, &in.Name, &in.Unit, &in.Value, &in.Quality, &in.Time, &in.State); err != nil {
			return err
		}
		of[alarm].Inputs = append(of[alarm].Inputs, in)
		return nil
	}, `SELECT i.alarm, COALESCE((SELECT s.id FROM series s WHERE s.gateway = a.gateway AND s.device = i.device AND s.name = i.name
			ORDER BY CASE WHEN s.unit = i.unit THEN 0 ELSE 1 END, s.id DESC LIMIT 1), 0), i.device, i.name, i.unit, i.value, i.quality, i.time, i.state
		FROM alarm_input i JOIN alarm a ON a.id = i.alarm
		WHERE i.alarm IN `+among(len(ids))+` ORDER BY i.alarm, i.position`, ids...)
}
