package buffer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Shares of telemetry's room from which on it is thinned, thinned without a pause,
// and given up ahead of the commit that would have to.
const (
	thinFrom = 0.80
	rushFrom = 0.93
	dropFrom = 0.97
)

// thinAhead thins telemetry before its room is used up, until ctx ends. While that
// isn't urgent, it rests as long as it works.
func (b *Buffer) thinAhead(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for ctx.Err() == nil && b.fullness() > thinFrom {
			if !b.relieve(ctx) {
				break
			}
		}
	}
}

// fullness is how much of telemetry's room is used, from 0 to 1; where the disk has
// less room than the buffer may take, that counts.
func (b *Buffer) fullness() float64 {
	u := b.space.usage()
	room := u.share
	var disk syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(b.Telemetry.dir), &disk); err == nil {
		room = min(room, u.telemetry+int64(disk.Bavail)*int64(disk.Bsize))
	}
	return float64(u.telemetry) / float64(max(1, room))
}

// relieve thins one segment, or gives one up if there is nothing to thin and
// little room. It reports whether it may go on.
func (b *Buffer) relieve(ctx context.Context) bool {
	s := b.Telemetry.thinnable()
	if s == nil {
		if b.fullness() < dropFrom {
			return false
		}
		dropped, err := b.makeRoom(b.Telemetry, b.shortOf())
		if err != nil {
			b.log.Warn("buffer: make room", "error", err)
		}
		return dropped && err == nil
	}
	err := b.thin(ctx, s)
	switch {
	case errors.Is(err, errInUse):
		return true // another one
	case err != nil && ctx.Err() == nil:
		b.log.Warn("a segment can't be thinned", "path", s.path, "error", err)
		if b.fullness() < dropFrom {
			return false
		}
		dropped, err := b.makeRoom(b.Telemetry, b.shortOf())
		return dropped && err == nil
	}
	return err == nil
}

// thinnable is the complete segment that was thinned least, and of those the
// oldest, which nobody uses.
func (c *Chain) thinnable() *segment {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *segment
	for _, s := range c.segments[:max(1, len(c.segments))-1] {
		if !c.unused(s) || s.unreadable > 0 || max(s.generation, s.tried) >= statesOnly {
			continue
		}
		if best == nil || cmp.Compare(max(s.generation, s.tried), max(best.generation, best.tried)) < 0 {
			best = s
		}
	}
	return best
}

// unused reports whether the segment's file may be replaced.
func (c *Chain) unused(s *segment) bool {
	return s.replaced == nil && !c.isOut(s) && slices.Contains(c.segments, s)
}

// errInUse is why a segment isn't thinned just now.
var errInUse = errors.New("it came into use")

// thin replaces a segment by one of the next generation. What that leaves out is
// declared first; a crash at any point leaves one of the two files, whole.
func (b *Buffer) thin(ctx context.Context, s *segment) error {
	c := b.Telemetry
	w := b.newThinned(s)
	err := w.write(ctx)
	if err == nil {
		err = w.replace()
	}
	if w.file != nil {
		w.file.end(err)
	}
	if err != nil {
		os.Remove(w.path)
		c.space.settle(c.lane, w.size, 0)
		if !errors.Is(err, errInUse) && ctx.Err() == nil {
			c.mu.Lock()
			s.tried = max(s.tried, w.generation)
			c.mu.Unlock()
		}
	}
	if errors.Is(err, errNoGain) {
		return nil
	}
	return err
}

// errNoGain is why a thinned file isn't used: it isn't smaller.
var errNoGain = errors.New("thinning gains nothing")

// thinned is a segment's thinned file while it is made.
type thinned struct {
	buffer     *Buffer
	chain      *Chain
	segment    *segment
	generation int
	path       string
	file       *file
	size       int64 // claimed for it

	thinner *thinner
	counts  *tally
	losses  []telemetry.Loss
	encoder telemetry.Encoder

	before  ranges    // positions that it replaces
	free    ranges    // those of them that it doesn't use
	puts    []putting // to be written
	putSize int

	current record.Record // what is being gathered; without a gateway if nothing is
	loss    telemetry.Loss
	table   telemetry.TableRef
	samples []telemetry.Sample
}

type putting struct {
	position Position
	value    []byte
}

// A thinned record has about so many samples, and a transaction so many bytes.
const (
	thinnedSamples = 2 * commitSamples
	thinnedWrite   = 256 << 10
)

