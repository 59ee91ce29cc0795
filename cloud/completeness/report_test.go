package completeness

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

const (
	quarter = telemetry.Quarter
	begin   = telemetry.Micros(1_771_027_200_000_000) // 2026-02-14 00:00 UTC
	epoch   = "0000000000000001"
)

type world struct {
	testing.TB
	*store.Store
	bundles map[string]int64
}

// newWorld is a database with births of gateway gw's meters a and b.
func newWorld(t testing.TB, devices ...string) *world {
	t.Helper()
	s := storetest.Open(t)
	w := &world{t, s, map[string]int64{}}
	for _, d := range devices {
		w.birth("gw", d)
	}
	return w
}

func (w *world) write(do func(*store.Tx) error) {
	w.Helper()
	if err := w.Write(w.Context(), do); err != nil {
		w.Fatal(err)
	}
}

func (w *world) birth(gateway, device string) {
	w.Helper()
	table := fmt.Sprintf("%016x", len(w.bundles)+1)
	w.write(func(t *store.Tx) error {
		return t.SaveBirth(record.Birth{Gateway: gateway, Table: table, Signals: []telemetry.Signal{{ID: 1, Device: device, Name: "PhV.phsA", Unit: "V"}}})
	})
	places, err := w.SignalTable(w.Context(), gateway, uint64(len(w.bundles)+1))
	if err != nil {
		w.Fatal(err)
	}
	w.bundles[device] = places[1].Bundle
}

func (w *world) account(a telemetry.Account) {
	w.Helper()
	w.write(func(t *store.Tx) error { return t.SaveAccount("gw", a) })
}

// counted keeps the account of one quarter-hour of a device that was read well.
func (w *world) counted(n int, device string, read uint64) {
	w.Helper()
	w.account(accountOf(n, 1, telemetry.DeviceAccount{Device: device, Scheduled: read, Read: read, Delivered: read}))
}

// accountOf is an account of length quarter-hours from the n-th of the day on.
func accountOf(n, length int, d telemetry.DeviceAccount) telemetry.Account {
	from := begin + telemetry.Micros(n)*quarter
	return telemetry.Account{Epoch: epoch, From: from, To: from + telemetry.Micros(length)*quarter, Devices: []telemetry.DeviceAccount{d}}
}

func (w *world) received(n int, device string, samples, late int) {
	w.Helper()
	w.write(func(t *store.Tx) error {
		return t.AddReceived(store.Received{Quarter: store.QuarterNumber(begin) + int64(n), Bundle: w.bundles[device], Samples: samples, Late: late})
	})
}

func (w *world) lost(n int, device string, reason telemetry.LossReason, first, last, samples uint64) {
	w.Helper()
	w.write(func(t *store.Tx) error {
		return t.DeclareLoss("gw", telemetry.Loss{Epoch: epoch, Stream: "telemetry", SeqFirst: first, SeqLast: last, Reason: reason,
			Devices: []telemetry.DeviceLoss{{Device: device, Quarter: begin + telemetry.Micros(n)*quarter, Count: samples}}}, 1)
	})
}

// ask reports on the first n quarter-hours of the day, as of a day later.
func (w *world) ask(n int) Report {
	w.Helper()
	return w.query(Query{From: begin, To: begin + telemetry.Micros(n)*quarter}, begin+96*quarter)
}

