package store

import (
	"context"
	"fmt"

	"github.com/busbar/busbar/telemetry"
)

// Summary is a Bucket that is kept, and how wide it is.
type Summary struct {
	Width telemetry.Micros
	Bucket
}

// SummedUp is what sums up an hour of those of a bundle's series that are named: minutes,
// quarter-hours and the hour, as far as these levels are kept. It is nil if nothing is
// stored of the hour, or not all of that is summed up yet.
func (s *Store) SummedUp(ctx context.Context, bundle, hour int64, ids []telemetry.SignalID) (map[telemetry.SignalID][]Summary, error) {
	start := telemetry.Micros(hour) * hourMicros
	out := map[telemetry.SignalID][]Summary{}
	err := s.scan(ctx, func(t *Tx) error {
		var parts int
		if err := t.QueryRow(`SELECT COUNT(*) FROM packed WHERE bundle = ? AND hour = ?`, []any{bundle, hour}, &parts); err != nil {
			return err
		}
		live, err := t.liveHours(bundle, start, start+hourMicros)
		if err != nil || parts == 0 || len(live) > 0 {
			out = nil
			return err
		}
		since, err := t.retained()
		if err != nil {
			return err
		}
		kept := func(level string) bool { return hour*minutesPerHour >= since[level] }
		for _, id := range ids {
			var list []Summary
			add := func(width telemetry.Micros, buckets []Bucket) {
				for _, b := range buckets {
					list = append(list, Summary{width, b})
				}
			}
			if kept(Minutes) {
				buckets, err := t.minutes(bundle, id, hour, hour)
				if err != nil {
					return err
				}
				add(minute, buckets)
			}
			for _, width := range []telemetry.Micros{15 * minute, hourMicros} {
				if !kept(levelOf[width]) {
					continue
				}
				buckets, err := t.buckets(width, id, start, start+hourMicros)
				if err != nil {
					return err
				}
				add(width, buckets)
			}
			out[id] = list
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: read what sums up hour %d of bundle %d: %w", hour, bundle, err)
	}
	return out, nil
}

// KeptSince is the minute from which on a level is kept.
func (s *Store) KeptSince(ctx context.Context, level string) (minute int64, err error) {
	err = s.Read(ctx, func(t *Tx) error {
		since, err := t.retained()
		minute = since[level]
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store: read what is kept: %w", err)
	}
	return minute, nil
}
