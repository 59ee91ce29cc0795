package counter

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
)

const (
	begin  = telemetry.Micros(1_790_000_000_000_000)
	second = telemetry.Micros(1_000_000)
)

// meter is a counter that is read again and again.
type meter struct {
	watch *Watch
	now   telemetry.Micros
	told  []telemetry.Event
}

func newMeter(c Counter) *meter {
	c.Signal = telemetry.Signal{ID: 7, Device: "m", Name: "DmdWh", Unit: "W.h", Asset: "feeder-1", Kind: telemetry.Counter}
	return &meter{watch: NewWatch([]Counter{c}), now: begin}
}

func (m *meter) read(value telemetry.Value, q telemetry.Quality) {
	m.watch.Take([]telemetry.Sample{{Time: m.now, Value: value, Signal: 7, Quality: q}}, m.now, func(e telemetry.Event) { m.told = append(m.told, e) })
	m.now += second
}

func (m *meter) reads(values ...float64) *meter {
	for _, v := range values {
		m.read(telemetry.FloatValue(v), 0)
	}
	return m
}

// story is what was told, in short.
func (m *meter) story() string {
	s := ""
	for _, e := range m.told {
		s += fmt.Sprintf("%s %v→%v %v ", e.Kind, e.Counter.Before, e.Counter.After, e.Counter.Modulus)
	}
	return s
}

var (
	word  = Counter{Ranges: []Range{{0, 65536}}}
	float = Counter{Noise: math.Ldexp(1, -22)}
)

