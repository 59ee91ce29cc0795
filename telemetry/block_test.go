package telemetry

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const noon = Micros(1_790_000_000_000_000)

// bySignal is the order in which a block gives samples back.
func bySignal(samples []Sample) []Sample {
	return slices.SortedStableFunc(slices.Values(samples), func(a, b Sample) int { return cmp.Compare(a.Signal, b.Signal) })
}

func checkBlock(t rapid.TB, e *Encoder, d *Decoder, samples []Sample) []byte {
	t.Helper()
	table := TableRef{Table: 0xfedcba9876543210, Version: 7}
	block, err := e.AppendBlock([]byte("before"), table, samples)
	if err != nil {
		t.Fatal(err)
	}
	block = block[len("before"):]
	got, out, err := d.Block(block, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got != table {
		t.Fatalf("table %v, expected %v", got, table)
	}
	checkSamples(t, out, bySignal(samples))
	checkOnly(t, d, block, out)
	return block
}

func checkSamples(t rapid.TB, got, want []Sample) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d samples, expected %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("sample %d is %+v (bits %x), expected %+v (bits %x)", i, got[i], got[i].Value.bits, want[i], want[i].Value.bits)
		}
	}
}

// series is values a second apart.
func series(signal SignalID, values ...Value) []Sample {
	samples := make([]Sample, len(values))
	for i, v := range values {
		samples[i] = Sample{Time: noon + Micros(i)*1e6, Signal: signal, Value: v}
	}
	return samples
}

func valuesOf[T any](f func(T) Value, values ...T) []Value {
	out := make([]Value, len(values))
	for i, v := range values {
		out[i] = f(v)
	}
	return out
}

func drawValue(kind string) *rapid.Generator[Value] {
	bits := func(k ValueKind) *rapid.Generator[Value] {
		return rapid.Map(rapid.Uint64(), func(b uint64) Value { return ValueFromBits(k, b) })
	}
	switch kind {
	case "decimal":
		return rapid.Map(rapid.IntRange(-500, 500), func(n int) Value { return FloatValue(float64(2300+n) / 10) })
	case "mixed decimal":
		return rapid.Map(rapid.IntRange(0, 1<<20), func(n int) Value { return FloatValue(float64(n) / pow10[n%16]) })
	case "large decimal":
		return rapid.Map(rapid.Int64Range(-1<<54, 1<<54), func(n int64) Value { return FloatValue(float64(n) / pow10[uint64(n)%3]) })
	case "single decimal":
		return rapid.Map(rapid.IntRange(-1<<24, 1<<24), func(n int) Value { return FloatValue(float64(float32(float64(n) / 100))) })
	case "float32":
		return rapid.Map(rapid.Float32(), func(f float32) Value { return FloatValue(float64(f)) })
	case "scaled float32":
		return rapid.Map(rapid.Float32Range(0, 1000), func(f float32) Value { return FloatValue(float64(f) * 1000) })
	case "float64":
		return bits(Float64)
	case "special":
		return rapid.Map(rapid.SampledFrom([]uint64{0, 1 << 63, 1, 1<<63 | 1, 0x7ff0000000000000, 0xfff0000000000000,
			0x7ff8000000000001, 0x7ff0000000000001, 0xfff8dead0000beef, math.MaxUint64, 0x000fffffffffffff,
			0x433fffffffffffff, 0x4340000000000000, 0x406cc33333333333, 0x7fefffffffffffff}),
			func(b uint64) Value { return ValueFromBits(Float64, b) })
	case "int":
		return bits(Int64)
	case "uint":
		return bits(Uint64)
	case "extreme":
		return rapid.Map(rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 0, -1, 1}), IntValue)
	case "bool":
		return rapid.Map(rapid.Bool(), BoolValue)
	case "text":
		return rapid.Map(rapid.OneOf(rapid.SampledFrom([]string{"", "open", "closed"}), rapid.StringN(-1, -1, MaxTextBytes)), TextValue)
	}
	return rapid.Just(Value{})
}

var kindsOfValues = []string{"decimal", "mixed decimal", "large decimal", "single decimal", "float32", "scaled float32",
	"float64", "special", "int", "uint", "extreme", "bool", "text", "none"}

