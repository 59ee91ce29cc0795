package store

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// sums is a bucket without what its last value is.
func sums(b Bucket) Bucket {
	b.Last, b.LastText, b.lastAt, b.textAt = 0, "", 0, 0
	return b
}

// checkSums compares rows with the samples, all but the last values.
func (d *twoDevices) checkSums(level string, width, from telemetry.Micros) {
	d.Helper()
	err := d.Read(d.Context(), func(tx *Tx) error {
		for bundle, list := range d.bundles {
			for _, id := range list {
				got, err := tx.buckets(width, id, math.MinInt64, math.MaxInt64)
				if width == minute {
					got, err = tx.minutes(bundle, id, -1<<40, 1<<40)
				}
				if err != nil {
					return err
				}
				var want []Bucket
				for start := from; start < from+2*dayMicros; start += width {
					if samples := d.of(id, start, start+width); len(samples) > 0 {
						want = append(want, naive(start, samples))
					}
				}
				if !slices.EqualFunc(got, want, func(a, b Bucket) bool { return same(sums(a), sums(b)) }) {
					d.Fatalf("%s of series %d:\n got %+v\nwant %+v", level, id, got, want)
				}
			}
		}
		return nil
	})
	if err != nil {
		d.Fatal(err)
	}
}

// What is deleted leaves what sums it up, and what comes late to it is added to that.
func TestWhatIsDeletedStaysSummedUp(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		d := newTwoDevices(t, opened, 5)
		end := int64(aroundMidnight+3) * minutesPerHour
		yesterday, today := telemetry.Micros(aroundMidnight+2-24)*hourMicros, telemetry.Micros(aroundMidnight+2)*hourMicros
		since := map[string]telemetry.Micros{Raw: yesterday, Minutes: yesterday, Quarters: yesterday, Hours: yesterday, Days: yesterday}
		for _, level := range append([]string{""}, Levels[:4]...) {
			for range 80 {
				d.store()
			}
			// The newest of all chunks is never deleted, so it isn't added to anything.
			for at := telemetry.Micros(0); at < today; at = d.samples[len(d.samples)-1].Time {
				d.store()
			}
			d.packAll(end)
			d.checkSums(Minutes, minute, since[Minutes])
			d.checkSums(Quarters, 15*minute, since[Quarters])
			d.checkSums(Hours, hourMicros, since[Hours])
			d.checkSums(Days, dayMicros, yesterday)
			if level == "" {
				continue
			}
			deleted, err := d.packer.Retain(t.Context(), level, today+5*hourMicros)
			if err != nil || deleted == 0 {
				t.Fatalf("%s: %d deleted, %v", level, deleted, err)
			}
			since[level] = today
			if again, err := d.packer.Retain(t.Context(), level, today-3*dayMicros); again != 0 || err != nil {
				t.Errorf("%s again: %d, %v", level, again, err)
			}
			for _, list := range d.bundles {
				_, got, err := d.Samples(t.Context(), list[0], 0, math.MaxInt64)
				if want := d.of(list[0], today, math.MaxInt64); err != nil || !slices.Equal(got, want) {
					t.Errorf("%d samples, want %d (%v)", len(got), len(want), err)
				}
				// A trend takes what is left.
				trend, err := d.Trend(t.Context(), list[0], yesterday, today, MostPoints)
				n := -len(d.of(list[0], yesterday, today))
				for _, b := range trend.Buckets {
					n += int(b.Samples)
				}
				if err != nil || n != 0 {
					t.Errorf("%s deleted, a trend in %d has %d samples too many (%v)", level, trend.Width, n, err)
				}
			}
		}
		if _, err := d.packer.Retain(t.Context(), "2min", 0); err == nil {
			t.Error("an unknown level")
		}
	})
}

// A chunk that isn't packed isn't deleted, whatever its age.
func TestWhatIsntSummedUpIsKept(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		d := newTwoDevices(t, opened, 6)
		for range 50 {
			d.store()
		}
		if n, err := d.packer.Retain(t.Context(), Raw, math.MaxInt64); n != 0 || err != nil {
			t.Errorf("%d deleted, %v", n, err)
		}
		for range 10 {
			d.check()
		}
	})
}

// What was about to be deleted when the process ended, and chunks that their packed hour
// stands for, are summed up once.
func TestAnInterruptedDeletionCountsNothingTwice(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		d := newTwoDevices(t, opened, 7)
		end := int64(aroundMidnight+3) * minutesPerHour
		first := telemetry.Micros(aroundMidnight) * hourMicros
		checked := func() {
			t.Helper()
			for _, width := range append([]telemetry.Micros{minute}, widths[:]...) {
				d.checkSums("rows", width, floor(first, dayMicros))
			}
		}
		for range 80 {
			d.store()
		}
		for bundle := range d.bundles { // not swept
			for hour := range int64(3) {
				d.pack(bundle, aroundMidnight+hour, end)
			}
		}
		checked()
		if n, err := d.packer.Retain(t.Context(), Raw, first+3*dayMicros); n != 0 || err != nil {
			t.Errorf("%d deleted before they were swept, %v", n, err)
		}
		for range 30 { // late
			d.store()
		}
		newest := d.samples
		d.store()
		d.packAll(end)
		d.samples, newest = newest, d.samples
		checked()
		d.samples = newest
		if n, err := d.packer.Retain(t.Context(), Raw, first+3*dayMicros); n == 0 || err != nil {
			t.Errorf("%d deleted, %v", n, err)
		}
		before := d.samples
		d.store()
		d.packAll(end)
		d.samples = before
		checked()
	})
}

// What nothing sums up is deleted with the widest sums, and an outage that goes on isn't.
func TestWhatWasToldIsDeletedWithTheDays(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		const before = 20_000 * dayMicros
		write(t, s, func(tx *Tx) error {
			err := tx.SaveHeadEnd(HeadEnd{ID: "mdm"})
			for n, at := range []telemetry.Micros{before - 3*dayMicros, before - 1, before} {
				name := fmt.Sprint(n)
				_, failed := tx.AddMeterEvent(MeterEvent{HeadEnd: "mdm", Meter: "m", At: at, Asset: "point-" + name}, at)
				err = errors.Join(err, failed, tx.SaveImportRun(ImportRun{ID: name, HeadEnd: "mdm", Began: at}, true),
					tx.SaveWeather(Weather{Station: "airport", Quantity: "wind", At: at}))
				for id, ends := range map[string][2]telemetry.Micros{"over": {0, at}, "planned": {at, 0}, "going on": {}} {
					_, failed := tx.Exec(`INSERT INTO reported_outage (source, id, equipment, feeder, began, ends, over, told, data) VALUES ('oms', ?, '', '', ?, ?, ?, 0, '')`,
						id+name, int64(before-9*dayMicros), int64(ends[0]), int64(ends[1]))
					err = errors.Join(err, failed)
				}
			}
			return err
		})
		if n, err := s.NewPacker().Retain(t.Context(), Hours, before); n != 0 || err != nil {
			t.Errorf("%d deleted with the hours, %v", n, err)
		}
		if n, err := s.NewPacker().Retain(t.Context(), Days, before); n != 3*2+2*2 || err != nil {
			t.Errorf("%d deleted, %v", n, err)
		}
		for table, want := range map[string]int{"meter_event": 1, "import_run": 1, "weather": 1, "reported_outage": 3 + 1 + 1} {
			if got := rows(t, s, `SELECT COUNT(*) FROM `+table); got[0] != fmt.Sprint(want) {
				t.Errorf("%s has %s rows, expected %d", table, got[0], want)
			}
		}
	})
}
