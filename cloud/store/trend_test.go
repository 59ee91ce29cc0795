package store

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// trend compares one with the samples.
func (d *twoDevices) trend(from, to telemetry.Micros, points int) {
	d.Helper()
	bundle := d.bundle()
	id := d.bundles[bundle][d.random.IntN(len(d.bundles[bundle]))]
	got, err := d.Trend(d.Context(), id, from, to, points)
	if err != nil {
		d.Fatal(err)
	}
	var want []Bucket
	n := telemetry.Micros(0)
	for start := floor(from, got.Width); start < to; start += got.Width {
		if samples := d.of(id, start, start+got.Width); len(samples) > 0 {
			want = append(want, naive(start, samples))
		}
		n++
	}
	if !slices.EqualFunc(got.Buckets, want, same) {
		d.Fatalf("series %d from %d to %d in %d of %d:\n got %+v\nwant %+v", id, from, to, points, got.Width, got.Buckets, want)
	}
	if n > telemetry.Micros(points)+1 || got.Series.ID != id {
		d.Fatalf("%d buckets of series %d, want at most %d of %d", n, got.Series.ID, points+1, id)
	}
}

// A trend is that of the samples, whatever of them is packed, and however wide its
// buckets are.
func TestATrendIsThatOfTheSamples(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		for range 3 {
			seed := uint64(time.Now().UnixNano())
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				d := newTwoDevices(t, opened, seed)
				for range 120 {
					switch n := d.random.IntN(8); {
					case n < 4:
						d.store()
					case n < 5:
						hour := int64(aroundMidnight + d.random.IntN(3))
						d.pack(d.bundle(), hour, hour*minutesPerHour+15*int64(1+d.random.IntN(4)))
					}
					from := telemetry.Micros(aroundMidnight*hourMicros) + telemetry.Micros(d.random.Int64N(3*hourMicros))
					span := telemetry.Micros(1 + d.random.Int64N(2*hourMicros))
					for _, points := range []int{1, 3, 20, 500} {
						d.trend(from, from+span, points)
					}
					d.trend(from-5*dayMicros, from+span, 1+d.random.IntN(20)) // days and more
				}
			})
		}
	})
}

func TestATrendHasBounds(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		d := newTwoDevices(t, opened, 1)
		for range 20 {
			d.store()
		}
		id := d.bundles[d.bundle()][0]
		whole, err := d.Trend(t.Context(), id, math.MinInt64, math.MaxInt64, 10)
		if err != nil || len(whole.Buckets) != 1 || whole.Buckets[0].Samples != int64(len(d.of(id, math.MinInt64, math.MaxInt64))) {
			t.Errorf("%+v, %v", whole.Buckets, err)
		}
		if none, err := d.Trend(t.Context(), id, 5, 5, 10); err != nil || len(none.Buckets) > 0 {
			t.Errorf("%+v, %v", none, err)
		}
		if _, err := d.Trend(t.Context(), 999, 0, 1, 1); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
}

// The views give analysts what is summed up, under the names of the signals.
func TestViewsNameWhatIsSummedUp(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		d := newTwoDevices(t, opened, 4)
		for range 200 {
			d.store()
		}
		d.packAll((aroundMidnight + 3) * minutesPerHour)
		for view, width := range map[string]telemetry.Micros{"rollup_15min": 15 * minute, "rollup_1h": hourMicros, "rollup_1d": dayMicros} {
			err := d.Read(t.Context(), func(tx *Tx) error {
				rows, err := tx.Query(`SELECT name, time_us, COALESCE(min_value, 0), COALESCE(max_value, 0), COALESCE(mean_value, 0), COALESCE(last_value, 0),
				COALESCE(last_text, ''), samples, valued, good_share FROM ` + view + ` WHERE gateway = 'g' AND device = 'm1' AND kind = 'gauge' ORDER BY series, time_us`)
				if err != nil {
					return err
				}
				defer rows.Close()
				got := map[string][]Bucket{}
				for rows.Next() {
					var name string
					var b Bucket
					var mean, share float64
					if err := rows.Scan(&name, &b.Start, &b.Min, &b.Max, &mean, &b.Last, &b.LastText, &b.Samples, &b.Valued, &share); err != nil {
						return err
					}
					b.Sum, b.Good = mean*float64(b.Valued), int64(math.Round(share*float64(b.Samples)))
					got[name] = append(got[name], b)
				}
				list, err := d.Store.Series(t.Context())
				for _, s := range list {
					if s.Device == "m1" {
						d.checkBuckets(view, width, s.ID, got[s.Name], math.MaxInt64)
					}
				}
				return errors.Join(err, rows.Err())
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestDocumentedQueriesWork(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		text, err := os.ReadFile("../../docs/store.md")
		if err != nil {
			t.Fatal(err)
		}
		d := newTwoDevices(t, opened, 5)
		for range 50 {
			d.store()
		}
		d.packAll((aroundMidnight + 3) * minutesPerHour)
		list, err := d.Signals(t.Context())
		if err == nil {
			_, err = d.SaveGrid(t.Context(), GridVersion{}, nil, nil, GridIndex{Assets: []GridAsset{
				{ID: list[0].Asset, Kind: "line", Feeder: "f", RatedCurrent: sql.NullFloat64{Float64: 300, Valid: true}}}}, false)
		}
		if err != nil {
			t.Fatal(err)
		}
		queries := strings.Split(string(text), "```sql\n")[1:]
		if len(queries) == 0 {
			t.Error("there are none")
		}
		for _, query := range queries {
			query, _, _ = strings.Cut(query, "```")
			if strings.Contains(query, "rollup_1min") && !d.dialect.numbers {
				continue // minutes are for PostgreSQL
			}
			query = strings.NewReplacer("$__from", "0", "$__to", "2000000000000", "'W.h'", "''", "'counter'", "'gauge'", "'north-gw1'", "'g'", "'feeder-1-meter'", "'m1'", "'PhV.phsA'", "'3'", "'A.phsA'", "'3'").Replace(query)
			var rows int
			err := d.Read(t.Context(), func(tx *Tx) error { return tx.QueryRow(`SELECT COUNT(*) FROM (`+query+`) q`, nil, &rows) })
			if err != nil || rows == 0 {
				t.Errorf("%d rows, %v: %s", rows, err, query)
			}
		}
	})
}
