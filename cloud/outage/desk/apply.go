package desk

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// The entries of a timeline that are no steps of the life cycle.
const (
	suspect  lifecycle.Action = "suspect"
	announce lifecycle.Action = "announce"
	stepped  lifecycle.Action = "step"
)

func (s *session) applyAll(t *store.Tx, changes []outage.Change) error {
	for _, c := range changes {
		if err := apply(t, s.network, c); err != nil {
			return fmt.Errorf("outage %s: %s: %w", c.Incident.ID, c.Kind, err)
		}
	}
	return nil
}

// apply makes of a change of what the evidence says one of the outage that people see. One
// that is stored already changes nothing.
func apply(t *store.Tx, n *network.Network, c outage.Change) error {
	i := &c.Incident
	told, err := toldOf(t, i.ID)
	if err != nil || told >= i.Revision {
		return err
	}
	at := telemetry.Micros(c.At)
	var o Outage
	if told < 0 {
		o = Outage{ID: i.ID, State: lifecycle.Suspected, Found: at, Candidates: []Candidate{}}
	} else if o, err = find(t, i.ID); err != nil {
		return err
	}
	before := o
	o.fill(n, i)
	e := entry{At: at, Action: lifecycle.Update, By: "cloud", Detail: describe(before, o)}
	if told < 0 {
		e.Action, e.Detail = suspect, ""
		// The row that the others refer to.
		if _, err := t.Exec(`INSERT INTO outage (id, state, zone, feeder, device, alarm, found, over, told, data) VALUES (?, '', '', '', '', '', 0, 0, -1, '')`, o.ID); err != nil {
			return err
		}
	}
	if err := o.follow(c, &e); err != nil {
		return err
	}
	if err := keepPoints(t, n, i, int(before.Interruptions), at); err != nil {
		return err
	}
	if err := keepSteps(t, i); err != nil {
		return err
	}
	if err := refer(t, i); err != nil {
		return err
	}
	if err := o.tell(t, at); err != nil {
		return err
	}
	if o.State.Over() && !before.State.Over() {
		if err := crewsFollow(t, o, lifecycle.Step{Action: e.Action, At: at, By: "cloud"}); err != nil {
			return err
		}
	}
	return save(t, &o, i.Revision, e)
}

// follow takes the steps of the life cycle that follow from a change.
func (o *Outage) follow(c outage.Change, e *entry) error {
	i := &c.Incident
	do := func(action lifecycle.Action, why string, more ...func(*lifecycle.Step)) {
		step := lifecycle.Step{Action: action, At: e.At, By: "cloud", Why: why, Cloud: true}
		for _, m := range more {
			m(&step)
		}
		var refused *lifecycle.Refused
		if detail, err := o.take(step); err == nil {
			e.Action, e.Comment = action, why
			e.Detail = strings.TrimPrefix(strings.Join([]string{e.Detail, detail}, "; "), "; ")
			e.Detail = strings.TrimSuffix(e.Detail, "; ")
		} else if errors.As(err, &refused) {
			e.Comment = cmp.Or(e.Comment, why) // people have gone further
		}
	}
	early := o.State == lifecycle.Suspected || o.State == lifecycle.Probable
	switch {
	case i.State == outage.Confirmed && early:
		do(lifecycle.Confirm, "It is certain by the evidence")
	case (i.State == outage.Probable || i.Announced()) && o.State == lifecycle.Suspected:
		do(lifecycle.Find, "")
	}
	if c.Kind == outage.Announce {
		e.Action = announce
	}
	switch i.State {
	case outage.Merged:
		do(lifecycle.Merge, "The evidence shows that both are one", func(s *lifecycle.Step) { s.Into = i.MergedInto })
	case outage.Withdrawn:
		do(lifecycle.Dismiss, "The evidence doesn't show an outage any more")
	case outage.Restored, outage.Closed:
		if o.State.Out() {
			do(lifecycle.Restore, "The evidence shows supply")
			if i.RestoredAt != 0 && o.Restored != nil {
				*o.Restored = telemetry.Micros(i.RestoredAt)
			}
		}
		if i.State == outage.Closed {
			do(lifecycle.Verify, "What can be asked behind it has answered")
			if i.Class == outage.Momentary && !i.Announced() {
				do(lifecycle.Complete, "It was over before anybody was told", func(s *lifecycle.Step) { s.Momentary = true })
			}
		}
	default:
		if o.State == lifecycle.Restored || o.State == lifecycle.Verified || o.State == lifecycle.Completed {
			if c.Kind == outage.Reopened {
				do(lifecycle.Relapse, "The evidence shows no supply again")
			}
		}
	}
	if c.Kind == outage.SteppedUp && e.Action == lifecycle.Update {
		e.Action = stepped
	}
	return nil
}

