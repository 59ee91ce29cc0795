package transformer

import (
	"math"
	"testing"
	"time"
)

// At a load that stays the same the temperatures become those of IEC 60076-7, formula 1
// with t = ∞, above the ambient; the fans switch at their limits.
func TestSteadyState(t *testing.T) {
	for load, fans := range map[float64]bool{0: false, 0.5: false, 0.7: false, 1.5: true} {
		m := NewModel(func(time.Duration) float64 { return load })
		m.Advance(7 * 24 * time.Hour)
		rise := oilRise * math.Pow((1+lossRatio*load*load)/(1+lossRatio), oilExponent)
		if m.Fans {
			rise *= fansLeave
		}
		if got := m.TopOil - m.Ambient; math.Abs(got-rise) > ambientSwing {
			t.Errorf("load %v: the oil is %.1f K above the ambient, expected %.1f", load, got, rise)
		}
		if got, want := m.HotSpot-m.TopOil, windingRise*math.Pow(load, windExponent); math.Abs(got-want) > 0.01 {
			t.Errorf("load %v: the hot spot is %.1f K above the oil, expected %.1f", load, got, want)
		}
		if m.Fans != fans || m.Alarm != fans || m.Tap != int32(math.Round(nominalTap+tapsPerLoad*(load-0.5))) {
			t.Errorf("load %v: %+v", load, m.State)
		}
	}
}

// The oil follows the load within hours, the hot spot within minutes.
func TestLags(t *testing.T) {
	m := NewModel(func(since time.Duration) float64 {
		if since <= 24*time.Hour {
			return 0
		}
		return 0.9
	})
	m.Advance(24 * time.Hour)
	before := m.State
	m.Advance(windingLag)
	if got, want := m.HotSpot-m.TopOil, windingRise*math.Pow(0.9, windExponent)*(1-1/math.E); math.Abs(got-want) > 0.5 || m.TopOil > before.TopOil+4 {
		t.Errorf("the hot spot is %.1f K above the oil, expected %.1f; %+v", got, want, m.State)
	}
	m.Advance(oilLag)
	if m.TopOil < before.TopOil+15 {
		t.Errorf("%+v after %+v", m.State, before)
	}
}
