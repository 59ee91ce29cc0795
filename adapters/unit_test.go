package adapters

import "testing"

func TestUnits(t *testing.T) {
	for told, want := range map[string]string{"°C": "Cel", "kWh": "kW.h", "V": "V", "#": "1", "A B": "", "": "", "№": ""} {
		if got := Unit(told); got != want {
			t.Errorf("%q: %q, expected %q", told, got, want)
		}
	}
}
