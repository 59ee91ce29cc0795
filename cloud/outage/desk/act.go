package desk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Act takes a step with an outage, as a person does. revision, unless it is 0, is that of
// the outage that the person has seen: an ErrRevision says that it has changed since. A
// *lifecycle.Refused leaves everything as it was.
func Act(ctx context.Context, s *store.Store, id string, revision int64, step lifecycle.Step) (o Outage, err error) {
	err = s.Write(ctx, func(t *store.Tx) error {
		if o, err = find(t, id); err != nil {
			return err
		}
		if revision != 0 && o.Revision != revision {
			return ErrRevision
		}
		if step.Action == lifecycle.Merge {
			if step.Into == id {
				return &lifecycle.Refused{Step: step.Action, State: o.State, Reason: "it can't be part of itself"}
			}
			into, err := find(t, step.Into)
			if err != nil {
				return err
			}
			if why := o.cantBeOf(into); why != "" {
				return &lifecycle.Refused{Step: step.Action, State: o.State, Reason: why}
			}
		}
		detail, err := o.take(step)
		if err != nil {
			return err
		}
		if step.Action == lifecycle.Split {
			if detail, err = split(t, o, step); err != nil {
				return err
			}
		}
		switch step.Action {
		case lifecycle.Estimate:
			err = keepEstimate(t, o)
		case lifecycle.Merge: // they have been without supply since they lost it, and not since the other one began
			_, err = t.Exec(`INSERT INTO outage_point (outage, point, customers, since, until)
				SELECT ?, point, customers, since, 0 FROM outage_point WHERE outage = ? AND until = 0 ON CONFLICT (outage, point) DO NOTHING`, step.Into, id)
		}
		if err != nil {
			return err
		}
		if err := crewsFollow(t, o, step); err != nil {
			return err
		}
		if err := alarmFollows(t, &o, step.At); err != nil {
			return err
		}
		if err := save(t, &o, 0, entry{step.At, step.Action, step.By, step.Why, detail}); err != nil {
			return err
		}
		if err := tellEngine(t, id, step); err != nil {
			return err
		}
		if o, err = find(t, id); err != nil {
			return err
		}
		text := detail
		if step.Why != "" {
			text = cmp.Or(text, string(step.Action)) + ": " + step.Why
		}
		return t.Audit(store.Change{At: step.At, By: step.By, Action: "outage-" + string(step.Action), Subject: "outage " + id, Detail: text})
	})
	if err != nil {
		return Outage{}, fmt.Errorf("outage %s: %s: %w", id, step.Action, err)
	}
	return o, nil
}

// take takes a step, and says in words what it has changed.
func (o *Outage) take(step lifecycle.Step) (detail string, err error) {
	before := lifecycle.Outage{State: o.State, Crew: o.Crew, Report: o.Report, Expected: o.Expected, Verdict: o.Verdict, Into: o.MergedInto}
	after, err := before.Take(step)
	if err != nil {
		return "", err
	}
	o.State, o.Crew, o.Report, o.Expected, o.Verdict, o.MergedInto = after.State, after.Crew, after.Report, after.Expected, after.Verdict, after.Into
	at := step.At
	switch {
	case !after.State.Over():
		o.Over = nil
	case !before.State.Over():
		o.Over = &at
	}
	switch step.Action {
	case lifecycle.Restore:
		o.Restored = &at
	case lifecycle.Relapse:
		o.Restored = nil
	}
	return lifecycle.Difference(before, after), nil
}

// cantBeOf is why an outage can't be merged into another one; "" if it can. One whose supply is
// back, by people or by evidence, would hide what is still out, as would one that is planned.
func (o *Outage) cantBeOf(into Outage) string {
	planned := string(outage.Planned)
	switch says := outage.State(into.Evidence); {
	case !into.State.Out(), says.Over(), says == outage.Restored:
		return "in the other one supply is back"
	case o.DeviceKind == "service_point":
		return "it is of one service point"
	case into.Class == planned && o.Class != planned:
		return "the other one is planned, and this one isn't"
	}
	return ""
}

// split says that what has opened are other devices than the one of the outage.
func split(t *store.Tx, o Outage, step lifecycle.Step) (detail string, err error) {
	say := func(asset, position string) error {
		_, err := operate(t, Operated{Asset: asset, Position: position, At: step.At, By: step.By, Comment: step.Why})
		if err != nil {
			err = fmt.Errorf("%s is %s: %w", asset, position, err)
		}
		return err
	}
	closed := ""
	if o.DeviceKind == "switch" || o.DeviceKind == "line" || o.DeviceKind == "transformer" {
		if !slices.Contains(step.Devices, o.Device) {
			closed = o.Device
		}
	}
	if closed != "" {
		list, err := switchings(t, ` WHERE s.asset = ?`, closed)
		if err != nil {
			return "", err
		}
		if len(list) > 0 && (list[0].Position == "open" || list[0].Cut) {
			return "", &lifecycle.Refused{Step: step.Action, State: o.State, Reason: closed + " is told to be open"}
		}
		if err := say(closed, "closed"); err != nil && !errors.Is(err, ErrMeasured) { // then it is measured to be closed
			return "", err
		}
	}
	for _, id := range step.Devices {
		err := say(id, "open")
		if errors.Is(err, ErrMeasured) {
			list, read := switchings(t, ` WHERE s.asset = ?`, id)
			if read != nil {
				return "", read
			}
			if len(list) > 0 && list[0].Position == "open" {
				err = nil // as it is measured
			}
		}
		if err != nil {
			return "", err
		}
	}
	return "open: " + strings.Join(step.Devices, ", "), nil
}

