package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	simulated "github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/telemetry"
)

// another starts a further meter and returns its address.
func (b *bench) another() string {
	b.t.Helper()
	m := &volts{}
	m.set(400)
	server, err := simulated.Listen("127.0.0.1:0", map[byte]simulated.Unit{1: m, 7: m}, quiet)
	if err != nil {
		b.t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		server.Serve(b.t.Context())
		close(served)
	}()
	b.t.Cleanup(func() { <-served })
	return server.Addr().String()
}

// twoMeters adds a second meter to the bench's configuration, with its own asset.
func (b *bench) twoMeters() (address string) {
	address = b.another()
	b.source = strings.Replace(b.source, "rules:\n", fmt.Sprintf(`  - id: second
    asset: feeder-2
    modbus: {endpoint: "tcp://%s"}
    signals:
      - {name: Hz, input: 0, type: float32, unit: Hz}
      - {name: Tmp, input: 2, type: float32, unit: Cel, deadband: 1}
rules:
  - {name: fast, on: {asset: feeder-2}, when: Hz > 45}
`, address), 1)
	b.config = b.parse(b.source)
	return address
}

func (b *bench) try(source string, wait time.Duration) (Outcome, error) {
	b.t.Helper()
	return b.gateway.Try(Trial{Config: b.parse(source), Source: Source{Text: []byte(source)}, By: "Ana", Wait: wait})
}

// id is that of a signal in the newest birth.
func (l log) id(device, name string) (id telemetry.SignalID) {
	for _, birth := range l.births {
		for _, s := range birth.Signals {
			if s.Device == device && s.Name == name {
				id = max(id, s.ID)
			}
		}
	}
	return id
}

func (l log) count(id telemetry.SignalID) (n int) {
	for _, s := range l.points {
		if s.Signal == id && id != 0 {
			n++
		}
	}
	return n
}

// One meter stays, one is changed, one comes, a rule goes, and nothing of what was
// accepted is lost or counted twice.
func TestAConfigurationIsChangedWhileItRuns(t *testing.T) {
	b := newBench(t)
	b.quarter, b.settle = 500_000, 100_000
	address := b.twoMeters()
	stop := b.run()
	b.read(func(l log) bool {
		return len(l.of(telemetry.AlarmRaised)) == 1 && l.count(l.id("meter", "PhV.phsA")) > 5
	})

	next := strings.NewReplacer(
		"name: Hz, input: 0, type: float32, unit: Hz", "name: Hz, input: 2, type: float32, unit: Hz, scale: 0.125",
		"  - {name: fast, on: {asset: feeder-2}, when: Hz > 45}\n", "",
		"rules:\n", fmt.Sprintf("  - {id: third, poll_every: 20ms, modbus: {endpoint: \"tcp://%s\", unit: 7}, signals: [{name: Hz, input: 0, type: float32, unit: Hz}]}\nrules:\n", address),
	).Replace(b.source)
	outcome, err := b.try(next, 20*time.Second)
	if err != nil || !outcome.Held || outcome.Unchanged {
		t.Fatalf("%+v, %v", outcome, err)
	}
	if _, err := b.try(b.source, time.Second); err == nil || !strings.Contains(err.Error(), "being tried") {
		t.Errorf("another one while this waits: %v", err)
	}
	if l := b.read(func(l log) bool { return l.count(l.id("third", "Hz")) > 3 }); len(l.of(telemetry.AlarmCleared)) > 0 {
		t.Error("the alarm of the rule that is gone ends before the configuration is kept")
	}
	if err := b.gateway.Keep(hashOf([]byte(b.source))); err == nil {
		t.Error("another file is kept")
	}
	if err := b.gateway.Keep(hashOf([]byte(next))); err != nil {
		t.Fatal(err)
	}
	b.read(func(l log) bool {
		return len(l.of(telemetry.AlarmCleared)) == 1 && len(l.of(telemetry.ConfigurationApplied)) == 1
	})
	if outcome, err := b.try(next, time.Second); err != nil || !outcome.Held || !outcome.Unchanged {
		t.Errorf("the same again: %+v, %v", outcome, err)
	}
	committed := stop()
	l := b.read(func(l log) bool {
		return len(l.of(telemetry.GatewayStopped)) == 1 && l.samples == committed[1].Count
	})

	applied := l.of(telemetry.ConfigurationApplied)[0]
	if c := applied.Configuration; c.By != "Ana" || c.Before != hashOf(nil) || c.After != hashOf([]byte(next)) || applied.Time >= applied.Decided ||
		!slices.Equal(c.Added, []string{"third"}) || !slices.Equal(c.Changed, []string{"second"}) || c.Removed != nil {
		t.Errorf("%+v", applied.Configuration)
	}
	if summary := l.of(telemetry.AlarmCleared)[0].Alarm.Summary; !strings.Contains(summary, "no longer applies rule fast") {
		t.Error(summary)
	}
	owner := map[telemetry.SignalID]string{}
	for _, birth := range l.births {
		for _, s := range birth.Signals {
			owner[s.ID] = s.Device
		}
	}
	stored := map[string]uint64{}
	for _, s := range l.points {
		stored[owner[s.Signal]]++
		if id := l.id("second", "Hz"); s.Signal == id {
			if f, _ := s.Value.Float(); f != 50 {
				t.Errorf("under the new id is %v", s.Value)
			}
		}
	}
	delivered := map[string]uint64{}
	for _, a := range l.accounts() {
		for _, d := range a.Devices {
			delivered[d.Device] += d.Delivered
			if d.Scheduled != d.Read+d.Suppressed+d.Missed+d.Down+d.Bad["timeout"] || d.Device == "meter" && d.Down > 0 {
				t.Errorf("%+v", d)
			}
		}
	}
	if fmt.Sprint(stored) != fmt.Sprint(delivered) || len(stored) != 4 {
		t.Errorf("in the log %v, delivered %v", stored, delivered)
	}
}

