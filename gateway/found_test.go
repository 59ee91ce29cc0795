package gateway

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// hot is the rule of a signal that only the device knows of.
func (b *bench) withHot() adapters.Found {
	b.config.Devices[0].Follow = []gatewayconfig.Follow{{Unit: "Cel"}}
	b.config.Devices[0].PollEvery *= 100 // that something is told of the device must be due to the test
	b.config.Rules = append(b.config.Rules, rules.Rule{Name: "hot", On: rules.Target{Device: "meter"}, When: "TopOilTmp > 90", Summary: "{{ .TopOilTmp }} °C"})
	return adapters.Found{Name: "TopOilTmp", Unit: "K", Kind: telemetry.Gauge, Encoding: "double"}
}

// register has the gateway that runs take up signals of the meter.
func (b *bench) register(found ...adapters.Found) []telemetry.SignalID {
	b.t.Helper()
	ids, err := b.gateway.register(b.t.Context(), "meter", found)
	if err != nil {
		b.t.Fatal(err)
	}
	return ids
}

// known is what the meter's adapter is told that it has told before.
func (b *bench) known() ([]adapters.Found, []telemetry.SignalID) {
	b.t.Helper()
	known, ids, err := inlet{b.gateway.self, b.gateway}.Known(b.t.Context(), "meter")
	if err != nil {
		b.t.Fatal(err)
	}
	return known, ids
}

