package gateway

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// accounts are those of a log that weren't replaced. The bench has one device.
func (l log) accounts() []telemetry.Account {
	type key struct {
		epoch    string
		from, to telemetry.Micros
	}
	newest := map[key]telemetry.Account{}
	for _, e := range l.of(telemetry.SamplesCounted) {
		k := key{e.Account.Epoch, e.Account.From, e.Account.To}
		if newest[k].Revision < e.Account.Revision {
			newest[k] = *e.Account
		}
	}
	return slices.Collect(maps.Values(newest))
}

// Two processes and the time between them, in quarter-hours of half a second.
func TestEveryQuarterHourIsAccountedFor(t *testing.T) {
	b := newBench(t)
	const quarter = 500_000
	b.quarter, b.settle = quarter, 100_000
	began := time.Now()
	stop := b.run()
	// Told while it runs.
	b.read(func(l log) bool { return len(l.accounts()) >= 3 })
	stop()
	stopped := time.Now()
	// Polls of three quarter-hours at least are not made.
	time.Sleep(4 * quarter * time.Microsecond)
	restarted := time.Now()
	stop = b.run()
	b.read(func(l log) bool { return len(l.of(telemetry.GatewayStarted)) == 2 && len(l.accounts()) >= 7 })
	stop()
	ended := time.Now()
	l := b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 2 })

	delivered := map[telemetry.Micros]uint64{}
	var sum telemetry.DeviceAccount
	long := false
	for _, a := range l.accounts() {
		if a.Devices[0].Device != "meter" || len(a.Devices) > 2 || len(a.Devices) == 2 && a.Devices[1].Device != "gw" {
			t.Fatalf("%+v", a)
		}
		d := a.Devices[0]
		if d.Scheduled != d.Read+d.Missed+d.Down || d.Bad != nil {
			t.Errorf("%+v: the sum is wrong", d)
		}
		for _, d := range a.Devices {
			if d.Delivered != 0 {
				delivered[a.From] += d.Delivered
			}
		}
		long = long || a.To-a.From > quarter && d.Down == d.Scheduled
		sum.Read += d.Read
		sum.Down += d.Down
		sum.Scheduled += d.Scheduled
	}
	in := map[telemetry.Micros]uint64{}
	for _, at := range l.times {
		in[at/quarter*quarter]++
	}
	if !maps.Equal(delivered, in) {
		t.Errorf("by quarter-hour\ndelivered %v\n in the log %v", delivered, in)
	}
	// Of a poll that a stop interrupts only the meter knows.
	answers := uint64(b.meter.answers.Load())
	if sum.Read > 3*answers || sum.Read < 3*(answers-2) {
		t.Errorf("%d values read, the meter gave %d answers of 3", sum.Read, answers)
	}
	// A slot is 10 ms. The second process starts with a grid of its own.
	slots := func(d time.Duration) uint64 { return uint64(d / (10 * time.Millisecond)) }
	if down := sum.Down / 3; down < slots(restarted.Sub(stopped)) || down > slots(ended.Sub(began)) || !long {
		t.Errorf("%d slots down, in an account of their own: %v; there was no gateway for %v", down, long, restarted.Sub(stopped))
	}
	if sum.Scheduled/3 > slots(ended.Sub(began))+2 {
		t.Errorf("%d slots scheduled in %v", sum.Scheduled/3, ended.Sub(began))
	}
	second := l.of(telemetry.GatewayStarted)[1].Lifecycle
	if since := second.DownSince.Time(); since.After(stopped) || stopped.Sub(since) > 10*time.Second || l.of(telemetry.GatewayStarted)[0].Lifecycle.DownSince != 0 {
		t.Errorf("down since %v, it stopped by %v", since, stopped)
	}
}

// What didn't come is in the account, and why.
func TestSilenceIsAccountedFor(t *testing.T) {
	b := newBench(t)
	b.quarter, b.settle = 500_000, 100_000
	b.config.Devices[0].Modbus.Unit = 2 // which nobody is
	stop := b.run()
	l := b.read(func(l log) bool { return len(l.accounts()) >= 2 })
	stop()
	for _, a := range l.accounts() {
		d := a.Devices[0]
		var bad uint64
		for reason, n := range d.Bad {
			if bad += n; reason == "" {
				t.Errorf("%+v: no reason", d)
			}
		}
		if d.Read != 0 || bad == 0 || d.Scheduled != bad+d.Missed {
			t.Errorf("%+v", d)
		}
	}
}

