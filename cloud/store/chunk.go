package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

const minute = 60_000_000 // µs

// MinuteOf is the chunk's minute that an instant falls into, counted from
// 1970-01-01 UTC.
func MinuteOf(at telemetry.Micros) int64 {
	if at < 0 {
		return int64(at+1)/minute - 1
	}
	return int64(at) / minute
}

// Chunk is the samples of one bundle within one minute, encoded as a block
// whose signal ids are series ids.
type Chunk struct {
	Bundle, Minute int64
	First, Last    telemetry.Micros
	Samples        int
	Block          []byte
}

// AddChunk adds a chunk. A bundle may have several in a minute.
func (t *Tx) AddChunk(c Chunk) error {
	if err := t.execLater(`INSERT INTO chunk (bundle, minute, first_time, last_time, samples, block) VALUES (?, ?, ?, ?, ?, ?)`,
		c.Bundle, c.Minute, int64(c.First), int64(c.Last), c.Samples, c.Block); err != nil {
		return fmt.Errorf("store: add a chunk of bundle %d: %w", c.Bundle, err)
	}
	return nil
}

// MostSamples bounds what Samples returns: more than two days of a signal that is
// stored second by second.
const MostSamples = 200_000

// ErrTooMany says that a range holds more than MostSamples samples.
var ErrTooMany = fmt.Errorf("more than %d samples", MostSamples)

// Samples is the samples of one series from from up to and without to, in the
// order of their times; those of equal time as they arrived. ErrNotFound if
// there is no such series, ErrTooMany if there are more than MostSamples.
func (s *Store) Samples(ctx context.Context, id telemetry.SignalID, from, to telemetry.Micros) (Series, []telemetry.Sample, error) {
	var series Series
	var samples []telemetry.Sample
	err := s.scan(ctx, func(t *Tx) (err error) {
		if series, err = t.oneSeries(id); err != nil || from >= to {
			return err
		}
		samples, err = t.samples(series, from, to)
		return err
	})
	if err != nil {
		return Series{}, nil, fmt.Errorf("store: read series %d: %w", id, err)
	}
	slices.SortStableFunc(samples, func(a, b telemetry.Sample) int { return cmp.Compare(a.Time, b.Time) })
	return series, samples, nil
}

func (t *Tx) samples(series Series, from, to telemetry.Micros) (out []telemetry.Sample, err error) {
	err = t.eachBlock(series, from, to, func(samples []telemetry.Sample) error {
		out = append(out, samples...)
		if len(out) > MostSamples {
			return ErrTooMany
		}
		return nil
	})
	return out, err
}

// eachBlock calls each with those samples of a series from from up to and without to
// that a packed hour or a chunk holds, as they arrived as far as they are of equal time.
func (t *Tx) eachBlock(series Series, from, to telemetry.Micros, each func([]telemetry.Sample) error) error {
	var block []telemetry.Sample
	var decoder telemetry.Decoder
	ids := []telemetry.SignalID{series.ID}
	read := func(r *sql.Rows) error {
		var data sql.RawBytes
		err := r.Scan(&data)
		if err == nil {
			block, err = decoder.Only(data, ids, block)
		}
		if err != nil {
			return err
		}
		return each(slices.DeleteFunc(block, func(s telemetry.Sample) bool { return s.Time < from || s.Time >= to }))
	}
	if err := t.Each(read, `SELECT block FROM packed WHERE bundle = ? AND hour >= ? AND hour <= ? AND first_series <= ? AND last_series >= ?
		ORDER BY hour, part`, series.bundle, HourOf(from), HourOf(to-1), int64(series.ID), int64(series.ID)); err != nil {
		return err
	}
	// One look-up for each minute that has chunks: the index is by minute, and
	// a scan of it would pass every other bundle.
	return t.Each(read, `WITH RECURSIVE m (minute) AS (SELECT MIN(minute) FROM chunk WHERE minute >= ?
			UNION ALL SELECT (SELECT MIN(minute) FROM chunk WHERE minute > m.minute) FROM m WHERE m.minute < ?)
		SELECT c.block FROM m CROSS JOIN chunk c`+joinPacked+`WHERE c.minute = m.minute AND c.bundle = ? AND c.last_time >= ? AND c.first_time < ? AND `+isLive+`
		ORDER BY c.minute, c.id`, MinuteOf(from), MinuteOf(to-1), series.bundle, int64(from), int64(to))
}

// InMinutes calls each with every sample of a bundle that is stored in the minutes from
// first to last, which are of one hour, and perhaps with others of that hour. Its signal
// is that of its series.
func (s *Store) InMinutes(ctx context.Context, bundle, first, last int64, each func(telemetry.Sample)) error {
	var decoder telemetry.Decoder
	var block []telemetry.Sample
	read := func(r *sql.Rows) error {
		var data sql.RawBytes
		err := r.Scan(&data)
		if err == nil {
			_, block, err = decoder.Block(data, block)
		}
		for _, sample := range block {
			each(sample)
		}
		return err
	}
	err := s.Read(ctx, func(t *Tx) error {
		err := t.Each(read, `SELECT block FROM packed WHERE bundle = ? AND hour = ? ORDER BY part`, bundle, hourOfMinute(first))
		for m := first; err == nil && m <= last; m++ {
			err = t.Each(read, `SELECT c.block FROM chunk c`+joinPacked+`WHERE c.minute = ? AND c.bundle = ? AND `+isLive, m, bundle)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("store: read the minutes %d to %d of bundle %d: %w", first, last, bundle, err)
	}
	return nil
}

// SaveLatest keeps the newest sample of each series of a bundle, as one block.
func (t *Tx) SaveLatest(bundle int64, block []byte) error {
	if err := t.execLater(`INSERT INTO latest (bundle, block) VALUES (?, ?) ON CONFLICT (bundle) DO UPDATE SET block = excluded.block`,
		bundle, block); err != nil {
		return fmt.Errorf("store: save the latest of bundle %d: %w", bundle, err)
	}
	t.newest = append(t.newest, bundle)
	return nil
}

// Latest is the newest sample of each series of a bundle that has one, by id.
func (s *Store) Latest(ctx context.Context, bundle int64) (samples []telemetry.Sample, err error) {
	err = s.Read(ctx, func(t *Tx) (err error) {
		samples, err = t.latest(bundle)
		return err
	})
	return samples, err
}

func (t *Tx) latest(bundle int64) ([]telemetry.Sample, error) {
	var block []byte
	err := t.QueryRow(`SELECT block FROM latest WHERE bundle = ?`, []any{bundle}, &block)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	var samples []telemetry.Sample
	if err == nil {
		var decoder telemetry.Decoder
		_, samples, err = decoder.Block(block, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("store: read the latest of bundle %d: %w", bundle, err)
	}
	return samples, nil
}
