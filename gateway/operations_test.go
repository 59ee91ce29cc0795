package gateway

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/control"
	simulated "github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// bay is a device whose registers can be written.
type bay struct {
	mu        sync.Mutex
	registers [4]byte
	written   []string
}

func (b *bay) Read(_ simulated.Table, address, quantity int, dst []byte) simulated.Exception {
	b.mu.Lock()
	defer b.mu.Unlock()
	if 2*(address+quantity) > len(b.registers) {
		return simulated.IllegalAddress
	}
	copy(dst, b.registers[2*address:2*(address+quantity)])
	return 0
}

func (b *bay) Change(_ simulated.Table, address, _ int, change func([]byte)) simulated.Exception {
	b.mu.Lock()
	defer b.mu.Unlock()
	register := b.registers[2*address : 2*address+2]
	change(register)
	b.written = append(b.written, fmt.Sprintf("%s=%d", []string{"Horn", "Lamp"}[address], binary.BigEndian.Uint16(register)))
	return 0
}

func (b *bay) writes() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.written)
}

// wrote waits until the bay was written so.
func (b *bay) wrote(t *testing.T, want ...string) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !slices.Equal(b.writes(), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%q was written, expected %q", b.writes(), want)
		}
	}
}

// withBay adds a bay that two rules operate.
func (b *bench) withBay() *bay {
	b.t.Helper()
	device := &bay{}
	server, err := simulated.Listen("127.0.0.1:0", map[byte]simulated.Unit{1: device}, quiet)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { server.Serve(ctx); close(served) }()
	b.t.Cleanup(func() { cancel(); <-served })
	b.source = strings.Replace(b.source, "gateway: {id: gw,", "gateway: {id: gw, control: enabled,", 1)
	b.source = strings.Replace(b.source, "rules:\n  - {use: en50160/voltage-interruption, for: 30ms, keep_firing_for: 30ms}\n", fmt.Sprintf(`  - id: bay
    modbus: {endpoint: "tcp://%s"}
    signals:
      - {name: Horn, holding: 0, type: uint16, unit: "1"}
      - {name: Lamp, holding: 1, type: uint16, unit: "1"}
    control:
      - {signal: Horn, one_of: [0, 1], min_interval: 200ms, by_rules: true}
      - {signal: Lamp, min: 0, max: 9, mode: direct, by_rules: true}
rules:
  - name: low
    when: PhV.phsA < 100
    operate: [{device: bay, signal: Horn, on_raise: 1, on_clear: 0}, {device: bay, signal: Lamp, on_raise: 2}]
  - name: lower
    when: PhV.phsA < 20
    operate: [{device: bay, signal: Horn, on_raise: 1, on_clear: 0}]
`, server.Addr()), 1)
	b.config = b.parse(b.source)
	return device
}

// steps are those of operating the bay, in short.
func (l log) steps() (list []string) {
	for _, e := range l.events {
		if c := e.Control; c != nil {
			list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", c.Signal, c.Action, c.Requested, c.Outcome, c.Cause)))
		} else if e.Alarm != nil {
			list = append(list, fmt.Sprintf("%s %s", e.Alarm.Rule, e.Kind))
		}
	}
	return list
}

// An alarm operates what its rule says when it is raised and when it clears, in both
// steps and after the point's interval; each step is in the log, behind the alarm.
func TestAnAlarmOperates(t *testing.T) {
	b := newBench(t)
	device := b.withBay()
	stop := b.run()
	b.meter.set(50)
	device.wrote(t, "Horn=1", "Lamp=2")
	b.meter.set(230)
	device.wrote(t, "Horn=1", "Lamp=2", "Horn=0")
	stop()
	l := b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 1 })
	want := []string{
		"low alarm-raised", "Horn select 1 done", "Horn operate 1 begun", "Horn operate 1 done", "Lamp operate 2 begun", "Lamp operate 2 done",
		"low alarm-cleared", "Horn select 0 done", "Horn operate 0 begun", "Horn operate 0 done",
	}
	got := l.steps()
	if at := slices.Index(got, "low alarm-cleared"); at > 0 && at < 6 { // it may clear while the lamp is operated
		got = slices.Insert(slices.Delete(got, at, at+1), 6, "low alarm-cleared")
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	alarm := l.of(telemetry.AlarmRaised)[0].Alarm
	for _, e := range l.of(telemetry.ControlAttempted) {
		if c := e.Control; c.Origin != telemetry.ControlRule || c.By != "rule low, alarm "+alarm.ID {
			t.Errorf("%+v", c)
		}
	}
}

