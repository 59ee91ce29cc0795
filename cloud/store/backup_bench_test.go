package store

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// Two hours of meters, of which the one is packed and the other isn't, backed up and
// restored into a file.
func BenchmarkBackup(b *testing.B) {
	const n, hour = 20, 480_000
	m := newMeters(b, n)
	m.fill(hour, 7200)
	m.packed(m.NewPacker(), (hour+1)*60)
	var file bytes.Buffer
	var backup, restore time.Duration
	for i := 0; b.Loop(); i++ {
		file.Reset()
		began := cpu()
		if _, err := m.Backup(context.Background(), &file, "bench", nil); err != nil {
			b.Fatal(err)
		}
		backup += cpu() - began
		size := file.Len()
		began = cpu()
		if _, err := Restore(context.Background(), Config{Path: filepath.Join(b.TempDir(), fmt.Sprint(i))}, &file, false, nil); err != nil {
			b.Fatal(err)
		}
		restore += cpu() - began
		b.ReportMetric(float64(size)/1e6, "MB")
	}
	b.ReportMetric(m.number(`SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()`)/1e6, "MB-of-database")
	b.ReportMetric(backup.Seconds()/float64(b.N), "backup-CPU-s")
	b.ReportMetric(restore.Seconds()/float64(b.N), "restore-CPU-s")
	b.ReportMetric(0, "ns/op")
}
