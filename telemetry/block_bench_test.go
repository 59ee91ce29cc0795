package telemetry

import (
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// fleet is 100 devices of 50 points, polled every second in one exchange each,
// a millisecond or so late.
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

func fleet(src source, polls int) []Sample {
	rng := rand.New(rand.NewPCG(1, 2))
	samples := make([]Sample, 0, fleetDevices*fleetPoints*polls)
	for poll := range polls {
		for device := range fleetDevices {
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

func sources(tb testing.TB) []source {
	volts := func(rng *rand.Rand) float64 { return 230 + rng.NormFloat64()*0.2 }
	load := loadProfiles(tb)
	const second = 1_000_000
	return []source{
		{"simbench", 900 * second, func(_ *rand.Rand, device, point, poll int) Value {
			profile := load[point%len(load)]
			rated := 2000 + 100*float64(device)
			return FloatValue(rounded(rated*profile[(device*37+point*11+poll)%len(profile)], 1))
		}},
		{"volts", second, func(rng *rand.Rand, _, _, _ int) Value { return FloatValue(rounded(volts(rng), 1)) }},
		{"volts32", second, func(rng *rand.Rand, _, _, _ int) Value {
			return FloatValue(float64(float32(rounded(volts(rng), 1))))
		}},
		{"meter", second, meterPoint},
		{"float32", second, func(rng *rand.Rand, _, _, _ int) Value { return FloatValue(float64(float32(volts(rng)))) }},
		{"float64", second, func(rng *rand.Rand, _, _, _ int) Value { return FloatValue(volts(rng)) }},
	}
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
				f(b, fleet(src, polls))
			})
		}
	}
}

func BenchmarkEncodeBlock(b *testing.B) {
	eachFleet(b, func(b *testing.B, samples []Sample) {
		var e Encoder
		block, err := e.AppendBlock(nil, TableRef{}, samples)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			block, _ = e.AppendBlock(block[:0], TableRef{}, samples)
		}
		reportSize(b, block, len(samples))
	})
}

func BenchmarkDecodeBlock(b *testing.B) {
	eachFleet(b, func(b *testing.B, samples []Sample) {
		var e Encoder
		var d Decoder
		block, err := e.AppendBlock(nil, TableRef{}, samples)
		if err != nil {
			b.Fatal(err)
		}
		_, out, err := d.Block(block, nil)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			_, out, _ = d.Block(block, out)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(out)), "ns/sample")
	})
}
