package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// HourOf is the hour that an instant falls into, counted from 1970-01-01 UTC.
func HourOf(at telemetry.Micros) int64 { return hourOfMinute(MinuteOf(at)) }

const minutesPerHour = 60

func hourOfMinute(m int64) int64 {
	return int64(floor(telemetry.Micros(m), minutesPerHour)) / minutesPerHour
}

// FirstHour is before all samples.
const FirstHour = int64(math.MinInt64/hourMicros) - 1

// A chunk is live unless the packed hour stands for it. The sum is 60 times the
// difference, so that the division rounds down whatever the sign.
const (
	joinPacked = ` LEFT JOIN packed p ON p.bundle = c.bundle AND p.part = 0 AND p.hour = (c.minute + 65970697666560) / 60 - 1099511627776 `
	isLive     = `(p.hour IS NULL OR c.id > p.through OR c.minute >= p.until)`
)

// Packer joins the chunks of a bundle's hour and sums them up. One goroutine at a
// time uses it, but for Longest. Of several on one database, in other processes too, one
// works at a time: if another has written since a Packer read what it goes by, it stores
// nothing and returns ErrFenced.
type Packer struct {
	store   *Store
	decoder telemetry.Decoder
	encoder telemetry.Encoder

	block, read, sorted, minutes []telemetry.Sample

	most    int          // samples of an hour
	turn    int64        // how often Packers had written at the last look
	others  int64        // and how often that was no correction
	longest atomic.Int64 // ns
}

// packing is what Packers move with each transaction, as consumers move their offsets.
const packing = "pack"

// correcting counts those of them that were corrections.
const correcting = "correct"

// ErrCorrected is an ErrFenced by nothing but corrections: who tries again at once goes on.
var ErrCorrected = fmt.Errorf("corrections came between: %w", ErrFenced)

func (s *Store) NewPacker() *Packer { return &Packer{store: s, most: mostPacked} }

// Longest is how long the longest of the Packer's transactions kept other writers waiting.
// It may be called at any time.
func (p *Packer) Longest() time.Duration { return time.Duration(p.longest.Load()) }

// look is Store.Read of what the transactions that follow go by.
func (p *Packer) look(ctx context.Context, do func(*Tx) error) error {
	return p.store.Read(ctx, func(t *Tx) error {
		turn, others, err := t.packings()
		if err != nil {
			return err
		}
		p.turn, p.others = turn, others
		return do(t)
	})
}

// packings is how often Packers have written, NoOffset if none has, and how often that was
// no correction.
func (t *Tx) packings() (turn, others int64, err error) {
	of := map[string]int64{packing: NoOffset}
	err = t.Each(func(r *sql.Rows) error {
		var consumer string
		var next int64
		err := r.Scan(&consumer, &next)
		of[consumer] = next
		return err
	}, `SELECT consumer, next FROM consumer_offset WHERE consumer IN (?, ?)`, packing, correcting)
	return of[packing], of[packing] - of[correcting], err
}

// write is Store.Write, timed from when it is the Packer's turn.
func (p *Packer) write(ctx context.Context, do func(*Tx) error) error {
	var began time.Time
	err := p.store.Write(ctx, func(t *Tx) error {
		began = time.Now()
		if err := t.Advance(packing, Partition{Topic: packing}, p.turn, p.turn+1); err != nil {
			if _, others, failed := t.packings(); errors.Is(err, ErrFenced) && failed == nil && others == p.others {
				return ErrCorrected
			}
			return err
		}
		return do(t)
	})
	if err == nil {
		p.turn, p.others = p.turn+1, p.others+1
	}
	if took := int64(time.Since(began)); !began.IsZero() && took > p.longest.Load() {
		p.longest.Store(took)
	}
	return err
}