func (b *Buffer) newThinned(s *segment) *thinned {
	return &thinned{buffer: b, chain: b.Telemetry, segment: s, generation: max(s.generation, s.tried) + 1, path: s.path + unfinishedSuffix}
}

// write makes the file, as far as it goes without a name.
func (w *thinned) write(ctx context.Context) error {
	c, s := w.chain, w.segment
	c.mu.Lock()
	if !c.unused(s) {
		c.mu.Unlock()
		return errInUse
	}
	wanted := c.unreadIn(s.first, s.last)
	c.mu.Unlock()
	w.before, w.free = slices.Clone(wanted), slices.Clone(wanted)
	w.thinner = newThinner(w.generation, func(id telemetry.SignalID) telemetry.Kind { return w.buffer.table.signal(id).Kind })
	w.counts = newTally(w.buffer.table, w.buffer.now())
	if err := w.begin(); err != nil {
		return err
	}
	for len(wanted) > 0 {
		started := time.Now()
		p, err := c.readSegment(s, wanted, thinnedWrite)
		if err != nil {
			return err
		}
		if len(p.missing) > 0 { // to be declared first
			c.mu.Lock()
			for _, m := range p.missing {
				c.missing.add(m.first, m.last)
			}
			c.mu.Unlock()
			return errInUse
		}
		if len(p.entries) == 0 {
			break
		}
		for _, e := range p.entries {
			if err := w.take(e.Record); err != nil {
				return err
			}
		}
		last := p.entries[len(p.entries)-1].Position
		for len(wanted) > 0 && wanted[0].last <= last {
			wanted = wanted[1:]
		}
		if len(wanted) > 0 {
			wanted[0].first = max(wanted[0].first, last+1)
		}
		if w.buffer.fullness() < rushFrom {
			select {
			case <-ctx.Done():
			case <-time.After(time.Since(started)):
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := w.endRun(); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	if w.size >= s.size {
		return errNoGain
	}
	return w.file.Sync()
}

// begin makes the file. It isn't flushed until it is whole.
func (w *thinned) begin() error {
	c := w.chain
	claimed := beginning(nil, c.allocation)
	if err := c.space.claim(c.lane, claimed, 0); err != nil {
		return err
	}
	w.size = claimed
	state, err := readState(w.segment.path)
	if err != nil {
		return err
	}
	if w.file, err = newFile(w.path, c.allocation); err != nil {
		return err
	}
	w.file.NoSync = true
	return w.update(pages(len(state))+int64(c.allocation), func(tx *bolt.Tx) error {
		return begin(tx, func(tx *bolt.Tx) error {
			if err := fillSegment(tx, w.segment.start, w.segment.before, state); err != nil {
				return err
			}
			return tx.Bucket(bucketFormat).Put(keyGeneration, []byte{byte(w.generation)})
		})
	})
}

// update changes the file, which may grow by that much.
func (w *thinned) update(grows int64, f func(*bolt.Tx) error) error {
	c := w.chain
	if err := c.space.claim(c.lane, grows, 0); err != nil {
		return err
	}
	w.size += grows
	err := guard(func() error { return w.file.Update(f) })
	size := sizeAt(w.path)
	c.space.settle(c.lane, w.size, size)
	w.size = size
	return err
}

// take thins one record. One that can't be decoded, whose signals are of another
// table, or whose times count from a boot, stays as it is.
func (w *thinned) take(r record.Record) error {
	var ref telemetry.TableRef
	var samples []telemetry.Sample
	err := errors.New("other format")
	if r.Format == record.FormatBlock || r.Format == record.FormatThinned {
		ref, samples, err = w.counts.decoder.Block(r.Payload, w.counts.samples)
	}
	follows := w.current.Gateway != "" && w.current.Epoch == r.Epoch && w.current.Last+1 == r.First
	if err != nil || ref.Table != w.buffer.table.Ref().Table {
		if err := w.endRun(); err != nil {
			return err
		}
		return w.put(r)
	}
	w.counts.samples = samples
	if w.current.Gateway != "" && !follows {
		if err := w.endRun(); err != nil {
			return err
		}
	}
	if w.current.Gateway != "" && (len(w.samples) >= thinnedSamples || r.Last-w.current.First >= record.MaxCount) {
		if err := w.emit(); err != nil {
			return err
		}
	}
	if w.current.Gateway == "" {
		w.current = record.Record{Identity: r.Identity, Format: record.FormatThinned}
		w.table = ref
	}
	if w.loss.Epoch == "" {
		w.loss = telemetry.Loss{Epoch: r.Epoch.String(), Stream: string(r.Stream), SeqFirst: r.First, Reason: telemetry.LostThinned}
	}
	w.current.Last, w.loss.SeqLast = r.Last, r.Last
	w.table.Version = max(w.table.Version, ref.Version)
	w.counts.add(samples, 1)
	w.samples = w.thinner.add(w.samples, samples)
	return nil
}

// endRun ends a range of sequence numbers without holes.
func (w *thinned) endRun() error {
	if w.current.Gateway == "" {
		return nil
	}
	w.samples = w.thinner.flush(w.samples)
	if err := w.emit(); err != nil {
		return err
	}
	if !w.counts.empty() {
		w.losses = append(w.losses, w.counts.losses(w.loss)...)
	}
	w.counts, w.loss = newTally(w.buffer.table, w.buffer.now()), telemetry.Loss{}
	return nil
}

// emit puts what was gathered into a record, or into several if it is too much
// for one.
func (w *thinned) emit() error {
	w.counts.add(w.samples, -1)
	err := w.encode(w.current, w.samples)
	w.samples, w.current = w.samples[:0], record.Record{}
	return err
}

func (w *thinned) encode(r record.Record, samples []telemetry.Sample) error {
	block, err := w.encoder.AppendBlock(nil, w.table, samples)
	if err != nil {
		return err
	}
	if len(block) > maxBlockBytes && r.First < r.Last && len(samples) > 1 {
		front, back := r, r
		front.Last = r.First + (r.Last-r.First)/2
		back.First = front.Last + 1
		if err := w.encode(front, samples[:len(samples)/2]); err != nil {
			return err
		}
		return w.encode(back, samples[len(samples)/2:])
	}
	r.Payload = block
	if w.chain.sign != nil {
		if err := w.chain.sign(&r); err != nil {
			return fmt.Errorf("sign record %s: %w", r.Identity, err)
		}
	}
	return w.put(r)
}

// put gives a record the next of the segment's positions.
func (w *thinned) put(r record.Record) error {
	if len(w.free) == 0 {
		return fmt.Errorf("%w: it has more records than before", errNoGain)
	}
	position := w.free[0].first
	if w.free[0].first++; w.free[0].first > w.free[0].last {
		w.free = w.free[1:]
	}
	value, err := r.AppendBinary(nil)
	if err != nil {
		return err
	}
	w.puts = append(w.puts, putting{position, value})
	if w.putSize += len(value); w.putSize >= thinnedWrite {
		return w.flush()
	}
	return nil
}

// flush writes the records that wait.
func (w *thinned) flush() error {
	grows := 24*page + int64(w.chain.allocation)
	for _, p := range w.puts {
		grows += pages(len(p.value)+64) + page
	}
	err := w.update(grows, func(tx *bolt.Tx) error {
		records := tx.Bucket(bucketRecords)
		records.FillPercent = 1
		for _, p := range w.puts {
			if err := put(records, keyOf(p.position), p.value); err != nil {
				return err
			}
		}
		return nil
	})
	w.puts, w.putSize = w.puts[:0], 0
	return err
}

// replace declares what was left out and puts the file into the segment's place.
func (w *thinned) replace() error {
	c, s := w.chain, w.segment
	b := w.buffer
	if err := w.file.end(nil); err != nil {
		return fmt.Errorf("buffer: close %s: %w", w.path, err)
	}
	w.file = nil
	c.mu.Lock()
	if !c.unused(s) || s.unreadable > 0 || !slices.Equal(w.before, c.unreadIn(s.first, s.last)) {
		c.mu.Unlock()
		return errInUse
	}
	s.replaced = make(chan struct{})
	c.mu.Unlock()
	defer c.sweep()
	defer c.putBack(s)
	b.dropping.Lock()
	err := b.declareLosses(w.losses)
	b.dropping.Unlock()
	if err != nil {
		return fmt.Errorf("declare what thinning leaves out: %w", err)
	}
	if err := os.Rename(w.path, s.path); err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	if err := syncDir(c.dir); err != nil {
		c.log.Warn("buffer", "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range w.free {
		c.done.add(m.first, m.last)
	}
	c.space.settle(c.lane, s.size, 0)
	s.size, s.generation = w.size, w.generation
	c.thinned.Add(1)
	return nil
}
