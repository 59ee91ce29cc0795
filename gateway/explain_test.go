package gateway

import (
	"errors"
	"testing"
	"time"

	"github.com/busbar/busbar/rules"
)

func TestTheRunningGatewayExplainsItsAlarms(t *testing.T) {
	b := newBench(t)
	b.withStatus()
	q := rules.Question{Rule: "voltage-interruption", Asset: "feeder-1"}
	if _, err := ExplainRules(t.Context(), b.config, "", q); !errors.Is(err, ErrNotRunning) {
		t.Errorf("before it runs: %v", err)
	}
	stop := b.run()
	defer stop()
	b.awaitStatus()
	await := func(state rules.AlarmState, when string) (x rules.Explanation) {
		t.Helper()
		for limit := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			answer, err := ExplainRules(t.Context(), b.config, "", q)
			if err != nil || len(answer) != 1 {
				t.Fatalf("%+v, %v", answer, err)
			}
			if x = answer[0]; x.State == state && x.When.Value == when {
				return x
			}
			if time.Now().After(limit) {
				t.Fatalf("%+v, expected %s", x, state)
			}
		}
	}
	x := await(rules.Idle, "false")
	if s := x.Signals; len(s) != 3 || s[0].Device != "meter" || s[0].Name != "PhV.phsA" || s[0].Value != "230 V" || s[0].Quality == "" || s[0].Ignored != "" {
		t.Errorf("%+v", s)
	}
	b.meter.set(3)
	x = await(rules.Raised, "true")
	if x.Asset != "feeder-1" || x.ID == "" || x.Since == 0 || x.Since > x.At || len(x.When.Parts) == 0 || x.Signals[0].Value != "3 V" {
		t.Errorf("%+v", x)
	}
	q.Rule = "none"
	if answer, err := ExplainRules(t.Context(), b.config, "", q); err != nil || len(answer) != 0 {
		t.Errorf("%+v, %v", answer, err)
	}
	other := b.config
	other.Gateway.ID = "another"
	if _, err := ExplainRules(t.Context(), other, "", q); !errors.Is(err, ErrNotRunning) {
		t.Errorf("another gateway: %v", err)
	}
}