// A horn that two alarms need sounds until both are over.
func TestTheLastAlarmClears(t *testing.T) {
	b := newBench(t)
	device := b.withBay()
	stop := b.run()
	b.meter.set(0)
	device.wrote(t, "Horn=1", "Lamp=2", "Horn=1")
	b.meter.set(50)
	b.read(func(l log) bool { return slices.Contains(l.steps(), "Horn operate 0 refused still-active") })
	b.meter.set(230)
	device.wrote(t, "Horn=1", "Lamp=2", "Horn=1", "Horn=0")
	stop()
}

// What hadn't begun is made up for by the next process, once; and not later than 10 s
// after its alarm, nor after another boot.
func TestWhatHadntBegun(t *testing.T) {
	b := newBench(t)
	device := b.withBay()
	stop := b.run()
	b.read(func(l log) bool { return l.samples > 0 })
	b.gateway.control.Suspend()
	b.meter.set(50)
	b.read(func(l log) bool { return len(l.of(telemetry.AlarmRaised)) == 1 })
	stop()
	device.wrote(t)
	stop = b.run()
	device.wrote(t, "Horn=1", "Lamp=2")
	stop()
	late := func(change func(*operation)) {
		t.Helper()
		b.opened = func() {
			o := b.gateway.pipeline.operations
			if len(o.waiting) != 0 {
				t.Errorf("%+v wait", o.waiting)
			}
			op := operation{Rule: "low", Alarm: "a", Raised: true, Device: "bay", Signal: "Lamp", Value: 2, Boot: o.clock.Boot().String(), SinceBoot: o.clock.SinceBoot()}
			change(&op)
			o.waiting = append(o.waiting, op)
		}
		before := len(b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) > 0 }).steps())
		stop = b.run()
		l := b.read(func(l log) bool { return len(l.steps()) > before })
		if got := l.steps()[before]; got != "Lamp operate 2 refused late" {
			t.Errorf("%s", got)
		}
		stop()
	}
	late(func(op *operation) { op.SinceBoot -= 11_000_000 })
	late(func(op *operation) { op.Boot = record.Boot{}.String() })
	device.wrote(t, "Horn=1", "Lamp=2")
	b.opened = nil
	stop = b.run() // and it is told once
	stop()
	if l := b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 5 }); strings.Count(strings.Join(l.steps(), "\n"), "late") != 2 {
		t.Errorf("%q", l.steps())
	}
}

// What would be refused while the gateway stops, which nobody is told of any more, is
// left to the next process, which tells it.
func TestRefusedWhileTheGatewayStops(t *testing.T) {
	b := newBench(t)
	device := b.withBay()
	b.opened = func() {
		o := b.gateway.pipeline.operations
		o.waiting = append(o.waiting, operation{
			Rule: "low", Alarm: "a", Raised: true, Device: "bay", Signal: "Lamp", Value: 2,
			Boot: o.clock.Boot().String(), SinceBoot: o.clock.SinceBoot() - 11_000_000,
		})
		b.gateway.control.Close(t.Context())
	}
	stop := b.run()
	b.meter.set(50) // with this the state is written
	b.read(func(l log) bool { return len(l.of(telemetry.AlarmRaised)) == 1 })
	stop()
	b.opened = nil
	stop = b.run()
	defer stop()
	l := b.read(func(l log) bool { return slices.Contains(l.steps(), "Lamp operate 2 refused late") })
	if len(l.of(telemetry.GatewayStarted)) != 2 {
		t.Error("the first process tells it")
	}
	device.wrote(t, "Horn=1", "Lamp=2") // of the alarm that was raised
}

