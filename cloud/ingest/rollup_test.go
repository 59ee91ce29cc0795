package ingest

import (
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/compact"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// aroundMidnight are a gateway's records from half past ten in the evening until two, with
// samples of every quality, and its signal table, which comes first.
func aroundMidnight(t testing.TB, random *rand.Rand) (records []*kgo.Record, end time.Time) {
	const samples, every = 10_000, 1_260_000
	begin := time.Unix(1_700_000_000, 0).UTC().Truncate(24 * time.Hour).Add(22*time.Hour + 30*time.Minute)
	records = append(records, birthRecord(t, "gw", signals(7)...))
	for first := 0; first < samples; {
		var list []telemetry.Sample
		for n := min(samples-first, 50+random.IntN(150)); len(list) < n; {
			seq := first + len(list)
			s := telemetry.Sample{Signal: telemetry.SignalID(seq % 7), Time: telemetry.MicrosOf(begin) + telemetry.Micros(seq)*every}
			switch random.IntN(10) {
			case 0:
				s.Quality = telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)
			case 1:
				s.Quality = telemetry.MakeQuality(telemetry.Uncertain, telemetry.DeviceTime, telemetry.NoReason)
				s.Value = telemetry.FloatValue(random.NormFloat64())
			default:
				s.Value = telemetry.FloatValue(math.Round(2300+2*random.NormFloat64()) / 10)
			}
			list = append(list, s)
		}
		id := record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Telemetry, First: uint64(first), Last: uint64(first + len(list) - 1)}
		records = append(records, logRecord(record.Record{Identity: id, Format: record.FormatBlock, Payload: block(t, list)}))
		first += len(list)
	}
	return records, begin.Add(samples * every * time.Microsecond)
}

// rollups takes records in their order, sums up as of the instants that at says after each,
// and returns all that sums them up in the end.
func rollups(t *testing.T, records []*kgo.Record, at func() time.Time, end time.Time) []string {
	t.Helper()
	w := newWorld(t)
	s := newSession(New(Config{Store: w.store, Topics: topics}), map[string]map[int32]int64{})
	packer := compact.New(compact.Config{Store: w.store})
	pass := func(now time.Time) {
		if err := packer.Pass(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	next := map[string]int{}
	for _, r := range records {
		one := *r
		if err := s.take(t.Context(), fetched(&one, next[r.Topic])); err != nil {
			t.Fatal(err)
		}
		next[r.Topic]++
		if now := at(); !now.IsZero() {
			if err := s.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			pass(now)
		}
	}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	pass(end.Add(3 * time.Hour))
	return append(w.rows(), w.minutes(end)...)
}

// rows is what the views have.
func (w *world) rows() (list []string) {
	w.Helper()
	for _, view := range []string{"rollup_15min", "rollup_1h", "rollup_1d"} {
		n := len(list)
		err := w.store.Read(w.Context(), func(t *store.Tx) error {
			return t.Each(func(r *sql.Rows) error {
				var name string
				var at, samples, valued int64
				var low, high, mean, last sql.NullFloat64
				var good float64
				err := r.Scan(&name, &at, &samples, &valued, &low, &high, &mean, &last, &good)
				list = append(list, fmt.Sprint(view, " ", name, " ", at, samples, valued, low, high, mean, last, good))
				return err
			}, `SELECT name, time_us, samples, valued, min_value, max_value, mean_value, last_value, good_share FROM `+view+` WHERE device <> '' ORDER BY device, name, time_us`)
		})
		if err != nil || len(list) == n {
			w.Fatalf("%s: %d rows, %v", view, len(list)-n, err)
		}
	}
	return list
}

// minutes is what sums up the hours before end, minute by minute too.
func (w *world) minutes(end time.Time) (list []string) {
	w.Helper()
	table, err := w.store.SignalTable(w.Context(), "gw", 0xabcd)
	if err != nil {
		w.Fatal(err)
	}
	for signal := range telemetry.SignalID(7) {
		place := table[signal]
		for hour := store.HourOf(telemetry.MicrosOf(end)) - 4; hour < store.HourOf(telemetry.MicrosOf(end)); hour++ {
			of, err := w.store.SummedUp(w.Context(), place.Bundle, hour, []telemetry.SignalID{place.Series})
			if err != nil || of == nil {
				w.Fatalf("signal %d, hour %d: %v, %v", signal, hour, of, err)
			}
			for _, s := range of[place.Series] {
				list = append(list, fmt.Sprint(signal, " ", s.Width, " ", s.Bucket))
			}
		}
	}
	return list
}

// Records that come late, out of order, as backfill, twice, or before their signal table, come
// to what they would have come to in order, bit by bit: minutes, quarter-hours, hours and days,
// whenever what had come was summed up meanwhile.
func TestLateRecordsComeToTheSameRollups(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	records, end := aroundMidnight(t, random)
	want := rollups(t, records, func() time.Time { return time.Time{} }, end)
	for i, r := range records {
		if r.Topic == topics.Telemetry() && random.IntN(4) == 0 {
			records[i] = backfilled(r)
		}
	}
	random.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	records = append(records, records[random.IntN(len(records)/2):]...)
	sometimes := func() time.Time {
		if random.IntN(25) > 0 {
			return time.Time{}
		}
		return end.Add(time.Duration(random.Int64N(int64(4*time.Hour))) - 2*time.Hour)
	}
	if got := rollups(t, records, sometimes, end); !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Errorf("late    %s\nin order %s", got[i], want[i])
				break
			}
		}
		t.Errorf("%d rows and minutes, want %d, of %s", len(got), len(want), strings.SplitN(want[0], " ", 2)[0])
	}
}