func TestWhatADecreaseIs(t *testing.T) {
	for name, c := range map[string]struct {
		counter Counter
		values  []float64
		want    string
	}{
		"it rises":                      {word, []float64{1, 1, 2, 3, 100}, ""},
		"over its end":                  {word, []float64{65500, 65520, 4, 10, 20, 30}, "counter-rolled-over 65520→4 65536 "},
		"reset":                         {word, []float64{30000, 30001, 0, 1, 2, 3}, "counter-reset 30001→0 0 "},
		"reset to another meter's":      {word, []float64{30000, 30001, 17000, 17001, 17002}, "counter-reset 30001→17000 0 "},
		"reset near the end":            {word, []float64{65000, 65001, 30000, 30001, 30002}, "counter-reset 65001→30000 0 "},
		"not yet sure":                  {word, []float64{30000, 30001, 0, 1}, ""},
		"one wrong value":               {word, []float64{30000, 30001, 0, 30002, 30003}, ""},
		"wrong values now and then":     {word, []float64{30000, 0, 30002, 1, 30003, 30004, 0, 0, 30005}, ""},
		"one that is too high":          {word, []float64{30000, 30001, 65535, 30002, 30003, 30004, 30005}, ""},
		"one that is a bit too high":    {word, []float64{30000, 30001, 30100, 30002, 30003, 30004, 30005}, ""},
		"an older value in between":     {word, []float64{100, 110, 120, 110, 130, 120, 120, 120, 120, 140}, ""},
		"an older one over the end":     {word, []float64{65500, 65520, 4, 10, 20, 65520, 65520, 65520, 65520, 21, 22, 23, 24}, "counter-rolled-over 65520→4 65536 "},
		"older ones around the end":     {word, []float64{65500, 65530, 3, 65530, 4, 5, 6}, "counter-rolled-over 65530→4 65536 "},
		"twice":                         {word, []float64{65500, 65535, 0, 1, 2, 20000, 40000, 60000, 65530, 1, 2, 3}, "counter-rolled-over 65535→0 65536 counter-rolled-over 65530→1 65536 "},
		"reset, and again":              {word, []float64{500, 0, 1, 2, 100, 0, 1, 2}, "counter-reset 500→0 0 counter-reset 100→0 0 "},
		"the last digit of a float":     {float, []float64{123456.796875, 123456.7890625, 123456.796875, 123456.7890625, 123456.7890625, 123456.7890625}, ""},
		"a float":                       {float, []float64{123456.796875, 5, 5.5, 6}, "counter-reset 123456.796875→5 0 "},
		"at 999,999.9":                  {Counter{Ranges: []Range{{0, 1e6}}, Noise: float.Noise}, []float64{999999.8, 999999.9, 0.1, 0.2, 0.3}, "counter-rolled-over 999999.9→0.1 1e+06 "},
		"signed, over its lowest":       {Counter{Ranges: []Range{{0, 32768}, {-32768, 65536}}}, []float64{32760, 32767, -32768, -32767, -32760}, "counter-rolled-over 32767→-32768 65536 "},
		"signed, from 0":                {Counter{Ranges: []Range{{0, 32768}, {-32768, 65536}}}, []float64{32760, 32767, 0, 1, 2}, "counter-rolled-over 32767→0 32768 "},
		"over its end, quickly":         {word, []float64{40000, 48000, 56000, 64000, 6464, 14464, 22464}, "counter-rolled-over 64000→6464 65536 "},
		"an unknown factor":             {Counter{Ranges: []Range{{0, 1 << 32}}, Factored: true}, []float64{42949672, 42949672.9, 0.4, 1, 2}, "counter-rolled-over 4.29496729e+07→0.4 4.294967296e+07 "},
		"reset with an unknown factor":  {Counter{Ranges: []Range{{0, 1 << 32}}, Factored: true}, []float64{35000000, 35000001, 0.4, 1, 2}, "counter-reset 3.5000001e+07→0.4 0 "},
		"a factor that cuts digits off": {Counter{Ranges: []Range{{0, 65536}}, Factored: true}, []float64{65535, 65536, 65530, 65530, 65530, 65530, 65540, 65550}, ""},
		"an unknown factor, lower than": {Counter{Ranges: []Range{{0, 1 << 32}}, Factored: true}, []float64{42949672, 42949672.9, 2e7, 2.1e7, 2.2e7}, "counter-reset 4.29496729e+07→2e+07 0 "},
	} {
		if got := newMeter(c.counter).reads(c.values...).story(); got != c.want {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
}

// What isn't a good value says nothing, and values that wait for the time, or whose
// clock nothing confirms, count as they come, in whichever order their times are.
func TestWhatCounts(t *testing.T) {
	m := newMeter(word).reads(30000, 30001)
	for range 10 {
		m.read(telemetry.UintValue(0), telemetry.MakeQuality(telemetry.Bad, 0, telemetry.Refused))
		m.read(telemetry.Value{}, telemetry.MakeQuality(telemetry.Bad, 0, telemetry.Timeout))
		m.read(telemetry.UintValue(0), telemetry.MakeQuality(telemetry.Uncertain, 0, 0))
		m.read(telemetry.TextValue("0"), 0)
		m.read(telemetry.FloatValue(math.NaN()), 0)
		m.read(telemetry.FloatValue(math.Inf(-1)), 0)
	}
	if m.reads(30002); m.story() != "" {
		t.Errorf("%s", m.story())
	}
	for range 3 {
		m.now -= 3600 * second // the clock is set back
		m.read(telemetry.UintValue(30003), telemetry.MakeQuality(telemetry.Good, telemetry.UnsynchronisedTime, 0))
	}
	if m.story() != "" {
		t.Errorf("a clock that is set: %s", m.story())
	}
	for range 3 {
		m.now -= 3600 * second
		m.read(telemetry.UintValue(5), telemetry.MakeQuality(telemetry.Good, telemetry.SinceBoot, 0))
	}
	if m.story() != "counter-reset 30003→5 0 " {
		t.Errorf("%q", m.story())
	}
}

// A small decrease that stays is told when it can be no old value any more.
func TestASmallDecreaseThatStays(t *testing.T) {
	m := newMeter(word)
	for v := range 900 {
		m.reads(float64(v))
	}
	for range 899 {
		m.reads(450)
	}
	if m.story() != "" {
		t.Fatalf("%s", m.story())
	}
	m.now += 20 * second
	if m.reads(451); m.story() != "counter-reset 899→450 0 " {
		t.Errorf("%q", m.story())
	}
	e := m.told[0]
	if e.Time != e.Counter.AfterTime || e.Counter.BeforeTime != begin+899*second || e.Counter.AfterTime != begin+900*second || e.Decided != m.now-second {
		t.Errorf("%+v %+v", e, e.Counter)
	}
}

// A meter that is swapped while no gateway runs is noticed by the next one, whose ids
// are the same; another table's aren't.
func TestARestart(t *testing.T) {
	before := newMeter(word).reads(30000, 30001)
	if !before.watch.Changed() {
		t.Error("nothing is to be kept")
	}
	state := before.watch.State(telemetry.TableRef{Table: 0xA, Version: 7})
	if before.watch.Changed() {
		t.Error("it is kept")
	}
	after := newMeter(word)
	if err := after.watch.Restore(state, 0xA); err != nil {
		t.Fatal(err)
	}
	after.now = begin + 86400*second
	if after.reads(3, 4, 5); after.story() != "counter-reset 30001→3 0 " || after.told[0].Counter.BeforeTime != begin+second {
		t.Errorf("%q", after.story())
	}
	other := newMeter(word)
	if err := other.watch.Restore(state, 0xB); err != nil || other.reads(3, 4, 5).story() != "" {
		t.Errorf("of another table: %v, %q", err, other.story())
	}
	unsaved := before.watch.State(telemetry.TableRef{Table: 0xA, Version: 6})
	other = newMeter(word)
	if err := other.watch.Restore(unsaved, 0xA); err != nil || other.reads(3, 4, 5).story() != "" {
		t.Errorf("an id that isn't on disk: %v, %q", err, other.story())
	}
	for cut := range state {
		damaged := newMeter(word)
		if err := damaged.watch.Restore(state[:cut], 0xA); err == nil && cut != 9 || damaged.reads(3, 4, 5).story() != "" {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

// The state is small, since it is committed again and again.
func TestTheStateIsSmall(t *testing.T) {
	var counters []Counter
	var samples []telemetry.Sample
	for i := range 1000 {
		id := telemetry.SignalID(20*i + 1)
		counters = append(counters, Counter{Signal: telemetry.Signal{ID: id}})
		samples = append(samples, telemetry.Sample{Signal: id, Time: begin + telemetry.Micros(i)*1700, Value: telemetry.FloatValue(123456.7 * float64(i))})
	}
	w := NewWatch(counters)
	w.Take(samples, begin, nil)
	if n := len(w.State(telemetry.TableRef{Version: 1 << 30})); n > 13*len(counters) {
		t.Errorf("%d bytes for %d counters", n, len(counters))
	}
}

// A configuration that changes leaves what is known of the counters that stay.
func TestOtherCounters(t *testing.T) {
	m := newMeter(word).reads(30000, 30001, 5)
	kept := m.watch.counters[0].Counter
	other := Counter{Signal: telemetry.Signal{ID: 9}}
	m.watch = m.watch.Continue([]Counter{other, kept})
	if m.reads(6, 7); m.story() != "counter-reset 30001→5 0 " || len(m.watch.counters) != 2 || m.watch.counters[0].seen {
		t.Errorf("%q of %d", m.story(), len(m.watch.counters))
	}
	m.watch = m.watch.Continue([]Counter{other})
	m.watch = m.watch.Continue([]Counter{kept})
	if m.reads(1, 2, 3, 4); len(m.told) != 1 {
		t.Errorf("of one that was forgotten: %q", m.story())
	}
}

// A counter of any width that is never reset, read with older values in between, rolls
// over as often as it does, and is never reset; and one that is reset far from its end
// is told to be once.
func TestEveryRollOverIsTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SampledFrom([]int{16, 32, 48}).Draw(t, "bits")
		span := math.Ldexp(1, bits)
		scale := rapid.SampledFrom([]float64{1, 0.5, 1024}).Draw(t, "scale")
		from := rapid.SampledFrom([]float64{0, 1000}).Draw(t, "from")
		m := newMeter(Counter{Ranges: []Range{{from, span * scale}}})
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "steps"), 0))
		raw := math.Floor(span * 0.9)
		show := func(raw float64) { m.reads(from + scale*math.Mod(raw, span)) }
		var shown []float64
		for range 400 {
			raw += math.Floor(random.Float64() * span / 64)
			shown = append(shown, raw)
			if show(raw); random.IntN(20) == 0 && len(shown) > 3 {
				show(shown[len(shown)-2])
			}
		}
		for range 5 {
			show(raw)
		}
		over := int(raw / span)
		for _, e := range m.told {
			if e.Kind != telemetry.CounterRolledOver || e.Counter.Modulus != span*scale {
				t.Fatalf("%s", m.story())
			}
		}
		if len(m.told) != over {
			t.Fatalf("%d roll-overs, %d told: %s", over, len(m.told), m.story())
		}
	})
}

