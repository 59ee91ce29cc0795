package network

import (
	"bytes"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid/gridfile"
)

// What a load flow needs is kept with a model, and another value of it is another version.
func TestImpedancesAreKept(t *testing.T) {
	text := strings.NewReplacer(
		"rated_power: 400 kVA,", "rated_power: 400 kVA, short_circuit_voltage: 4 %, load_loss: 4.6 kW, no_load_loss: 600 W, no_load_current: 0.3 %, tap: -2.5 %,",
		"rated_current: 300 A,", "rated_current: 300 A, length: 1.5 km, resistance: 0.206 ohm/km, reactance: 0.116 ohm/km, capacitance: 250 nF/km,",
		"node: hv}", "node: hv, voltage: 110 kV, setpoint: 113 kV}").Replace(north)
	s := storetest.Open(t)
	save(t, s, text)
	kept, _, err := Model(t.Context(), s, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := read(t, text)
	m.Sort()
	var got, want bytes.Buffer
	gridfile.WriteYAML(&got, kept)
	gridfile.WriteYAML(&want, &m)
	if got.String() != want.String() {
		t.Errorf("it was kept as another:\n%s\n%s", got.String(), want.String())
	}
	other := strings.Replace(text, "tap: -2.5 %", "tap: 2.5 %", 1)
	if out := save(t, s, other); !out.New || out.Version != 2 {
		t.Errorf("another tap: %+v", out.SavedGrid)
	}
	if out := save(t, s, other); out.New {
		t.Errorf("the same again: %+v", out.SavedGrid)
	}
}