func TestSlotsTravelWithTheirSamples(t *testing.T) {
	c := newClock(&memory{}, gatewayconfig.Time{}, nil, nil, quiet)
	p := newPipeline(nil, c, nil, nil, nil, map[string]account.Place{"a": {}, "b": {Device: 1}}, quiet)
	due := time.UnixMicro(1_790_000_000_000_000)
	for _, batch := range []adapters.Batch{
		{Device: "b", Due: due, Missed: 2, Spared: 3, SparedFor: telemetry.Timeout, Received: time.Now(), Samples: make([]telemetry.Sample, 4)},
		{Device: "b", Received: time.Now(), Samples: make([]telemetry.Sample, 1)}, // nobody asked
		{Device: "other", Received: time.Now(), Due: due},
	} {
		if err := p.Deliver(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	want := []account.Slot{{Device: 1, Due: telemetry.MicrosOf(due), Missed: 2, Spared: 3, SparedFor: telemetry.Timeout}}
	if taken := p.take(queue{}); !slices.Equal(taken.slots, want) || len(taken.samples) != 5 {
		t.Errorf("%+v", taken.slots)
	}
}

// Before the time is known, a slot counts from the boot, as its samples do.
func TestSlotsOfAnUnsetClock(t *testing.T) {
	m := &machine{booted: time.Now(), id: record.Boot{7}, atBoot: day}
	c := newClock(&memory{}, gatewayconfig.Time{MaxHold: configfile.Duration(time.Hour)}, m, nil, quiet)
	p := newPipeline(nil, c, nil, nil, nil, map[string]account.Place{"a": {}}, quiet)
	now := time.Now()
	if err := p.Deliver(t.Context(), adapters.Batch{Device: "a", Received: now, Due: now.Add(-time.Second), Samples: make([]telemetry.Sample, 1)}); err != nil {
		t.Fatal(err)
	}
	want := telemetry.Micros(now.Sub(m.booted).Microseconds()) - second
	slots := p.take(queue{}).slots
	if off := slots[0].Due - want; len(slots) != 1 || !slots[0].SinceBoot || off < -second/2 || off > second/2 {
		t.Errorf("%+v, due %v since the boot", slots, want)
	}
}

// What was read before the time was known is accounted for in the quarter-hours in
// which it was read. A gateway that doesn't know the time doesn't know either how
// long it was down.
func TestAccountsWaitForTheTime(t *testing.T) {
	b := newBench(t)
	const quarter = 500_000
	b.quarter, b.settle = quarter, 100_000
	m := &machine{booted: time.Now(), id: record.Boot{7}, atBoot: day}
	b.kernel = m
	stop := b.run()
	b.awaitHeld()
	known := m.Now().SinceBoot
	m.set(noon, true)
	b.read(func(l log) bool { return len(l.accounts()) >= 3 && l.newest() > noon+known+second })
	b.awaitSent()
	committed := samplesOf(stop())
	l := b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 1 && l.samples >= committed })
	if early := b.sameAsDelivered(l, quarter, noon+known); early == 0 {
		t.Error("no samples from before the time was known")
	}
	for _, a := range l.accounts() {
		if d := a.Devices[0]; d.Scheduled != d.Read+d.Missed || d.Down != 0 || a.From < noon-quarter {
			t.Errorf("from %v: %+v", a.From.Time(), d)
		}
	}

	b.kernel = &machine{booted: time.Now(), id: record.Boot{8}, atBoot: day}
	b.run()()
	l = b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 2 })
	if since := l.of(telemetry.GatewayStarted)[1].Lifecycle.DownSince; since != 0 {
		t.Errorf("down since %v, by a clock that isn't set", since.Time())
	}
	for _, e := range l.events {
		checkTimes(t, e)
	}
}