// What the cloud ends by a command has nothing written, nor does what the configuration
// doesn't say any more.
func TestACommandOperatesNothing(t *testing.T) {
	b := newBench(t)
	device := b.withBay()
	stop := b.run()
	b.meter.set(50)
	device.wrote(t, "Horn=1", "Lamp=2")
	id := b.read(func(l log) bool { return len(l.of(telemetry.AlarmRaised)) == 1 }).of(telemetry.AlarmRaised)[0].Alarm.ID
	b.gateway.pipeline.do(t.Context(), func() []telemetry.Sample {
		b.gateway.pipeline.obey(order{Command: record.Command{ID: "c", Kind: record.Reset, Alarm: id, By: "Eve"}})
		return nil
	})
	b.read(func(l log) bool { return slices.Contains(l.steps(), "Horn operate 0 refused commanded") })
	device.wrote(t, "Horn=1", "Lamp=2", "Horn=1", "Lamp=2") // it holds, so it is raised again
	stop()
	g := b.gateway
	for _, op := range []operation{
		{Rule: "low", Raised: true, Device: "bay", Signal: "Lamp", Value: 3},
		{Rule: "gone", Raised: true, Device: "bay", Signal: "Lamp", Value: 2},
	} {
		op.Boot, op.SinceBoot = g.clock.Boot().String(), g.clock.SinceBoot()
		if cause, _ := g.pipeline.operations.refusal(op); cause != control.Unlisted {
			t.Errorf("%+v: %q", op, cause)
		}
	}
}

// An alarm whose rule goes while it is active still ends what it began, be it that the
// configuration changes or that the gateway is started with another one; and if that
// doesn't let rules operate the signal any more, this is told.
func TestTheRuleGoesWhileItsAlarmIsActive(t *testing.T) {
	b := newBench(t)
	device := b.withBay()
	renamed := strings.Replace(b.source, "name: low\n", "name: another\n", 1)
	renamed = strings.Replace(renamed, "PhV.phsA < 100", "PhV.phsA < 1", 1)
	locked := strings.Replace(renamed, "min_interval: 200ms, by_rules: true", "min_interval: 200ms", 1)
	locked = strings.ReplaceAll(locked, "{device: bay, signal: Horn, on_raise: 1, on_clear: 0}", "{device: bay, signal: Lamp, on_raise: 3}")
	locked = strings.Replace(locked, ", {device: bay, signal: Lamp, on_raise: 2}]", "]", 1)
	original := b.source
	written := []string{}
	raise := func() {
		t.Helper()
		b.meter.set(50)
		written = append(written, "Horn=1", "Lamp=2")
		device.wrote(t, written...)
	}
	keep := func(source string) {
		t.Helper()
		if outcome, err := b.try(source, 20*time.Second); err != nil || !outcome.Held {
			t.Fatalf("%+v, %v", outcome, err)
		}
		if err := b.gateway.Keep(hashOf([]byte(source))); err != nil {
			t.Fatal(err)
		}
	}
	stop := b.run()
	raise()
	keep(renamed)
	written = append(written, "Horn=0")
	device.wrote(t, written...)
	keep(original)
	raise()
	stop()
	b.config = b.parse(renamed)
	stop = b.run()
	written = append(written, "Horn=0")
	device.wrote(t, written...)
	stop()
	b.config = b.parse(original)
	stop = b.run()
	raise()
	keep(locked)
	b.read(func(l log) bool { return slices.Contains(l.steps(), "Horn select 0 refused unlisted") })
	stop()
	device.wrote(t, written...)
}

// Rules don't fill the memory: beyond what could be operated in time, none wait.
func TestTooManyOperations(t *testing.T) {
	b := newBench(t)
	b.withBay()
	b.run()()
	o := b.gateway.pipeline.operations
	for i := range 2 * mostOperations {
		o.alarm(telemetry.Event{Kind: telemetry.AlarmRaised, Alarm: &telemetry.AlarmChange{ID: fmt.Sprint(i), Rule: "lower"}}, false, quiet)
	}
	if n := len(o.pending()); n != mostOperations {
		t.Errorf("%d wait", n)
	}
}