// tell delivers a value of the meter, as its adapter does, and returns when it is
// on disk.
func (b *bench) tell(id telemetry.SignalID, v float64, at time.Time, past bool) {
	b.t.Helper()
	committed := make(chan bool, 1)
	err := inlet{b.gateway.self, b.gateway}.Deliver(b.t.Context(), adapters.Batch{
		Device: "meter", Received: time.Now(), Past: past, Committed: func(is bool) { committed <- is },
		Samples: []telemetry.Sample{{Time: telemetry.MicrosOf(at), Signal: id, Value: telemetry.FloatValue(v), Quality: telemetry.MakeQuality(telemetry.Good, telemetry.DeviceTime, telemetry.NoReason)}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	select {
	case is := <-committed:
		if !is {
			b.t.Error("it will never be on disk")
		}
	case <-time.After(20 * time.Second):
		b.t.Fatal("it isn't on disk")
	}
}

// A signal that a device tells of itself is one like all others: it has an id for ever,
// its entry's unit, and rules.
func TestADeviceTellsOfASignal(t *testing.T) {
	b := newBench(t)
	hot := b.withHot()
	b.config.Buffer.CommitEvery *= 500 // whoever waits for a commit doesn't wait for this
	stop := b.run()
	ids := b.register(hot)
	if ids[0] == 0 {
		t.Fatal("it has no id")
	}
	now := time.Now()
	b.tell(ids[0], 95, now.Add(-time.Hour), true)
	b.tell(ids[0], 20, now.Add(-time.Minute), false)
	if n := b.gateway.pipeline.raised.Load(); n != 0 {
		t.Errorf("%d alarms by a value of the past", n)
	}
	if again := b.register(adapters.Found{Name: "PhV.phsA", Kind: telemetry.Gauge, Encoding: "double"}, hot); again[0] != 0 || again[1] != ids[0] {
		t.Errorf("%v, expected no id for a name that is written down, and %v", again, ids)
	}
	stop()
	l := b.read(func(l log) bool { return len(l.points) > 0 && len(l.births) > 0 })
	past, unit := false, ""
	for _, p := range l.points {
		past = past || p.Signal == ids[0] && p.Value == telemetry.FloatValue(95)
	}
	for _, s := range l.births[len(l.births)-1].Signals {
		if s.ID == ids[0] {
			unit = s.Unit
		}
	}
	if !past || unit != "Cel" {
		t.Errorf("the value of the past was sent: %v; its unit is %q", past, unit)
	}

	// After a restart the rule goes on before the device has told anything, and its adapter
	// knows what it is to tell.
	stop = b.run()
	if known, of := b.known(); len(known) != 1 || known[0].Name != hot.Name || known[0].Encoding != hot.Encoding || of[0] != ids[0] {
		t.Errorf("%+v %v", known, of)
	}
	b.tell(ids[0], 96, time.Now(), false)
	b.read(func(l log) bool {
		raised := l.of(telemetry.AlarmRaised)
		return len(raised) == 1 && raised[0].Alarm.Rule == "hot" && raised[0].Alarm.Summary == "96 °C"
	})
	changed := hot
	changed.Encoding = "int"
	if other := b.register(changed); other[0] == 0 || other[0] == ids[0] {
		t.Errorf("the id %v of one that has another type, which had %v", other, ids)
	}
	if twice := b.register(changed, hot, changed); twice[0] == ids[0] || twice[1] != twice[0] {
		t.Errorf("the ids %v of a name that was told with two types, expected those of the last", twice)
	}
	if back := b.register(hot); back[0] != ids[0] {
		t.Errorf("the id %v, expected %v as before", back, ids)
	}
	stop()

	// What was told when the device was configured otherwise doesn't count.
	b.config.Devices[0].Follow[0].Unit = "K"
	stop = b.run()
	defer stop()
	if known := b.gateway.live.Load().devices.foundOn("meter"); len(known) != 0 {
		t.Errorf("it knows %v", known)
	}
	if known, _ := b.known(); len(known) != 0 {
		t.Errorf("its adapter gets %v", known)
	}
	if ids := b.register(hot, hot); ids[0] == 0 || ids[1] != ids[0] {
		t.Errorf("%v", ids)
	}
}

// What can't be taken up is refused, and everything goes on as before.
func TestWhatCantBeFound(t *testing.T) {
	b := newBench(t)
	hot := b.withHot()
	file := filepath.Join(string(b.config.Buffer.Path), foundName)
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := b.run()
	defer stop()
	if ids, err := b.gateway.register(t.Context(), "nobody", []adapters.Found{hot}); err != nil || ids[0] != 0 {
		t.Errorf("of a device that there isn't: %v, %v", ids, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := b.gateway.found.lock(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := b.gateway.register(ctx, "meter", []adapters.Found{hot}); !errors.Is(err, context.Canceled) {
		t.Errorf("while something else changes the gateway: %v", err)
	}
	b.gateway.found.unlock()
	b.gateway.live.Load().config.Rules[1].When = "PhV.phsA > TopOilTmp" // V and °C
	if _, err := b.gateway.register(t.Context(), "meter", []adapters.Found{hot}); err == nil {
		t.Error("the rules can't be about it")
	}
	b.gateway.live.Load().config.Rules[1].When = "TopOilTmp > 90"
	if ids := b.register(hot); ids[0] == 0 {
		t.Error("it isn't taken up any more")
	}
}

// A device can't tell of so many signals that nothing else has room.
func TestTooManyAreFound(t *testing.T) {
	f := newFound(filepath.Join(t.TempDir(), foundName), quiet)
	config := gatewayconfig.Config{Devices: []gatewayconfig.Device{{ID: "meter"}}}
	told := make([]adapters.Found, mostFound+10)
	for i := range told {
		told[i] = adapters.Found{Name: telemetry.IntValue(int64(i)).String(), Encoding: "double"}
	}
	if fresh := f.fresh(&live{config: config}, "meter", told); len(fresh) != mostFound {
		t.Errorf("%d", len(fresh))
	}
	f.add(config, "meter", told[:mostFound])
	f.save()
	f = newFound(f.file, quiet)
	if fresh := f.fresh(&live{config: config}, "meter", told); len(fresh) != 0 {
		t.Errorf("%d more", len(fresh))
	}
	if expanded := f.expand(config); len(expanded.Devices[0].Signals) != mostFound || len(config.Devices[0].Signals) != 0 {
		t.Errorf("%d signals, and %d were written down", len(expanded.Devices[0].Signals), len(config.Devices[0].Signals))
	}
}
