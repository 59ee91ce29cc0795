package rules

import (
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// A rule waits for what an open device hasn't told yet, and applies once it has.
func TestARuleWaitsForASignal(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "meter", Asset: "T1", PollEvery: time.Second}, "PhV.phsA")
	list := []Rule{
		{Name: "hot", On: Target{Asset: "T1"}, When: "TopOilTmp > 90"},
		{Name: "said", On: Target{Device: "monitor"}, When: "ChLiv == 0", Summary: "{{ .TopOilTmp }}"},
		{Name: "quiet", On: Target{Device: "monitor"}, When: "ChLiv == 0", SuppressedWhen: "Maintenance == 1"},
	}
	if _, problems := Compile(list, m); len(problems) == 0 {
		t.Error("nobody will ever tell of TopOilTmp")
	}
	meter(&m, Device{ID: "monitor", Asset: "T1", Open: true})
	e, problems := Compile(list, m)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if n := len(e.instances); n != 0 {
		t.Errorf("%d rules apply to what isn't there yet", n)
	}
	if _, problems := Compile(append(list, Rule{Name: "cold", On: Target{Device: "meter"}, When: "TopOilTmp < 0"}), m); len(problems) != 1 {
		t.Errorf("%v, expected that the meter won't have it", problems)
	}
	for _, name := range []string{"TopOilTmp", "Maintenance"} {
		m.Signals = append(m.Signals, telemetry.Signal{ID: telemetry.SignalID(len(m.Signals) + 1), Name: name, Device: "monitor", Asset: "T1", Unit: "1"})
	}
	if e, problems = Compile(list, m); len(problems) > 0 {
		t.Fatal(problems)
	}
	if n := len(e.instances); n != len(list) {
		t.Errorf("%d rules apply, expected %d", n, len(list))
	}
}
