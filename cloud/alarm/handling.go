package alarm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// What people do with an alarm beside acknowledging it (ISA-18.2): none of it says
// anything of whether the alarm is active or acknowledged. Shelved and OutOfService hold
// for its condition, so for whatever it raises next too.
const (
	Shelved      Action = "shelved"        // for some time
	Unshelved    Action = "unshelved"      // by somebody, or as the time is over
	OutOfService Action = "out-of-service" // until somebody ends it
	InService    Action = "in-service"
	Suppressed   Action = "suppressed" // by design: another alarm stands for it
	Unsuppressed Action = "unsuppressed"
)

// deeds is what the audit calls them.
var deeds = map[Action]string{Shelved: "shelve", Unshelved: "unshelve", OutOfService: "take-out-of-service", InService: "return-to-service"}

// Handling is why, by whom and until when an alarm isn't announced.
type Handling struct {
	State  Action            `json:"state" enum:"shelved,out-of-service"`
	Since  telemetry.Micros  `json:"since_us"`
	Until  *telemetry.Micros `json:"until_us"` // null: until somebody ends it
	By     string            `json:"by"`
	Reason string            `json:"reason"`
}

// Quiet reports whether nobody is to be called for the alarm, although it may be active.
func (a Alarm) Quiet() bool { return a.Handling != nil || a.SuppressedBy != "" }

// condition is what occurs again and again, each time as another alarm.
type condition struct{ gateway, rule, asset, device string }

func (a Alarm) condition() condition { return condition{a.Gateway, a.Rule, a.Asset, a.Device} }

func (c condition) args() []any { return []any{c.gateway, c.rule, c.asset, c.device} }

const ofCondition = `gateway = ? AND rule = ? AND asset = ? AND device = ?`

// Limits say for how long an alarm may be shelved, by its priority. One that isn't there,
// or is 0, may not.
type Limits map[telemetry.Priority]time.Duration

// DefaultLimits are for whoever sets none.
var DefaultLimits = Limits{telemetry.Critical: time.Hour, telemetry.High: 8 * time.Hour, telemetry.Medium: 24 * time.Hour, telemetry.Low: 7 * 24 * time.Hour}

// LimitError is that an alarm may not be shelved for so long.
type LimitError struct {
	Priority telemetry.Priority
	Most     time.Duration
}

func (e *LimitError) Error() string {
	if e.Most == 0 {
		return fmt.Sprintf("alarms of priority %s may not be shelved", e.Priority)
	}
	return fmt.Sprintf("alarms of priority %s may be shelved for %s at most", e.Priority, e.Most)
}

var (
	ErrNotShelved   = errors.New("the alarm isn't shelved")
	ErrOutOfService = errors.New("the alarm is out of service")
	ErrInService    = errors.New("the alarm isn't out of service")
)

// Deed is who does something, when and why.
type Deed struct {
	At     telemetry.Micros
	By     string
	Reason string
}

// Shelve keeps an alarm, and whatever its condition raises meanwhile, from being
// announced for some time. One that is shelved may be shelved anew, each time for as long
// as the limits allow from then on. ErrOutOfService and *LimitError leave everything as it
// was.
func Shelve(ctx context.Context, s *store.Store, id string, lasting time.Duration, limits Limits, d Deed) (Alarm, error) {
	return handle(ctx, s, id, Shelved, d, func(a Alarm) (*Handling, error) {
		if a.Handling != nil && a.Handling.State == OutOfService {
			return nil, ErrOutOfService
		}
		if most := limits[a.Priority]; lasting > most {
			return nil, &LimitError{a.Priority, most}
		}
		until := d.At + telemetry.Micros(lasting.Microseconds())
		return &Handling{State: Shelved, Since: d.At, Until: &until, By: d.By, Reason: d.Reason}, nil
	})
}

// Unshelve ends Shelve. ErrNotShelved leaves everything as it was.
func Unshelve(ctx context.Context, s *store.Store, id string, d Deed) (Alarm, error) {
	return handle(ctx, s, id, Unshelved, d, func(a Alarm) (*Handling, error) {
		if a.Handling == nil || a.Handling.State != Shelved {
			return nil, ErrNotShelved
		}
		return nil, nil
	})
}

