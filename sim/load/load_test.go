package load_test

import (
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/busbar/busbar/sim/load"
)

func mixed() load.Mix {
	var m load.Mix
	m.SetDefaults()
	return m
}

func customers(l *load.Loads, n int, effects ...load.Effect) []load.Customer {
	list := make([]load.Customer, n)
	for i := range list {
		list[i] = l.Customer(uint64(i))
		list[i].Effects = effects
	}
	return list
}

func sum(x *[load.Slots]float32) (sum float64) {
	for _, v := range x {
		sum += float64(v)
	}
	return sum
}

const january = 20454 // 1 January 2026, a Thursday

func TestAYearIsWhatHouseholdsUse(t *testing.T) {
	l := load.New(1, load.Mix{})
	var total, drawn float64
	var d load.Day
	list := customers(l, 60)
	for i := range list {
		drawn += list[i].Annual
		for day := range 365 {
			l.Real(&list[i], january+day, &d)
			total += sum(&d.Import)
		}
	}
	if math.Abs(total/drawn-1) > 0.02 {
		t.Errorf("they use %.0f kWh a year, want what was drawn, %.0f", total/60e3, drawn/60e3)
	}
	if mean := drawn / 60; mean < 2.5e6 || mean > 4.5e6 {
		t.Errorf("%.0f Wh a year on average", mean)
	}
}

func TestBusinessesRestOnSundays(t *testing.T) {
	l := load.New(1, load.Mix{Business: 1})
	var week [7]float64
	var d load.Day
	for _, c := range customers(l, 100) {
		for day := range 56 {
			l.Real(&c, january+day, &d)
			week[(4+day)%7] += sum(&d.Import) // from Sunday on
		}
	}
	if working := (week[1] + week[2] + week[3] + week[4] + week[5]) / 5; week[0] > 0.75*working {
		t.Errorf("from Sunday on: %.0f", week)
	}
}

func TestSunShinesByDayAndMoreInSummer(t *testing.T) {
	l := load.New(1, load.Mix{PV: 1})
	june, december := 0.0, 0.0
	var d load.Day
	for _, c := range customers(l, 100) {
		for day := range 30 {
			l.Real(&c, january+151+day, &d)
			june += sum(&d.Export)
			for _, slot := range []int{0, 8, 92} {
				if d.Export[slot] != 0 {
					t.Fatalf("%g Wh exported in slot %d", d.Export[slot], slot)
				}
			}
			l.Real(&c, january+334+day, &d)
			december += sum(&d.Export)
		}
	}
	if june < 4*december || december == 0 {
		t.Errorf("%.0f Wh exported in June, %.0f in December", june, december)
	}
}

func TestSlotOfATime(t *testing.T) {
	if day, slot := load.SlotAt(int64(january)*86400e6 + 50*900e6 + 5e6); day != january || slot != 50 {
		t.Errorf("day %d, slot %d", day, slot)
	}
	if day, slot := load.SlotAt(-1); day != -1 || slot != 95 {
		t.Errorf("just before 1970: day %d, slot %d", day, slot)
	}
}

// The invariants of the six kinds: what is kept of the energy, and what isn't
// touched.
func TestTheftKeepsWhatItsFormulaSays(t *testing.T) {
	for kind, want := range map[load.Kind][2]float64{ // the part of the energy that is counted: from, to
		load.Reduced: {0.42, 0.48}, load.Scaled: {0.44, 0.46}, load.ScaledMean: {0.44, 0.46}, load.Mean: {0.9999, 1.0001}, load.Reversed: {0.9999, 1.0001},
		load.OffHours: {0.6, 0.75},
	} {
		l := load.New(1, load.Mix{})
		honest, thieves := customers(l, 400), customers(l, 400, load.Effect{Kind: kind, From: january + 10})
		var real, counted float64
		for i := range thieves {
			for day := range 14 {
				var x, y, z load.Day
				l.Real(&thieves[i], january+day, &x)
				l.Metered(&thieves[i], january+day, &y)
				l.Metered(&honest[i], january+day, &z)
				if x != z {
					t.Fatalf("%s changes what is really used", kind)
				}
				if day < 10 {
					if x != y {
						t.Fatalf("%s before its time", kind)
					}
					continue
				}
				real, counted = real+sum(&x.Import), counted+sum(&y.Import)
				check(t, kind, &x.Import, &y.Import)
			}
		}
		if part := counted / real; part < want[0] || part > want[1] {
			t.Errorf("%s counts %.4f of the energy, want %v", kind, part, want)
		}
	}
}

