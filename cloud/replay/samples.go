package replay

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/busbar/busbar/cloud/ingest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// samples replays telemetry and compares what is stored of it, an hour of a device at a
// time.
func (r *replay) samples(ctx context.Context) error {
	topics := []string{r.Topics.Births(), r.Topics.Telemetry(), r.Topics.Backfill()}
	runner := ingest.New(ingest.Config{Log: r.Log, Topics: r.Topics, Store: r.Shadow, Logger: r.Logger})
	err := r.during("telemetry", r.records(topics[1:]...), func() int64 { return int64(runner.Stats().Records) }, func() error {
		return runner.Replay(ctx, r.until(topics...))
	})
	if err != nil {
		return err
	}
	if stats := runner.Stats(); stats.Parked > stats.Unparked {
		r.report.note("%d records were left out: the log doesn't have their signal tables any more", stats.Parked-stats.Unparked)
	}
	if err := r.sumUp(ctx); err != nil {
		return err
	}
	c := &sampleComparison{replay: r}
	if c.live, err = devices(ctx, r.Live); err != nil {
		return err
	}
	if c.shadow, err = devices(ctx, r.Shadow); err != nil {
		return err
	}
	if c.since, err = r.Live.KeptSince(ctx, store.Raw); err != nil {
		return err
	}
	if c.shadowHours, err = storedHours(ctx, r.Shadow); err != nil {
		return err
	}
	known := maps.Clone(c.shadow)
	// Only if there is nothing outside is it of interest what the cloud has elsewhere.
	if c.all, err = r.whole(ctx, ingest.Consumer, topics[1:]...); err == nil && c.all {
		maps.Copy(known, c.live)
		c.liveHours, err = storedHours(ctx, r.Live)
	}
	if err != nil {
		return err
	}
	names := slices.SortedFunc(maps.Keys(known), func(a, b store.Device) int {
		return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Name, b.Name))
	})
	for i, name := range names {
		r.Progress(Progress{"comparing devices", int64(i), int64(len(names))})
		if err := c.device(ctx, name); err != nil {
			return err
		}
	}
	return c.finish(ctx)
}

// sumUp packs the shadow's hours and sums them up, as far as they can be.
func (r *replay) sumUp(ctx context.Context) error {
	packer := r.Shadow.NewPacker()
	defer packer.Release()
	var done int64
	for from := store.FirstHour; ; {
		hour, bundles, err := packer.Unpacked(ctx, from, math.MaxInt64)
		if err != nil || len(bundles) == 0 {
			return err
		}
		for _, bundle := range bundles {
			if _, err := packer.Pack(ctx, bundle, hour, math.MaxInt64); ctx.Err() != nil {
				return context.Cause(ctx)
			} else if err != nil {
				r.Logger.Warn("an hour isn't summed up", "error", err)
			}
			done++
			r.Progress(Progress{"summing up hours", done, done})
		}
		from = hour + 1
	}
}

// seriesKey is what tells the series of a device apart, whatever their numbers are.
type seriesKey struct{ name, unit, kind string }

func (k seriesKey) compare(o seriesKey) int {
	return cmp.Or(cmp.Compare(k.name, o.name), cmp.Compare(k.unit, o.unit), cmp.Compare(k.kind, o.kind))
}

// device is where the series of a device are.
type device struct {
	series  map[telemetry.SignalID]seriesKey
	bundles map[int64][]telemetry.SignalID
}

func devices(ctx context.Context, s *store.Store) (map[store.Device]*device, error) {
	list := map[store.Device]*device{}
	err := s.Ask(ctx, func(t *store.Tx) error {
		return t.Each(func(rows *sql.Rows) error {
			var of store.Device
			var key seriesKey
			var id telemetry.SignalID
			var bundle int64
			err := rows.Scan(&of.Gateway, &of.Name, &key.name, &key.unit, &key.kind, &id, &bundle)
			d := list[of]
			if d == nil {
				d = &device{map[telemetry.SignalID]seriesKey{}, map[int64][]telemetry.SignalID{}}
				list[of] = d
			}
			d.series[id] = key
			d.bundles[bundle] = append(d.bundles[bundle], id)
			return err
		}, `SELECT gateway, device, name, unit, kind, id, bundle FROM series ORDER BY id`)
	})
	return list, err
}

