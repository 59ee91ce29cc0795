package publisher

import (
	"testing"
	"time"
)

// A seed makes the noise of each reading, whenever exactly that is; another one makes another.
func TestNoise(t *testing.T) {
	m := Meters{Count: 2, Every: time.Second, Load: loaded(t), RatedPower: 20_000, Seed: 1}
	volts := func(m Meters, after time.Duration) float64 { return m.read(after)[1].Voltage }
	want := volts(m, 5*time.Second)
	if got := volts(m, 5*time.Second+3*time.Millisecond); got != want {
		t.Errorf("%v V and then %v V by the same seed", want, got)
	}
	other := m
	other.Seed = 2
	for what, got := range map[string]float64{
		"the first meter": m.read(5 * time.Second)[0].Voltage, "the next reading": volts(m, 6*time.Second), "another seed": volts(other, 5*time.Second),
	} {
		if got == want {
			t.Errorf("%s shows %v V too", what, got)
		}
	}
}
