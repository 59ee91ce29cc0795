package telemetry

import (
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/klauspost/compress/zstd"
)

const (
	fleetDevices = 100
	fleetPoints  = 50
)

type source struct {
	name  string
	every Micros
	// value is what a device's point says in one poll.
	value func(rng *rand.Rand, device, point, poll int) Value
}

// fleet is what devices of 50 points say, each polled in one exchange that is
// some 200 µs late.
func fleet(src source, devices, polls int) []Sample {
	rng := rand.New(rand.NewPCG(1, 2))
	samples := make([]Sample, 0, devices*fleetPoints*polls)
	for poll := range polls {
		for device := range devices {
			at := Micros(1_790_000_000_000_000) + Micros(poll)*src.every + Micros(device)*10_000 + Micros(rng.ExpFloat64()*200)
			for point := range fleetPoints {
				samples = append(samples, Sample{Time: at, Signal: SignalID(1 + device*fleetPoints + point),
					Value: src.value(rng, device, point, poll)})
			}
		}
	}
	return samples
}

func rounded(v, places float64) float64 {
	p := math.Pow(10, places)
	return math.Round(v*p) / p
}

const second = 1_000_000

// voltage is 230 V with noise.
func voltage(rng *rand.Rand) float64 { return 230 + rng.NormFloat64()*0.2 }

var (
	volts = source{"volts", second, func(rng *rand.Rand, _, _, _ int) Value { return FloatValue(rounded(voltage(rng), 1)) }}
	// volts32 is volts as a float32 register gives them.
	volts32 = source{"volts32", second, func(rng *rand.Rand, _, _, _ int) Value {
		return FloatValue(float64(float32(rounded(voltage(rng), 1))))
	}}
	meters  = source{"meters", second, meterPoint}
	noisy32 = source{"float32", second, func(rng *rand.Rand, _, _, _ int) Value { return FloatValue(float64(float32(voltage(rng)))) }}
	noisy64 = source{"float64", second, func(rng *rand.Rand, _, _, _ int) Value { return FloatValue(voltage(rng)) }}
)

// simbench is the load of SimBench's profiles, in W to 0.1 W.
func simbench(tb testing.TB) source {
	load := loadProfiles(tb)
	return source{"simbench", 900 * second, func(_ *rand.Rand, device, point, poll int) Value {
		profile := load[point%len(load)]
		rated := 2000 + 100*float64(device)
		return FloatValue(rounded(rated*profile[(device*37+point*11+poll)%len(profile)], 1))
	}}
}

func sources(tb testing.TB) []source {
	return []source{simbench(tb), volts, volts32, meters, noisy32, noisy64}
}

// meterPoint is a meter whose points are of every sort: 12 voltages, 9 currents,
// 12 powers, 4 power factors, a frequency, 8 energies, 4 states.
func meterPoint(rng *rand.Rand, device, point, poll int) Value {
	level := 0.2 + float64(device*7919%100)/100
	noise := rng.NormFloat64()
	switch {
	case point < 12:
		return FloatValue(rounded(228+float64(device%8)+noise*0.2, 1))
	case point < 21:
		return FloatValue(rounded(level*40+noise*0.05, 2))
	case point < 33:
		return FloatValue(rounded(level*9000+float64(point)*50+noise*20, 0))
	case point < 37:
		return FloatValue(rounded(0.9+noise*0.003, 3))
	case point < 38:
		return FloatValue(rounded(50+noise*0.005, 2))
	case point < 46:
		return UintValue(uint64(1_000_000*(device+1)*(point-37)) + uint64(level*2.5*float64(poll)))
	}
	return BoolValue(point%2 == 0)
}

// loadProfiles are SimBench's, in units of their maximum.
func loadProfiles(tb testing.TB) [][]float64 {
	f, err := os.Open("../sim/simbench/load_15min_8weeks.csv")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		tb.Fatal(err)
	}
	profiles := make([][]float64, len(rows[0])-1)
	for _, row := range rows[1:] {
		for i, text := range row[1:] {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				tb.Fatal(err)
			}
			profiles[i] = append(profiles[i], v)
		}
	}
	return profiles
}

func reportSize(b *testing.B, encoded []byte, samples int) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		b.Fatal(err)
	}
	defer z.Close()
	b.ReportMetric(float64(len(encoded))/float64(samples), "B/sample")
	b.ReportMetric(float64(len(z.EncodeAll(encoded, nil)))/float64(samples), "zstd-B/sample")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(samples), "ns/sample")
}