// TakeOutOfService keeps an alarm, and whatever its condition raises from then on, from
// being announced until ReturnToService. ErrOutOfService leaves everything as it was.
func TakeOutOfService(ctx context.Context, s *store.Store, id string, d Deed) (Alarm, error) {
	return handle(ctx, s, id, OutOfService, d, func(a Alarm) (*Handling, error) {
		if a.Handling != nil && a.Handling.State == OutOfService {
			return nil, ErrOutOfService
		}
		return &Handling{State: OutOfService, Since: d.At, By: d.By, Reason: d.Reason}, nil
	})
}

// ReturnToService ends TakeOutOfService. ErrInService leaves everything as it was.
func ReturnToService(ctx context.Context, s *store.Store, id string, d Deed) (Alarm, error) {
	return handle(ctx, s, id, InService, d, func(a Alarm) (*Handling, error) {
		if a.Handling == nil || a.Handling.State != OutOfService {
			return nil, ErrInService
		}
		return nil, nil
	})
}

// handle gives the alarm's condition the handling that next wants.
func handle(ctx context.Context, s *store.Store, id string, action Action, d Deed, next func(Alarm) (*Handling, error)) (a Alarm, err error) {
	err = s.Write(ctx, func(t *store.Tx) error {
		if a, err = find(t, id); err != nil {
			return err
		}
		if a.ID == "" {
			return ErrNotFound
		}
		to, err := next(a)
		if err != nil {
			return err
		}
		if err := setHandling(t, a, to, action, d); err != nil {
			return err
		}
		a, err = find(t, id)
		return err
	})
	if err != nil {
		return Alarm{}, fmt.Errorf("alarm %s: %s: %w", id, action, err)
	}
	return a, nil
}

// setHandling changes that of the condition of a, of each of its alarms that are open, and
// of a itself.
func setHandling(t *store.Tx, a Alarm, to *Handling, action Action, d Deed) error {
	of := a.condition()
	state, detail := "", d.Reason
	if _, err := t.Exec(`DELETE FROM alarm_shelf WHERE `+ofCondition, of.args()...); err != nil {
		return err
	}
	if to != nil {
		state = string(to.State)
		var ends telemetry.Micros
		if to.Until != nil {
			ends = *to.Until
			detail = "until " + ends.Moment().Format(time.RFC3339) + ": " + d.Reason
		}
		newest := a.ID
		err := t.QueryRow(`SELECT id FROM alarm WHERE `+ofCondition+` ORDER BY raised DESC, id DESC LIMIT 1`, of.args(), &newest)
		if err != nil {
			return err
		}
		_, err = t.Exec(`INSERT INTO alarm_shelf (gateway, rule, asset, device, handling, since, ends, actor, reason, alarm) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			append(of.args(), state, int64(to.Since), int64(ends), to.By, to.Reason, newest)...)
		if err != nil {
			return err
		}
	}
	var ids []string
	err := t.Each(func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT id FROM alarm WHERE `+ofCondition+` AND (active OR NOT acknowledged OR handling <> '' OR id = ?) ORDER BY raised, id`, append(of.args(), a.ID)...)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := t.Exec(`UPDATE alarm SET handling = ? WHERE id = ?`, state, id); err != nil {
			return err
		}
		if err := quieten(t, id, Change{Action: action, At: d.At, By: d.By, Comment: d.Reason}); err != nil {
			return err
		}
	}
	return t.Audit(store.Change{At: d.At, By: d.By, Action: deeds[action], Subject: "alarm " + a.ID, Detail: detail})
}

// quieten tells of an alarm whose handling or suppression has changed. One that nothing
// keeps quiet any more and that nobody has been told of is announced now.
func quieten(t *store.Tx, id string, c Change) error {
	a, err := find(t, id)
	if err != nil {
		return err
	}
	announced := a.announcedNow()
	if announced {
		if _, err := t.Exec(`UPDATE alarm SET unannounced = FALSE WHERE id = ?`, id); err != nil {
			return err
		}
		a.Unannounced = false
	}
	return note(t, a, c, announced)
}

