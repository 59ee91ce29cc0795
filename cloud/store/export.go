package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// Export is the samples of a series in a span of any length, to be read hour by hour.
type Export struct {
	Series   Series
	store    *Store
	from, to telemetry.Micros
	hours    []int64 // that had samples, ascending
}

// Export prepares to read a series from from up to and without to. ErrNotFound if there is
// no such series.
func (s *Store) Export(ctx context.Context, id telemetry.SignalID, from, to telemetry.Micros) (Export, error) {
	e := Export{store: s, from: from, to: to}
	err := s.scan(ctx, func(t *Tx) (err error) {
		if e.Series, err = t.oneSeries(id); err != nil || from >= to {
			return err
		}
		if e.hours, err = t.liveHours(e.Series.bundle, from, to); err != nil {
			return err
		}
		err = t.Each(func(r *sql.Rows) error {
			var hour int64
			err := r.Scan(&hour)
			e.hours = append(e.hours, hour)
			return err
		}, `SELECT DISTINCT hour FROM packed WHERE bundle = ? AND hour >= ? AND hour <= ?`, e.Series.bundle, HourOf(from), HourOf(to-1))
		slices.Sort(e.hours)
		e.hours = slices.Compact(e.hours)
		return err
	})
	if err != nil {
		return Export{}, fmt.Errorf("store: export series %d: %w", id, err)
	}
	return e, nil
}

// Each calls each with the samples of an hour after the other, by time, as Samples has
// them. No transaction is open meanwhile, so who is slow to take them keeps nobody
// waiting; of what is stored or deleted meanwhile some may be among them. ErrTooMany if
// an hour has more than MostSamples.
func (e Export) Each(ctx context.Context, each func([]telemetry.Sample) error) error {
	for _, hour := range e.hours {
		start := telemetry.Micros(hour) * hourMicros
		var samples []telemetry.Sample
		err := e.store.scan(ctx, func(t *Tx) (err error) {
			samples, err = t.samples(e.Series, max(e.from, start), min(e.to, start+hourMicros))
			return err
		})
		if err != nil {
			return fmt.Errorf("store: export series %d: %w", e.Series.ID, err)
		}
		slices.SortStableFunc(samples, func(a, b telemetry.Sample) int { return cmp.Compare(a.Time, b.Time) })
		if err := each(samples); err != nil {
			return err
		}
	}
	return nil
}