func check(t *testing.T, kind load.Kind, x, y *[load.Slots]float32) {
	t.Helper()
	switch kind {
	case load.Mean, load.Reversed:
		if math.Abs(sum(x)-sum(y)) > 1e-3*sum(x) {
			t.Fatalf("%s: a day of %g Wh is counted as %g", kind, sum(x), sum(y))
		}
	case load.OffHours:
		zeros := 0
		for i := range x {
			if y[i] == 0 && x[i] != 0 {
				zeros++
			} else if x[i] != y[i] {
				t.Fatalf("%s changes slot %d from %g to %g", kind, i, x[i], y[i])
			}
		}
		if zeros < 16 {
			t.Fatalf("%s: %d quarter-hours without energy, want at least 16", kind, zeros)
		}
	}
	sorted := slices.Clone(y[:])
	slices.Sort(sorted)
	if kind == load.Mean && sorted[0] != sorted[95] {
		t.Fatalf("%s: from %g to %g", kind, sorted[0], sorted[95])
	}
	if kind == load.Reversed && (y[0] != x[95] || y[50] != x[45]) {
		t.Fatalf("%s isn't", kind)
	}
	if kind == load.Reduced {
		if a, b := y[3]/x[3], y[80]/x[80]; math.Abs(float64(a-b)) > 1e-5 || a < 0.1 || a > 0.8 {
			t.Fatalf("%s by %g and %g", kind, a, b)
		}
	}
}

func TestLookAlikesAreCountedAsTheyAre(t *testing.T) {
	for kind := load.Vacation; kind <= load.MeterSwap; kind++ {
		l := load.New(1, load.Mix{})
		var before, after, counted float64
		gaps := 0
		for _, c := range customers(l, 100, load.Effect{Kind: kind, From: january + 7, Till: january + 14}) {
			for day := range 21 {
				var x, y, z load.Day
				l.Real(&c, january+day, &x)
				l.Metered(&c, january+day, &y)
				honest := c
				honest.Effects = nil
				l.Metered(&honest, january+day, &z)
				if (day < 7 || day >= 14) && x != z {
					t.Fatalf("%s on day %d, outside its time", kind, day)
				}
				if kind != load.MeterSwap && x != y {
					t.Fatalf("%s isn't counted as it is", kind)
				}
				if day < 7 || day >= 14 {
					continue
				}
				before, after = before+sum(&z.Import), after+sum(&x.Import)-sum(&x.Export)
				for i, v := range y.Import {
					if v != v {
						gaps++
						counted += float64(x.Import[i])
					} else {
						counted += float64(v)
					}
				}
			}
		}
		part := after / before
		want := map[load.Kind][2]float64{load.Vacation: {0.16, 0.17}, load.MoveOut: {0.01, 0.03}, load.NewPV: {-1, 0.9}, load.NewEV: {1.5, 5},
			load.NewHeatPump: {1.5, 5}, load.TariffChange: {0.9999, 1.0001}, load.MeterSwap: {1, 1}}[kind]
		if part < want[0] || part > want[1] {
			t.Errorf("%s: %.3f of the energy, want %v", kind, part, want)
		}
		if kind == load.MeterSwap && (gaps != 800 || math.Abs(counted/after-1) > 0.005 || counted == after) {
			t.Errorf("%s: %d quarter-hours aren't counted, and %.4f of the energy is", kind, gaps, counted/after)
		}
	}
}

// In any order, and by several at once.
func TestAnyDayCanBeHadByItself(t *testing.T) {
	l := load.New(7, mixed())
	list := customers(l, 103, load.Effect{Kind: load.ScaledMean, From: january + 3})
	const days = 7
	want := make([]load.Day, days*len(list))
	for i := range want {
		l.Metered(&list[i/days], january+i%days, &want[i])
	}
	got := make([]load.Day, len(want))
	var working sync.WaitGroup
	for first := range 3 {
		working.Go(func() {
			for i := len(got) - 1 - first; i >= 0; i -= 3 {
				l.Metered(&list[i/days], january+i%days, &got[i])
			}
		})
	}
	working.Wait()
	if !slices.Equal(got, want) {
		t.Error("another order gives other days")
	}
}

// A year of quarter-hours, whose bytes are read once.
func BenchmarkYear(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := load.New(1, mixed())
			list := customers(l, n)
			var d load.Day
			bytes := unsafe.Slice((*byte)(unsafe.Pointer(&d)), unsafe.Sizeof(d))
			for b.Loop() {
				crc := uint32(0)
				for i := range list {
					for day := range 365 {
						l.Metered(&list[i], january+day, &d)
						crc = crc32.Update(crc, crc32.MakeTable(crc32.Castagnoli), bytes)
					}
				}
			}
			b.ReportMetric(float64(n)*365*load.Slots*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
		})
	}
}