// inherit gives an alarm that was raised the handling of its condition, and says whether
// it is quiet. What its condition raised before is only kept in the list while it is open.
func inherit(t *store.Tx, a Alarm) (quiet bool, err error) {
	var state string
	err = t.QueryRow(`SELECT handling FROM alarm_shelf WHERE `+ofCondition, a.condition().args(), &state)
	if errors.Is(err, sql.ErrNoRows) {
		return a.SuppressedBy != "", nil
	}
	if err != nil {
		return false, err
	}
	if _, err := t.Exec(`UPDATE alarm SET handling = ? WHERE id = ?`, state, a.ID); err != nil {
		return false, err
	}
	if _, err := t.Exec(`UPDATE alarm_shelf SET alarm = ? WHERE `+ofCondition, append([]any{a.ID}, a.condition().args()...)...); err != nil {
		return false, err
	}
	var over []string
	err = t.Each(func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		over = append(over, id)
		return err
	}, `SELECT id FROM alarm WHERE `+ofCondition+` AND handling <> '' AND NOT active AND acknowledged AND id <> ?`, append(a.condition().args(), a.ID)...)
	for _, id := range over {
		if err == nil {
			err = leaveList(t, id, a.Raised)
		}
	}
	return true, err
}

func leaveList(t *store.Tx, id string, at telemetry.Micros) error {
	if _, err := t.Exec(`UPDATE alarm SET handling = '' WHERE id = ?`, id); err != nil {
		return err
	}
	a, err := find(t, id)
	if err != nil {
		return err
	}
	_, err = t.AddFact(FactKind, at, a)
	return err
}

// expireEvery is how often shelves are looked at.
const expireEvery = time.Second

// expire unshelves the alarms whose time is over.
func expire(ctx context.Context, s *store.Store, now telemetry.Micros) error {
	const due = ` FROM alarm_shelf WHERE ends > 0 AND ends <= ?`
	var n int
	err := s.Read(ctx, func(t *store.Tx) error { return t.QueryRow(`SELECT COUNT(*)`+due, []any{int64(now)}, &n) })
	if err != nil || n == 0 {
		return err
	}
	return s.Write(ctx, func(t *store.Tx) error {
		var ids []string
		err := t.Each(func(r *sql.Rows) error {
			var id string
			err := r.Scan(&id)
			ids = append(ids, id)
			return err
		}, `SELECT alarm`+due+` ORDER BY ends, alarm`, int64(now))
		for _, id := range ids {
			if err != nil {
				return err
			}
			var a Alarm
			if a, err = find(t, id); err == nil {
				err = setHandling(t, a, nil, Unshelved, Deed{At: now, By: "cloud", Reason: "The time that it was shelved for is over"})
			}
		}
		return err
	})
}

// Shelf is a condition that people keep from being announced, and its newest alarm.
type Shelf struct {
	Handling
	Alarm    string             `json:"alarm" doc:"The newest one of the condition"`
	Gateway  string             `json:"gateway"`
	Zone     string             `json:"zone"` // of the gateway
	Rule     string             `json:"rule"`
	Asset    string             `json:"asset"`
	Device   string             `json:"device"`
	Priority telemetry.Priority `json:"priority" enum:"low,medium,high,critical"`
	Summary  string             `json:"summary"`
	Active   bool               `json:"active"`
}

// Shelves lists all of them, those that began first first.
func Shelves(ctx context.Context, s *store.Store) (list []Shelf, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		list = []Shelf{}
		return t.Each(func(r *sql.Rows) error {
			var f Shelf
			var ends telemetry.Micros
			err := r.Scan(&f.State, &f.Since, &ends, &f.By, &f.Reason, &f.Alarm, &f.Gateway, &f.Zone, &f.Rule, &f.Asset, &f.Device, &f.Priority, &f.Summary, &f.Active)
			if ends != 0 {
				f.Until = &ends
			}
			list = append(list, f)
			return err
		}, `SELECT s.handling, s.since, s.ends, s.actor, s.reason, s.alarm, s.gateway, `+zone+`, s.rule, s.asset, s.device, a.priority, a.summary, a.active
			FROM alarm_shelf s JOIN alarm a ON a.id = s.alarm JOIN gateway g ON g.id = s.gateway WHERE `+Seen(t)+` ORDER BY s.since, s.alarm`)
	})
	if err != nil {
		return nil, fmt.Errorf("alarm: list what is shelved: %w", err)
	}
	return list, nil
}