// Unpacked is the first hour from from on that has chunks of minutes before cut,
// packed already or not, and the bundles that have them; none if there is no such hour.
// The index leads from one minute and bundle to the next, so that what is asked costs as
// much as there are of these, and not as there are chunks.
func (p *Packer) Unpacked(ctx context.Context, from, cut int64) (hour int64, bundles []int64, err error) {
	first := from * minutesPerHour
	seen := map[int64]bool{}
	err = p.store.Read(ctx, func(t *Tx) error {
		for until := cut; ; {
			var next sql.NullInt64
			if err := t.QueryRow(`SELECT MIN(minute) FROM chunk WHERE minute >= ? AND minute < ?`, []any{first, until}, &next); err != nil || !next.Valid {
				return err
			}
			if len(seen) == 0 {
				hour = hourOfMinute(next.Int64)
				until = min(cut, (hour+1)*minutesPerHour)
			}
			err := t.Each(func(r *sql.Rows) error {
				var bundle int64
				err := r.Scan(&bundle)
				seen[bundle] = true
				return err
			}, `WITH RECURSIVE b (bundle) AS (SELECT MIN(bundle) FROM chunk WHERE minute = ?
					UNION ALL SELECT (SELECT MIN(bundle) FROM chunk WHERE minute = ? AND bundle > b.bundle) FROM b WHERE b.bundle IS NOT NULL)
				SELECT bundle FROM b WHERE bundle IS NOT NULL`, next.Int64, next.Int64)
			if err != nil {
				return err
			}
			first = next.Int64 + 1
		}
	})
	if err != nil {
		return 0, nil, fmt.Errorf("store: look for chunks to pack: %w", err)
	}
	return hour, slices.Sorted(maps.Keys(seen)), nil
}

// Packed says what Pack has done.
type Packed struct {
	Chunks  int // that were read; none: there was nothing to do
	Samples int // of the hour
	Bytes   int // of its blocks
	Rows    int // that sum it up
}

// state is what the database has of a bundle's hour.
type state struct {
	until, through int64
	since          map[string]int64
	gone           bool                            // the hour's samples have been deleted for their age
	days           map[telemetry.SignalID][]Bucket // the day's hours
}

// Pack puts those samples of a bundle's hour that lie before the minute cut into the
// place of its chunks, and brings all that sums it up to what the samples say. What it
// has read, it reads from one snapshot; chunks that come meanwhile are for the next
// time. The chunks themselves stay until Sweep. An hour of more than 4,194,304 samples
// isn't packed: it stays as it is, with an error.
func (p *Packer) Pack(ctx context.Context, bundle, hour, cut int64) (Packed, error) {
	done, err := p.pack(ctx, bundle, hour, cut)
	if cap(p.read) > mostHeld {
		p.Release()
	}
	if err != nil {
		return Packed{}, fmt.Errorf("store: pack hour %d of bundle %d: %w", hour, bundle, err)
	}
	return done, nil
}