// A meter that isn't where the new configuration says takes it back.
func TestAConfigurationThatStopsDataIsRolledBack(t *testing.T) {
	b := newBench(t)
	b.twoMeters()
	stop := b.run()
	before := b.read(func(l log) bool { return l.count(l.id("second", "Hz")) > 5 && len(l.of(telemetry.AlarmRaised)) == 1 })
	for what, change := range map[string]struct{ old, new, cause string }{
		"another address": {"asset: feeder-2\n    modbus: {endpoint", "asset: feeder-2\n    modbus: {unit: 9, endpoint", "device second doesn't answer: modbus: exception '11' (gateway target device failed to respond)"},
		"a register that isn't there": {"name: Tmp, input: 2", "name: Tmp, input: 2, absent: [0x43c80000]",
			"device second: Tmp was good and is bad (not implemented)"},
	} {
		next := strings.Replace(strings.Replace(b.source, change.old, change.new, 1), "{name: fast", "{name: faster", 1)
		outcome, err := b.try(next, 2*time.Second)
		if err != nil || outcome.Held || !strings.Contains(outcome.Why(), change.cause) {
			t.Errorf("%s: %+v, %v", what, outcome, err)
		}
		if err := b.gateway.Keep(hashOf([]byte(next))); err == nil {
			t.Errorf("%s: it can be kept", what)
		}
	}
	l := b.read(func(l log) bool { return len(l.of(telemetry.ConfigurationRolledBack)) == 2 })
	now := len(l.points)
	b.read(func(l log) bool { return len(l.points) > now+50 })
	stop()
	l = b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 1 })
	if id := l.id("second", "Hz"); id != before.id("second", "Hz") || l.count(id) <= before.count(id)+6 {
		t.Errorf("%d samples of signal %d, before %d of %d", l.count(id), id, before.count(before.id("second", "Hz")), before.id("second", "Hz"))
	}
	if c := l.of(telemetry.ConfigurationRolledBack)[0].Configuration; !strings.Contains(c.Cause, "device second") || !slices.Equal(c.Changed, []string{"second"}) {
		t.Errorf("%+v", c)
	}
	// The alarm of the rule that was gone for a while went on; one that there was only
	// then has ended.
	open := map[string]string{}
	for _, e := range l.events {
		switch e.Kind {
		case telemetry.AlarmRaised:
			open[e.Alarm.ID] = e.Alarm.Rule
		case telemetry.AlarmCleared:
			delete(open, e.Alarm.ID)
		}
	}
	if len(open) != 1 || open[before.of(telemetry.AlarmRaised)[0].Alarm.ID] != "fast" {
		t.Errorf("%v are active", open)
	}
}

func TestWhatTakesARestartIsRefusedByName(t *testing.T) {
	b := newBench(t)
	stop := b.run()
	defer stop()
	b.read(func(l log) bool { return l.samples > 0 })
	_, err := b.try(strings.NewReplacer("site: north", "site: south", "commit_every: 20ms", "commit_every: 30ms", "poll_every: 10ms", "poll_every: 20ms").Replace(b.source), time.Second)
	if err == nil || !strings.Contains(err.Error(), "gateway.site, buffer.commit_every can't change while the gateway runs") {
		t.Errorf("%v", err)
	}
	if now := b.gateway.live.Load().config.Defaults.PollEvery; now != b.config.Defaults.PollEvery {
		t.Errorf("devices are read every %v", now)
	}
}

// What can't be stored isn't kept, and a device that is due later than the wait lasts
// has nothing to prove.
func TestAConfigurationIsKeptOnlyIfTheBufferTakesIt(t *testing.T) {
	b := newBench(t)
	b.twoMeters()
	b.source = strings.Replace(b.source, "asset: feeder-2\n", "asset: feeder-2\n    poll_every: 1h\n", 1)
	b.config = b.parse(b.source)
	stop := b.run()
	defer stop()
	b.read(func(l log) bool { return l.count(l.id("second", "Hz")) > 0 && l.count(l.id("meter", "PhV.phsA")) > 0 })
	next := strings.Replace(b.source, "use: en50160/voltage-interruption, for: 30ms", "use: en50160/voltage-interruption, for: 40ms", 1)
	b.gateway.pipeline.failing.Store(true)
	outcome, err := b.try(next, 5*time.Second)
	if err != nil || outcome.Held || outcome.Why() != "the buffer can't be written" {
		t.Errorf("%+v, %v", outcome, err)
	}
	b.gateway.pipeline.failing.Store(false)
	if outcome, err := b.try(next, 10*time.Second); err != nil || !outcome.Held {
		t.Errorf("%+v, %v", outcome, err)
	}
}