func eachFleet(b *testing.B, f func(b *testing.B, samples []Sample)) {
	for _, polls := range []int{2, 60} {
		for _, src := range sources(b) {
			b.Run(fmt.Sprintf("%s/polls=%d", src.name, polls), func(b *testing.B) {
				b.ReportAllocs()
				f(b, fleet(src, fleetDevices, polls))
			})
		}
	}
}

func BenchmarkEncodeBlock(b *testing.B) {
	eachFleet(b, func(b *testing.B, samples []Sample) {
		var e Encoder
		var block []byte
		for b.Loop() {
			block, _ = e.AppendBlock(block[:0], TableRef{}, samples)
		}
		reportSize(b, block, len(samples))
	})
}

func BenchmarkDecodeBlock(b *testing.B) {
	eachFleet(b, func(b *testing.B, samples []Sample) {
		block, err := new(Encoder).AppendBlock(nil, TableRef{}, samples)
		if err != nil {
			b.Fatal(err)
		}
		var d Decoder
		out := make([]Sample, 0, len(samples))
		for b.Loop() {
			_, out, _ = d.Block(block, out)
		}
		reportSize(b, block, len(samples))
	})
}

// BenchmarkEncodeRows is the plain alternative: signal, time, value and quality
// in 22 bytes.
// One signal of an hour of a device's 50.
func BenchmarkDecodeOnly(b *testing.B) {
	for _, src := range []source{volts, meters} {
		block, err := new(Encoder).AppendBlock(nil, TableRef{}, fleet(src, 1, 3600))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(src.name, func(b *testing.B) {
			var d Decoder
			var out []Sample
			b.SetBytes(int64(len(block)))
			for b.Loop() {
				if out, err = d.Only(block, []SignalID{26}, out); err != nil || len(out) != 3600 {
					b.Fatal(len(out), err)
				}
			}
		})
	}
}

func BenchmarkEncodeRows(b *testing.B) {
	eachFleet(b, func(b *testing.B, samples []Sample) {
		var rows []byte
		for b.Loop() {
			rows = rows[:0]
			for _, s := range samples {
				rows = binary.LittleEndian.AppendUint32(rows, uint32(s.Signal))
				rows = binary.LittleEndian.AppendUint64(rows, uint64(s.Time))
				rows = binary.LittleEndian.AppendUint64(rows, s.Value.bits)
				rows = binary.LittleEndian.AppendUint16(rows, uint16(s.Quality))
			}
		}
		reportSize(b, rows, len(samples))
	})
}

// BenchmarkEncodeGorilla is the usual alternative for floats, after Pelkonen et
// al., Gorilla (VLDB 2015): times as differences of differences, values as XOR,
// a stream for each signal, and no quality.
func BenchmarkEncodeGorilla(b *testing.B) {
	eachFleet(b, func(b *testing.B, samples []Sample) {
		samples = bySignal(samples)
		var w bitWriter
		for b.Loop() {
			w.dst = w.dst[:0]
			for i := 0; i < len(samples); {
				first := i
				for i < len(samples) && samples[i].Signal == samples[first].Signal {
					i++
				}
				w.gorilla(samples[first:i])
				w.dst = w.bytes()
			}
		}
		reportSize(b, w.dst, len(samples))
	})
}

func (w *bitWriter) gorilla(samples []Sample) {
	w.bits(uint64(samples[0].Time), 64)
	w.bits(samples[0].Value.bits, 64)
	var delta uint64
	leading, trailing := 64, 0
	for i := 1; i < len(samples); i++ {
		d := uint64(samples[i].Time - samples[i-1].Time)
		switch dod := zigzag(d - delta); {
		case dod == 0:
			w.bits(0, 1)
		case dod < 1<<7:
			w.bits(1, 2)
			w.bits(dod, 7)
		case dod < 1<<12:
			w.bits(3, 3)
			w.bits(dod, 12)
		default:
			w.bits(7, 3)
			w.bits(dod, 64)
		}
		delta = d

		xor := samples[i].Value.bits ^ samples[i-1].Value.bits
		if xor == 0 {
			w.bits(0, 1)
			continue
		}
		l, t := min(bits.LeadingZeros64(xor), 31), bits.TrailingZeros64(xor)
		if l >= leading && t >= trailing {
			w.bits(1, 2)
		} else {
			leading, trailing = l, t
			w.bits(3, 2)
			w.bits(uint64(l), 5)
			w.bits(uint64(63-l-t), 6)
		}
		w.bits(xor>>trailing, uint(64-leading-trailing))
	}
}
