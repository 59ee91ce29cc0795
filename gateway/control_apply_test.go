package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/control"
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
