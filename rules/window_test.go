package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// What windows say of 1, 5, 2 at 0, 1 and 2 s, each value holding until the next.
func TestWindows(t *testing.T) {
	for _, c := range []struct {
		name   string
		when   string
		values []any // each second from 0
		raised string
	}{
		{"least", `min_over(TopOilTmp, "2s") == 1`, []any{1, 5, 2}, "2"},
		{"most", `max_over(TopOilTmp, "2s") == 5`, []any{1, 5, 2}, "2"},
		{"mean over time", `mean_over(TopOilTmp, "2s") == 3`, []any{1, 5, 2}, "2"},
		{"what went before the window", `max_over(TopOilTmp, "2s") == 2`, []any{5, 5, 2, 2, 2}, "4"},
		{"change", `delta(TopOilTmp, "2s") == 1`, []any{1, 5, 2}, "2"},
		{"change a second", `rate(TopOilTmp, "2s") == 0.5`, []any{1, 5, 2}, "2"},
		{"not before the window is full", `max_over(TopOilTmp, "3s") > 0`, []any{1, 1, 1}, ""},
		{"full", `max_over(TopOilTmp, "3s") > 0`, []any{1, 1, 1, 1}, "3"},
		{"a poll that failed is bridged", `max_over(TopOilTmp, "3s") > 0`, []any{1, silent{}, 1, 1}, "3"},
		{"more than three periods aren't", `max_over(TopOilTmp, "5s") > 0`, []any{1, silent{}, silent{}, silent{}, 1, 1, 1, 1}, ""},
		{"the last value is too old", `max_over(TopOilTmp, "1s") > 0 and AmbTmp > 0`, []any{1, 1, silent{}, silent{}, silent{}, silent{}}, ""},
		{"unchanged", `max_over(TopOilTmp, "3s") == min_over(TopOilTmp, "3s")`, []any{1, 2, 2, 2, 2, 2}, "4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := Model{}
			meter(&m, Device{ID: "monitor", Asset: "T1", PollEvery: byPoll}, "TopOilTmp", "AmbTmp")
			r := newRig(t, m, Rule{Name: "x", On: Target{Asset: "T1"}, When: c.when, ClearWhen: "AmbTmp < 0"})
			for s, v := range c.values {
				r.oil(float64(s), v)
			}
			if c.raised == "" {
				r.want()
			} else {
				r.want(c.raised + " raised x")
			}
		})
	}
}

// What a signal was counts, from when it came, though nothing comes after it.
func TestWindowOfChanges(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "bay", Asset: "b1", PollEvery: byChange}, "Pos", "OpCnt")
	r := newRig(t, m,
		Rule{Name: "chattering", On: Target{Asset: "b1"}, When: `count_over(Pos == 1, "10s") >= 3`},
		Rule{Name: "steady", On: Target{Asset: "b1"}, When: `max_over(Pos, "10s") == 1`})
	for i := range 7 {
		r.read(float64(i), "bay", "Pos", 2-i%2) // open at 1, 3 and 5
	}
	r.want("5 raised chattering")
	r.tick(10.9)
	r.want()
	for !r.engine.NextDeadline().IsZero() && len(r.events) == 0 {
		r.now = r.engine.NextDeadline()
		r.engine.Tick(r.now, r.emit)
	}
	r.want("11 cleared chattering")
	r.read(20, "bay", "Pos", 1)
	for !r.engine.NextDeadline().IsZero() && len(r.events) == 0 {
		r.now = r.engine.NextDeadline()
		r.engine.Tick(r.now, r.emit)
	}
	r.want("30 raised steady")
}

// A counter that was reset has no rate until that is out of the window.
func TestRateOfACounter(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "m", Asset: "f", PollEvery: byPoll}, "DmdWh")
	m.Signals[0].Kind, m.Signals[0].Unit = telemetry.Counter, "W.h"
	r := newRig(t, m, Rule{Name: "falls", On: Target{Asset: "f"}, When: `delta(DmdWh, "2s") < 0`}, Rule{Name: "rises", On: Target{Asset: "f"}, When: `rate(DmdWh, "2s") == 10`})
	for s, v := range []any{100, 110, 120, 0, 10, 20, 30} {
		r.read(float64(s), "m", "DmdWh", v)
	}
	r.want("2 raised rises") // it clears by no value that is known
}

