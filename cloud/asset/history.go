package asset

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/completeness"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// momentary is how long an interruption of a service point is at most that isn't sustained
// (IEEE 1366).
const momentary = 5 * 60_000_000

// completeness is of the last day, until whose end accounts are due.
func (l *look) completeness(ctx context.Context) error {
	c := &l.out.Completeness
	c.To = (l.now - completeness.AccountDue) / telemetry.Quarter * telemetry.Quarter
	c.From = c.To - day
	devices := l.devices()
	c.Devices = len(devices)
	if c.Devices == 0 {
		c.Unknown = NotMeasured
		return nil
	}
	c.Looked = min(c.Devices, mostDevices)
	for _, d := range devices[:c.Looked] {
		report, err := completeness.Read(ctx, l.store, completeness.Query{Gateway: d.Gateway, Device: d.Name, From: c.From, To: c.To}, l.now)
		if err != nil {
			return err
		}
		c.Quarters += report.Quarters
		for _, line := range report.Devices {
			c.Accounted += line.States[completeness.Complete] + line.States[completeness.Late] + line.States[completeness.Incomplete]
			c.Expected += line.Expected
			c.Present += line.Received + line.Suppressed
		}
	}
	if c.Accounted == 0 {
		c.Unknown = NoAccount
	}
	return nil
}

// history is what is counted of the past.
func (l *look) history(ctx context.Context) error {
	l.out.Alarms.MonthFrom, l.out.Alarms.YearFrom = l.now-30*day, l.now-365*day
	l.out.Interruptions.From = l.now - 365*day
	err := l.store.Ask(ctx, func(t *store.Tx) error {
		return errors.Join(l.alarms(t), l.interruptions(t), l.operations(t))
	})
	if err != nil {
		return fmt.Errorf("asset %q: count what was: %w", l.id, err)
	}
	return nil
}

func (l *look) alarms(t *store.Tx) error {
	a := &l.out.Alarms
	var ever int64
	err := t.QueryRow(`SELECT COUNT(*), COALESCE(SUM(CASE WHEN a.active THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN a.raised >= ? THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN a.raised >= ? THEN 1 ELSE 0 END), 0)
		FROM alarm a WHERE a.asset = ? AND `+alarm.Seen(t), []any{int64(a.MonthFrom), int64(a.YearFrom), l.id}, &ever, &a.Active, &a.Month, &a.Year)
	if ever == 0 && len(l.series) == 0 {
		a.Unknown = NotMeasured
	}
	return err
}

func (l *look) interruptions(t *store.Tx) error {
	i := &l.out.Interruptions
	switch l.row.Kind {
	case "service_point":
		return l.pointInterruptions(t)
	case "line", "switch", "transformer", "feeder":
		column := map[bool]string{true: "o.feeder", false: "o.device"}[l.row.Kind == "feeder"]
		return t.Each(func(r *sql.Rows) error {
			var data string
			var of struct{ Class outage.Class }
			err := r.Scan(&data)
			if err == nil {
				err = json.Unmarshal([]byte(data), &of)
			}
			switch of.Class {
			case outage.Momentary:
				i.Momentary++
			case outage.Planned:
				i.Planned++
				i.Sustained++
			case outage.PhaseLoss: // nobody was out
			default:
				i.Sustained++
			}
			return err
		}, `SELECT o.data FROM outage o WHERE `+column+` = ? AND o.found >= ? AND o.state NOT IN ('suspected', 'dismissed', 'merged') AND `+t.SeenAsset("o.zone"), l.id, int64(i.From))
	}
	i.Unknown = NotApplicable
	return nil
}

func (l *look) pointInterruptions(t *store.Tx) error {
	i := &l.out.Interruptions
	sum := telemetry.Micros(0)
	const part = ` AS plan FROM %s p JOIN outage o ON o.id = p.outage WHERE p.point = ? AND (p.until = 0 OR p.until >= ?) AND o.state NOT IN ('suspected', 'dismissed', 'merged')`
	const columns = `SELECT p.since, p.until, o.plan`
	err := t.Each(func(r *sql.Rows) error {
		var since, until telemetry.Micros
		var plan string
		err := r.Scan(&since, &until, &plan)
		over := until != 0
		if !over {
			until = l.now
		}
		sum += max(0, until-max(since, i.From))
		if over && until-since <= momentary {
			i.Momentary++
		} else {
			i.Sustained++
		}
		if plan != "" {
			i.Planned++
		}
		return err
	}, columns+fmt.Sprintf(part, "outage_point")+` UNION ALL `+columns+fmt.Sprintf(part, "outage_earlier"), l.id, int64(i.From), l.id, int64(i.From))
	minutes := float64(sum) / 60e6
	i.Minutes = &minutes
	return err
}

func (l *look) operations(t *store.Tx) error {
	o := &l.out.Operations
	if l.row.Kind != "switch" {
		o.Unknown = NotApplicable
		return nil
	}
	for _, s := range l.series {
		if v, at, ok := good(s); ok && s.Name == "OpCnt" && (o.CounterAt == nil || at > *o.CounterAt) {
			o.Counter, o.CounterAt = &v, &at
		}
	}
	was, year := "", l.now-365*day
	err := t.Each(func(r *sql.Rows) error {
		var at telemetry.Micros
		var is string
		err := r.Scan(&at, &is)
		if o.Since == nil {
			o.Since = &at
		}
		if was != "" && is != was {
			if at >= year {
				o.Year++
			}
			if at >= l.now-30*day {
				o.Month++
			}
		}
		was = is
		return err
	}, `SELECT at, position FROM switching_entry WHERE asset = ? AND position IN ('open', 'closed') AND at >=
		COALESCE((SELECT MAX(at) FROM switching_entry WHERE asset = ? AND position IN ('open', 'closed') AND at < ?), ?) ORDER BY at, seq`, l.id, l.id, int64(year), int64(year))
	if o.Since == nil && o.Counter == nil {
		o.Unknown = NotMeasured
	}
	return err
}

// good is the newest value of a signal, if it is a number of good quality.
func good(s store.Series) (v float64, at telemetry.Micros, ok bool) {
	if s.Latest == nil || s.Latest.Quality.Validity() != telemetry.Good {
		return 0, 0, false
	}
	v, ok = s.Latest.Value.Float()
	return v, s.Latest.Time, ok
}

// scaleOf is how many of the unit without a prefix one of a unit is; 0: it is another one.
func scaleOf(unit, of string) float64 {
	prefix, is := strings.CutSuffix(unit, of)
	if !is {
		return 0
	}
	return map[string]float64{"": 1, "k": 1e3, "M": 1e6, "m": 1e-3}[prefix]
}
