package telemetry

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden vectors anew")

const reference = "../docs/reference"

// vector is one file of the golden vectors.
type vector struct {
	name    string
	samples []Sample
}

var vectorTable = TableRef{Table: 0x0123456789abcdef, Version: 300}

func (v vector) encode(tb testing.TB) []byte {
	var e Encoder
	b, err := e.AppendBlock(nil, vectorTable, v.samples)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func vectors() []vector {
	rng := rand.New(rand.NewPCG(7, 8))
	spread := func(n int, f func(i int) Value) []Value {
		values := make([]Value, n)
		for i := range values {
			values[i] = f(i)
		}
		return values
	}
	volts := func(int) Value { return FloatValue(math.Round(2300+2*rng.NormFloat64()) / 10) }
	single := func(int) Value { return FloatValue(float64(float32(math.Round(2300+2*rng.NormFloat64()) / 10))) }
	float := func(bits uint64) Value { return ValueFromBits(Float64, bits) }
	bad := MakeQuality(Bad, GatewayTime, Timeout)

	exchanges := func() (samples []Sample) { // three devices; the second fails once, the third is slower
		for poll := range 4 {
			for device := range 3 {
				at := noon + Micros(poll)*1e6 + Micros(device*10_000+rng.IntN(300))
				for point := range 5 {
					s := Sample{Time: at, Signal: SignalID(100 + device*5 + point)}
					switch {
					case device == 2 && poll%2 == 1:
						continue
					case device == 1 && poll == 2:
						s.Quality = bad
					case point < 3:
						s.Value = volts(0)
					case point == 3:
						s.Value = UintValue(uint64(1_000_000*device + 17*poll))
					default:
						s.Value = BoolValue(poll < 2)
					}
					samples = append(samples, s)
				}
			}
		}
		return samples
	}
	alternating := func() (samples []Sample) { // fast and slow points by turns
		for poll := range 6 {
			for id := range SignalID(4) {
				if id%2 == 0 || poll%3 == 0 {
					samples = append(samples, Sample{Time: noon + Micros(poll)*1e6, Signal: id, Value: IntValue(int64(poll) * 3)})
				}
			}
		}
		return samples
	}
	oddTimes := series(9, valuesOf(IntValue, 1, 2, 3, 4, 5, 6, 7)...)
	for i, at := range []Micros{noon, noon, noon - 5, math.MaxInt64, math.MinInt64, 0, -60e6} {
		oddTimes[i].Time = at
	}
	qualities := series(2, valuesOf(FloatValue, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5)...)
	qualities[1].Quality, qualities[2].Quality, qualities[3].Quality = Estimated|Substituted, 0xffff, 0xffff
	qualities[3].Value, qualities[5].Value, qualities[5].Quality = Value{}, Value{}, bad

	changes := append(append(valuesOf(FloatValue, 1, 2), Value{}), valuesOf(IntValue, 3, 4)...)
	changes = append(append(changes, valuesOf(TextValue, "open")...), valuesOf(UintValue, 5)...)

	return []vector{
		{"empty", nil},
		{"one-sample", series(42, FloatValue(230.1))},
		{"exchanges", exchanges()},
		{"alternating", alternating()},
		{"ids", append(append(series(math.MaxUint32, IntValue(1)), series(0, IntValue(2))...), series(70_000, IntValue(3))...)},
		{"decimals", append(series(1, spread(150, volts)...), series(2, valuesOf(FloatValue, 0.001, -12.5, 1e15/10, 3, -7e-15)...)...)},
		{"decimals-float32", series(1, spread(70, single)...)},
		{"floats", append(series(1, float(0x7ff8000000000001), float(0xfff0000000000000), float(0x7ff0000000000000),
			float(1<<63), float(0), float(1), float(1<<63|1), float(0x7ff0dead0000beef), float(0x7fefffffffffffff)),
			series(2, valuesOf(FloatValue, math.Pi, math.E, -math.Sqrt2)...)...)},
		{"floats-noise", append(series(1, spread(70, func(int) Value { return FloatValue(230 + rng.NormFloat64()) })...),
			series(2, spread(70, func(int) Value { return FloatValue(float64(float32(230 + rng.NormFloat64()))) })...)...)},
		{"integers", append(append(series(1, valuesOf(IntValue, math.MinInt64, math.MaxInt64, 0, -1, 1)...),
			series(2, valuesOf(UintValue, 0, math.MaxUint64, 1<<63, 7)...)...), series(3, spread(5, func(int) Value { return IntValue(-40) })...)...)},
		{"counters", series(1, spread(130, func(i int) Value { return UintValue(uint64(5_000_000 + 250*i + rng.IntN(3))) })...)},
		{"bools", append(series(1, spread(100, func(i int) Value { return BoolValue(i > 30 && i < 77) })...),
			series(2, spread(20, func(int) Value { return BoolValue(rng.IntN(2) == 0) })...)...)},
		{"texts", series(1, valuesOf(TextValue, "closed", "open", "closed", "", "zwölf µs \"quoted\"\n", strings.Repeat("é", 128), "open")...)},
		{"qualities", append(qualities, series(3, Value{}, Value{})...)},
		{"kinds-change", series(5, changes...)},
		{"times", oddTimes},
	}
}

// lines is what the reference decoder prints.
func lines(table TableRef, samples []Sample) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\"table\": \"%016x\", \"version\": %d}\n", table.Table, table.Version)
	for _, s := range samples {
		fmt.Fprintf(&out, "{\"signal\": %d, \"time_us\": %d, \"quality\": %d, \"kind\": \"%v\"", s.Signal, s.Time, s.Quality, s.Value.Kind())
		switch s.Value.Kind() {
		case None:
		case Float64:
			fmt.Fprintf(&out, ", \"bits\": \"%016x\"", s.Value.Bits())
		case Text:
			text, _ := json.Marshal(s.Value.Text())
			fmt.Fprintf(&out, ", \"value\": %s", text)
		default:
			fmt.Fprintf(&out, ", \"value\": %v", s.Value)
		}
		out.WriteString("}\n")
	}
	return out.Bytes()
}