// drawSamples draws polls of devices whose points are of any sort.
func drawSamples(t *rapid.T, maxSignals int) []Sample {
	type point struct {
		id        SignalID
		value     *rapid.Generator[Value]
		steadily  bool // repeats its value often
		last      Value
		unhealthy bool
	}
	points := make([]point, rapid.IntRange(1, maxSignals).Draw(t, "points"))
	id := rapid.SampledFrom([]SignalID{0, 1, 5000, math.MaxUint32 - 20}).Draw(t, "first id")
	for i := range points {
		kind := rapid.SampledFrom(kindsOfValues).Draw(t, "kind")
		points[i] = point{id: id, value: drawValue(kind), steadily: rapid.Bool().Draw(t, "steadily"), unhealthy: rapid.Bool().Draw(t, "unhealthy")}
		points[i].last = points[i].value.Draw(t, "value")
		id += SignalID(rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "id step"))
	}
	at := noon
	unit := rapid.SampledFrom(timeUnits[:]).Draw(t, "unit")
	var samples []Sample
	for range rapid.SampledFrom([]int{0, 1, 2, 3, 20, 70, 140}).Draw(t, "polls") {
		switch rapid.IntRange(0, 30).Draw(t, "time") {
		case 0: // equal
		case 1:
			at -= unit * Micros(rapid.IntRange(0, 1e6).Draw(t, "back"))
		case 2:
			at = rapid.SampledFrom([]Micros{math.MinInt64, math.MaxInt64, 0, noon}).Draw(t, "extreme")
		case 3:
			at += Micros(rapid.IntRange(0, 1000).Draw(t, "jitter"))
		default:
			at += unit
		}
		for i := range points {
			p := &points[i]
			s := Sample{Time: at, Signal: p.id}
			switch {
			case rapid.IntRange(0, 20).Draw(t, "missed") == 0:
				continue
			case p.unhealthy && rapid.Bool().Draw(t, "bad"):
				s.Quality = Quality(rapid.Uint16().Draw(t, "quality"))
				if rapid.Bool().Draw(t, "none") {
					samples = append(samples, s)
					continue
				}
			case rapid.IntRange(0, 40).Draw(t, "other kind") == 0:
				p.value = drawValue(rapid.SampledFrom(kindsOfValues).Draw(t, "kind"))
			}
			if !p.steadily || rapid.IntRange(0, 9).Draw(t, "changes") == 0 {
				p.last = p.value.Draw(t, "value")
			}
			s.Value = p.last
			samples = append(samples, s)
		}
	}
	return samples
}

func TestBlockRoundTrip(t *testing.T) {
	var e Encoder
	var d Decoder
	rapid.Check(t, func(t *rapid.T) { checkBlock(t, &e, &d, drawSamples(t, 8)) })
}

// TestLongColumns crosses frames with everything at once.
func TestLongColumns(t *testing.T) {
	var e Encoder
	var d Decoder
	for _, src := range sources(t) {
		checkBlock(t, &e, &d, fleet(src, 3, 130))
		var one []Sample
		for _, s := range fleet(src, 1, 200) {
			if s.Signal == 40 {
				one = append(one, s)
			}
		}
		checkBlock(t, &e, &d, one)
	}
}

func TestBlockOfAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var samples []Sample
	for range 20_000 {
		samples = append(samples, Sample{Time: noon + Micros(rng.IntN(1e6)), Signal: SignalID(rng.Uint32()), Value: FloatValue(float64(rng.IntN(1000)) / 10)})
	}
	samples = append(samples, samples[:5000]...)
	checkBlock(t, new(Encoder), new(Decoder), samples)
}

