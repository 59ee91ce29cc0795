package buffer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// noisySamples are polls of 100 meters of 50 values with noise of 0.2 V in
// steps of 0.1 V.
func noisySamples(n int) []telemetry.Sample {
	noise := rand.New(rand.NewPCG(1, 2))
	start := telemetry.MicrosOf(time.Now())
	samples := make([]telemetry.Sample, n)
	for i := range samples {
		poll, meter, value := i/5000, i/50%100, i%50
		samples[i] = telemetry.Sample{
			Time:   start + telemetry.Micros(poll*1e6+meter*100),
			Value:  telemetry.FloatValue(math.Round(2300+2*noise.NormFloat64()) / 10),
			Signal: telemetry.SignalID(meter*50 + value + 1),
		}
	}
	return samples
}

// BenchmarkCommit commits groups of samples, beside an append with the same
// fsync of the same blocks to a plain file.
func BenchmarkCommit(b *testing.B) {
	for _, group := range []int{100, 1000, 10_000} {
		samples := noisySamples(group)
		report := func(b *testing.B, stored int64) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*group), "ns/sample")
			b.ReportMetric(float64(stored)/float64(b.N*group), "B-kept/sample")
			b.ReportAllocs()
		}
		b.Run(fmt.Sprintf("group=%d/bbolt", group), func(b *testing.B) {
			buffer := open(b, b.TempDir(), 0)
			defer buffer.Close()
			w := buffer.NewWriter(time.Second, nil)
			var encoder telemetry.Encoder
			for b.Loop() {
				items, err := w.encode(&encoder, samples)
				if err != nil {
					b.Fatal(err)
				}
				if err := buffer.Telemetry.Commit(items, nil); err != nil {
					b.Fatal(err)
				}
			}
			report(b, buffer.Telemetry.Stats().Bytes)
		})
		b.Run(fmt.Sprintf("group=%d/plain file", group), func(b *testing.B) {
			f, err := os.CreateTemp(b.TempDir(), "")
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			var encoder telemetry.Encoder
			var stored int64
			for b.Loop() {
				block, err := encoder.AppendBlock(nil, telemetry.TableRef{}, samples)
				if err != nil {
					b.Fatal(err)
				}
				value, err := record.Record{Format: record.FormatBlock, Payload: block}.AppendBinary(nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.Write(value); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
				stored += int64(len(value))
			}
			report(b, stored)
		})
	}
}
