package buffer

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
)

const second telemetry.Micros = 1_000_000

func series(kind telemetry.Kind, values ...any) (samples []telemetry.Sample) {
	for i, v := range values {
		s := telemetry.Sample{Signal: 1, Time: telemetry.Micros(i) * 10 * second}
		switch v := v.(type) {
		case float64:
			s.Value = telemetry.FloatValue(v)
		case bool:
			s.Value = telemetry.BoolValue(v)
		case string:
			s.Value = telemetry.TextValue(v)
		default:
			s.Quality = telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)
		}
		samples = append(samples, s)
	}
	return samples
}

func thinAll(generation int, kind telemetry.Kind, samples []telemetry.Sample) []telemetry.Sample {
	t := newThinner(generation, func(telemetry.SignalID) telemetry.Kind { return kind })
	return t.flush(t.add(nil, samples))
}

func TestThinningKeepsByKind(t *testing.T) {
	bad := struct{}{}
	long := make([]any, 200) // 2000 s: more than two quarter-hours
	for i := range long {
		long[i] = float64(i)
	}
	for name, test := range map[string]struct {
		kind       telemetry.Kind
		generation int
		values     []any
		want       []int // indices that are kept
	}{
		"a gauge: every 4th":                      {telemetry.Gauge, everyNth, []any{1., 2., 3., 4., 5., 6., 7., 8., 9.}, []int{0, 4, 8}},
		"a gauge: changes of quality":             {telemetry.Gauge, everyNth, []any{1., 2., bad, bad, bad, 3., 4., 5.}, []int{0, 2, 5}},
		"a counter: the last of a quarter-hour":   {telemetry.Counter, everyNth, long, []int{89, 179, 199}},
		"a counter: the last before a reset":      {telemetry.Counter, everyNth, []any{5., 6., 7., 0., 1., 2.}, []int{2, 5}},
		"a counter: changes of quality":           {telemetry.Counter, everyNth, []any{5., 6., bad, bad, 7., 8.}, []int{1, 2, 5}},
		"a state: every change":                   {telemetry.State, everyNth, []any{true, true, false, false, true}, []int{0, 2, 4}},
		"a state as a number: every change":       {telemetry.State, perMinute, []any{1., 1., 2., 2., 1.}, []int{0, 2, 4}},
		"a state's quality":                       {telemetry.State, statesOnly, []any{true, bad, bad, true}, []int{0, 1, 3}},
		"texts: every change":                     {telemetry.Gauge, perMinute, []any{"a", "a", "b", "b"}, []int{0, 2}},
		"a gauge in the last generation":          {telemetry.Gauge, statesOnly, []any{1., 2.}, nil},
		"a counter in the last generation":        {telemetry.Counter, statesOnly, []any{1., 2.}, nil},
		"a minute of few samples stays as it was": {telemetry.Gauge, perMinute, []any{3., 1., 2.}, []int{0, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			samples := series(test.kind, test.values...)
			var want []telemetry.Sample
			for _, i := range test.want {
				want = append(want, samples[i])
			}
			if got := thinAll(test.generation, test.kind, samples); !slices.Equal(got, want) {
				t.Errorf("kept %v, want %v", got, want)
			}
		})
	}
}

func TestMinuteKeepsExtremesAndAnEstimatedMean(t *testing.T) {
	samples := series(telemetry.Gauge, 2., 9., 4., 1., 3., 5. /* the next minute */, 7., 7.)
	got := thinAll(perMinute, telemetry.Gauge, samples)
	mean := telemetry.Sample{Signal: 1, Time: minute - 1, Value: telemetry.FloatValue(4), Quality: telemetry.Estimated}
	if want := []telemetry.Sample{samples[1], samples[3], mean, samples[6], samples[7]}; !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A mean has no more digits than it deserves, and never leaves the range.
func TestMeanIsRoundedToItsRange(t *testing.T) {
	for _, test := range []struct {
		values []any
		want   float64
	}{
		{[]any{230.1, 230.4, 230.2, 230.2}, 230.225},
		{[]any{1., 2., 2., 2., 2., 2.}, 1.83},
		{[]any{5., 5., 5., 5.}, 5},
		{[]any{0., 0., 0., 1e300}, 2.5e299},
		{[]any{-1e-9, 1e-9, 1e-9, 1e-9}, 5e-10},
	} {
		out := thinAll(perMinute, telemetry.Gauge, series(telemetry.Gauge, test.values...))
		mean, _ := out[len(out)-1].Value.Float()
		if math.Abs(mean-test.want) > math.Abs(test.want)*1e-12 || !out[len(out)-1].Quality.Has(telemetry.Estimated) {
			t.Errorf("of %v: %v, want %v", test.values, mean, test.want)
		}
	}
}

// Whatever is thinned, in whatever pieces: no sample is invented but means, none
// grows in number, the order of a signal stays, its extremes of each minute stay in
// generation perMinute, and the pieces don't matter.
func TestThinningProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		generation := rapid.IntRange(everyNth, statesOnly).Draw(t, "generation")
		kind := rapid.SampledFrom([]telemetry.Kind{telemetry.Gauge, telemetry.Counter, telemetry.State}).Draw(t, "kind")
		var samples []telemetry.Sample
		at := telemetry.Micros(0)
		for range rapid.IntRange(0, 200).Draw(t, "samples") {
			at += telemetry.Micros(rapid.IntRange(1, 30).Draw(t, "seconds")) * second
			s := telemetry.Sample{Signal: 1, Time: at, Value: telemetry.FloatValue(float64(rapid.IntRange(0, 5).Draw(t, "value")))}
			if rapid.IntRange(0, 9).Draw(t, "bad") == 0 {
				s.Value, s.Quality = telemetry.Value{}, telemetry.MakeQuality(telemetry.Bad, 0, telemetry.Timeout)
			}
			samples = append(samples, s)
		}
		out := thinAll(generation, kind, samples)
		if len(out) > len(samples) {
			t.Fatalf("%d samples became %d", len(samples), len(out))
		}
		kept := map[telemetry.Sample]bool{}
		for _, s := range samples {
			kept[s] = true
		}
		for i, s := range out {
			if !kept[s] && !s.Quality.Has(telemetry.Estimated) {
				t.Fatalf("%v was never measured", s)
			}
			if i > 0 && out[i-1].Time > s.Time {
				t.Fatalf("order: %v before %v", out[i-1], s)
			}
		}
		if kind == telemetry.Gauge && generation == perMinute {
			if before, after := extremes(samples), extremes(out); !mapsEqual(before, after) {
				t.Fatalf("extremes were %v, are %v", before, after)
			}
		}
		piecewise := newThinner(generation, func(telemetry.SignalID) telemetry.Kind { return kind })
		var pieces []telemetry.Sample
		for rest := samples; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			pieces = piecewise.add(pieces, rest[:n])
			rest = rest[n:]
		}
		if pieces = piecewise.flush(pieces); !slices.Equal(pieces, out) {
			t.Fatalf("in pieces %v, at once %v", pieces, out)
		}
	})
}

func extremes(samples []telemetry.Sample) map[telemetry.Micros][2]float64 {
	out := map[telemetry.Micros][2]float64{}
	for _, s := range samples {
		n, ok := number(s.Value)
		if !ok {
			continue
		}
		m := s.Time / minute
		e, known := out[m]
		if !known {
			e = [2]float64{math.Inf(1), math.Inf(-1)}
		}
		out[m] = [2]float64{min(e[0], n), max(e[1], n)}
	}
	return out
}

func mapsEqual(a, b map[telemetry.Micros][2]float64) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}