// storedHours are those in which a store has samples, by bundle.
func storedHours(ctx context.Context, s *store.Store) (map[int64]map[int64]bool, error) {
	list := map[int64]map[int64]bool{}
	add := func(bundle, hour int64) {
		if list[bundle] == nil {
			list[bundle] = map[int64]bool{}
		}
		list[bundle][hour] = true
	}
	err := s.Ask(ctx, func(t *store.Tx) error {
		var bundle, at int64
		err := t.Each(func(rows *sql.Rows) error {
			err := rows.Scan(&bundle, &at)
			add(bundle, at)
			return err
		}, `SELECT DISTINCT bundle, hour FROM packed`)
		if err != nil {
			return err
		}
		// Hours that aren't packed are there as minutes.
		return t.Each(func(rows *sql.Rows) error {
			err := rows.Scan(&at, &bundle)
			add(bundle, store.HourOf(telemetry.Micros(at)*60_000_000))
			return err
		}, `SELECT DISTINCT minute, bundle FROM chunk`)
	})
	return list, err
}

func (d *device) hours(stored map[int64]map[int64]bool, into map[int64]bool) {
	if d == nil {
		return
	}
	for bundle := range d.bundles {
		maps.Copy(into, stored[bundle])
	}
}

// sampleComparison compares the samples of both stores.
type sampleComparison struct {
	*replay
	live, shadow map[store.Device]*device
	since        int64 // the minute from which on the cloud keeps samples

	all                    bool // nothing was written that wasn't read
	shadowHours, liveHours map[int64]map[int64]bool

	counted, liveCounted struct{ hours, samples, summaries int64 }
	expired              int64
	beyond               []Difference // what the cloud has beside what was read
	beyondCount          int
}

func (c *sampleComparison) device(ctx context.Context, name store.Device) error {
	hours := map[int64]bool{}
	c.shadow[name].hours(c.shadowHours, hours)
	c.live[name].hours(c.liveHours, hours)
	for _, hour := range slices.Sorted(maps.Keys(hours)) {
		if hour*60 < c.since {
			c.expired++
			continue
		}
		if err := c.hour(ctx, name, hour); err != nil {
			return err
		}
	}
	return nil
}