func TestGoldenVectors(t *testing.T) {
	for _, v := range vectors() {
		t.Run(v.name, func(t *testing.T) {
			path := filepath.Join(reference, "vectors", v.name)
			want := lines(vectorTable, bySignal(v.samples))
			encoded := v.encode(t)
			if *update {
				write(t, path+".bin", encoded)
				write(t, path+".jsonl", want)
			}
			golden := read(t, path+".bin")
			if !bytes.Equal(encoded, golden) {
				t.Errorf("encoded as %d bytes that differ from the %d of %s.bin", len(encoded), len(golden), path)
			}
			var d Decoder
			table, samples, err := d.Block(golden, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := lines(table, samples)
			if !bytes.Equal(got, want) || !bytes.Equal(read(t, path+".jsonl"), want) {
				t.Errorf("%s: decoded as\n%s\nexpected\n%s", path, got, want)
			}
		})
	}
}

// TestReferenceDecoder holds the Python decoder to the golden vectors, and the
// directory to those that are known.
func TestReferenceDecoder(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("python3 is missing: apt-get install python3")
	}
	files, err := filepath.Glob(filepath.Join(reference, "vectors", "*.bin"))
	if err != nil || len(files) != len(vectors()) {
		t.Fatalf("%d vectors in %s, expected %d (%v)", len(files), reference, len(vectors()), err)
	}
	decoder := filepath.Join(reference, "busbar_block.py")
	for _, file := range files {
		out, err := exec.Command(python, decoder, file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", file, err, out)
			continue
		}
		if want := read(t, strings.TrimSuffix(file, ".bin")+".jsonl"); !bytes.Equal(out, want) {
			t.Errorf("%s: printed\n%s\nexpected\n%s", file, out, want)
		}
	}

	damaged := read(t, files[0])
	damaged[len(damaged)/2] ^= 1
	file := filepath.Join(t.TempDir(), "damaged.bin")
	write(t, file, damaged)
	if out, err := exec.Command(python, decoder, file).CombinedOutput(); err == nil || !strings.Contains(string(out), "CRC") {
		t.Errorf("damaged block: %v: %s", err, out)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
