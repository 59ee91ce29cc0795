package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
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

// retained is the minute from which on each level is kept.
func (t *Tx) retained() (map[string]int64, error) {
	since := map[string]int64{}
	for _, level := range Levels {
		since[level] = math.MinInt64
	}
	err := t.Each(func(r *sql.Rows) error {
		var level string
		var at int64
		err := r.Scan(&level, &at)
		since[level] = at
		return err
	}, `SELECT level, since FROM retained`)
	return since, err
}

// deletion says how a level is deleted: whose rows there are, where the oldest of one of
// them lies, and what deletes those before a place, which is counted in units. At most
// step of these go in one transaction.
type deletion struct {
	owners, oldest, deletes string
	unit                    telemetry.Micros
	step                    int64
}

var deletions = map[string][]deletion{
	// A packed hour stays as long as there are chunks that it stands for.
	Raw: {hoursOf("packed", 8, ` AND NOT EXISTS (SELECT 1 FROM chunk c
		WHERE c.bundle = packed.bundle AND c.minute >= packed.hour * 60 AND c.minute < packed.hour * 60 + 60)`)},
	Minutes:  {hoursOf("rollup_minutes", 100, "")},
	Quarters: {rowsOf(15 * minute)},
	Hours:    {rowsOf(hourMicros)},
	// What nothing sums up is kept as long as the widest sums. An outage that goes on stays.
	Days: {rowsOf(dayMicros), toldOf("meter_event", "asset", "at"), toldOf("import_run", "headend", "began"), toldOf("weather", "station", "at"),
		toldOf("reported_outage", "source", "CASE WHEN over > 0 THEN over ELSE ends END")},
}

func hoursOf(table string, step int64, but string) deletion {
	rows := `FROM ` + table + ` WHERE bundle = ? AND hour >= ? AND hour < ?`
	return deletion{`SELECT id FROM series WHERE id = bundle ORDER BY id`, `SELECT MIN(hour) ` + rows, `DELETE ` + rows + but, hourMicros, step}
}

func rowsOf(width telemetry.Micros) deletion {
	rows := fmt.Sprintf(`FROM rollup WHERE width = %d AND series = ? AND start_time >= ? AND start_time < ?`, width/minute)
	return deletion{`SELECT id FROM series ORDER BY id`, `SELECT MIN(start_time) ` + rows, `DELETE ` + rows, 1, 500 * int64(width)}
}

// toldOf deletes rows, a day's of an owner at a time; at is in µs, 0: not yet.
func toldOf(table, owner, at string) deletion {
	rows := `FROM ` + table + ` WHERE ` + owner + ` = ? AND ` + at + ` >= ? AND ` + at + ` < ? AND ` + at + ` > 0`
	return deletion{`SELECT DISTINCT ` + owner + ` FROM ` + table + ` ORDER BY ` + owner, `SELECT MIN(` + at + `) ` + rows, `DELETE ` + rows, 1, int64(dayMicros)}
}

// Retain deletes what of a level is of days before that of an instant, in small
// transactions, and returns how many rows that were. Wider levels stay as they are, so
// each has to be kept for at least as long as the one before it. Samples are deleted only
// after they have been packed, and so summed up.
func (p *Packer) Retain(ctx context.Context, level string, before telemetry.Micros) (deleted int64, err error) {
	before = floor(before, dayMicros)
	of, ok := deletions[level]
	if !ok {
		return 0, fmt.Errorf("store: there is no level %q", level)
	}
	err = p.look(ctx, func(*Tx) error { return nil }) // whose turn it is
	if err == nil {
		// Noted before anything is deleted: from here on what comes late is added to what
		// sums it up, instead of being summed up anew.
		err = p.write(ctx, func(t *Tx) error {
			_, err := t.Exec(`INSERT INTO retained (level, since) VALUES (?, ?)
				ON CONFLICT (level) DO UPDATE SET since = excluded.since WHERE retained.since < excluded.since`, level, MinuteOf(before))
			return err
		})
	}
	for _, one := range of {
		if err == nil {
			var n int64
			n, err = p.retain(ctx, one, before)
			deleted += n
		}
	}
	if level == Raw && err == nil {
		err = p.forgetReads(ctx, DayOf(before))
	}
	if err != nil {
		return deleted, fmt.Errorf("store: delete what is older than it is kept, of %s: %w", level, err)
	}
	return deleted, nil
}

