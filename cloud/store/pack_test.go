package store

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// twoDevices is a store with two bundles, and its model: all samples in the order in
// which they were stored.
type twoDevices struct {
	*testing.T
	*Store
	packer  *Packer
	random  *rand.Rand
	bundles map[int64][]telemetry.SignalID
	samples []telemetry.Sample
}

// aroundMidnight is the first of the three hours that samples are in: two of a day and
// one of the next.
const aroundMidnight = 20_000*24 - 2

func newTwoDevices(t *testing.T, opened opener, seed uint64) *twoDevices {
	s := opened(t)
	var signals []telemetry.Signal
	for i := range 7 {
		signals = append(signals, telemetry.Signal{ID: telemetry.SignalID(i), Device: fmt.Sprint("m", i%2), Name: fmt.Sprint(i), Kind: telemetry.Gauge})
	}
	write(t, s, func(tx *Tx) error { return tx.SaveBirth(birth("g", "000000000000000a", signals...)) })
	table, err := s.SignalTable(t.Context(), "g", 0xa)
	if err != nil {
		t.Fatal(err)
	}
	d := &twoDevices{T: t, Store: s, packer: s.NewPacker(), random: rand.New(rand.NewPCG(seed, 0)), bundles: map[int64][]telemetry.SignalID{}}
	for i := range signals {
		p := table[telemetry.SignalID(i)]
		d.bundles[p.Bundle] = append(d.bundles[p.Bundle], p.Series)
	}
	return d
}

func (d *twoDevices) bundle() int64 {
	keys := make([]int64, 0, len(d.bundles))
	for b := range d.bundles {
		keys = append(keys, b)
	}
	slices.Sort(keys)
	return keys[d.random.IntN(len(keys))]
}

func (d *twoDevices) value(series telemetry.SignalID) (telemetry.Value, telemetry.Quality) {
	q := telemetry.Quality(0)
	switch d.random.IntN(12) {
	case 0:
		return telemetry.Value{}, telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)
	case 1:
		q = telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.SensorFailure)
	case 2:
		q = telemetry.MakeQuality(telemetry.Uncertain, telemetry.GatewayTime, telemetry.NoReason)
	case 3:
		return telemetry.FloatValue(math.Inf(1)), q
	}
	switch series % 4 {
	case 0:
		return telemetry.BoolValue(d.random.IntN(2) == 0), q
	case 1:
		return telemetry.TextValue(fmt.Sprint("state ", d.random.IntN(3))), q
	case 2:
		return telemetry.IntValue(d.random.Int64N(1000) - 500), q
	}
	return telemetry.FloatValue(math.Round(d.random.NormFloat64()*1000) / 10), q
}

// store adds a chunk of some samples of a minute, in any order.
func (d *twoDevices) store() {
	bundle := d.bundle()
	m := int64(aroundMidnight*minutesPerHour + d.random.IntN(3*minutesPerHour))
	c := Chunk{Bundle: bundle, Minute: m, First: math.MaxInt64}
	var list []telemetry.Sample
	for range 1 + d.random.IntN(6) {
		id := d.bundles[bundle][d.random.IntN(len(d.bundles[bundle]))]
		v, q := d.value(id)
		at := telemetry.Micros(m*minute) + telemetry.Micros(d.random.IntN(20))*3_000_000
		list = append(list, telemetry.Sample{Signal: id, Time: at, Value: v, Quality: q})
		c.First, c.Last = min(c.First, at), max(c.Last, at)
	}
	c.Samples, c.Block = len(list), block(d.T, list...)
	write(d.T, d.Store, func(tx *Tx) error { return tx.AddChunk(c) })
	d.samples = append(d.samples, list...)
}

// of is what the model has of a series from from up to and without to.
func (d *twoDevices) of(series telemetry.SignalID, from, to telemetry.Micros) []telemetry.Sample {
	var out []telemetry.Sample
	for _, s := range d.samples {
		if s.Signal == series && s.Time >= from && s.Time < to {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b telemetry.Sample) int { return cmp.Compare(a.Time, b.Time) })
	return out
}

