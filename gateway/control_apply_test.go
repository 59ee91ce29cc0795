package gateway

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/control"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

// What may be operated changes with the configuration, and back when that is rolled
// back: nobody operates what the one that runs doesn't list.
func TestControlFollowsTheConfiguration(t *testing.T) {
	b := newBench(t)
	b.source = strings.Replace(b.source, "gateway: {id: gw,", "gateway: {id: gw, control: enabled,", 1)
	b.source = strings.Replace(b.source, "rules:\n", `      - {name: SetW, holding: 8, type: uint16, unit: kW}
    control: [{signal: SetW, min: 0, max: 100, mode: direct, min_interval: 0s}]
rules:
`, 1)
	b.config = b.parse(b.source)
	stop := b.run()
	defer stop()
	want := func(outcome telemetry.ControlOutcome, cause control.Cause) {
		t.Helper()
		if a := b.operates(b.gateway); a.Outcome != outcome || a.Cause != cause {
			t.Errorf("%+v, expected %s %s", a, outcome, cause)
		}
	}
	want(telemetry.ControlFailed, control.DeviceFailed) // the meter has no function 6
	next := strings.Replace(b.source, "max: 100", "max: 5", 1)
	if outcome, err := b.try(next, 20*time.Second); err != nil || !outcome.Held {
		t.Fatalf("%+v, %v", outcome, err)
	}
	want(telemetry.ControlRefused, control.OutOfRange)
	if err := b.gateway.Keep(hashOf([]byte(next))); err != nil {
		t.Fatal(err)
	}
	without := next[:strings.Index(next, "    control: [")] + next[strings.Index(next, "rules:\n"):]
	if outcome, err := b.try(without, 20*time.Second); err != nil || !outcome.Held {
		t.Fatalf("%+v, %v", outcome, err)
	}
	want(telemetry.ControlRefused, control.Unlisted)
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
	// It doesn't get any further than where the rules are exchanged.
	held, release := make(chan struct{}), make(chan struct{})
	go g.pipeline.do(context.Background(), func() []telemetry.Sample { close(held); <-release; return nil })
	<-held
	go func() { applied <- g.apply(context.Background(), setting{config: next}) }()
	for g.live.Load() == was {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	request := control.Request{Device: "meter", Signal: "SetW", Value: telemetry.IntValue(7), Origin: telemetry.ControlLocal, By: "Ana"}
	if a := g.control.Operate(ctx, request); a.Outcome != telemetry.ControlRefused || a.Cause != control.Busy {
		t.Errorf("%+v", a)
	}
	cancel()
	close(release)
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	if a := g.control.Operate(t.Context(), request); a.Cause != control.DeviceFailed {
		t.Errorf("afterwards: %+v", a)
	}
	// Nor does it end there if the change fails.
	next.Devices[0].Modbus.Endpoint = "nonsense"
	if err := g.apply(context.Background(), setting{config: next}); err == nil {
		t.Error("nonsense was applied")
	}
	if a := g.control.Operate(t.Context(), request); a.Cause == control.Busy {
		t.Errorf("after a change that failed: %+v", a)
	}
	stop()
}
