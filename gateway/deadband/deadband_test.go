package deadband

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
)

const (
	second = telemetry.Micros(1_000_000)
	bad    = telemetry.Quality(telemetry.Bad)
)

var inf = math.Inf(1)

// series is samples of signal 1, a second apart.
func series(values ...any) (samples []telemetry.Sample) {
	for i, v := range values {
		s := telemetry.Sample{Signal: 1, Time: telemetry.Micros(i) * second}
		switch v := v.(type) {
		case int:
			s.Value = telemetry.IntValue(int64(v))
		case float64:
			s.Value = telemetry.FloatValue(v)
		case bool:
			s.Value = telemetry.BoolValue(v)
		case string:
			s.Value = telemetry.TextValue(v)
		case nil:
			s.Quality = telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)
		}
		samples = append(samples, s)
	}
	return samples
}

func TestKeep(t *testing.T) {
	all := []any{1.0, 1.0, 2.0}
	cases := map[string]struct {
		limit  Limit
		values []any
		want   []int // the samples that are kept
	}{
		"by change":                  {Limit{}, []any{1.0, 1.0, 1.0000001, 1.0}, []int{0, 2, 3}},
		"within the band":            {Limit{Absolute: 0.2}, []any{230.0, 230.2, 229.8, 230.3, 230.4, 230.6}, []int{0, 3, 5}},
		"slow drift is told":         {Limit{Absolute: 1}, []any{0.0, 0.9, 1.8, 2.7, 3.6}, []int{0, 2, 4}},
		"of the value":               {Limit{Percent: 10}, []any{100.0, 110.0, 89.9, 80.92, 80.9}, []int{0, 2, 4}},
		"of zero":                    {Limit{Percent: 10}, []any{0.0, 0.0, 0.001}, []int{0, 2}},
		"a heartbeat, at its time":   {Limit{Absolute: 1, Every: 3 * time.Second}, []any{5.0, 5.0, 5.0, 5.1, 5.0, 5.0, 5.0}, []int{0, 3, 6}},
		"what has no value":          {Limit{Absolute: 9}, []any{1.0, nil, nil, 1.0, 1.0}, []int{0, 1, 2, 3}},
		"states":                     {Limit{}, []any{true, true, false, false, true}, []int{0, 2, 4}},
		"texts":                      {Limit{Every: 2 * time.Second}, []any{"a", "a", "a", "b"}, []int{0, 2, 3}},
		"counters":                   {Limit{Absolute: 10}, []any{100, 105, 111, 0}, []int{0, 2, 3}},
		"another type":               {Limit{Absolute: 9}, []any{1, 1.0}, []int{0, 1}},
		"a straight line":            {Limit{Door: 0.1}, []any{0.0, 1.0, 2.0, 3.0, 4.0}, []int{0, 4}},
		"a corner":                   {Limit{Door: 0.1}, []any{0.0, 1.0, 2.0, 2.0, 2.0, 2.0}, []int{0, 2, 5}},
		"a door's heartbeat":         {Limit{Door: 1, Every: 3 * time.Second}, []any{0.0, 0.0, 0.0, 0.0, 0.0, 0.0}, []int{0, 3, 5}},
		"a door before a bad sample": {Limit{Door: 1}, []any{0.0, 0.0, 0.0, nil, 0.0}, []int{0, 2, 3, 4}},
		"a step":                     {Limit{Door: 1}, []any{0.0, 0.0, 50.0, 50.0, 50.0}, []int{0, 1, 2, 4}},
		"infinite":                   {Limit{Percent: 1}, []any{1.0, inf, inf, 2.0, 2.0}, []int{0, 1, 3}},
		"infinite, through a door":   {Limit{Door: 1}, []any{1.0, inf, inf, 1.0, 1.0, 1.0}, []int{0, 1, 3, 5}},
		"of others":                  {Limit{}, all, []int{0, 2}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			samples := series(c.values...)
			var got []int
			f, leftOut := New(map[telemetry.SignalID]Limit{1: c.limit}), 0
			add := func(kept []telemetry.Sample) {
				for _, s := range kept {
					i := int(s.Time / second)
					if s != samples[i] {
						t.Fatalf("%+v was never read", s)
					}
					got = append(got, i)
				}
			}
			for i := range samples { // one by one, as batches bring them
				kept, n := f.Keep(samples[i : i+1])
				add(kept)
				leftOut += n
			}
			add(f.Flush())
			if !slices.Equal(got, c.want) {
				t.Errorf("kept %v, expected %v", got, c.want)
			}
			if len(got)+leftOut != len(samples) {
				t.Errorf("%d kept and %d left out of %d", len(got), leftOut, len(samples))
			}
		})
	}
}

