package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// Trend is what a span of a series looks like from afar.
type Trend struct {
	Series  Series
	Width   telemetry.Micros // of a bucket, each of which begins at a multiple of it
	Buckets []Bucket         // those that have samples, by time
}

// MostPoints bounds the buckets of a Trend.
const MostPoints = 5000

// Trend sums up a series from from up to and without to in at most points buckets, from 1
// to MostPoints, and one more where the span doesn't begin with one. The first and the
// last are whole, beyond the span. From a minute on a bucket is as many as needed of those
// that are kept, minutes, quarter-hours, hours or days; what these don't have yet is
// read from the samples. Times are from 1870 to 2269. ErrNotFound if there is no such
// series.
func (s *Store) Trend(ctx context.Context, id telemetry.SignalID, from, to telemetry.Micros, points int) (Trend, error) {
	var trend Trend
	points = min(max(points, 1), MostPoints)
	err := s.scan(ctx, func(t *Tx) (err error) {
		if trend.Series, err = t.oneSeries(id); err != nil {
			return err
		}
		const century = 100 * 365 * dayMicros
		from, to := max(from, -century), min(to, 3*century)
		if from >= to {
			trend.Width = minute
			return nil
		}
		since, err := t.retained()
		if err != nil {
			return err
		}
		width := (to - from + telemetry.Micros(points) - 1) / telemetry.Micros(points)
		kept := keptWidth(width, MinuteOf(from), since)
		if kept > 0 {
			width = floor(max(width, kept)+kept-1, kept)
		}
		trend.Width = width
		from, to = floor(from, width), floor(to-1, width)+width
		if kept == 0 {
			trend.Buckets, err = t.summedUp(trend.Series, width, from, to)
			return err
		}
		list, err := t.kept(trend.Series, kept, from, to)
		trend.Buckets = gather(list, width)
		return err
	})
	if err != nil {
		return Trend{}, fmt.Errorf("store: sum up series %d: %w", id, err)
	}
	return trend, nil
}

// keptWidth is that of the widest buckets that are kept and no wider than width, or of
// the next wider ones if these have been deleted; 0 stands for the samples.
func keptWidth(width telemetry.Micros, first int64, since map[string]int64) telemetry.Micros {
	kept := [...]telemetry.Micros{0, minute, 15 * minute, hourMicros, dayMicros} // as Levels
	i := 0
	for i+1 < len(kept) && (kept[i+1] <= width || first < since[Levels[i]]) {
		i++
	}
	return kept[i]
}

// summedUp works buckets out from the samples.
func (t *Tx) summedUp(series Series, width, from, to telemetry.Micros) ([]Bucket, error) {
	at := map[telemetry.Micros]*Bucket{}
	var b *Bucket
	err := t.eachBlock(series, from, to, func(samples []telemetry.Sample) error {
		for _, s := range samples {
			if b == nil || s.Time < b.Start || s.Time >= b.Start+width {
				start := floor(s.Time, width)
				if b = at[start]; b == nil {
					b = &Bucket{Start: start}
					at[start] = b
				}
			}
			b.add(s)
		}
		return nil
	})
	out := make([]Bucket, 0, len(at))
	for _, b := range at {
		out = append(out, *b)
	}
	slices.SortFunc(out, byStart)
	return out, err
}

// kept reads the buckets of a width that are kept, and puts in the place of those that
// chunks have changed since what the samples say.
func (t *Tx) kept(series Series, width, from, to telemetry.Micros) ([]Bucket, error) {
	if width == dayMicros {
		return t.keptDays(series, from, to)
	}
	var list []Bucket
	var err error
	if width == minute {
		list, err = t.minutes(series.bundle, series.ID, HourOf(from), HourOf(to-1))
	} else {
		list, err = t.buckets(width, series.ID, from, to)
	}
	if err != nil {
		return nil, err
	}
	hours, err := t.liveHours(series.bundle, from, to)
	if err != nil {
		return nil, err
	}
	since, err := t.retained()
	if err != nil {
		return nil, err
	}
	for _, hour := range hours {
		if hour*minutesPerHour < since[Raw] {
			continue // the samples that were there aren't any more
		}
		start := telemetry.Micros(hour) * hourMicros
		fresh, err := t.summedUp(series, width, start, start+hourMicros)
		if err != nil {
			return nil, err
		}
		list = slices.DeleteFunc(list, func(b Bucket) bool { return b.Start >= start && b.Start < start+hourMicros })
		list = append(list, fresh...)
	}
	slices.SortFunc(list, byStart)
	return slices.DeleteFunc(list, func(b Bucket) bool { return b.Start < from || b.Start >= to }), nil
}

// keptDays is kept of days, which are of more than one hour.
func (t *Tx) keptDays(series Series, from, to telemetry.Micros) ([]Bucket, error) {
	list, err := t.buckets(dayMicros, series.ID, from, to)
	if err != nil {
		return nil, err
	}
	hours, err := t.liveHours(series.bundle, from, to)
	if err != nil {
		return nil, err
	}
	since, err := t.retained()
	if err != nil {
		return nil, err
	}
	for i, hour := range hours {
		day := floor(telemetry.Micros(hour)*hourMicros, dayMicros)
		if i > 0 && day == floor(telemetry.Micros(hours[i-1])*hourMicros, dayMicros) || MinuteOf(day) < since[Hours] {
			continue
		}
		fresh, err := t.kept(series, hourMicros, day, day+dayMicros)
		if err != nil {
			return nil, err
		}
		for _, b := range gather(fresh, dayMicros) {
			list = replace(list, b)
		}
	}
	return list, nil
}

// liveHours are the hours in which a bundle has chunks that aren't packed, ascending.
func (t *Tx) liveHours(bundle int64, from, to telemetry.Micros) (hours []int64, err error) {
	err = t.Each(func(r *sql.Rows) error {
		var m int64
		err := r.Scan(&m)
		hour := hourOfMinute(m)
		if n := len(hours); n == 0 || hours[n-1] != hour {
			hours = append(hours, hour)
		}
		return err
	}, `WITH RECURSIVE m (minute) AS (SELECT MIN(minute) FROM chunk WHERE minute >= ?
			UNION ALL SELECT (SELECT MIN(minute) FROM chunk WHERE minute > m.minute) FROM m WHERE m.minute < ?)
		SELECT m.minute FROM m WHERE m.minute <= ? AND EXISTS (SELECT 1 FROM chunk c`+joinPacked+`WHERE c.minute = m.minute AND c.bundle = ? AND `+isLive+`)
		ORDER BY m.minute`, MinuteOf(from), MinuteOf(to-1), MinuteOf(to-1), bundle)
	return hours, err
}
