package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/test/await"
)

// room is a control room: a network of feeders with transformers and meters, and a runner
// over it.
type room struct {
	*testing.T
	store *store.Store
	stop  func()
}

// town is so many feeders, each with two transformers of four service points.
func town(feeders int) string {
	var b strings.Builder
	b.WriteString("zones: [{id: west}, {id: east}]\nsubstations: [{id: station, zone: west, position: 9.4 51.3}]\nsources: [{id: source, node: bar}]\nnodes: [{id: bar, type: busbar, substation: station, voltage: 20 kV}]\n")
	list := func(name string, line func(f int) string) {
		b.WriteString(name + ":\n")
		for f := range feeders {
			b.WriteString(line(f))
		}
	}
	list("switches", func(f int) string {
		return fmt.Sprintf("  - {id: b%d, from: bar, to: f%d, type: breaker, substation: station}\n", f, f)
	})
	list("feeders", func(f int) string { return fmt.Sprintf("  - {id: feeder-%d, head: b%d, substation: station}\n", f, f) })
	list("transformers", func(f int) (text string) {
		for n := range 2 {
			text += fmt.Sprintf("  - {id: t%d-%d, name: Transformer %d, from: f%d, to: n%d-%d, high_voltage: 20 kV, low_voltage: 400 V, rated_power: 400 kVA, position: 9.5 51.4, zone: %s}\n", f, n, n, f, f, n, []string{"west", "east"}[n])
		}
		return text
	})
	list("service_points", func(f int) (text string) {
		for n := range 8 {
			text += fmt.Sprintf("  - {id: p%d-%d, node: n%d-%d, customers: 10}\n", f, n, f, n/4)
		}
		return text
	})
	return b.String()
}

func newRoom(t *testing.T, feeders int) *room {
	r := &room{T: t, store: storetest.Open(t)}
	m, findings := gridfile.ReadYAML("town.yaml", []byte(town(feeders)))
	if _, err := (network.Import{Model: m, Read: findings, By: "test", Now: time.Now()}).Save(t.Context(), r.store); err != nil {
		t.Fatal(err, m.Check(0))
	}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

// start runs a runner that doesn't wait as long as others.
func (r *room) start() {
	r.Helper()
	c := outage.Defaults()
	c.Settle, c.Hurry = 200*time.Millisecond, 500*time.Millisecond
	c.BreakerReclose, c.RecloserReclose = 300*time.Millisecond, 300*time.Millisecond
	c.Return, c.Restoring, c.Verify = 100*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		New(Config{Store: r.store, Logger: slog.New(slog.NewTextHandler(r.Output(), nil)), Engine: &c}).Run(ctx)
	})
	r.stop = func() { cancel(); running.Wait() }
}

