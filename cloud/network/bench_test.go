package network

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridtest"
)

// cpu is the time that this process has computed for.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured runs do until the benchmark ends, and reports its CPU time beside the other.
// before is run ahead of each, and isn't counted.
func measured(b *testing.B, before, do func()) {
	b.StopTimer()
	var sum time.Duration
	for range b.N {
		before()
		begun := cpu()
		b.StartTimer()
		do()
		b.StopTimer()
		sum += cpu() - begun
	}
	b.ReportMetric(float64(sum.Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// BenchmarkGrid100k is the work of importing, loading and asking about a network of
// 100,000 service points, with each engine. The CPU time of PostgreSQL isn't in it.
func BenchmarkGrid100k(b *testing.B) {
	for name, config := range map[string]func(testing.TB) store.Config{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		s, err := store.Open(b.Context(), config(b))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		saved := 0
		save := func(b *testing.B, m *grid.Model) {
			saved++
			m.Name = fmt.Sprint(saved) // another model each time
			if _, err := (Import{Model: *m, By: "ana", Now: noon}).Save(b.Context(), s); err != nil {
				b.Fatal(err)
			}
		}
		large, small := gridtest.Radial(100_000, 1), gridtest.Radial(1, 1)
		nothing := func() {}
		b.Run("import-of-all/"+name, func(b *testing.B) {
			measured(b, func() { save(b, small) }, func() { save(b, large) })
		})
		b.Run("import-of-few-changes/"+name, func(b *testing.B) {
			measured(b, func() { large.ServicePoints[saved].Customers++ }, func() { save(b, large) })
		})
		b.Run("load/"+name, func(b *testing.B) {
			measured(b, nothing, func() {
				if _, err := NewHolder(s).Current(b.Context()); err != nil {
					b.Fatal(err)
				}
			})
		})
		for what, f := range map[string]store.GridFilter{"page": {}, "page-of-feeder": {Feeder: "feeder-50"}, "page-by-text": {Text: "9-sp-7"}, "page-unmeasured": {Unmeasured: true}} {
			b.Run(what+"/"+name, func(b *testing.B) {
				measured(b, nothing, func() {
					if list, err := s.GridAssets(b.Context(), f, store.Page[string]{Limit: 500}); err != nil || len(list) < 50 {
						b.Fatal(len(list), err)
					}
				})
			})
		}
		h := NewHolder(s)
		if _, err := h.Current(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Run("one-asset/"+name, func(b *testing.B) {
			measured(b, nothing, func() {
				if _, err := s.GridAsset(b.Context(), "feeder-50-breaker"); err != nil {
					b.Fatal(err)
				}
				n, err := h.Current(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				if v := n.View("feeder-50-breaker", everything); v.Behind.ServicePoints != 1000 {
					b.Fatalf("%+v", v.Behind)
				}
			})
		})
	}
}
