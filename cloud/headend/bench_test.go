package headend

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/compact"
)

// BenchmarkRows decodes reads, as CSV and as JSON.
func BenchmarkRows(b *testing.B) {
	const rows = 10_000
	var table, lines strings.Builder
	table.WriteString(head)
	for n := range rows {
		r := toldRead{fmt.Sprint("m", n/96), time.Date(2025, 10, 1, 0, 15*(n%96+1), 0, 0, time.UTC), float64(n), Actual, 0}
		table.WriteString(r.csv())
		lines.WriteString(r.json())
	}
	for name, text := range map[string]string{"csv": table.String(), "json": lines.String()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text) / rows))
			b.ReportAllocs()
			for i := 0; i < b.N; i += rows {
				d := NewDecoder(strings.NewReader(text), Format{}, now)
				for {
					if _, err := d.Next(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkImport sends reads through a broker into the database: an operation is a read.
func BenchmarkImport(b *testing.B) {
	w := newWorld(b)
	w.start()
	var text strings.Builder
	text.WriteString(head)
	for n := range b.N {
		text.WriteString(toldRead{fmt.Sprint("m", n/1000), time.Date(2025, 10, 1, 0, 15*(n%1000+1), 0, 0, time.UTC), float64(n % 997), Actual, 0}.csv())
	}
	b.ResetTimer()
	if _, run, _ := w.send(text.String(), mdm); run.Fresh != int64(b.N) {
		b.Fatalf("%+v of %d", run, b.N)
	}
}

// BenchmarkPack packs and sums up what was imported: an operation is a meter's hour of four reads.
func BenchmarkPack(b *testing.B) {
	w := newWorld(b)
	w.start()
	var text strings.Builder
	text.WriteString(head)
	for n := range 4 * b.N {
		text.WriteString(toldRead{fmt.Sprint("m", n/96), time.Date(2025, 10, 1, 0, 15*(n%96+1), 0, 0, time.UTC), float64(n % 997), Actual, 0}.csv())
	}
	w.send(text.String(), mdm)
	packer := compact.New(compact.Config{Store: w.store, Logger: quiet})
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ResetTimer()
	if err := packer.Pass(b.Context(), time.Now()); err != nil {
		b.Fatal(err)
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	took := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(took)/float64(b.N), "cpu-ns/op")
}
