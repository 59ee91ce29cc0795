package lake

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/busbar/busbar/cloud/lake/iceberg"
	"github.com/busbar/busbar/cloud/lake/object"
	"github.com/busbar/busbar/telemetry"
)

// 500 signals with noise, each once a second: sort, encode, compress and commit.
func BenchmarkCommit(b *testing.B) {
	files, err := object.OpenDirectory(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	table, err := iceberg.Open(b.Context(), files, Definition())
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var of []*series
	for n := range 500 {
		of = append(of, &series{gateway: fmt.Sprintf("gw-%d", n/100), table: "000000000000abcd", signal: signal(n)})
	}
	const seconds = 200
	var rows []row
	for at := range seconds {
		for n, s := range of {
			from := &source{epoch: "0000000000000001", first: uint64(at * 500), last: uint64(at*500 + 499)}
			v := float64(int64((230+3*random.NormFloat64())*100)) / 100
			rows = append(rows, row{telemetry.Sample{Signal: telemetry.SignalID(n), Time: 1_700_000_000_000_000 + telemetry.Micros(at*1_000_000+n%7*1000), Value: telemetry.FloatValue(v)}, s, from})
		}
	}
	sp := newSpool(b.TempDir())
	bytes := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		sp.rows = append(sp.rows[:0], rows...)
		if err := sp.flush(); err != nil {
			b.Fatal(err)
		}
		list, err := sp.deliver(b.Context(), files, table)
		if err != nil {
			b.Fatal(err)
		}
		sp.close()
		if err := table.Append(b.Context(), list, map[string]string{}); err != nil {
			b.Fatal(err)
		}
		if err := table.Tidy(b.Context()); err != nil {
			b.Fatal(err)
		}
		bytes += list[0].Bytes
	}
	b.ReportMetric(float64(len(rows)*b.N)/b.Elapsed().Seconds(), "samples/s")
	b.ReportMetric(float64(bytes)/float64(len(rows)*b.N), "B/sample")
}
