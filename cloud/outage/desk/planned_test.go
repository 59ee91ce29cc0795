package desk

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

func (r *room) network() *network.Network {
	r.Helper()
	n, err := network.NewHolder(r.store).Current(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return n
}

func seconds(n float64) telemetry.Micros { return telemetry.Micros(n * 1e6) }

func TestPlannedSwitchingFromItsEntryUntilItIsOverItsTime(t *testing.T) {
	t.Parallel()
	r := newRoom(t, 2)
	n := r.network()
	entry := Planned{Devices: []string{"t0-0"}, From: Now(), Until: Now() + seconds(3600), Reason: "A new fuse board", By: "Ana", At: Now()}
	tried, err := Plan(t.Context(), r.store, n, entry, true)
	if err != nil || tried.Customers != 40 || tried.Points != 4 || tried.Feeder != "feeder-0" || tried.Zone != "west" {
		t.Errorf("%+v, %v", tried, err)
	}
	if _, _, err := GetPlanned(t.Context(), r.store, tried.ID, Now()); !errors.Is(err, ErrNoPlan) {
		t.Errorf("what was tried is kept: %v", err)
	}
	p, err := Plan(t.Context(), r.store, n, entry, false)
	if err != nil || p.State != PlanNow {
		t.Fatalf("%+v, %v", p, err)
	}
	r.light(points(0, 4, 8)...)
	r.dark(points(0, 0, 4)...)
	o := r.one("the planned outage", func(o Outage) bool { return o.Plan == p.ID && o.Alarm != "" })
	if o.Class != "planned" || o.Announced != nil || o.CustomersOut != 40 {
		t.Errorf("%+v", o)
	}
	list := r.alarms(true)
	if len(list) != 1 || list[0].ID != o.Alarm || list[0].SuppressedBy != alarm.ByPlan || !list[0].Unannounced {
		t.Errorf("somebody is told: %+v", list)
	}
	if told, err := alarm.Annunciations(t.Context(), r.store, 0, Now()+1, 10); err != nil || len(told) != 0 {
		t.Errorf("%+v, %v", told, err)
	}
	if sum, err := Summarise(t.Context(), r.store); err != nil || sum.Planned != 1 || sum.Unannounced != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
	later := p
	later.Until, later.By, later.At = Now()+seconds(0.5), "Ben", Now()
	if _, err := Replan(t.Context(), r.store, n, later, 7, ""); !errors.Is(err, ErrRevision) {
		t.Errorf("what has changed is changed: %v", err)
	}
	if later, err = Replan(t.Context(), r.store, n, later, 1, "The crew is needed elsewhere"); err != nil || later.Revision != 2 || later.By != "Ana" || later.ChangedBy != "Ben" {
		t.Fatalf("%+v, %v", later, err)
	}
	o = r.one("its time is over", announced)
	if o.Class != "planned" {
		t.Errorf("%+v", o)
	}
	list = r.alarms(true)
	if len(list) != 1 || list[0].SuppressedBy != "" || !strings.HasPrefix(list[0].Summary, "Planned outage is over its time behind Transformer 0") || list[0].Priority != telemetry.Medium {
		t.Errorf("%+v", list)
	}
	if told, err := alarm.Annunciations(t.Context(), r.store, 0, Now()+1, 10); err != nil || len(told) != 1 || told[0].Alarm != o.Alarm {
		t.Errorf("%+v, %v", told, err)
	}
	p, history, err := GetPlanned(t.Context(), r.store, p.ID, Now())
	if err != nil || p.State != PlanOverrun || !slices.Equal(p.Outages, []string{o.ID}) || len(history) != 2 || history[1].By != "Ben" || history[1].Comment != "The crew is needed elsewhere" {
		t.Errorf("%+v %+v, %v", p, history, err)
	}
	r.light(points(0, 0, 4)...)
	r.one("supply is back", func(o Outage) bool { return o.State == lifecycle.Verified })
	if p, _, err := GetPlanned(t.Context(), r.store, p.ID, Now()); err != nil || p.State != PlanOver {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := Cancel(t.Context(), r.store, p.ID, 0, "Ana", "too late", Now()); !errors.Is(err, ErrPast) {
		t.Errorf("what is over is cancelled: %v", err)
	}
}

func TestPlannedSwitchingThatIsCancelled(t *testing.T) {
	t.Parallel()
	r := newRoom(t, 2)
	n := r.network()
	p, err := Plan(t.Context(), r.store, n, Planned{Devices: []string{"b0"}, From: Now(), Until: Now() + seconds(3600), Reason: "Works", By: "Ana", At: Now()}, false)
	if err != nil {
		t.Fatal(err)
	}
	r.light(points(1, 0, 8)...)
	r.dark(points(0, 0, 8)...)
	o := r.one("the planned outage", func(o Outage) bool { return o.Plan == p.ID && o.Alarm != "" })
	if p, err = Cancel(t.Context(), r.store, p.ID, 0, "Ben", "Nobody is there", Now()); err != nil || p.State != PlanCancelled || !p.Cancelled {
		t.Fatalf("%+v, %v", p, err)
	}
	o = r.one("an outage like any other", announced)
	if o.Class != "sustained" || o.Plan != "" {
		t.Errorf("%+v", o)
	}
	if list := r.alarms(true); len(list) != 1 || list[0].SuppressedBy != "" || list[0].Priority != telemetry.High {
		t.Errorf("%+v", list)
	}
	if _, err := Replan(t.Context(), r.store, n, p, 0, "again"); !errors.Is(err, ErrCancelled) {
		t.Errorf("what is cancelled is changed: %v", err)
	}
	if list, err := ListPlanned(t.Context(), r.store, PlannedFilter{Open: true}, Now(), store.Page[PlannedPlace]{Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := ListPlanned(t.Context(), r.store, PlannedFilter{Device: "b0"}, Now(), store.Page[PlannedPlace]{Limit: 10}); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

// A restart knows what is planned, and takes nothing for an outage that people are told of.
func TestWhoStartsAgainKnowsWhatIsPlanned(t *testing.T) {
	t.Parallel()
	r := newRoom(t, 1)
	if _, err := Plan(t.Context(), r.store, r.network(), Planned{Devices: []string{"t0-0"}, From: Now(), Until: Now() + seconds(3600), Reason: "Works", By: "Ana", At: Now()}, false); err != nil {
		t.Fatal(err)
	}
	r.light(points(0, 4, 8)...)
	r.dark(points(0, 0, 4)...)
	o := r.one("the planned outage", func(o Outage) bool { return o.Class == "planned" })
	r.stop()
	r.start()
	r.dark(points(0, 0, 4)...)
	r.light(points(0, 4, 8)...)
	if after := r.one("the same", func(after Outage) bool { return after.Alarm != "" }); after.ID != o.ID || after.Class != "planned" || after.Announced != nil {
		t.Errorf("%+v", after)
	}
}

func TestRefusedPlans(t *testing.T) {
	t.Parallel()
	r := newRoom(t, 1)
	n := r.network()
	good := Planned{Devices: []string{"t0-0"}, From: Now(), Until: Now() + seconds(60), Reason: "Works", By: "Ana", At: Now()}
	east := store.InZones(t.Context(), []string{"east"})
	for name, c := range map[string]struct {
		change func(*Planned)
		want   error
	}{
		"no such device":    {func(p *Planned) { p.Devices = []string{"t0-0", "x"} }, ErrNoAsset},
		"what doesn't open": {func(p *Planned) { p.Devices = []string{"bar"} }, ErrNoAsset},
		"of the past":       {func(p *Planned) { p.From, p.Until = 1, 2 }, ErrPast},
	} {
		p := good
		c.change(&p)
		if _, err := Plan(t.Context(), r.store, n, p, false); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Plan(east, r.store, n, good, false); !errors.Is(err, ErrNoAsset) {
		t.Errorf("of another zone: %v", err)
	}
	p, err := Plan(t.Context(), r.store, n, good, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Cancel(east, r.store, p.ID, 0, "Eve", "no", Now()); !errors.Is(err, ErrNoPlan) {
		t.Errorf("of another zone: %v", err)
	}
	if list, err := ListPlanned(east, r.store, PlannedFilter{}, Now(), store.Page[PlannedPlace]{Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("of another zone: %+v, %v", list, err)
	}
}

// One that the meters show at the breaker is two transformers, says somebody who was there.
func TestAnOutageIsSplit(t *testing.T) {
	t.Parallel()
	r := newRoom(t, 2)
	r.light(points(1, 0, 8)...)
	r.dark(points(0, 0, 8)...)
	o := r.one("an outage of the feeder", announced)
	if o.Device != "b0" {
		t.Fatalf("%+v", o)
	}
	split := lifecycle.Step{Action: lifecycle.Split, At: Now(), By: "Ana", Devices: []string{"t0-0", "t0-1"}, Why: "The breaker is closed, both fuses are out"}
	for name, step := range map[string]lifecycle.Step{
		"no devices":     {Action: lifecycle.Split, At: Now(), By: "Ana", Why: "so"},
		"no reason":      {Action: lifecycle.Split, At: Now(), By: "Ana", Devices: []string{"t0-0"}},
		"no such device": {Action: lifecycle.Split, At: Now(), By: "Ana", Devices: []string{"x"}, Why: "so"},
	} {
		if _, err := Act(t.Context(), r.store, o.ID, 0, step); err == nil {
			t.Errorf("%s: it is split", name)
		}
	}
	if _, err := Act(t.Context(), r.store, o.ID, 0, split); err != nil {
		t.Fatal(err)
	}
	var list []Outage
	await.True(r, "two outages", func() bool {
		list = r.list(t.Context(), true)
		return len(list) == 2 && list[0].CustomersOut == 40 && list[1].CustomersOut == 40 && announced(list[0]) && announced(list[1])
	})
	slices.SortFunc(list, func(a, b Outage) int { return strings.Compare(a.Device, b.Device) })
	if list[0].Device != "t0-0" || list[1].Device != "t0-1" || list[0].ID != o.ID && list[1].ID != o.ID {
		t.Errorf("%+v", list)
	}
	open, err := Switchings(t.Context(), r.store, store.Page[string]{Limit: 10})
	if err != nil || len(open) != 3 || open[0].Position != "closed" || open[1].Position != "open" || open[2].By != "Ana" {
		t.Errorf("%+v, %v", open, err)
	}
	if _, entries, _ := r.get(o.ID); !slices.ContainsFunc(entries, func(e OutageEntry) bool {
		return e.Action == lifecycle.Split && e.By == "Ana" && strings.Contains(e.Detail, "t0-0, t0-1") && e.Comment == split.Why
	}) {
		t.Errorf("%+v", entries)
	}
}

func TestOutagesThatPeopleMerge(t *testing.T) {
	t.Parallel()
	r := newRoom(t, 3)
	r.light(append(points(0, 4, 8), points(1, 4, 8)...)...)
	r.dark(points(0, 0, 4)...)
	first := r.one("the first outage", announced)
	r.dark(points(1, 0, 4)...)
	var second Outage
	await.True(r, "the second outage", func() bool {
		list := r.list(t.Context(), true)
		second = list[0]
		return len(list) == 2 && announced(second)
	})
	r.act(second.ID, lifecycle.Step{Action: lifecycle.Merge, Into: first.ID, Why: "One fault"})
	o := r.one("one outage of both", func(o Outage) bool { return o.CustomersOut == 80 && o.Points == 8 })
	if o.ID != first.ID {
		t.Errorf("%+v", o)
	}
	list, err := Points(t.Context(), r.store, o.ID, store.Page[string]{Limit: 10})
	if err != nil || len(list) != 8 || list[0].Since != first.Began || list[7].ID != "p1-3" || list[7].Since != second.Began {
		t.Errorf("%+v, %v, began %d and %d", list, err, first.Began, second.Began)
	}
	r.light(append(points(0, 0, 4), points(1, 0, 4)...)...)
	r.one("all have supply", func(o Outage) bool { return o.State == lifecycle.Verified })
	if alarms := r.alarms(true); slices.ContainsFunc(alarms, func(a alarm.Alarm) bool { return a.Active }) {
		t.Errorf("%+v", alarms)
	}
}

// Who enters a position says when it was operated, and no position that is measured.
func TestASwitchThatIsMeasuredIsAsItIsMeasured(t *testing.T) {
	t.Parallel()
	r := newRoom(t, 1)
	err := r.store.Write(t.Context(), func(tx *store.Tx) error {
		return measured(tx, Switching{Asset: "b0", Position: "closed", Gateway: "gw", By: "telemetry", At: Now(), Comment: asNormal})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Operate(t.Context(), r.store, Operated{Asset: "b0", Position: "open", At: Now(), By: "Ana", Comment: "so"}); !errors.Is(err, ErrMeasured) {
		t.Errorf("what is measured to be closed is entered as open: %v", err)
	}
	tag := "crew at work"
	if _, err := Operate(t.Context(), r.store, Operated{Asset: "b0", Tag: &tag, At: Now(), By: "Ana", Comment: "so"}); err != nil {
		t.Errorf("it can't be tagged: %v", err)
	}
	since := Now() - seconds(120)
	if s, err := Operate(t.Context(), r.store, Operated{Asset: "t0-0", Position: "open", Since: since, At: Now(), By: "Ana", Comment: "so"}); err != nil || s.At != since {
		t.Errorf("%+v, %v", s, err)
	}
	if o := r.one("an outage from then on", announced); o.Began != since {
		t.Errorf("%+v, operated at %d", o, since)
	}
}