func (d *twoDevices) check() {
	d.Helper()
	bundle := d.bundle()
	id := d.bundles[bundle][d.random.IntN(len(d.bundles[bundle]))]
	from := telemetry.Micros(aroundMidnight*hourMicros) + telemetry.Micros(d.random.Int64N(3*hourMicros))
	to := from + telemetry.Micros(d.random.Int64N(hourMicros))
	if d.random.IntN(3) == 0 {
		from, to = math.MinInt64, math.MaxInt64
	}
	_, got, err := d.Samples(d.Context(), id, from, to)
	if want := d.of(id, from, to); err != nil || !slices.Equal(got, want) {
		d.Fatalf("series %d from %d to %d: %d samples, want %d (%v)", id, from, to, len(got), len(want), err)
	}
	counts, err := d.CountSamples(d.Context())
	if err != nil || counts["g"] != uint64(len(d.samples)) {
		d.Fatalf("%v samples, want %d (%v)", counts, len(d.samples), err)
	}
	m := int64(aroundMidnight*minutesPerHour + d.random.IntN(3*minutesPerHour))
	n := 0
	if err := d.InMinutes(d.Context(), bundle, m, m, func(s telemetry.Sample) {
		if MinuteOf(s.Time) == m {
			n++
		}
	}); err != nil {
		d.Fatal(err)
	}
	for _, s := range d.samples {
		if MinuteOf(s.Time) == m && slices.Contains(d.bundles[bundle], s.Signal) {
			n--
		}
	}
	if n != 0 {
		d.Fatalf("minute %d has %d samples too many", m, n)
	}
}

func (d *twoDevices) pack(bundle, hour, cut int64) {
	d.Helper()
	if _, err := d.packer.Pack(d.Context(), bundle, hour, cut); err != nil {
		d.Fatal(err)
	}
}

// packAll packs everything before the minute cut, and leaves no chunk of it.
func (d *twoDevices) packAll(cut int64) {
	d.Helper()
	for from := FirstHour; ; {
		hour, bundles, err := d.packer.Unpacked(d.Context(), from, cut)
		if err != nil {
			d.Fatal(err)
		}
		if len(bundles) == 0 {
			break
		}
		for _, b := range bundles {
			d.pack(b, hour, cut)
		}
		if _, err := d.packer.Sweep(d.Context(), hour); err != nil {
			d.Fatal(err)
		}
		from = hour + 1
	}
	var left int
	d.Read(d.Context(), func(tx *Tx) error {
		return tx.QueryRow(`SELECT COUNT(*) FROM chunk WHERE minute < ?`, []any{cut}, &left)
	})
	if left > 1 { // the newest stays
		d.Fatalf("%d chunks are left", left)
	}
}

// naive sums up samples that are sorted, in the plainest way.
func naive(start telemetry.Micros, samples []telemetry.Sample) Bucket {
	b := Bucket{Start: start, Min: math.Inf(1), Max: math.Inf(-1)}
	for _, s := range samples {
		b.Samples++
		if s.Quality.Validity() == telemetry.Good {
			b.Good++
		}
		v, number := s.Value.Float()
		switch {
		case s.Quality.Validity() == telemetry.Bad:
		case number && !math.IsInf(v, 0):
			b.Valued++
			b.Min, b.Max, b.Last = math.Min(b.Min, v), math.Max(b.Max, v), v
			b.Sum += v
		case s.Value.Kind() == telemetry.Text:
			b.LastText = s.Value.Text()
		}
	}
	if b.Valued == 0 {
		b.Min, b.Max = 0, 0
	}
	return b
}

func same(got, want Bucket) bool {
	near := math.Abs(got.Sum-want.Sum) <= 1e-9*(1+math.Abs(want.Sum))
	got.Sum, want.Sum = 0, 0
	got.lastAt, got.textAt = 0, 0
	return near && got == want
}

// checkBuckets compares all that sums up a series with its samples.
func (d *twoDevices) checkBuckets(what string, width telemetry.Micros, series telemetry.SignalID, got []Bucket, before telemetry.Micros) {
	d.Helper()
	var want []Bucket
	for list := d.of(series, math.MinInt64, before); len(list) > 0; {
		start, n := floor(list[0].Time, width), 0
		for n < len(list) && list[n].Time < start+width {
			n++
		}
		want = append(want, naive(start, list[:n]))
		list = list[n:]
	}
	if !slices.EqualFunc(got, want, same) {
		d.Fatalf("%s of series %d:\n got %+v\nwant %+v", what, series, got, want)
	}
}

