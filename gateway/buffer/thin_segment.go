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

// relieve thins one segment. It reports whether it may go on.
func (b *Buffer) relieve(ctx context.Context) bool {
	s := b.Telemetry.thinnable()
	if s == nil {
		return false
	}
	err := b.thin(ctx, s)
	if errors.Is(err, errInUse) {
		return true // another one
	}
	if err != nil && ctx.Err() == nil {
		b.log.Warn("a segment can't be thinned", "path", s.path, "error", err)
	}
	return err == nil
}

// thinnable is the complete segment that was thinned least, and of those the
// oldest, which nobody uses. One whose thinning failed of late isn't tried again
// yet, so that it doesn't keep the others from their turn.
func (c *Chain) thinnable() *segment {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *segment
	for _, s := range c.segments[:max(1, len(c.segments))-1] {
		if !c.unused(s) || s.unreadable > 0 || max(s.generation, s.tried) >= statesOnly || now.Before(s.resting) {
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
	if err == nil {
		return nil
	}
	os.Remove(w.path)
	c.space.settle(c.lane, w.size, 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, errNoGain):
		s.tried = max(s.tried, w.generation)
		return nil
	case !slices.Contains(c.segments, s): // all of it was acknowledged meanwhile
		return errInUse
	case !errors.Is(err, errInUse) && ctx.Err() == nil:
		s.resting = time.Now().Add(thinAgain)
	}
	return err
}

// thinAgain is how long a segment rests whose thinning failed. What it failed of may
// pass, so the same is tried again and not the next generation, which costs more.
const thinAgain = time.Minute

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

	before ranges    // positions that it replaces
	free   ranges    // those of them that it doesn't use
	puts   []putting // to be written
	values []byte    // theirs, one behind the other
	block  []byte    // the memory of the newest one

	current record.Record // what is being gathered; without a gateway if nothing is
	loss    telemetry.Loss
	table   telemetry.TableRef
	samples []telemetry.Sample
}

type putting struct {
	position Position
	value    []byte
}

// A thinned record has about so many samples, and a transaction so many bytes:
// what is in hand at a time is what thinning takes of the memory.
const (
	thinnedSamples = commitSamples
	thinnedWrite   = 64 << 10
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
	w.samples = make([]telemetry.Sample, 0, thinnedSamples+thinnedSamples/2)
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

// declarationTries bounds how long thinning waits for the declaration to be on disk.
// Where that takes longer, more is declared as thinned than was.
const declarationTries = 5

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
	for tries := 0; errors.Is(err, ErrHeld) && tries < declarationTries; tries++ {
		// It will be told, so it should come true; but not before it is on disk.
		time.Sleep(retryHeld)
		if committed := b.Events.CommitHeld(); committed == nil {
			err = nil
		}
	}
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