func TestCountsSurviveARestart(t *testing.T) {
	rule := Rule{Name: "reclosing", On: Target{Asset: "b1"}, When: `count_over(Pos == 1, "1m") >= 2`}
	m := Model{}
	meter(&m, Device{ID: "bay", Asset: "b1", PollEvery: byPoll}, "Pos")
	r := newRig(t, m, rule)
	r.read(0, "bay", "Pos", 2)
	r.read(1, "bay", "Pos", 1)
	r.read(2, "bay", "Pos", 2)
	if !r.engine.Changed() {
		t.Error("the state is the same")
	}
	state := r.engine.State()
	r = newRig(t, m, rule)
	if err := r.engine.Restore(state, at(2.5).Time()); err != nil {
		t.Fatal(err)
	}
	r.read(3, "bay", "Pos", 1)
	r.want("3 raised reclosing")
}

func TestWindowProblems(t *testing.T) {
	for when, want := range map[string]string{
		`max_over(TopOilTmp) > 1`:                                   `1: max_over has 1 arguments, expected two, as in max_over(…, "5m")`,
		`max_over(TopOilTmp, 5) > 1`:                                `21: 5 is no time, expected one in quotes, such as "5m"`,
		`max_over(TopOilTmp, "5 minutes") > 1`:                      `21: "5 minutes" is no time up to 24h, expected one such as 10s, 5m or 1h30m`,
		`max_over(TopOilTmp, "48h") > 1`:                            `21: "48h" is no time up to 24h, expected one such as 10s, 5m or 1h30m`,
		`max_over(TopOilTmp, "-5m") > 1`:                            `21: "-5m" is no time up to 24h, expected one such as 10s, 5m or 1h30m`,
		`max_over(TopOilTmp, "10ms") > 1`:                           `21: device monitor is read every 1s, expected at least that`,
		`max_over(TopOilTmp, "2h") > 1`:                             `21: 2h0m0s of a signal that is read every 1s are 7200 samples, expected at most 4000`,
		`max_over(TopOilTmp - AmbTmp, "5m") > 1`:                    `10: max_over looks back on one signal, and TopOilTmp - AmbTmp is none`,
		`count_over(TopOilTmp, "5m") > 1`:                           `12: TopOilTmp is a number, expected a condition such as TopOilTmp > 0`,
		`count_over(count_over(TopOilTmp > 1, "5m") > 1, "5m") > 1`: `12: count_over can't stand within count_over or neighbours`,
		`rate(TopOilTmp, "5m") > AmbTmp`:                            `1: rate(TopOilTmp, "5m") > AmbTmp mixes the units Cel/s and Cel`,
		`optional(TopOilTmp > 1, 2)`:                                `1: optional has 2 arguments, expected one`,
	} {
		m := Model{}
		meter(&m, Device{ID: "monitor", Asset: "T1", PollEvery: byPoll}, "TopOilTmp", "AmbTmp")
		_, problems := Compile([]Rule{{Name: "x", On: Target{Asset: "T1"}, When: when}}, m)
		if got := fmt.Sprint(problems); got != "[rules[0].when: character "+want+"]" {
			t.Errorf("%s\n\t%s\n\texpected %s", when, got, want)
		}
	}
}

// What all rules look back on together is bounded, and the rule is named that is one
// too many.
func TestMemoryOfWindowsIsBounded(t *testing.T) {
	m := Model{}
	for i := range 200 {
		meter(&m, Device{ID: fmt.Sprint("m", i), Asset: fmt.Sprint("f", i), PollEvery: time.Second}, "TopOilTmp")
	}
	rule := Rule{Name: "x", When: `max_over(TopOilTmp, "50m") > 1`}
	_, problems := Compile([]Rule{{Name: "y", When: "TopOilTmp > 1"}, rule}, m)
	if len(problems) != 1 || problems[0].Rule != 1 || !strings.Contains(problems[0].Error(), "character 1: with this, windows and captures of all rules keep 402066 samples in memory, expected at most 400000") {
		t.Error(problems)
	}
	if _, problems := Compile([]Rule{rule}, Model{Signals: m.Signals[:200], Devices: m.Devices[:100]}); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestOptionalAndSurely(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "m1", Asset: "f1", PollEvery: byPoll}, "TopOilTmp", "AmbTmp")
	r := newRig(t, m,
		Rule{Name: "optional", When: `TopOilTmp > 1 and not optional(any_phase(A > 1))`},
		Rule{Name: "measured", When: `TopOilTmp > 1 and not optional(AmbTmp > 1)`},
		Rule{Name: "surely", When: `TopOilTmp > 1 and not surely(AmbTmp > 1)`},
	)
	r.read(0, "m1", "TopOilTmp", 2, "AmbTmp", silent{})
	r.want("0 raised optional", "0 raised surely")
	r.read(1, "m1", "TopOilTmp", 2, "AmbTmp", 2)
	r.want("1 cleared surely")
}