// fill makes the outage what the engine says of it.
func (o *Outage) fill(n *network.Network, i *outage.Incident) {
	o.Class, o.Evidence, o.Device, o.Phases, o.Confidence = string(i.Class), string(i.State), i.Device, i.Phases.String(), i.Confidence
	o.Candidates = make([]Candidate, len(i.Candidates))
	for at, c := range i.Candidates {
		o.Candidates[at] = Candidate{c.Device, c.Confidence}
	}
	o.Feeder, o.Substation, o.Zone = i.Feeder, i.Substation, i.Zone
	o.Began, o.Earliest, o.Latest = telemetry.Micros(i.Start), telemetry.Micros(i.Earliest), telemetry.Micros(i.Latest)
	if i.AnnouncedAt != 0 {
		at := telemetry.Micros(i.AnnouncedAt)
		o.Announced = &at
	}
	o.Interruptions = int64(len(i.Interruptions))
	o.Points, o.PointsOut = int64(len(i.Ever)), int64(len(i.Out))
	o.Customers, o.CustomersOut = i.CustomersEver, i.CustomersOut
	o.Lossy, o.Critical, o.High, o.Island = int64(i.Lossy), int64(i.Critical), int64(i.High), i.Island
	o.NestedIn, o.SplitFrom, o.Plan = i.NestedIn, i.SplitFrom, i.Plan
	o.DeviceKind, o.DeviceName, o.X, o.Y = "", i.Device, nil, nil
	if n == nil {
		return
	}
	place := func(p grid.Position) {
		if o.X == nil && p.Known {
			o.X, o.Y = &p.X, &p.Y
		}
	}
	if edge := n.EdgeOf(i.Device); edge != grid.None {
		a := n.EdgeAsset(edge)
		o.DeviceKind, o.DeviceName = network.KindName(n.Edge(edge).Kind), cmp.Or(a.Name, a.ID)
		place(a.Position)
		o.Zone = cmp.Or(n.ZoneOf(i.Device), o.Zone)
	} else if point := n.PointOf(i.Device); point != grid.None {
		a := n.PointAsset(point)
		o.DeviceKind, o.DeviceName = "service_point", cmp.Or(a.Name, a.ID)
		place(a.Position)
	}
	for _, id := range i.Ever[:min(len(i.Ever), 20)] {
		if point := n.PointOf(id); point != grid.None {
			place(n.PointAsset(point).Position)
			o.Zone = cmp.Or(o.Zone, n.ZoneOf(id))
		}
	}
}

// describe says in words what the evidence has changed.
func describe(before, after Outage) string {
	var parts []string
	if before.Device != after.Device && before.Device != "" {
		parts = append(parts, fmt.Sprintf("device %s, was %s", cmp.Or(after.Device, "not known"), before.Device))
	}
	if before.CustomersOut != after.CustomersOut {
		parts = append(parts, fmt.Sprintf("%d customers without supply, were %d", after.CustomersOut, before.CustomersOut))
	}
	if !before.Island && after.Island {
		parts = append(parts, "there is voltage where no source is")
	}
	return strings.Join(parts, "; ")
}

// tell keeps the one alarm of the outage: from when it is announced until supply is back,
// or of one that is planned from when it is known.
func (o *Outage) tell(t *store.Tx, at telemetry.Micros) error {
	if o.Alarm == "" {
		planned := o.Class == string(outage.Planned) && o.State != lifecycle.Suspected
		if o.Announced == nil && !planned {
			return nil
		}
		if !o.State.Out() || o.State.Over() {
			return nil // over before it could be told
		}
		o.Alarm = alarm.IDOfOutage(o.ID)
	}
	return alarmFollows(t, o, at)
}

func keepSteps(t *store.Tx, i *outage.Incident) error {
	var known int
	if err := t.QueryRow(`SELECT COUNT(*) FROM outage_step WHERE outage = ?`, []any{i.ID}, &known); err != nil {
		return err
	}
	for number := known; number < len(i.Steps); number++ {
		s := i.Steps[number]
		if _, err := t.Exec(`INSERT INTO outage_step (outage, number, at, points, customers, customers_out, tie) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			i.ID, number, s.At, len(s.Points), s.Customers, i.CustomersOut, s.Tie); err != nil {
			return err
		}
	}
	return nil
}

// refer keeps which evidence the outage rests on.
func refer(t *store.Tx, i *outage.Incident) error {
	for _, r := range i.Evidence {
		seq, err := strconv.ParseInt(r.ID, 10, 64)
		if err != nil {
			continue
		}
		if _, err := t.Exec(`INSERT INTO outage_reference (outage, evidence) VALUES (?, ?) ON CONFLICT DO NOTHING`, i.ID, seq); err != nil {
			return err
		}
	}
	return nil
}
