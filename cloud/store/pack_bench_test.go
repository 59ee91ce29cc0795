package store

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// meters are 50 signals each, polled once a second with some ms of jitter: voltages with
// a noise of 0.2 V in steps of 0.1 V.
type meters struct {
	testing.TB
	*Store
	places []Place
	random *rand.Rand
	enc    telemetry.Encoder
}

const perMeter = 50

func newMeters(b testing.TB, n int) *meters {
	return newMetersAt(b, n, Config{Path: filepath.Join(b.TempDir(), "busbar.db")})
}

func newMetersAt(b testing.TB, n int, c Config) *meters {
	s, err := Open(context.Background(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	m := &meters{TB: b, Store: s, random: rand.New(rand.NewPCG(1, 2))}
	var signals []telemetry.Signal
	for i := range n * perMeter {
		signals = append(signals, telemetry.Signal{ID: telemetry.SignalID(i), Device: fmt.Sprint("meter-", i/perMeter), Name: fmt.Sprint("PhV", i%perMeter), Unit: "V", Kind: telemetry.Gauge})
	}
	err = s.Write(context.Background(), func(tx *Tx) error {
		return tx.SaveBirth(record.Birth{Gateway: "g", Table: "000000000000000a", Version: 1, Parts: 1, Signals: signals})
	})
	table, err2 := s.SignalTable(context.Background(), "g", 0xa)
	if err != nil || err2 != nil {
		b.Fatal(err, err2)
	}
	for i := range signals {
		m.places = append(m.places, table[telemetry.SignalID(i)])
	}
	return m
}

// fill stores seconds as they are stored online: a chunk for each meter and second.
func (m *meters) fill(hour, seconds int) {
	for second := 0; second < seconds; second += 60 {
		err := m.Write(context.Background(), func(tx *Tx) error {
			for s := second; s < min(second+60, seconds); s++ {
				for first := 0; first < len(m.places); first += perMeter {
					at := telemetry.Micros(hour)*hourMicros + telemetry.Micros(s)*1_000_000 + telemetry.Micros(m.random.IntN(5000))
					list := make([]telemetry.Sample, perMeter)
					for i := range list {
						list[i] = telemetry.Sample{Signal: m.places[first+i].Series, Time: at, Value: telemetry.FloatValue(math.Round((230+0.2*m.random.NormFloat64())*10) / 10)}
					}
					block, err := m.enc.AppendBlock(nil, telemetry.TableRef{}, list)
					if err == nil {
						err = tx.AddChunk(Chunk{Bundle: m.places[first].Bundle, Minute: MinuteOf(at), First: at, Last: at, Samples: len(list), Block: block})
					}
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			m.Fatal(err)
		}
	}
}

// packed packs and sweeps what lies before the minute cut.
func (m *meters) packed(p *Packer, cut int64) (total Packed) {
	for from := FirstHour; ; {
		hour, bundles, err := p.Unpacked(context.Background(), from, cut)
		if err != nil {
			m.Fatal(err)
		}
		if len(bundles) == 0 {
			return total
		}
		for _, bundle := range bundles {
			done, err := p.Pack(context.Background(), bundle, hour, cut)
			if err != nil {
				m.Fatal(err)
			}
			total.Chunks += done.Chunks
			total.Samples += done.Samples
			total.Rows += done.Rows
			total.Bytes += done.Bytes
		}
		if _, err := p.Sweep(context.Background(), hour); err != nil {
			m.Fatal(err)
		}
		from = hour + 1
	}
}

func (m *meters) number(query string) (n float64) {
	if err := m.Read(context.Background(), func(tx *Tx) error { return tx.QueryRow(query, nil, &n) }); err != nil {
		m.Fatal(err)
	}
	return n
}

// An hour of meters as it is packed online, a quarter-hour after the other.
func BenchmarkPack(b *testing.B) {
	const n, hour = 20, 480_000
	const samples = n * perMeter * 3600
	var used time.Duration
	var longest time.Duration
	var m *meters
	var chunks, rows int
	for b.Loop() {
		b.StopTimer()
		m = newMeters(b, n)
		m.fill(hour, 3600)
		before := m.number(`SELECT SUM(LENGTH(block)) FROM chunk`)
		p := m.NewPacker()
		b.ReportMetric(before/samples, "chunk-B/sample")
		b.StartTimer()
		began := cpu()
		chunks, rows = 0, 0
		for quarter := range int64(4) {
			done := m.packed(p, hour*60+15*(quarter+1))
			chunks, rows = chunks+done.Chunks, rows+done.Rows
		}
		used += cpu() - began
		longest = max(longest, p.Longest())
	}
	b.ReportMetric(used.Seconds()/float64(b.N)/samples*1e6, "CPU-s/1M")
	b.ReportMetric(longest.Seconds()*1000, "longest-tx-ms")
	b.ReportMetric(float64(chunks), "chunks-before")
	b.ReportMetric(m.number(`SELECT COUNT(*) FROM packed`), "rows-after")
	b.ReportMetric(m.number(`SELECT SUM(LENGTH(block)) FROM packed`)/samples, "packed-B/sample")
	b.ReportMetric(m.number(`SELECT SUM(LENGTH(block)) FROM rollup_minutes`)/samples*60, "minutes-B/bucket")
	b.ReportMetric(float64(rows), "rollup-rows-written")
	b.ReportMetric(m.number(`SELECT 1.0 * SUM(pgsize) / (SELECT COUNT(*) FROM rollup) FROM dbstat WHERE name = 'rollup'`), "rollup-B/row")
	b.ReportMetric(0, "ns/op")
}

// 24 hours of a signal that was stored second by second, and packed: as a plot of 500
// points, in the finest buckets, and whole.
func BenchmarkReadDay(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkReadDay(b, newMeters(b, 1)) })
	b.Run("postgres", func(b *testing.B) { benchmarkReadDay(b, newMetersAt(b, 1, onPostgres(b))) })
}

func benchmarkReadDay(b *testing.B, m *meters) {
	const day = 20_000
	for h := range 24 {
		m.fill(day*24+h, 3600)
		m.packed(m.NewPacker(), int64(day*24+h+1)*60)
	}
	from := telemetry.Micros(day) * dayMicros
	id := m.places[20].Series
	for _, points := range []int{500, 5000} {
		b.Run(fmt.Sprint("points=", points), func(b *testing.B) {
			for b.Loop() {
				trend, err := m.Trend(context.Background(), id, from, from+dayMicros, points)
				if err != nil || len(trend.Buckets) < points/4 {
					b.Fatal(len(trend.Buckets), err)
				}
			}
		})
	}
	b.Run("samples", func(b *testing.B) {
		for b.Loop() {
			_, list, err := m.Samples(context.Background(), id, from, from+dayMicros)
			if err != nil || len(list) != 86_400 {
				b.Fatal(len(list), err)
			}
		}
	})
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