// sameAsDelivered compares what is in the log with the accounts, by quarter-hour. It
// returns how many samples are of before an instant.
func (b *bench) sameAsDelivered(l log, quarter, before telemetry.Micros) (early int) {
	b.t.Helper()
	delivered, in := map[telemetry.Micros]uint64{}, map[telemetry.Micros]uint64{}
	for _, a := range l.accounts() {
		for _, d := range a.Devices {
			if d.Delivered > 0 {
				delivered[a.From] += d.Delivered
			}
		}
	}
	for _, at := range l.times {
		in[at/quarter*quarter]++
		if at < before {
			early++
		}
	}
	if !maps.Equal(delivered, in) {
		b.t.Errorf("by quarter-hour\ndelivered %v\n in the log %v", delivered, in)
	}
	return early
}

// Two processes end before the time is known. What they had read is accounted for by
// the third, in the quarter-hours that the log has it in, although the clock is set
// twice meanwhile.
func TestAccountsOfProcessesThatDidNotKnowTheTime(t *testing.T) {
	b := newBench(t)
	const quarter = 500_000
	b.quarter, b.settle = quarter, 100_000
	m := &machine{booted: time.Now(), id: record.Boot{7}, atBoot: day}
	b.kernel = m
	var committed uint64
	for range 2 {
		stop := b.run()
		b.awaitHeld()
		committed += samplesOf(stop())
	}
	answers := uint64(b.meter.answers.Load())
	stop := b.run()
	known := m.Now().SinceBoot
	m.set(noon, false)
	time.Sleep(300 * time.Millisecond) // some are read by a clock that is wrong and not yet confirmed
	m.set(noon+123_456, true)
	b.read(func(l log) bool { return l.samples >= committed && l.newest() > noon+known+second })
	b.awaitSent()
	committed += samplesOf(stop())
	l := b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 3 && l.samples >= committed })
	if early := b.sameAsDelivered(l, quarter, noon+123_456+known); early < 3 || answers == 0 {
		t.Errorf("%d samples from before the time was known", early)
	}
	var sum telemetry.DeviceAccount
	for _, a := range l.accounts() {
		sum.Read += a.Devices[0].Read
		sum.Down += a.Devices[0].Down
	}
	b.kernel = &machine{booted: time.Now(), id: record.Boot{8}, atBoot: day}
	b.run()()
	b.kernel = &machine{booted: time.Now(), id: record.Boot{9}, atBoot: noon + hour, synchronised: true}
	b.run()()
	starts := b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 5 }).of(telemetry.GatewayStarted)
	if since := starts[4].Lifecycle.DownSince; since != 0 {
		t.Errorf("down since %v, by a clock that wasn't set", since.Time())
	}
	if l.samples != committed || sum.Read > committed || sum.Down == 0 {
		t.Errorf("%d committed, %d in the log, %+v", committed, l.samples, sum)
	}
}

// A slot says whether the clock has been set since the device's one before, and is due
// by the same clock as its samples even if that is set while they are delivered.
func TestSlotsAndTheClock(t *testing.T) {
	m := &machine{booted: time.Now(), id: record.Boot{7}, atBoot: noon, synchronised: true}
	c := newClock(&memory{}, gatewayconfig.Time{}, m, nil, quiet)
	p := newPipeline(nil, c, nil, nil, nil, map[string]account.Place{"a": {}}, quiet)
	for i := range 4 {
		if i == 2 {
			m.set(noon+hour, true)
		}
		now := time.Now()
		samples := []telemetry.Sample{{Time: telemetry.MicrosOf(now)}}
		if err := p.Deliver(t.Context(), adapters.Batch{Device: "a", Received: now, Due: now.Add(-time.Millisecond), Samples: samples}); err != nil {
			t.Fatal(err)
		}
	}
	taken := p.take(queue{})
	for i, s := range taken.slots {
		if want := i == 1 || i == 3; s.Steady != want {
			t.Errorf("slot %d: %+v", i, s)
		}
		if off := taken.samples[i].Time - s.Due - 1000; off < -1 || off > 1 {
			t.Errorf("slot %d is due %d µs before its sample", i, off+1000)
		}
	}
}