func TestSignalsWithoutALimitAreKept(t *testing.T) {
	f := New(nil)
	samples := series(1.0, 1.0)
	if kept, n := f.Keep(samples); !f.Idle() || len(kept) != 2 || n != 0 {
		t.Errorf("%v, %d", kept, n)
	}
}

// Whatever is left out, what is kept tells it to within the limit, in order, and
// nothing is lost from the count.
func TestWhatIsKeptTellsTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := Limit{Every: rapid.SampledFrom([]time.Duration{0, 5 * time.Second}).Draw(t, "every")}
		if rapid.Bool().Draw(t, "door") {
			limit.Door = 1
		} else {
			limit.Absolute = 1
		}
		var samples []telemetry.Sample
		var at telemetry.Micros
		for range rapid.IntRange(1, 60).Draw(t, "samples") {
			at += telemetry.Micros(rapid.IntRange(1, 3_000_000).Draw(t, "step"))
			s := telemetry.Sample{Signal: 1, Time: at, Value: telemetry.FloatValue(rapid.Float64Range(-3, 3).Draw(t, "value"))}
			if rapid.IntRange(0, 9).Draw(t, "fate") == 0 {
				s.Value, s.Quality = telemetry.Value{}, bad
			}
			samples = append(samples, s)
		}
		f := New(map[telemetry.SignalID]Limit{1: limit})
		var kept []telemetry.Sample
		leftOut := 0
		for rest := samples; len(rest) > 0; {
			n := min(len(rest), rapid.IntRange(1, 5).Draw(t, "batch"))
			part, m := f.Keep(rest[:n])
			kept, leftOut, rest = append(kept, part...), leftOut+m, rest[n:]
		}
		kept = append(kept, f.Flush()...)
		if len(kept)+leftOut != len(samples) {
			t.Fatalf("%d kept and %d left out of %d", len(kept), leftOut, len(samples))
		}
		k := 0
		for _, s := range samples {
			if k < len(kept) && kept[k] == s {
				k++
				continue
			}
			if s.Quality != 0 {
				t.Fatalf("%+v is left out", s)
			}
			before, _ := kept[k-1].Value.Float()
			told := before
			if limit.Door > 0 {
				after, _ := kept[k].Value.Float()
				part := s.Time.Sub(kept[k-1].Time).Seconds() / kept[k].Time.Sub(kept[k-1].Time).Seconds()
				told += (after - before) * part
			}
			if v, _ := s.Value.Float(); math.Abs(v-told) > 1+1e-9 {
				t.Fatalf("%v at %v is told as %v", v, s.Time, told)
			}
			if limit.Every > 0 && s.Time.Sub(kept[k-1].Time) >= limit.Every {
				t.Fatalf("nothing for %v", s.Time.Sub(kept[k-1].Time))
			}
		}
		if k != len(kept) {
			t.Fatalf("%d kept, of which %d in order", len(kept), k)
		}
	})
}

func BenchmarkKeep(b *testing.B) {
	const signals = 50
	limits := map[telemetry.SignalID]Limit{}
	samples := make([]telemetry.Sample, signals)
	for i := range samples {
		limits[telemetry.SignalID(i)] = Limit{Absolute: 0.2, Every: time.Minute}
		samples[i].Signal = telemetry.SignalID(i)
	}
	f := New(limits)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		for i := range samples {
			samples[i].Time = telemetry.Micros(n) * second
			samples[i].Value = telemetry.FloatValue(230 + float64((n*7+i)%5)/10)
		}
		f.Keep(samples)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*signals), "ns/value")
}
