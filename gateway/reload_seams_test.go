package gateway

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/control"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

// What may be operated and which counters are watched are those of the configuration
// that the gateway runs with.
func TestControlAndCountersFollowTheConfiguration(t *testing.T) {
	b := newBench(t)
	counting(b)
	b.meter.Store(70_000)
	b.withControl(gatewayconfig.Interlock{When: "St >= 0"})
	g, stop := b.runs()
	counter := g.live.Load().devices.modbus[0].Points[0].Signal
	b.read(func(l log) bool { return l.count(counter) > 2 })

	next := b.config
	next.Devices = slices.Clone(b.config.Devices)
	next.Devices[0].Control = nil
	outcome, err := g.Try(Trial{Config: next, Source: Source{Text: []byte("next")}, By: "Ana", Wait: time.Minute})
	if err != nil || !outcome.Held {
		t.Fatalf("%+v, %v", outcome, err)
	}
	if a := b.operates(g); a.Outcome != telemetry.ControlRefused || a.Cause != control.Unlisted {
		t.Errorf("a point that isn't listed any more: %+v", a)
	}
	b.meter.Store(10)
	b.read(func(l log) bool { return len(l.of(telemetry.CounterReset)) == 1 })
	stop()
}

// While the adapter changes, a point's name may mean another device.
func TestNothingIsOperatedWhileTheConfigurationChanges(t *testing.T) {
	b := newBench(t)
	b.withControl(gatewayconfig.Interlock{When: "ChLiv"})
	g, stop := b.runs()
	b.read(func(l log) bool { return l.samples > 0 })
	next := b.config
	next.Devices = slices.Clone(b.config.Devices)
	next.Devices[0].PollEvery *= 2
	was := g.live.Load()
	applied := make(chan error, 1)
	g.pipeline.mu.Lock() // it doesn't get any further than that
	go func() { applied <- g.apply(context.Background(), live{config: next}) }()
	for g.live.Load() == was {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	request := control.Request{Device: "meter", Signal: "SetW", Value: telemetry.IntValue(7), Origin: telemetry.ControlLocal, By: "Ana"}
	if a := g.control.Operate(ctx, request); a.Outcome != telemetry.ControlRefused || a.Cause != control.Busy {
		t.Errorf("%+v", a)
	}
	cancel()
	g.pipeline.mu.Unlock()
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	if a := g.control.Operate(t.Context(), request); a.Cause != control.DeviceFailed {
		t.Errorf("afterwards: %+v", a)
	}
	// Nor does it end there if the change fails.
	next.Devices[0].Modbus.Endpoint = "nonsense"
	if err := g.apply(context.Background(), live{config: next}); err == nil {
		t.Error("nonsense was applied")
	}
	if a := g.control.Operate(t.Context(), request); a.Cause == control.Busy {
		t.Errorf("after a change that failed: %+v", a)
	}
	stop()
}