func (d *twoDevices) checkRollups(cut int64) {
	d.Helper()
	err := d.Read(d.Context(), func(tx *Tx) error {
		for bundle, list := range d.bundles {
			for _, id := range list {
				minutes, err := tx.minutes(bundle, id, -1<<40, 1<<40)
				if err != nil {
					return err
				}
				d.checkBuckets("minutes", minute, id, minutes, telemetry.Micros(cut*minute))
				for _, width := range widths {
					rows, err := tx.buckets(width, id, math.MinInt64, math.MaxInt64)
					if err != nil {
						return err
					}
					d.checkBuckets(fmt.Sprint(width), width, id, rows, telemetry.Micros(cut*minute))
				}
			}
		}
		return nil
	})
	if err != nil {
		d.Fatal(err)
	}
}

// Whatever is packed when, and whatever comes late, the samples are the same, and what
// sums them up is what it would be if all had come in order and been packed once.
func TestPackingChangesNothing(t *testing.T) {
	seeds := 5
	if testing.Short() {
		seeds = 1
	}
	onEngines(t, func(t *testing.T, opened opener) {
		for range seeds {
			seed := uint64(time.Now().UnixNano())
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				d := newTwoDevices(t, opened, seed)
				for range 250 {
					switch n := d.random.IntN(10); {
					case n < 6:
						d.store()
					case n < 8:
						hour := int64(aroundMidnight + d.random.IntN(3))
						d.pack(d.bundle(), hour, hour*minutesPerHour+15*int64(1+d.random.IntN(4)))
					case n < 9:
						if _, err := d.packer.Sweep(t.Context(), int64(aroundMidnight+d.random.IntN(3))); err != nil {
							t.Fatal(err)
						}
					}
					d.check()
				}
				for _, cut := range []int64{(aroundMidnight+1)*minutesPerHour + 30, (aroundMidnight + 3) * minutesPerHour} {
					d.packAll(cut)
					d.check()
					d.store()
				}
				d.packAll((aroundMidnight + 3) * minutesPerHour)
				d.checkRollups((aroundMidnight + 3) * minutesPerHour)
				// Again: nothing changes.
				before := d.rows()
				d.packAll((aroundMidnight + 3) * minutesPerHour)
				if after := d.rows(); !reflect.DeepEqual(before, after) {
					t.Error("packing what is packed changes it")
				}
			})
		}
	})
}

func (d *twoDevices) rows() (list []string) {
	d.Helper()
	err := d.Read(d.Context(), func(tx *Tx) error {
		rows, err := tx.Query(`SELECT bundle, hour, part, until, through, block FROM packed ORDER BY 1, 2, 3`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var n [5]int64
			var data []byte
			if err := rows.Scan(&n[0], &n[1], &n[2], &n[3], &n[4], &data); err != nil {
				return err
			}
			list = append(list, fmt.Sprint(n, data))
		}
		return rows.Err()
	})
	if err != nil {
		d.Fatal(err)
	}
	return list
}

// What hasn't come to its quarter-hour's end isn't there yet.
func TestOnlyWhatIsOverIsSummedUp(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		d := newTwoDevices(t, opened, 1)
		for range 300 {
			d.store()
		}
		for _, minutes := range []int64{15, 75, 90} {
			cut := int64(aroundMidnight*minutesPerHour) + minutes
			d.packAll(cut)
			d.checkRollups(cut)
			d.check()
		}
	})
}

// What comes between the reading and the writing of an hour isn't deleted.
func TestWhatComesBesideIsKept(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		d := newTwoDevices(t, opened, 2)
		for range 200 {
			d.store()
		}
		hour := int64(aroundMidnight)
		d.pack(d.bundle(), hour, (hour+1)*minutesPerHour)
		for range 100 {
			d.store()
		}
		if _, err := d.packer.Sweep(t.Context(), hour); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			d.check()
		}
	})
}

// Of two that pack at the same time, two hours of one day or the same one, one is fenced
// and has changed nothing: neither loses what the other has summed up.
func TestOneOfTwoPackersIsFenced(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		for _, second := range []int64{aroundMidnight, aroundMidnight + 1} {
			d := newTwoDevices(t, opened, 2)
			for range 200 {
				d.store()
			}
			bundle := d.bundle()
			var packing sync.WaitGroup
			errs := make(chan error, 2)
			write(t, d.Store, func(*Tx) error { // both have read, and wait for a turn
				waited := d.writer.Stats().WaitCount
				for _, hour := range []int64{aroundMidnight, second} {
					packing.Go(func() {
						_, err := d.NewPacker().Pack(t.Context(), bundle, hour, (hour+1)*minutesPerHour)
						errs <- err
					})
				}
				for deadline := time.Now().Add(time.Minute); d.writer.Stats().WaitCount < waited+2; time.Sleep(time.Millisecond) {
					if time.Now().After(deadline) {
						t.Error("they don't wait for a turn")
						break
					}
				}
				return nil
			})
			packing.Wait()
			one, other := <-errs, <-errs
			if one != nil {
				one, other = other, one
			}
			if one != nil || !errors.Is(other, ErrFenced) {
				t.Errorf("%v, %v", one, other)
			}
			d.check()
			d.packAll((aroundMidnight + 3) * minutesPerHour)
			d.checkRollups((aroundMidnight + 3) * minutesPerHour)
		}
	})
}

