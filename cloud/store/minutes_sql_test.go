package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// sqlMinutes are the minutes of a series as rollup_1min has them.
func sqlMinutes(t testing.TB, s *Store, series telemetry.SignalID, from, to telemetry.Micros) (out []Bucket) {
	t.Helper()
	err := s.Read(context.Background(), func(tx *Tx) error {
		return tx.Each(func(r *sql.Rows) error {
			var b Bucket
			var low, high, mean, last sql.NullFloat64
			var text sql.NullString
			var good float64
			err := r.Scan(&b.Start, &low, &high, &mean, &last, &text, &b.Samples, &b.Valued, &good)
			b.Min, b.Max, b.Last, b.LastText = low.Float64, high.Float64, last.Float64, text.String
			b.Sum, b.Good = mean.Float64, int64(math.Round(good*float64(b.Samples)))
			if low.Valid != (b.Valued > 0) || mean.Valid != low.Valid || last.Valid != low.Valid {
				t.Errorf("minute %d of series %d with %d values has the values %v, %v, %v", MinuteOf(b.Start), series, b.Valued, low, mean, last)
			}
			out = append(out, b)
			return err
		}, `SELECT * FROM rollup_1min(?, ?, ?)`, int64(series), int64(from), int64(to))
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sorts of minutes that the format has different columns for.
var sorts = []func(r *rand.Rand, i int) float64{
	func(r *rand.Rand, i int) float64 { return math.Round((230+0.2*r.NormFloat64())*10) / 10 },
	func(r *rand.Rand, i int) float64 { return float64(float32(math.Round(r.NormFloat64()*1e4) / 1e3)) },
	func(r *rand.Rand, i int) float64 { return r.NormFloat64() },
	func(r *rand.Rand, i int) float64 { return float64(1000 + 7*i) },
	func(r *rand.Rand, i int) float64 { return float64(1000+7*i) + float64(r.IntN(3)) },
	func(r *rand.Rand, i int) float64 { return float64(i / 20) },
	func(r *rand.Rand, i int) float64 { return math.Float64frombits(r.Uint64() &^ (1 << 62)) },
	func(r *rand.Rand, i int) float64 {
		return -math.Ldexp(float64(r.IntN(9)), -1060)
	},
	func(r *rand.Rand, i int) float64 { return math.MaxFloat64 * float64(r.IntN(3)-1) },
}

func someMinutes(r *rand.Rand, series telemetry.SignalID, hour int64) seriesMinutes {
	list := seriesMinutes{series: series}
	sort, gaps, words := sorts[r.IntN(len(sorts))], r.IntN(3), r.IntN(4)
	first, last := 0, 60
	if r.IntN(4) == 0 {
		first = r.IntN(60)
		last = first + 1 + r.IntN(60-first)
	}
	for i := first; i < last; i++ {
		if gaps == 0 && r.IntN(5) == 0 && i > first {
			continue
		}
		b := Bucket{Start: telemetry.Micros(hour)*hourMicros + telemetry.Micros(i)*minute, Samples: 60}
		if gaps == 1 {
			b.Samples = 1 + r.Int64N(60)
		}
		b.Good, b.Valued = b.Samples, b.Samples
		switch words {
		case 0:
			b.LastText, b.Valued, b.Good = fmt.Sprint("Zustand ä", r.IntN(3)), 0, r.Int64N(b.Samples+1)
		case 1:
			b.Valued = r.Int64N(b.Samples + 1)
		}
		if b.Valued > 0 {
			b.Min, b.Max, b.Sum, b.Last = sort(r, i), sort(r, i), sort(r, i), sort(r, i)
		}
		list.minutes = append(list.minutes, b)
	}
	return list
}

// What PostgreSQL makes of the minutes' blocks is, bit for bit, what Go makes of them.
func TestMinutesInSQL(t *testing.T) {
	m := newMetersAt(t, 1, onPostgres(t))
	r := rand.New(rand.NewPCG(3, 4))
	packer := m.NewPacker()
	const hours = 4
	firstHour := int64(-2)
	for hour := firstHour; hour < firstHour+hours; hour++ {
		for first := 0; first < len(m.places); first += perMeter {
			var list []seriesMinutes
			for _, p := range m.places[first : first+perMeter] {
				if r.IntN(10) > 0 {
					list = append(list, someMinutes(r, p.Series, hour))
				}
			}
			block, err := packer.encodeMinutes(m.places[first].Bundle, list)
			if err == nil {
				err = m.Write(t.Context(), func(tx *Tx) error { return tx.saveMinutes(m.places[first].Bundle, hour, block) })
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	from, to := telemetry.Micros(firstHour)*hourMicros+7*minute, telemetry.Micros(firstHour+hours)*hourMicros-20*minute
	minutes := 0
	for i, p := range m.places {
		if i%5 != 0 && testing.Short() {
			continue
		}
		var want []Bucket
		err := m.Read(t.Context(), func(tx *Tx) error {
			all, err := tx.minutes(p.Bundle, p.Series, firstHour, firstHour+hours)
			for _, b := range all {
				if b.Valued > 0 {
					b.Sum /= float64(b.Valued) // as the view has it
				}
				if b.Start >= from && b.Start < to {
					want = append(want, b)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		has := sqlMinutes(t, m.Store, p.Series, from, to)
		minutes += len(has)
		if !reflect.DeepEqual(has, want) {
			for j := range min(len(has), len(want)) {
				if has[j] != want[j] {
					t.Fatalf("series %d, of %d and %d minutes the first that differs: %+v, expected %+v", p.Series, len(has), len(want), has[j], want[j])
				}
			}
			t.Fatalf("series %d: %d minutes, expected %d", p.Series, len(has), len(want))
		}
	}
	var rows int
	err := m.Read(t.Context(), func(tx *Tx) error {
		return tx.QueryRow(`SELECT COUNT(*) FROM rollup_1min WHERE hour >= ? AND time_us >= ? AND time_us < ?`, []any{firstHour, int64(from), int64(to)}, &rows)
	})
	if err != nil || !testing.Short() && rows != minutes || minutes == 0 {
		t.Errorf("the view has %d minutes, expected %d: %v", rows, minutes, err)
	}
}

// serverTime is the CPU time that the processes of a store's database have taken.
func serverTime(b *testing.B, s *Store) (total time.Duration) {
	b.Helper()
	err := s.Read(context.Background(), func(tx *Tx) error {
		return tx.Each(func(r *sql.Rows) error {
			var pid int
			if err := r.Scan(&pid); err != nil {
				return err
			}
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil {
				return err
			}
			fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')'):]))
			user, _ := strconv.Atoi(fields[12])
			system, _ := strconv.Atoi(fields[13])
			total += time.Duration(user+system) * 10 * time.Millisecond
			return nil
		}, `SELECT pid FROM pg_stat_activity WHERE datname = current_database()`)
	})
	if err != nil {
		b.Fatal(err)
	}
	return total
}

// 24 hours of one of a meter's 50 signals, minute by minute: the last of them, before which
// all others are passed over.
func BenchmarkMinutesInSQL(b *testing.B) {
	m := newMetersAt(b, 1, onPostgres(b))
	packer := m.NewPacker()
	for hour := range 24 {
		m.fill(hour, 3600)
		if _, err := packer.Pack(context.Background(), m.places[0].Bundle, int64(hour), math.MaxInt64); err != nil {
			b.Fatal(err)
		}
	}
	series := m.places[perMeter-1].Series
	before := serverTime(b, m.Store)
	for b.Loop() {
		if n := len(sqlMinutes(b, m.Store, series, 0, 24*hourMicros)); n != 24*60 {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64((serverTime(b, m.Store)-before).Milliseconds())/float64(b.N), "server-CPU-ms/op")
}