func (p *Packer) pack(ctx context.Context, bundle, hour, cut int64) (done Packed, err error) {
	cut = min(cut, (hour+1)*minutesPerHour)
	var was state
	var late []int64
	var changed [4]bool // quarter-hours
	p.read = p.read[:0]
	err = p.look(ctx, func(t *Tx) (err error) {
		if was, err = p.readPacked(t, bundle, hour); err != nil {
			return err
		}
		stored := len(p.read)
		cut = max(cut, was.until) // what comes late goes where the rest is
		if was.gone {             // what is left of it is summed up already
			p.read, stored = p.read[:0], 0
		}
		if late, err = p.readChunks(t, bundle, hour, cut, was); err != nil || len(late) == 0 {
			return err
		}
		for _, s := range p.read[stored:] {
			changed[quarterOfHour(s.Time)] = true
		}
		was.days, err = t.hoursOfDay(bundle, hour)
		return err
	})
	if err != nil || len(late) == 0 {
		return done, err
	}
	p.sort()
	done.Chunks, done.Samples = len(late), len(p.sorted)
	list := sumUp(p.sorted)
	if was.gone {
		return done, p.absorb(ctx, bundle, hour, list, was.since, late)
	}
	blocks, err := p.encode()
	if err != nil {
		return done, err
	}
	minutes, err := p.encodeMinutes(bundle, list)
	if err != nil {
		return done, err
	}
	rows := rowsOfHour(list, changed, was.days)
	done.Rows = len(rows)
	// What sums the hour up goes first: if this ends here, all of it is done again.
	for step := range slices.Chunk(rows, rowStep) {
		err := p.write(ctx, func(t *Tx) error {
			for _, r := range step {
				if err := t.saveBucket(r.width, r.series, r.Bucket); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return done, err
		}
	}
	err = p.write(ctx, func(t *Tx) error {
		if err := t.saveMinutes(bundle, hour, minutes); err != nil {
			return err
		}
		return t.exchange(bundle, hour, blocks, cut, max(was.through, slices.Max(late)))
	})
	for _, b := range blocks {
		done.Bytes += len(b.block)
	}
	return done, err
}

// rowStep bounds the rows that a transaction writes, for which others wait.
const rowStep = 100

func (p *Packer) readPacked(t *Tx, bundle, hour int64) (was state, err error) {
	was.until = math.MinInt64
	err = t.Each(func(r *sql.Rows) error {
		var data sql.RawBytes
		err := r.Scan(&was.until, &was.through, &data)
		if err == nil {
			err = p.add(data)
		}
		return err
	}, `SELECT until, through, block FROM packed WHERE bundle = ? AND hour = ? ORDER BY part`, bundle, hour)
	if err != nil {
		return was, err
	}
	was.since, err = t.retained()
	was.gone = hour*minutesPerHour < was.since[Raw]
	return was, err
}

// readChunks reads what is live and returns its ids; of an hour that isn't kept any
// more, only some, and neither the newest of all nor what a follower has yet to pass: these
// will be deleted.
func (p *Packer) readChunks(t *Tx, bundle, hour, cut int64, was state) (ids []int64, err error) {
	most := math.MaxInt
	if was.gone {
		most = sweepStep
	}
	for m := hour * minutesPerHour; m < cut && len(ids) < most; m++ {
		err := t.Each(func(r *sql.Rows) error {
			var id int64
			var data sql.RawBytes
			err := r.Scan(&id, &data)
			if err == nil {
				err = p.add(data)
			}
			ids = append(ids, id)
			return err
		}, `SELECT id, block FROM chunk WHERE minute = ? AND bundle = ? AND (id > ? OR minute >= ?) AND NOT (? AND (id = (SELECT MAX(id) FROM chunk) OR id >= `+firstHeld+`))
			ORDER BY id LIMIT ?`, m, bundle, was.through, was.until, was.gone, most-len(ids))
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// add decodes samples that are to be packed.
func (p *Packer) add(block []byte) (err error) {
	if _, p.block, err = p.decoder.Block(block, p.block); err != nil {
		return err
	}
	if len(p.read)+len(p.block) > p.most {
		return fmt.Errorf("it has more than %d samples", p.most)
	}
	p.read = append(p.read, p.block...)
	return nil
}

// mostPacked bounds the samples of a bundle's hour that are packed, and so memory:
// each takes 48 bytes twice. It is 64 signals 18 times a second.
const mostPacked = 1 << 22

// sort puts what was read into the order of series and then times; of equal times it
// stays as it was.
func (p *Packer) sort() {
	at := map[telemetry.SignalID]int{}
	for i := range p.read {
		at[p.read[i].Signal]++
	}
	ids := make([]telemetry.SignalID, 0, len(at))
	for id := range at {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	n := 0
	for _, id := range ids {
		at[id], n = n, n+at[id]
	}
	p.sorted = slices.Grow(p.sorted[:0], n)[:n]
	for i := 0; i < n; {
		id, to := p.read[i].Signal, at[p.read[i].Signal]
		for ; i < n && p.read[i].Signal == id; i++ {
			p.sorted[to] = p.read[i]
			to++
		}
		at[id] = to
	}
	from := 0
	for _, id := range ids {
		part := p.sorted[from:at[id]]
		byTime := func(a, b telemetry.Sample) int { return cmp.Compare(a.Time, b.Time) }
		if !slices.IsSortedFunc(part, byTime) {
			slices.SortStableFunc(part, byTime)
		}
		from = at[id]
	}
}

// Release gives back the Packer's memory, as long as it isn't used.
func (p *Packer) Release() { p.block, p.read, p.sorted, p.minutes = nil, nil, nil, nil }

// mostHeld bounds the samples that memory is kept for from one hour to the next.
const mostHeld = 1 << 19

// samplesPerPart bounds a block, of which a reader decodes some and skips the rest.
const samplesPerPart = 1 << 18

type part struct {
	first, last telemetry.SignalID
	samples     int
	block       []byte
}

func (p *Packer) encode() ([]part, error) {
	var parts []part
	for list := p.sorted; len(list) > 0; {
		n := min(len(list), samplesPerPart)
		block, err := p.encoder.AppendBlock(nil, telemetry.TableRef{}, list[:n])
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{list[0].Signal, list[n-1].Signal, n, block})
		list = list[n:]
	}
	return parts, nil
}

func (p *Packer) encodeMinutes(bundle int64, list []seriesMinutes) (block []byte, err error) {
	if p.minutes, err = appendMinutes(p.minutes[:0], bundle, list); err != nil {
		return nil, err
	}
	return p.encoder.AppendBlock(nil, telemetry.TableRef{}, p.minutes)
}

// exchange puts the parts of an hour into the place of those that were read.
func (t *Tx) exchange(bundle, hour int64, parts []part, until, through int64) error {
	err := t.execLater(`DELETE FROM packed WHERE bundle = ? AND hour = ?`, bundle, hour)
	for i, p := range parts {
		if err == nil {
			err = t.execLater(`INSERT INTO packed (bundle, hour, part, first_series, last_series, samples, until, through, block) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				bundle, hour, i, int64(p.first), int64(p.last), p.samples, until, through, p.block)
		}
	}
	return err
}

func (t *Tx) saveMinutes(bundle, hour int64, block []byte) error {
	return t.execLater(`INSERT INTO rollup_minutes (bundle, hour, block) VALUES (?, ?, ?) ON CONFLICT (bundle, hour) DO UPDATE SET block = excluded.block`,
		bundle, hour, block)
}

// sweepStep bounds the chunks that a transaction deletes, for which others wait.
const sweepStep = 500

// Sweep deletes the chunks of an hour that its packed bundles stand for, and returns
// their number. They go in the order in which they came, whatever their bundles: then
// whole pages become free, and each is written once. The newest chunk of all stays, as
// SQLite would give its id to the next one, and so does what a follower hasn't passed.
func (p *Packer) Sweep(ctx context.Context, hour int64) (deleted int, err error) {
	for m := hour * minutesPerHour; m < (hour+1)*minutesPerHour; m++ {
		var ids []int64
		err := p.look(ctx, func(t *Tx) error {
			return t.Each(func(r *sql.Rows) error {
				var id int64
				err := r.Scan(&id)
				ids = append(ids, id)
				return err
			}, `SELECT c.id FROM chunk c`+joinPacked+`WHERE c.minute = ? AND NOT `+isLive+`
				AND c.id < (SELECT MAX(id) FROM chunk) AND c.id < `+firstHeld+` ORDER BY c.id`, m)
		})
		for len(ids) > 0 && err == nil {
			step := ids[:min(len(ids), sweepStep)]
			err = p.write(ctx, func(t *Tx) error { return t.deleteChunks(step) })
			ids, deleted = ids[len(step):], deleted+len(step)
		}
		if err != nil {
			return deleted, fmt.Errorf("store: sweep hour %d: %w", hour, err)
		}
	}
	return deleted, nil
}

// deleteChunks deletes chunks by their ids, which are ascending.
func (t *Tx) deleteChunks(ids []int64) error {
	for len(ids) > 0 {
		n := 1
		for n < len(ids) && ids[n] == ids[0]+int64(n) {
			n++
		}
		if err := t.execLater(`DELETE FROM chunk WHERE id >= ? AND id <= ?`, ids[0], ids[n-1]); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}