// Nothing is allocated for values that tell nothing.
func TestNoAllocations(t *testing.T) {
	m := newMeter(word)
	samples := []telemetry.Sample{{Signal: 7, Value: telemetry.UintValue(5), Time: begin}, {Signal: 8, Value: telemetry.UintValue(5)}}
	tell := func(telemetry.Event) {}
	if n := testing.AllocsPerRun(100, func() { m.watch.Take(samples, begin, tell) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzRestore(f *testing.F) {
	m := newMeter(word).reads(1, 2)
	f.Add(m.watch.State(telemetry.TableRef{Table: 0xA, Version: 7}))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, state []byte) {
		m := newMeter(word)
		if err := m.watch.Restore(state, 0xA); err != nil && m.reads(3, 4, 5).story() != "" {
			t.Errorf("a state that is refused has told %s", m.story())
		}
		again := newMeter(word)
		ref := telemetry.TableRef{Table: 0xA, Version: 7}
		if err := again.watch.Restore(m.watch.State(ref), 0xA); err != nil || string(again.watch.State(ref)) != string(m.watch.State(ref)) {
			t.Errorf("%v", err)
		}
	})
}

// BenchmarkTake looks at 100 devices of 50 signals, two of which are counters.
func BenchmarkTake(b *testing.B) {
	var counters []Counter
	var samples []telemetry.Sample
	for i := range 5000 {
		id := telemetry.SignalID(i + 1)
		if i%25 == 0 {
			counters = append(counters, Counter{Signal: telemetry.Signal{ID: id}, Ranges: word.Ranges})
		}
		samples = append(samples, telemetry.Sample{Signal: id})
	}
	w := NewWatch(counters)
	now := time.Unix(1_790_000_000, 0)
	n := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		now, n = now.Add(time.Second), n+1
		for i := range samples {
			samples[i].Time, samples[i].Value = telemetry.MicrosOf(now), telemetry.UintValue(n)
		}
		w.Take(samples, telemetry.MicrosOf(now), func(telemetry.Event) { b.Fatal("it only rises") })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(samples)), "ns/sample")
}
