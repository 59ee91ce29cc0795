package buffer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
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
			w := buffer.NewWriter(time.Second, nil, nil)
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

// BenchmarkInspect looks at a file of 1,000 blocks as `busbar buffer verify` does.
func BenchmarkInspect(b *testing.B) {
	dir := b.TempDir()
	buffer := open(b, dir, 256<<20)
	measured(b, buffer, 1000)
	path := buffer.Telemetry.segments[0].path
	buffer.Close()
	i, err := Inspect(path)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		i.ranges = map[stretch]*numberSet{}
		f, err := i.Look(path, false)
		if err != nil || len(f.Problems) > 0 {
			b.Fatal(err, f.Problems)
		}
		b.SetBytes(f.Bytes)
		b.ReportMetric(float64(f.Samples), "samples")
	}
}

// BenchmarkAcknowledge acknowledges records one by one, in order and in two lanes
// at once.
func BenchmarkAcknowledge(b *testing.B) {
	for _, lanes := range []int{1, 2} {
		b.Run(fmt.Sprintf("lanes=%d", lanes), func(b *testing.B) {
			buffer := open(b, b.TempDir(), 0)
			defer buffer.Close()
			c := buffer.Telemetry
			commit(b, c, 1)
			c.mu.Lock()
			c.last = Position(lanes * 2 * (b.N + 2)) // as if so many had been committed
			c.mu.Unlock()
			b.ReportAllocs()
			for i := range b.N {
				p := Position(i/lanes + 2)
				if i%lanes == 1 {
					p += Position(b.N)
				}
				if err := c.Acknowledge(p, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkThin thins a segment of noisy voltages by one generation after the other.
func BenchmarkThin(b *testing.B) {
	dir := b.TempDir()
	var definitions []Definition
	for i := range 5000 {
		definitions = append(definitions, Definition{Signal: telemetry.Signal{Device: fmt.Sprint("meter-", i/50), Name: fmt.Sprint(i % 50), Kind: telemetry.Gauge}})
	}
	const blocks, blockSamples = 100, 10_000
	for generation := everyNth; generation <= statesOnly; generation++ {
		b.Run(fmt.Sprintf("generation=%d", generation), func(b *testing.B) {
			var before, after int64
			for i := range b.N {
				b.StopTimer()
				dir := filepath.Join(dir, fmt.Sprint(generation, "-", b.N, "-", i))
				buffer := open(b, dir, 1<<30)
				if _, err := buffer.Table().Define(definitions); err != nil {
					b.Fatal(err)
				}
				w := buffer.NewWriter(time.Second, func([]telemetry.Loss) error { return nil }, uncounted{})
				var encoder telemetry.Encoder
				samples := noisySamples(blockSamples)
				for range blocks {
					items, err := w.encode(&encoder, samples)
					if err != nil {
						b.Fatal(err)
					}
					if err := buffer.Telemetry.Commit(items, nil); err != nil {
						b.Fatal(err)
					}
					for i := range samples {
						samples[i].Time += 2e6
					}
				}
				buffer.Telemetry.abandon(nil)
				commit(b, buffer.Telemetry, 1) // completes the first
				s := buffer.Telemetry.segments[0]
				s.tried = generation - 1
				before += s.size
				b.StartTimer()
				if err := buffer.thin(b.Context(), s); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				after += s.size
				buffer.Close()
				os.RemoveAll(dir)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*blocks*blockSamples), "ns/sample")
			b.ReportMetric(float64(after)/float64(before), "size-kept")
		})
	}
}

// BenchmarkMemory fills a buffer of 64 MiB and reports the anonymous memory of the
// process at a tenth and at the end, in which it was full, thinned and dropped.
func BenchmarkMemory(b *testing.B) {
	for range b.N {
		buffer, err := Open(Options{Dir: b.TempDir(), Gateway: "gw", MaxSize: 64 << 20, Log: quiet})
		if err != nil {
			b.Fatal(err)
		}
		var definitions []Definition
		for i := range 5000 {
			definitions = append(definitions, Definition{Signal: telemetry.Signal{Device: fmt.Sprint("meter-", i/50), Name: fmt.Sprint(i % 50), Kind: telemetry.Gauge}})
		}
		if _, err := buffer.Table().Define(definitions); err != nil {
			b.Fatal(err)
		}
		w := buffer.NewWriter(time.Second, func([]telemetry.Loss) error { return nil }, uncounted{})
		var encoder telemetry.Encoder
		samples := noisySamples(10_000)
		const groups = 5000 // 50 million samples
		var first, most float64
		for n := range groups {
			items, err := w.encode(&encoder, samples)
			if err != nil {
				b.Fatal(err)
			}
			if err := buffer.Telemetry.Commit(items, nil); err != nil {
				b.Fatal(err)
			}
			for i := range samples {
				samples[i].Time += 2e6
			}
			for buffer.fullness() > thinFrom && buffer.Telemetry.thinnable() != nil {
				if !buffer.relieve(b.Context()) {
					break
				}
			}
			if n%100 == 0 {
				anonymous := anonymousMiB(b)
				if n <= 1000 {
					first = max(first, anonymous)
				}
				most = max(most, anonymous)
			}
		}
		b.ReportMetric(first, "MiB-anon-first")
		b.ReportMetric(most, "MiB-anon-most")
		b.ReportMetric(float64(buffer.Telemetry.Stats().Thinned), "thinned")
		b.ReportMetric(float64(buffer.Telemetry.Stats().Dropped), "dropped")
		buffer.Close()
	}
}

func anonymousMiB(b *testing.B) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