// TestSizes holds the sizes that buffers and budgets rely on.
func TestSizes(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 2))
	repeat := func(n int, f func(i int) Value) []Value {
		out := make([]Value, n)
		for i := range out {
			out[i] = f(i)
		}
		return out
	}
	volts := func(int) Value { return FloatValue(math.Round(2300+2*noise.NormFloat64()) / 10) }
	single := func(i int) Value {
		f, _ := volts(i).Float()
		return FloatValue(float64(float32(f)))
	}
	none := func(int) Value { return Value{} }
	for _, c := range []struct {
		name   string
		values []Value
		most   int // bytes
	}{
		{"one decimal", repeat(1, volts), 32},
		{"one float", valuesOf(FloatValue, math.Pi), 39},
		{"constant text", repeat(3600, func(int) Value { return TextValue("closed") }), 80},
		{"constant float", repeat(3600, func(int) Value { return FloatValue(math.Pi) }), 80},
		{"no values", repeat(3600, none), 64},
		{"minute of volts", repeat(60, volts), 64},
		{"minute of volts as float32", repeat(60, single), 64},
		{"hour of a steady counter", repeat(3600, func(i int) Value { return UintValue(uint64(1e9 + 17*i)) }), 100},
		{"hour with one switching", repeat(3600, func(i int) Value { return BoolValue(i > 1500) }), 84},
		{"hour of volts with one outlier", append(repeat(3599, volts), FloatValue(9e12)), 2200},
	} {
		block := checkBlock(t, new(Encoder), new(Decoder), series(1, c.values...))
		if len(block) > c.most {
			t.Errorf("%s: block of %d bytes, expected at most %d", c.name, len(block), c.most)
		}
	}
}

// TestSharedTimes: what 50 signals of one exchange have in common costs once.
func TestSharedTimes(t *testing.T) {
	polls := func(signals int) []Sample {
		rng := rand.New(rand.NewPCG(5, 6))
		var samples []Sample
		for range 60 {
			at, q := Micros(rng.Int64()), Quality(rng.Uint32())
			for id := range signals {
				samples = append(samples, Sample{Time: at, Quality: q, Signal: SignalID(id), Value: IntValue(5)})
			}
		}
		return samples
	}
	one := len(checkBlock(t, new(Encoder), new(Decoder), polls(1)))
	fifty := len(checkBlock(t, new(Encoder), new(Decoder), polls(50)))
	if fifty > one+50 {
		t.Errorf("50 signals take %d bytes, one takes %d", fifty, one)
	}

	alternating := bySignal(append(series(2, valuesOf(IntValue, 1, 2, 3)...), series(4, valuesOf(IntValue, 1, 2, 3)...)...))
	slow := []Sample{{Time: noon, Signal: 3, Value: IntValue(9)}, {Time: noon, Signal: 5, Value: IntValue(9)}}
	checkBlock(t, new(Encoder), new(Decoder), append(alternating, slow...))
}

func TestEncodeRefuses(t *testing.T) {
	var e Encoder
	for _, c := range []struct {
		samples []Sample
		want    string
	}{
		{make([]Sample, MaxBlockSamples+1), "1048577 samples, at most 1048576 fit"},
		{append(series(4, BoolValue(true)), series(3, ValueFromBits(Bool, 2))...), "sample 1 of signal 3: a bool of bits 2 is no value"},
		{series(1, ValueFromBits(Text+1, 0)), "sample 0 of signal 1: a ValueKind(6) of bits 0 is no value"},
	} {
		got, err := e.AppendBlock([]byte("before"), TableRef{}, c.samples)
		if err == nil || err.Error() != "block: "+c.want || string(got) != "before" {
			t.Errorf("AppendBlock: %q, %v; expected %q", got, err, c.want)
		}
	}
	checkBlock(t, &e, new(Decoder), series(1, valuesOf(BoolValue, true, false)...)) // works again
}

func TestEveryFlippedBitIsSeen(t *testing.T) {
	samples := fleet(meters, 2, 2)
	block, err := new(Encoder).AppendBlock(nil, TableRef{1, 2}, samples)
	if err != nil {
		t.Fatal(err)
	}
	var d Decoder
	for bit := range len(block) * 8 {
		bad := bytes.Clone(block)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, _, err := d.Block(bad, nil); err == nil {
			t.Fatalf("block with bit %d flipped was read", bit)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	samples := fleet(meters, 10, 2)
	var e Encoder
	var d Decoder
	var block []byte
	var out []Sample
	if n := testing.AllocsPerRun(10, func() {
		block, _ = e.AppendBlock(block[:0], TableRef{}, samples)
		_, out, _ = d.Block(block, out)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