// forgetReads deletes by which reads of days before one are known: their samples are deleted.
func (p *Packer) forgetReads(ctx context.Context, day int64) error {
	for more := true; more; {
		err := p.write(ctx, func(t *Tx) error {
			var oldest int64
			err := t.QueryRow(`SELECT COALESCE(MIN(day), ?) FROM read_day`, []any{day}, &oldest)
			if more = false; err != nil || oldest >= day {
				return err
			}
			more = true
			_, err = t.Exec(`DELETE FROM read_day WHERE day = ? AND bundle IN (SELECT bundle FROM read_day WHERE day = ? ORDER BY bundle LIMIT ?)`, oldest, oldest, sweepStep)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// retain deletes what lies before an instant, of one owner after the other.
func (p *Packer) retain(ctx context.Context, of deletion, before telemetry.Micros) (deleted int64, err error) {
	var owners []any // numbers or texts
	err = p.look(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var id any
			err := r.Scan(&id)
			owners = append(owners, id)
			return err
		}, of.owners)
	})
	for _, owner := range owners {
		for from, end := int64(math.MinInt64), int64(before/of.unit); err == nil && from < end; {
			var n int64
			n, from, err = p.retainStep(ctx, of, owner, from, end)
			deleted += n
		}
	}
	return deleted, err
}

// retainStep deletes the oldest rows of one of a level's owners, from from on, and returns
// where those begin that come next.
func (p *Packer) retainStep(ctx context.Context, of deletion, owner any, from, end int64) (deleted, next int64, err error) {
	var oldest sql.NullInt64
	if err := p.look(ctx, func(t *Tx) error { return t.QueryRow(of.oldest, []any{owner, from, end}, &oldest) }); err != nil || !oldest.Valid {
		return 0, end, err
	}
	next = min(oldest.Int64+of.step, end)
	err = p.write(ctx, func(t *Tx) error {
		res, err := t.Exec(of.deletes, owner, oldest.Int64, next)
		if err == nil {
			deleted, err = res.RowsAffected()
		}
		return err
	})
	return deleted, next, err
}

// absorb adds samples of an hour that isn't kept any more to what sums it up, and
// deletes their chunks. The last value of a bucket stays: the samples came too late to
// tell whether they are newer.
func (p *Packer) absorb(ctx context.Context, bundle, hour int64, list []seriesMinutes, since map[string]int64, chunks []int64) error {
	var rows []row
	var minutes []byte
	// Only a Packer changes these, which would fence this one.
	err := p.store.Read(ctx, func(t *Tx) (err error) {
		if hour*minutesPerHour >= since[Minutes] {
			if minutes, err = p.absorbMinutes(t, bundle, hour, list); err != nil {
				return err
			}
		}
		rows, err = t.absorbed(list, since)
		return err
	})
	if err != nil {
		return err
	}
	return p.write(ctx, func(t *Tx) error {
		for _, r := range rows {
			if err := t.saveBucket(r.width, r.series, r.Bucket); err != nil {
				return err
			}
		}
		if minutes != nil {
			if err := t.saveMinutes(bundle, hour, minutes); err != nil {
				return err
			}
		}
		return t.deleteChunks(slices.Sorted(slices.Values(chunks)))
	})
}

// absorbed is the rows that minutes change if they are added.
func (t *Tx) absorbed(list []seriesMinutes, since map[string]int64) (rows []row, err error) {
	for _, s := range list {
		for _, width := range widths {
			for _, b := range gather(s.minutes, width) {
				if MinuteOf(b.Start) < since[levelOf[width]] {
					continue
				}
				have, err := t.buckets(width, s.series, b.Start, b.Start+1)
				if err != nil {
					return nil, err
				}
				for _, h := range have {
					b.merge(h)
				}
				rows = append(rows, row{b, width, s.series})
			}
		}
	}
	return rows, nil
}

func (p *Packer) absorbMinutes(t *Tx, bundle, hour int64, list []seriesMinutes) ([]byte, error) {
	var block []byte
	err := t.QueryRow(`SELECT block FROM rollup_minutes WHERE bundle = ? AND hour = ?`, []any{bundle, hour}, &block)
	if err == nil {
		list, err = p.mergeMinutes(block, bundle, list)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	return p.encodeMinutes(bundle, list)
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
			at, found := slices.BinarySearchFunc(have, b.Start, startsAt)
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
