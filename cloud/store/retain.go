package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// Levels of what is kept, each for its own time.
const (
	Raw      = "raw"
	Minutes  = "1min"
	Quarters = "15min"
	Hours    = "1h"
	Days     = "1d"
)

// Levels are all of them, the finest first.
var Levels = []string{Raw, Minutes, Quarters, Hours, Days}

var levelOf = map[telemetry.Micros]string{15 * minute: Quarters, hourMicros: Hours, dayMicros: Days}

// retained is the minute from which on each level is kept, as far as any of it has been deleted.
func (t *Tx) retained() (map[string]int64, error) {
	since := map[string]int64{}
	err := t.Each(func(r *sql.Rows) error {
		var level string
		var at int64
		err := r.Scan(&level, &at)
		since[level] = at
		return err
	}, `SELECT level, since FROM retained`)
	return since, err
}

// Retain deletes what of a level lies before the day of an instant, in small
// transactions, and returns how many rows that were. What is kept of wider levels stays
// as it is, so each level has to be kept for at least as long as the one before.
// Samples are deleted after they have been packed, and so summed up, only.
func (s *Store) Retain(ctx context.Context, level string, before telemetry.Micros) (deleted int64, err error) {
	before = floor(before, dayMicros)
	step, args := `DELETE FROM rollup WHERE width = ? AND series = ? AND start_time < ?`, []any{}
	each := `SELECT id FROM series WHERE id > ? ORDER BY id LIMIT ?`
	switch level {
	case Raw:
		step = `DELETE FROM packed WHERE bundle = ? AND hour < ?`
	case Minutes:
		step = `DELETE FROM rollup_minutes WHERE bundle = ? AND hour < ?`
	}
	_ = args
	_ = each
	_ = step
	return 0, fmt.Errorf("store: retain %s: %v", level, slices.Contains(Levels, level))
}

// absorb adds samples of an hour that isn't kept any more to what sums it up, and
// deletes their chunks. The last value of a bucket stays: the samples came too late to
// tell whether they are newer.
func (p *Packer) absorb(t *Tx, bundle, hour int64, list []seriesMinutes, was state, chunks []int64) error {
	if hour*minutesPerHour >= was.since[Minutes] {
		if err := p.absorbMinutes(t, bundle, hour, list); err != nil {
			return err
		}
	}
	for _, s := range list {
		for _, width := range widths {
			for _, b := range gather(s.minutes, width) {
				if MinuteOf(b.Start) < was.since[levelOf[width]] {
					continue
				}
				have, err := t.buckets(width, s.series, b.Start, b.Start+1)
				if err != nil {
					return err
				}
				for _, h := range have {
					b.merge(h)
				}
				if err := t.saveBucket(width, s.series, b); err != nil {
					return err
				}
			}
		}
	}
	return t.deleteChunks(slices.Sorted(slices.Values(chunks)))
}

func (p *Packer) absorbMinutes(t *Tx, bundle, hour int64, list []seriesMinutes) error {
	var block []byte
	err := t.QueryRow(`SELECT block FROM rollup_minutes WHERE bundle = ? AND hour = ?`, []any{bundle, hour}, &block)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err == nil {
		if list, err = p.mergeMinutes(block, bundle, list); err != nil {
			return err
		}
	}
	if block, err = p.encodeMinutes(bundle, list); err != nil {
		return err
	}
	return t.saveMinutes(bundle, hour, block)
}

// mergeMinutes adds minutes to those of a block, by series.
func (p *Packer) mergeMinutes(block []byte, bundle int64, list []seriesMinutes) ([]seriesMinutes, error) {
	_, samples, err := p.decoder.Block(block, p.block)
	if err != nil {
		return nil, err
	}
	p.block = samples
	added := map[telemetry.SignalID][]Bucket{}
	for _, s := range list {
		added[s.series] = s.minutes
	}
	for _, s := range p.block {
		if s.Signal/perColumn == minuteSamples {
			id := s.Signal%perColumn + telemetry.SignalID(bundle)
			if _, ok := added[id]; !ok {
				added[id] = nil
			}
		}
	}
	var out []seriesMinutes
	for _, id := range slices.Sorted(maps.Keys(added)) {
		have, _, err := minutesOf(&p.decoder, block, bundle, id, nil)
		if err != nil {
			return nil, err
		}
		for _, b := range added[id] {
			at, found := slices.BinarySearchFunc(have, b.Start, func(b Bucket, start telemetry.Micros) int { return cmp.Compare(b.Start, start) })
			if found {
				b.merge(have[at])
				have[at] = b
			} else {
				have = slices.Insert(have, at, b)
			}
		}
		out = append(out, seriesMinutes{id, have})
	}
	return out, nil
}