// read is the samples of an hour of a device by series, in the order of their times.
func read(ctx context.Context, s *store.Store, d *device, hour int64) (map[seriesKey][]telemetry.Sample, error) {
	out := map[seriesKey][]telemetry.Sample{}
	if d == nil {
		return out, nil
	}
	for bundle := range d.bundles {
		err := s.InMinutes(ctx, bundle, hour*60, hour*60+59, func(sample telemetry.Sample) {
			if key, ok := d.series[sample.Signal]; ok && store.HourOf(sample.Time) == hour {
				sample.Signal = 0
				out[key] = append(out[key], sample)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for _, list := range out {
		slices.SortStableFunc(list, func(a, b telemetry.Sample) int { return cmp.Compare(a.Time, b.Time) })
	}
	return out, nil
}

func (c *sampleComparison) hour(ctx context.Context, name store.Device, hour int64) error {
	live, err := read(ctx, c.Live, c.live[name], hour)
	if err != nil {
		return err
	}
	again, err := read(ctx, c.Shadow, c.shadow[name], hour)
	if err != nil {
		return err
	}
	same := map[seriesKey]bool{}
	keys := maps.Clone(again)
	if c.all {
		maps.Copy(keys, live)
	}
	for _, key := range slices.SortedFunc(maps.Keys(keys), seriesKey.compare) {
		c.counted.samples += int64(len(again[key]))
		c.liveCounted.samples += int64(len(live[key]))
		if len(again[key]) > 0 {
			c.counted.hours++
		}
		if len(live[key]) > 0 {
			c.liveCounted.hours++
		}
		differences := compareSamples(live[key], again[key])
		same[key] = len(differences) == 0
		for _, d := range differences {
			d.What, d.Key = "samples", keyOf(name, key, hour)
			if d.Kind == Extra {
				if c.beyondCount++; len(c.beyond) < MostListed {
					c.beyond = append(c.beyond, d)
				}
				continue
			}
			c.report.add(d)
		}
	}
	return c.summaries(ctx, name, hour, again, same)
}

func keyOf(name store.Device, key seriesKey, hour int64) []string {
	return []string{"gateway=" + name.Gateway, "device=" + name.Name, "name=" + key.name, "unit=" + key.unit, "kind=" + key.kind,
		"hour=" + telemetry.Micros(hour*3600_000_000).Time().UTC().Format("2006-01-02T15Z")}
}

// compareSamples says of the samples of a series' hour which are missing, differ, are
// there twice, or are there beside those that were read.
func compareSamples(live, again []telemetry.Sample) []Difference {
	kinds := [...]Kind{Missing, Differs, Twice, Extra}
	var found [len(kinds)]Difference
	note := func(kind Kind, live, again *telemetry.Sample) {
		d := &found[slices.Index(kinds[:], kind)]
		if d.Samples++; d.Samples > 1 {
			return
		}
		d.Kind = kind
		of := cmp.Or(live, again)
		d.At = of.Time.Time().UTC().Format("2006-01-02T15:04:05.000000Z")
		d.Fields = []Field{{"value", valueOf(live), valueOf(again)}}
	}
	for i, j := 0, 0; i < len(live) || j < len(again); {
		at := telemetry.Micros(math.MaxInt64)
		if i < len(live) {
			at = live[i].Time
		}
		if j < len(again) {
			at = min(at, again[j].Time)
		}
		x, y := i, j
		for i < len(live) && live[i].Time == at {
			i++
		}
		for j < len(again) && again[j].Time == at {
			j++
		}
		compareInstant(live[x:i], again[y:j], note)
	}
	var out []Difference
	for _, d := range found {
		if d.Samples > 0 {
			out = append(out, d)
		}
	}
	return out
}

// compareInstant compares samples of one time.
func compareInstant(live, again []telemetry.Sample, note func(kind Kind, live, again *telemetry.Sample)) {
	if slices.Equal(live, again) {
		return
	}
	was := again
	live, again = slices.Clone(live), slices.Clone(again)
	live = slices.DeleteFunc(live, func(s telemetry.Sample) bool {
		at := slices.Index(again, s)
		if at >= 0 {
			again = slices.Delete(again, at, at+1)
		}
		return at >= 0
	})
	for len(live) > 0 && len(again) > 0 {
		note(Differs, &live[0], &again[0])
		live, again = live[1:], again[1:]
	}
	for i := range again {
		note(Missing, nil, &again[i])
	}
	for i := range live {
		if slices.Contains(was, live[i]) {
			note(Twice, &live[i], nil)
		} else {
			note(Extra, &live[i], nil)
		}
	}
}

func valueOf(s *telemetry.Sample) string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%v (%v)", s.Value, s.Quality)
}

// finish says what became of the samples that the cloud has beside those that were read.
// They are differences if there was nothing else to read.
func (c *sampleComparison) finish(ctx context.Context) error {
	whole, err := c.whole(ctx, ingest.Consumer, c.Topics.Telemetry(), c.Topics.Backfill())
	if err != nil {
		return err
	}
	for _, d := range c.beyond {
		if !whole {
			d.Why = "may have been written outside of the window"
		}
		c.report.add(d)
	}
	if more := c.beyondCount - len(c.beyond); whole {
		c.report.Count += more
	} else {
		c.report.EdgeCount += more
	}
	c.report.Compared = append(c.report.Compared,
		Count{"series' hours", c.liveCounted.hours, c.counted.hours},
		Count{"samples", c.liveCounted.samples, c.counted.samples},
		Count{"summaries", c.liveCounted.summaries, c.counted.summaries})
	if c.expired > 0 {
		c.report.note("%d hours of devices are older than the cloud keeps samples, and aren't compared", c.expired)
	}
	return nil
}