func (r *room) note(list ...outage.Evidence) {
	r.Helper()
	err := r.store.Write(r.Context(), func(t *store.Tx) error {
		for _, v := range list {
			v.Arrival = int64(Now())
			if err := evidence.Note(t, evidence.Observation{Evidence: v}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}

// dark has the meters at points read no voltage, light has them read it again. Their
// gateway has its supply in the station.
func (r *room) dark(points ...string) { r.volts(0, points...) }

func (r *room) light(points ...string) { r.volts(100, points...) }

func (r *room) volts(percent uint8, points ...string) {
	r.Helper()
	list := []outage.Evidence{{Kind: outage.Gateway, Asset: "station", Gateway: "gw"}}
	for _, p := range points {
		list = append(list, outage.Evidence{Kind: outage.Meter, Asset: p, Gateway: "gw"}, outage.Evidence{Kind: outage.Voltage, Asset: p, Gateway: "gw", Levels: &outage.Levels{percent, percent, percent}})
	}
	r.note(list...)
}

func points(feeder, from, to int) (list []string) {
	for n := from; n < to; n++ {
		list = append(list, fmt.Sprintf("p%d-%d", feeder, n))
	}
	return list
}

func (r *room) list(ctx context.Context, open bool) []Outage {
	r.Helper()
	_, list, err := List(ctx, r.store, Filter{Open: open}, store.Page[Place]{Limit: 1000})
	if err != nil {
		r.Fatal(err)
	}
	return list
}

// one waits for the one outage that goes on to be so.
func (r *room) one(what string, is func(Outage) bool) (o Outage) {
	r.Helper()
	await.True(r, what, func() bool {
		list := r.list(r.Context(), true)
		if len(list) != 1 {
			return false
		}
		o = list[0]
		return is(o)
	})
	return o
}

func (r *room) get(id string) (Outage, []OutageEntry, []Step) {
	r.Helper()
	o, entries, steps, err := Get(r.Context(), r.store, id)
	if err != nil {
		r.Fatal(err)
	}
	return o, entries, steps
}

func (r *room) act(id string, step lifecycle.Step) Outage {
	r.Helper()
	step.At, step.By = Now(), "Ana"
	o, err := Act(r.Context(), r.store, id, 0, step)
	if err != nil {
		r.Fatal(err)
	}
	return o
}

func (r *room) alarms(open bool) []alarm.Alarm {
	r.Helper()
	_, list, err := alarm.List(r.Context(), r.store, open, store.Page[alarm.Place]{Limit: 1000})
	if err != nil {
		r.Fatal(err)
	}
	return list
}

func announced(o Outage) bool { return o.Announced != nil && o.Alarm != "" }

func TestAnOutageFromSuspicionToItsReport(t *testing.T) {
	r := newRoom(t, 2)
	r.light(points(0, 4, 8)...)
	r.dark(points(0, 0, 4)...)
	o := r.one("an outage of the transformer", announced)
	if o.Device != "t0-0" || o.DeviceKind != "transformer" || o.DeviceName != "Transformer 0" || o.Zone != "west" || o.Feeder != "feeder-0" ||
		o.CustomersOut != 40 || o.PointsOut != 4 || o.X == nil || o.State != lifecycle.Probable {
		t.Errorf("%+v", o)
	}
	list := r.alarms(true)
	if len(list) != 1 || list[0].ID != o.Alarm || !list[0].Active || list[0].Kind != alarm.OfCloud || list[0].Zone != "west" || list[0].Asset != "t0-0" {
		t.Errorf("%+v", list)
	}
	if _, err := alarm.Acknowledge(t.Context(), r.store, o.Alarm, "Ana", "", Now()); err != nil {
		t.Fatal(err)
	}
	if o, _, _ := r.get(o.ID); !o.Acknowledged || o.AcknowledgedBy != "Ana" {
		t.Errorf("%+v", o)
	}
	if _, err := SaveCrew(t.Context(), r.store, Crew{ID: "north", Name: "North", State: "available", By: "Ana", At: Now()}); err != nil {
		t.Fatal(err)
	}
	_, err := Act(t.Context(), r.store, o.ID, 0, lifecycle.Step{Action: lifecycle.Complete, At: Now(), By: "Ana"})
	var refused *lifecycle.Refused
	if !errors.As(err, &refused) {
		t.Errorf("completed at once: %v", err)
	}
	if _, err := Act(t.Context(), r.store, o.ID, 1, lifecycle.Step{Action: lifecycle.Confirm, At: Now(), By: "Ana"}); !errors.Is(err, ErrRevision) {
		t.Errorf("a step with what has changed: %v", err)
	}
	r.act(o.ID, lifecycle.Step{Action: lifecycle.Confirm, Why: "Three have called"})
	r.act(o.ID, lifecycle.Step{Action: lifecycle.Assign, Crew: "north"})
	r.act(o.ID, lifecycle.Step{Action: lifecycle.SetOff})
	r.act(o.ID, lifecycle.Step{Action: lifecycle.Arrive})
	if crews, err := Crews(t.Context(), r.store); err != nil || len(crews) != 1 || crews[0].State != "on-site" || crews[0].Outage != o.ID {
		t.Errorf("%+v, %v", crews, err)
	}
	r.act(o.ID, lifecycle.Step{Action: lifecycle.Estimate, Expected: lifecycle.Estimated{P50: Now() + 1e6, P80: Now() + 2e6}})
	r.light(points(0, 0, 4)...)
	o = r.one("supply is back and verified", func(o Outage) bool { return o.State == lifecycle.Verified })
	if o.CustomersOut != 0 || o.Restored == nil || o.Crew != "north" {
		t.Errorf("%+v", o)
	}
	if list := r.alarms(true); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	if _, err := Act(t.Context(), r.store, o.ID, 0, lifecycle.Step{Action: lifecycle.Complete, At: Now(), By: "Ana"}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "cause, failure, remedy missing") {
		t.Errorf("%v", err)
	}
	o = r.act(o.ID, lifecycle.Step{Action: lifecycle.Complete, Report: lifecycle.Report{Cause: "animal", Failure: "fuse", Remedy: "fuse-replaced"}})
	if o.State != lifecycle.Completed || o.Over == nil {
		t.Errorf("%+v", o)
	}
	if _, err := Act(t.Context(), r.store, o.ID, 0, lifecycle.Step{Action: lifecycle.Edit, At: Now(), By: "Ana", Report: lifecycle.Report{Cause: "tree"}}); !errors.As(err, &refused) {
		t.Errorf("edited without a reason: %v", err)
	}
	r.act(o.ID, lifecycle.Step{Action: lifecycle.Edit, Why: "A branch was found", Report: lifecycle.Report{Cause: "tree"}})
	_, entries, _ := r.get(o.ID)
	var actions []string
	for _, e := range entries {
		if e.By == "Ana" {
			actions = append(actions, string(e.Action))
		}
	}
	if got := strings.Join(actions, " "); got != "confirm assign en-route on-site estimate complete edit" {
		t.Errorf("the timeline has: %s\n%+v", got, entries)
	}
	rows, err := r.store.AuditRows(t.Context(), store.Page[int64]{Limit: 100})
	if err != nil || rows[0].Action != "outage-edit" || rows[0].By != "Ana" || rows[0].Subject != "outage "+o.ID || !strings.Contains(rows[0].Detail, "cause tree, was animal: A branch was found") {
		t.Errorf("%+v, %v", rows[0], err)
	}
	if _, err := r.store.VerifyAudit(t.Context(), store.AuditHead{}); err != nil {
		t.Error(err)
	}
	list2, err := Points(t.Context(), r.store, o.ID, store.Page[string]{Limit: 10})
	if err != nil || len(list2) != 4 || list2[0].Out || list2[0].Customers != 10 {
		t.Errorf("%+v, %v", list2, err)
	}
	if evidence, err := EvidenceOf(t.Context(), r.store, o.ID, store.Page[int64]{Limit: 100}); err != nil || len(evidence) < 4 {
		t.Errorf("%+v, %v", evidence, err)
	}
}

// Whatever is killed when: who starts again knows the same outages by the same ids.
func TestWhoStartsAgainKnowsTheSame(t *testing.T) {
	r := newRoom(t, 3)
	r.light(append(points(0, 4, 8), points(2, 0, 4)...)...)
	r.dark(points(0, 0, 4)...)
	r.dark(points(1, 0, 8)...)
	await.True(t, "two outages", func() bool {
		list := r.list(t.Context(), true)
		return len(list) == 2 && announced(list[0]) && announced(list[1])
	})
	before := r.list(t.Context(), true)
	r.stop()
	r.dark(points(2, 4, 8)...)
	r.light(points(0, 0, 4)...)
	r.start()
	await.True(t, "the third one begins, and the first one ends", func() bool {
		states := map[string]lifecycle.State{}
		for _, o := range r.list(t.Context(), true) {
			states[o.Device] = o.State
		}
		return states["t0-0"] == lifecycle.Verified && states["t2-1"] == lifecycle.Probable
	})
	list := r.list(t.Context(), true)
	if len(list) != 3 {
		t.Fatalf("%+v", list)
	}
	for _, was := range before {
		o, entries, _ := r.get(was.ID)
		if o.Device != was.Device || o.Found != was.Found || o.Alarm != was.Alarm {
			t.Errorf("%+v, was %+v", o, was)
		}
		found := 0
		for _, e := range entries {
			if e.Action == suspect {
				found++
			}
		}
		if found != 1 {
			t.Errorf("it was found %d times: %+v", found, entries)
		}
	}
}

func TestWhoSeesSomeZones(t *testing.T) {
	r := newRoom(t, 1)
	r.light(points(0, 0, 4)...)
	r.dark(points(0, 4, 8)...)
	o := r.one("an outage in the east", announced)
	if o.Zone != "east" {
		t.Errorf("%+v", o)
	}
	for zone, want := range map[string]int{"east": 1, "west": 0} {
		ctx := store.InZones(t.Context(), []string{zone})
		if list := r.list(ctx, true); len(list) != want {
			t.Errorf("%s: %+v", zone, list)
		}
		if _, list, err := alarm.List(ctx, r.store, true, store.Page[alarm.Place]{Limit: 10}); err != nil || len(list) != want {
			t.Errorf("%s: %+v, %v", zone, list, err)
		}
		facts, err := r.store.Facts(ctx, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[string]int{}
		for _, f := range facts {
			kinds[f.Kind]++
		}
		if (kinds[FactKind] > 0) != (want > 0) || (kinds[alarm.FactKind] > 0) != (want > 0) {
			t.Errorf("%s: facts %v", zone, kinds)
		}
		if _, err := Act(ctx, r.store, o.ID, 0, lifecycle.Step{Action: lifecycle.Note, Why: "seen", At: Now(), By: "Ana"}); (err == nil) != (want > 0) {
			t.Errorf("%s: %v", zone, err)
		}
	}
}

func TestWhatOperatorsSay(t *testing.T) {
	r := newRoom(t, 1)
	add := func(says string, point string) error {
		_, err := AddCall(t.Context(), r.store, Call{At: Now(), ServicePoint: point, Says: says, Text: "dark", By: "Ana"})
		return err
	}
	if err := add("no-supply", "t0-0"); !errors.Is(err, ErrNoAsset) {
		t.Errorf("%v", err)
	}
	// An untelemetered device that is known to be open has nothing to do with metering.
	if _, err := Operate(t.Context(), r.store, Operated{Asset: "t0-1", Position: "open", At: Now(), By: "Ana", Comment: "the fuses are out"}); err != nil {
		t.Fatal(err)
	}
	if err := add("no-supply", "p0-5"); err != nil {
		t.Fatal(err)
	}
	if rows, err := r.store.AuditRows(t.Context(), store.Page[int64]{Limit: 1}); err != nil || rows[0].Action != "call" || rows[0].By != "Ana" || rows[0].Subject != "service point p0-5" {
		t.Errorf("%+v, %v", rows, err)
	}
	o := r.one("an outage behind what is open", func(o Outage) bool { return announced(o) && o.State == lifecycle.Confirmed })
	if o.Device != "t0-1" || o.CustomersOut != 40 {
		t.Errorf("%+v", o)
	}
	list, err := Calls(t.Context(), r.store, o.ID, store.Page[int64]{Limit: 10})
	if err != nil || len(list) != 1 || list[0].ServicePoint != "p0-5" || list[0].Outage != o.ID {
		t.Errorf("%+v, %v", list, err)
	}
	tag := "crew at work"
	if _, err := Operate(t.Context(), r.store, Operated{Asset: "t0-1", Tag: &tag, At: Now(), By: "Ana", Comment: "safety"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Operate(t.Context(), r.store, Operated{Asset: "t0-1", Position: "closed", At: Now(), By: "Ana", Comment: "hurry"}); !errors.Is(err, ErrTagged) {
		t.Errorf("what is tagged is operated: %v", err)
	}
	if list, err := Switchings(t.Context(), r.store, store.Page[string]{Limit: 10}); err != nil || len(list) != 1 || list[0].Position != "open" || list[0].Tag != tag || list[0].By != "Ana" {
		t.Errorf("%+v, %v", list, err)
	}
	none := ""
	if _, err := Operate(t.Context(), r.store, Operated{Asset: "t0-1", Position: "normal", Tag: &none, At: Now(), By: "Ana", Comment: "done"}); err != nil {
		t.Fatal(err)
	}
	r.one("supply is back", func(o Outage) bool { return o.State == lifecycle.Restored || o.State == lifecycle.Verified })
}

// What comes after a silence isn't decided as of the last time that something came.
func TestAnOutageIsFoundWhenItsEvidenceComes(t *testing.T) {
	r := newRoom(t, 2)
	r.stop()
	engine := outage.Defaults()
	s := &session{Runner: New(Config{Store: r.store, Engine: &engine}), holder: network.NewHolder(r.store)}
	n, err := s.holder.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	of, err := json.Marshal(evidence.Network{Version: n.Version, AsOf: n.AsOf})
	if err != nil {
		t.Fatal(err)
	}
	rows := []taken{{Observation: evidence.Observation{Comment: string(of), Evidence: outage.Evidence{Kind: evidence.OfNetwork}}}}
	at := int64(Now())
	for feeder := range 2 {
		for _, p := range points(feeder, 0, 4) {
			rows = append(rows, taken{Observation: evidence.Observation{Evidence: outage.Evidence{Kind: outage.Voltage, Arrival: at, Asset: p, Levels: &outage.Levels{}}}})
		}
		if _, _, err := s.step(t.Context(), rows, at); err != nil {
			t.Fatal(err)
		}
		found := s.engine.Incidents()
		if len(found) != feeder+1 {
			t.Fatalf("%+v", found)
		}
		if last := slices.MaxFunc(found, func(a, b outage.Incident) int { return cmp.Compare(a.Began, b.Began) }); last.Began != at {
			t.Errorf("%s was found %d µs before anything spoke for it", last.Device, at-last.Began)
		}
		rows, at = nil, at+3600e6
	}
}