// keepEstimate keeps when supply is expected back, so that it can be said how right that was.
func keepEstimate(t *store.Tx, o Outage) error {
	e := o.Expected
	_, err := t.Exec(`INSERT INTO outage_estimate (outage, at, p50, p80, actor) VALUES (?, ?, ?, ?, ?) ON CONFLICT (outage, at) DO UPDATE SET p50 = excluded.p50, p80 = excluded.p80, actor = excluded.actor`,
		o.ID, int64(e.At), int64(e.P50), int64(e.P80), e.By)
	return err
}

// crewsFollow keeps with the crews what a step says of them.
func crewsFollow(t *store.Tx, o Outage, step lifecycle.Step) error {
	state := map[lifecycle.Action]string{lifecycle.Assign: "assigned", lifecycle.SetOff: "en-route", lifecycle.Arrive: "on-site"}[step.Action]
	free := step.Action == lifecycle.Unassign || step.Action == lifecycle.Assign || o.State.Over() || o.State == lifecycle.Verified
	if free {
		if _, err := t.Exec(`UPDATE crew SET state = 'available', outage = '', actor = ?, at = ? WHERE outage = ?`, step.By, int64(step.At), o.ID); err != nil {
			return err
		}
	}
	if state == "" || o.Crew == "" {
		return nil
	}
	c, err := crew(t, o.Crew)
	switch {
	case err != nil:
		return err
	case step.Action == lifecycle.Assign && c.Outage != "" && c.Outage != o.ID:
		return ErrCrewBusy
	}
	_, err = t.Exec(`UPDATE crew SET state = ?, outage = ?, actor = ?, at = ? WHERE id = ?`, state, o.ID, step.By, int64(step.At), o.Crew)
	return err
}

// alarmFollows ends the alarm of an outage when supply is back, or when there was none. The
// alarms that it stands for wait for what is verified.
func alarmFollows(t *store.Tx, o *Outage, at telemetry.Micros) error {
	if o.Alarm == "" {
		return nil
	}
	if o.State.Out() {
		return alarm.RaiseOutage(t, o.alarm(at))
	}
	if err := alarm.ClearOutage(t, o.alarm(at)); err != nil || o.State == lifecycle.Restored {
		return err
	}
	return alarm.FreeOutage(t, o.alarm(at), o.State != lifecycle.Dismissed)
}

// alarm is the one that stands for the outage.
func (o *Outage) alarm(at telemetry.Micros) alarm.OfOutage {
	where := cmp.Or(o.Device, o.Feeder)
	planned := o.Class == string(outage.Planned)
	priority, what := telemetry.High, "Outage"
	switch {
	case planned && o.Announced == nil:
		priority, what = telemetry.Low, "Planned outage"
	case planned:
		priority, what = telemetry.Medium, "Planned outage is over its time"
	}
	if o.Critical > 0 {
		priority = telemetry.Critical
	}
	if o.CustomersOut == 0 && o.Lossy > 0 {
		what = "Phases lost"
	}
	return alarm.OfOutage{ID: o.ID, Zone: o.Zone, Asset: where, Priority: priority, At: at, Began: o.Began, Planned: planned && o.Announced == nil,
		Summary: fmt.Sprintf("%s behind %s: %d customers without supply", what, cmp.Or(o.DeviceName, where, "an unknown device"), o.CustomersOut)}
}

// tellEngine has the engine know what a person has said.
func tellEngine(t *store.Tx, id string, step lifecycle.Step) error {
	kind := map[lifecycle.Action]outage.Kind{lifecycle.Confirm: outage.Confirm, lifecycle.Dismiss: outage.Deny, lifecycle.Merge: outage.Merge}[step.Action]
	if kind == "" {
		return nil
	}
	return evidence.Note(t, evidence.Observation{Comment: step.Why, Evidence: outage.Evidence{Kind: kind, Arrival: int64(step.At), Source: int64(step.At), Incident: id, Into: step.Into, By: step.By}})
}

// Now is the time of a step that is taken now.
func Now() telemetry.Micros { return telemetry.MicrosOf(time.Now()) }

// Summarise sums up the outages that go on.
func Summarise(ctx context.Context, s *store.Store) (sum Summary, err error) {
	sum.Feeders = []FeederSummary{}
	err = s.Ask(ctx, func(t *store.Tx) error {
		list, err := read(t, selectOutage+`WHERE o.over = 0 AND `+t.SeenAsset("o.zone"))
		for _, o := range list {
			sum.Outages++
			switch {
			case o.Class == string(outage.Planned):
				sum.Planned++
			case o.Announced == nil:
				sum.Unannounced++
			}
			sum.CustomersOut += o.CustomersOut
			sum.PointsOut += o.PointsOut
			sum.Critical += o.Critical
			at := slices.IndexFunc(sum.Feeders, func(f FeederSummary) bool { return f.Feeder == o.Feeder })
			if at < 0 {
				at, sum.Feeders = len(sum.Feeders), append(sum.Feeders, FeederSummary{Feeder: o.Feeder})
			}
			sum.Feeders[at].Outages++
			sum.Feeders[at].CustomersOut += o.CustomersOut
		}
		return err
	})
	slices.SortStableFunc(sum.Feeders, func(a, b FeederSummary) int {
		return cmp.Or(cmp.Compare(b.CustomersOut, a.CustomersOut), cmp.Compare(a.Feeder, b.Feeder))
	})
	if err != nil {
		return Summary{}, fmt.Errorf("outages: sum up: %w", err)
	}
	return sum, nil
}