func (w *world) query(q Query, now telemetry.Micros) Report {
	w.Helper()
	r, err := Read(w.Context(), w.Store, q, now)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// letters is each device with its quarter-hours.
func letters(r Report) string {
	var list []string
	for _, d := range r.Devices {
		list = append(list, d.Name+" "+string(d.Letters))
	}
	return strings.Join(list, ", ")
}

func TestDayIsComplete(t *testing.T) {
	w := newWorld(t, "a", "b")
	for n := range 96 {
		for _, d := range []string{"a", "b"} {
			w.counted(n, d, 900)
			w.received(n, d, 900, 0)
		}
	}
	r := w.ask(96)
	if !r.Complete() || r.Quarters != 96 || r.Total.Expected != 2*96*900 || r.Total.Received != r.Total.Expected || len(r.Total.Why()) != 0 {
		t.Errorf("%+v", r.Total)
	}
	if want := strings.Repeat("c", 96); string(r.Total.Letters) != want || letters(r) != "a "+want+", b "+want {
		t.Errorf("%s", letters(r))
	}

	w.received(3, "b", -1, 0)
	if r = w.ask(96); r.Complete() || r.Total.States[Incomplete] != 1 || r.Total.Letters[3] != 'w' || r.Total.OnTheWay != 1 || r.Devices[0].States[Complete] != 96 {
		t.Errorf("with one on the way: %+v", r.Total)
	}
	w.received(3, "b", 1, 1)
	if r = w.ask(96); !r.Complete() || r.Total.States[Late] != 1 || r.Total.Letters[3] != 'l' || r.Total.Late != 1 {
		t.Errorf("with one that came late: %+v", r.Total)
	}
}

func TestNothingIsNotComplete(t *testing.T) {
	if r := newWorld(t).ask(4); r.Complete() || r.Quarters != 4 || len(r.Devices) != 0 {
		t.Errorf("%+v", r)
	}
}

// What hasn't come is on the way until the gateway declares it lost, once or twice.
func TestLossIsOnTheWayUntilDeclared(t *testing.T) {
	w := newWorld(t, "a")
	w.counted(0, "a", 900)
	w.received(0, "a", 600, 0)
	if r := w.ask(1); r.Total.OnTheWay != 300 || r.Total.Lost != 0 || letters(r) != "a w" {
		t.Errorf("before: %+v", r.Total)
	}
	for range 2 {
		w.lost(0, "a", telemetry.LostBufferFull, 600, 899, 300)
		if r := w.ask(1); r.Total.OnTheWay != 0 || r.Total.Lost != 300 || r.Total.Received != 600 || letters(r) != "a f" {
			t.Errorf("declared: %+v", r.Total)
		}
	}
	// Declared by a gateway that had forgotten what the log has: no more is lost than
	// isn't there.
	w.lost(0, "a", telemetry.LostThinned, 0, 599, 100)
	if r := w.ask(1); letters(r) != "a f" || r.Total.Lost != 300 || r.Total.Received != 600 || r.Total.OnTheWay != 0 {
		t.Errorf("more lost than is missing: %+v", r.Total)
	}
}

// What is thinned further is the same numbers again, for others of their samples.
func TestStepsOfThinningAddUp(t *testing.T) {
	w := newWorld(t, "a")
	w.counted(0, "a", 900)
	for range 2 {
		w.lost(0, "a", telemetry.LostThinned, 0, 899, 675)
		w.lost(0, "a", telemetry.LostThinned, 0, 899, 180)
	}
	w.lost(0, "a", telemetry.LostBufferFull, 0, 899, 45)
	if r := w.ask(1); r.Total.Lost != 900 || r.Total.OnTheWay != 0 || r.Total.Reasons["thinned"] != 855 || letters(r) != "a t" {
		t.Errorf("%+v", r.Total)
	}
}

// Of a file that can't be read nobody knows whose samples were in it.
func TestUncountedLossLeavesItOpen(t *testing.T) {
	w := newWorld(t, "a")
	w.counted(0, "a", 900)
	w.received(0, "a", 600, 0)
	w.lost(1, "a", telemetry.LostUnreadable, 900, 1000, 1) // counted
	if r := w.ask(1); letters(r) != "a w" {
		t.Errorf("before: %s", letters(r))
	}
	w.write(func(t *store.Tx) error {
		return t.DeclareLoss("gw", telemetry.Loss{Epoch: epoch, Stream: "telemetry", SeqFirst: 600, SeqLast: 899, Reason: telemetry.LostUnreadable}, 1)
	})
	if r := w.ask(1); letters(r) != "a n" || r.Total.Reasons[Undetermined] != 300 || r.Total.OnTheWay != 300 {
		t.Errorf("%s %+v", letters(r), r.Total)
	}
}

func TestDiscardedSamplesAddUp(t *testing.T) {
	w := newWorld(t, "a")
	w.account(accountOf(0, 1, telemetry.DeviceAccount{Device: "a", Scheduled: 900, Read: 900, Delivered: 600}))
	w.received(0, "a", 600, 0)
	for range 3 {
		w.lost(0, "a", telemetry.LostDiscarded, 0, 0, 100)
	}
	if r := w.ask(1); r.Total.NotAcquired != 300 || r.Total.OnTheWay != 0 || letters(r) != "a g" {
		t.Errorf("%+v", r.Total)
	}
	if list, err := w.Gateways(t.Context()); err != nil || list[0].Sequences[0].Lost != 0 {
		t.Errorf("discarded samples had no sequence numbers: %+v, %v", list, err)
	}
}

func TestRevisionsReplaceAndEpochsAddUp(t *testing.T) {
	w := newWorld(t, "a")
	w.received(0, "a", 900, 0)
	revision := func(n uint32, epoch string, read uint64) {
		a := accountOf(0, 1, telemetry.DeviceAccount{Device: "a", Scheduled: read, Read: read, Delivered: read})
		a.Revision, a.Epoch = n, epoch
		w.account(a)
	}
	revision(2, epoch, 500)
	revision(1, epoch, 300) // came out of order
	revision(2, epoch, 700) // came again, changed: the first one holds
	if r := w.ask(1); r.Total.Expected != 500 || letters(r) != "a x" {
		t.Errorf("after revision 2: %+v", r.Total)
	}
	revision(3, epoch, 600)
	revision(0, "0000000000000002", 300)
	if r := w.ask(1); r.Total.Expected != 900 || letters(r) != "a c" {
		t.Errorf("with the other epoch: %+v", r.Total)
	}
}

// A gateway that was down accounts for whole quarter-hours at once, beside the
// ones in which it stopped and started.
func TestGatewayWasDown(t *testing.T) {
	w := newWorld(t, "a")
	w.counted(0, "a", 900)
	w.received(0, "a", 900, 0)
	w.account(accountOf(1, 3, telemetry.DeviceAccount{Device: "a", Scheduled: 2701, Down: 2701}))
	w.account(accountOf(4, 1, telemetry.DeviceAccount{Device: "a", Scheduled: 900, Read: 800, Down: 100, Delivered: 800}))
	w.received(4, "a", 800, 0)
	r := w.ask(5)
	if letters(r) != "a cdddd" || r.Total.Reasons[GatewayDown] != 2801 || r.Total.NotAcquired != 2801 || r.Total.Expected != 900+2701+900 {
		t.Errorf("%s %+v", letters(r), r.Total)
	}
	for i, want := range []uint64{901, 900, 900} {
		from := begin + telemetry.Micros(i+1)*quarter
		if r := w.query(Query{Gateway: "gw", Device: "a", From: from, To: from + quarter}, begin+96*quarter); r.Total.Expected != want {
			t.Errorf("quarter-hour %d: %d, want %d", i+1, r.Total.Expected, want)
		}
	}
}

func TestLongestAccountReachesItsLastQuarter(t *testing.T) {
	w := newWorld(t, "a")
	const n = 31 * 96
	w.account(accountOf(0, n, telemetry.DeviceAccount{Device: "a", Scheduled: n, Down: n}))
	last := begin + (n-1)*quarter
	if r := w.query(Query{From: last, To: last + 3*quarter}, last+96*quarter); letters(r) != "a duu" || r.Total.Expected != 1 {
		t.Errorf("%s %+v", letters(r), r.Total)
	}
}

func TestNoAccountIsUnknown(t *testing.T) {
	w := newWorld(t, "a", "b", "gone")
	w.birth("silent", "c")
	w.counted(0, "a", 900)
	w.received(0, "a", 900, 0)
	w.counted(1, "a", 900)
	w.received(1, "a", 900, 0)
	w.counted(1, "b", 900) // configured from then on
	w.received(1, "b", 900, 0)
	w.received(3, "a", 10, 0)
	r := w.ask(4)
	if want := "a ccuu, b -cuu, c uuuu"; letters(r) != want || string(r.Total.Letters) != "uuuu" || r.Complete() {
		t.Errorf("%s, all %s, want %s", letters(r), r.Total.Letters, want)
	}
	if r := w.query(Query{Gateway: "gw", From: begin, To: begin + 2*quarter}, begin+96*quarter); letters(r) != "a cc, b -c" || !r.Complete() {
		t.Errorf("%s", letters(r))
	}
	if r := w.query(Query{Gateway: "gw", Device: "b", From: begin, To: begin + quarter}, begin+96*quarter); letters(r) != "b -" || r.Complete() {
		t.Errorf("%s", letters(r))
	}
}

// Nothing was expected of a gateway before it first started.
func TestBeforeTheFirstStart(t *testing.T) {
	w := newWorld(t, "a")
	w.received(3, "a", 900, 0)
	w.counted(3, "a", 900)
	if r := w.ask(4); letters(r) != "a uuuc" || r.Complete() {
		t.Errorf("start unknown: %s", letters(r))
	}
	w.write(func(t *store.Tx) error { return t.FirstStart("gw", begin+2*quarter+1) })
	if r := w.ask(4); letters(r) != "a --uc" || r.Complete() {
		t.Errorf("%s", letters(r))
	}
	w.counted(2, "a", 900)
	w.received(2, "a", 900, 0)
	w.received(0, "a", 1, 0) // a device's own time
	if r := w.ask(4); letters(r) != "a u-cc" {
		t.Errorf("%s", letters(r))
	}
	w.received(0, "a", -1, 0)
	if r := w.ask(4); letters(r) != "a --cc" || !r.Complete() {
		t.Errorf("%s", letters(r))
	}
}

func TestAccountsTakeTheirTime(t *testing.T) {
	w := newWorld(t, "a")
	w.received(0, "a", 900, 0)
	w.received(1, "a", 5, 0)
	q := Query{From: begin, To: begin + 2*quarter}
	for now, want := range map[telemetry.Micros]string{
		begin + quarter - 1: "a oo", begin + quarter + AccountDue - 1: "a oo", begin + quarter + AccountDue: "a uo",
	} {
		if r := w.query(q, now); letters(r) != want {
			t.Errorf("after %v: %s, want %s", time.Duration(now-begin)*1000, letters(r), want)
		}
	}
	w.counted(0, "a", 900)
	if r := w.query(q, begin+quarter+1); letters(r) != "a co" || r.Complete() {
		t.Errorf("with an account: %s", letters(r))
	}
}

// A day of 100 gateways with 100 meters each, of which every hundredth
// quarter-hour has bad samples.
func BenchmarkDay(b *testing.B) {
	const gateways, meters = 100, 100
	w := newWorld(b)
	for g := range gateways {
		gateway := fmt.Sprintf("gw-%03d", g)
		var signals []telemetry.Signal
		for m := range meters {
			signals = append(signals, telemetry.Signal{ID: telemetry.SignalID(m), Device: fmt.Sprintf("meter-%03d", m), Name: "PhV", Unit: "V"})
		}
		w.write(func(t *store.Tx) error {
			return t.SaveBirth(record.Birth{Gateway: gateway, Table: epoch, Signals: signals})
		})
		places, err := w.SignalTable(b.Context(), gateway, 1)
		if err != nil {
			b.Fatal(err)
		}
		w.write(func(t *store.Tx) error {
			for n := range 96 {
				a := accountOf(n, 1, telemetry.DeviceAccount{})
				a.Devices = nil
				for m := range meters {
					d := telemetry.DeviceAccount{Device: fmt.Sprintf("meter-%03d", m), Scheduled: 45_000, Read: 45_000, Delivered: 45_900}
					if (n+m)%100 == 0 {
						d.Read, d.Bad = 44_950, map[string]uint64{"timeout": 50}
					}
					a.Devices = append(a.Devices, d)
					if err := t.AddReceived(store.Received{Quarter: store.QuarterNumber(a.From), Bundle: places[telemetry.SignalID(m)].Bundle, Samples: 45_900}); err != nil {
						return err
					}
				}
				if err := t.SaveAccount(gateway, a); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for name, q := range map[string]Query{"all": {}, "gateway": {Gateway: "gw-050"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			q.From, q.To = begin, begin+96*quarter
			for b.Loop() {
				r, err := Read(context.Background(), w.Store, q, begin+97*quarter)
				if err != nil || len(r.Devices) != meters && len(r.Devices) != gateways*meters || r.Devices[0].States[Unknown] != 0 {
					b.Fatal(len(r.Devices), err)
				}
			}
		})
	}
}