func TestAnHourHasAsManyPartsAsItNeeds(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		d := newTwoDevices(t, opened, 3)
		bundle := d.bundle()
		ids := d.bundles[bundle]
		start := telemetry.Micros(aroundMidnight * hourMicros)
		for m := range telemetry.Micros(30) {
			var list []telemetry.Sample
			for i := range 10_000 {
				list = append(list, telemetry.Sample{Signal: ids[i%2], Time: start + m*minute + telemetry.Micros(i)*100, Value: telemetry.IntValue(int64(i))})
			}
			d.samples = append(d.samples, list...)
			c := Chunk{Bundle: bundle, Minute: MinuteOf(list[0].Time), First: list[0].Time, Last: list[len(list)-1].Time, Samples: len(list), Block: block(t, list...)}
			write(t, d.Store, func(tx *Tx) error { return tx.AddChunk(c) })
		}
		done, err := d.packer.Pack(t.Context(), bundle, aroundMidnight, (aroundMidnight+1)*minutesPerHour)
		if err != nil || done.Chunks != 30 || done.Samples != 300_000 {
			t.Fatalf("%+v, %v", done, err)
		}
		if n := len(d.rows()); n != 2 {
			t.Errorf("%d parts", n)
		}
		for _, id := range ids[:2] {
			_, got, err := d.Samples(t.Context(), id, 0, math.MaxInt64)
			if want := d.of(id, 0, math.MaxInt64); err != nil || !slices.Equal(got, want) {
				t.Errorf("series %d: %d samples, want %d (%v)", id, len(got), len(want), err)
			}
		}
		d.packAll((aroundMidnight + 1) * minutesPerHour)
		d.checkRollups((aroundMidnight + 1) * minutesPerHour)
	})
}

// An hour that would take too much memory stays as it came.
func TestAnHourOfTooManySamplesIsLeft(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		d := newTwoDevices(t, opened, 8)
		for range 200 {
			d.store()
		}
		bundle, hour := d.bundle(), int64(aroundMidnight)
		cut := (hour + 1) * minutesPerHour
		var n int
		for _, id := range d.bundles[bundle] {
			n += len(d.of(id, telemetry.Micros(hour)*hourMicros, telemetry.Micros(hour+1)*hourMicros))
		}
		d.packer.most = n - 1
		if _, err := d.packer.Pack(t.Context(), bundle, hour, cut); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d samples", n-1)) {
			t.Error(err)
		}
		if len(d.rows()) > 0 {
			t.Error("it was packed")
		}
		d.check()
		d.packer.most = n
		d.pack(bundle, hour, cut)
		d.check()
	})
}

// A device whose clock was never set, or is of any other time, is packed like any other.
func TestTimeBeforeTheEpochIsPacked(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		d := newTwoDevices(t, opened, 4)
		bundle := d.bundle()
		id := d.bundles[bundle][0]
		for _, at := range []telemetry.Micros{-1, -minute, -61 * minute, 0, 1, math.MinInt64, math.MinInt64 + 1, math.MinInt64 + 2*hourMicros} {
			s := telemetry.Sample{Signal: id, Time: at, Value: telemetry.IntValue(int64(at))}
			d.samples = append(d.samples, s)
			write(t, d.Store, func(tx *Tx) error {
				return tx.AddChunk(Chunk{Bundle: bundle, Minute: MinuteOf(at), First: at, Last: at, Samples: 1, Block: block(t, s)})
			})
		}
		d.packAll(minutesPerHour)
		_, got, err := d.Samples(t.Context(), id, math.MinInt64, math.MaxInt64)
		if want := d.of(id, math.MinInt64, math.MaxInt64); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, want %v (%v)", got, want, err)
		}
		if hours := len(d.rows()); hours != 5 {
			t.Errorf("%d packed hours", hours)
		}
		d.checkRollups(minutesPerHour)
	})
}
