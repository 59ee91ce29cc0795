package telemetry

import (
	"math"
	"slices"
	"testing"
)

func TestDecimals(t *testing.T) {
	single := func(v float64) float64 { return float64(float32(v)) }
	for _, c := range []struct {
		name      string
		precision precision
		hint      uint8
		floats    []float64
		exponent  uint8
		integers  []int64 // nil: no decimals
	}{
		{"tenths", binary64, 0, []float64{230.1, -0.5, 7}, 1, []int64{2301, -5, 70}},
		{"hint holds", binary64, 3, []float64{0.125, 2}, 3, []int64{125, 2000}},
		{"hint too small", binary64, 1, []float64{230.1, 0.001}, 3, []int64{230100, 1}},
		{"hint too large", binary64, 13, []float64{123456}, 0, []int64{123456}},
		{"hint too large later", binary64, 13, []float64{1, 123456.5}, 1, []int64{10, 1234565}},
		{"digits that nothing needs", binary64, 2, []float64{10, 20, 30.5, 40, 50, 60}, 1, []int64{100, 200, 305, 400, 500, 600}},
		{"few such digits stay", binary64, 2, []float64{10, 20}, 2, []int64{1000, 2000}},
		{"largest", binary64, 0, []float64{1<<53 - 1, 1 - 1<<53}, 0, []int64{1<<53 - 1, 1 - 1<<53}},
		{"too large", binary64, 0, []float64{1 << 53}, 0, nil},
		{"too many digits together", binary64, 0, []float64{1e15, 1e-15}, 0, nil},
		{"sixteen places", binary64, 0, []float64{1e-16}, 0, nil},
		{"minus zero", binary64, 0, []float64{1, math.Copysign(0, -1)}, 0, nil},
		{"not a number", binary64, 0, []float64{math.NaN()}, 0, nil},
		{"infinite", binary64, 0, []float64{math.Inf(1)}, 0, nil},
		{"subnormal", binary64, 0, []float64{math.SmallestNonzeroFloat64}, 0, nil},
		{"irrational", binary64, 0, []float64{math.Pi}, 0, nil},
		{"one ulp off", binary64, 0, []float64{math.Nextafter(230.1, 300)}, 0, nil},
		{"float32 as float64", binary64, 0, []float64{single(230.1)}, 0, nil},
		{"float32", binary32, 0, []float64{single(230.1), 230.5, single(-0.01)}, 2, []int64{23010, 23050, -1}},
		{"float64 as float32", binary32, 0, []float64{230.1}, 0, nil},
		{"largest float32", binary32, 0, []float64{1<<23 - 1}, 0, []int64{1<<23 - 1}},
		{"too large float32", binary32, 0, []float64{1 << 23}, 0, nil},
		{"irrational float32", binary32, 0, []float64{single(230.12345), single(math.Pi), single(math.E)}, 0, nil},
	} {
		floats, out := make([]uint64, len(c.floats)), make([]uint64, len(c.floats))
		for i, f := range c.floats {
			floats[i] = math.Float64bits(f)
		}
		k, ok := c.precision.integers(out, floats, c.hint)
		if !ok && c.integers == nil {
			continue
		}
		got := make([]int64, len(out))
		for i, n := range out {
			got[i] = int64(n)
		}
		if !ok || k != c.exponent || !slices.Equal(got, c.integers) {
			t.Errorf("%s: %v / 10^%d, %v; expected %v / 10^%d", c.name, got, k, ok, c.integers, c.exponent)
		}
	}
}

// TestTimesOfEqualHash: a hash only suggests where to look.
func TestTimesOfEqualHash(t *testing.T) {
	mix := func(h, at uint64) uint64 {
		h = (h ^ at) * 0x9e3779b97f4a7c15
		return h ^ h>>32
	}
	a := []Micros{1, 2}
	b := []Micros{3, Micros(2 ^ mix(2, 1) ^ mix(2, 3))}
	if hashTimes(a) != hashTimes(b) {
		t.Fatal("the times differ in their hash")
	}
	var samples []Sample
	for i := range a {
		samples = append(samples, Sample{Signal: 1, Time: a[i]}, Sample{Signal: 2, Time: b[i]}, Sample{Signal: 3, Time: a[i]}, Sample{Signal: 4, Time: b[i]})
	}
	checkBlock(t, new(Encoder), new(Decoder), samples)
}
