package buffer

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// makeRoom gives up what costs least, so that the chain can commit. On a full disk,
// and where telemetry has more than its share, it goes before events.
func (b *Buffer) makeRoom(c *Chain, reason telemetry.LossReason) (dropped bool, err error) {
	b.dropping.Lock()
	defer b.dropping.Unlock()
	if reason == telemetry.LostDiskFull && b.bears(c, time.Now()) {
		return false, nil
	}
	if c == b.Events && (reason == telemetry.LostDiskFull || b.space.tooMuchTelemetry()) {
		if dropped, err := b.drop(b.Telemetry, reason); dropped {
			return true, err
		}
	}
	return b.drop(c, reason)
}

// A full disk is borne for a while before accepted records are given up for it:
// whoever filled it may make room again. An alarm can't wait as long.
const (
	samplesBear = time.Minute
	eventsBear  = 5 * time.Second
	// One that wasn't met for so long is another one.
	fullDiskForgotten = 30 * time.Second
)

// bears reports whether a commit to the chain that meets a full disk should fail,
// to be tried again later, rather than give something up.
func (b *Buffer) bears(c *Chain, now time.Time) bool {
	if now.Sub(b.fullMet) > fullDiskForgotten {
		b.fullSince = now
	}
	b.fullMet = now
	if b.pressed != nil && b.pressed() {
		return false
	}
	if c == b.Events {
		return now.Sub(b.fullSince) < eventsBear
	}
	return now.Sub(b.fullSince) < samplesBear
}

// drop gives up the segment that costs least: the one that was thinned most, then
// the oldest; one that is handed out or being written only if there is no other.
// What goes unacknowledged with it is declared before, or as soon as there is room
// for that. It reports whether there was one.
func (b *Buffer) drop(c *Chain, reason telemetry.LossReason) (dropped bool, err error) {
	s, err := c.takeVictim()
	if s == nil {
		return false, err
	}
	defer func() {
		c.putBack(s)
		if cause := c.sweep(); cause != nil && c.stays(s) { // it made no room, nor would the next one
			dropped, err = false, errors.Join(err, cause)
		}
	}()
	losses, damage := c.unacknowledged(s, b.table, b.now(), reason)
	if damage != nil && !errors.Is(damage, errDamaged) && !errors.Is(damage, os.ErrNotExist) {
		return false, damage
	}
	err = b.declareLosses(losses)
	if !told(err) && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, errNoRoom) {
		return false, err
	}
	if !told(err) {
		b.undeclared = append(b.undeclared, losses...)
	}
	c.mu.Lock()
	if damage != nil && s.unreadable == 0 {
		s.unreadable, s.cause = s.first, damage
	}
	s.dropped = true
	c.done.add(s.first, s.last)
	c.mu.Unlock()
	c.dropped.Add(1)
	b.log.Warn("the oldest records were given up to make room", "stream", c.stream, "reason", reason, "path", s.path)
	return true, nil
}

// declareLate declares what was given up while the disk was too full to declare it.
func (b *Buffer) declareLate() error {
	if !b.dropping.TryLock() { // something is being given up: the next time
		return nil
	}
	defer b.dropping.Unlock()
	late := b.undeclared
	if len(late) == 0 {
		return nil
	}
	err := b.declareLosses(late)
	if told(err) {
		b.undeclared = nil
		return nil
	}
	return err
}

// declareLosses declares while b.dropping is held. The commit that does it may take
// the events' last room, and gives nothing up itself.
func (b *Buffer) declareLosses(losses []telemetry.Loss) error {
	if len(losses) == 0 {
		return nil
	}
	b.Events.declaring.Store(true)
	defer b.Events.declaring.Store(false)
	return b.declare(losses)
}

// takeVictim chooses the segment to be given up and keeps readers from it.
func (c *Chain) takeVictim() (*segment, error) {
	c.commits.Lock()
	defer c.commits.Unlock()
	c.mu.Lock()
	if len(c.segments) == 1 && c.segments[0].replaced == nil {
		c.mu.Unlock()
		if err := c.begin(); err != nil { // so that the state stays
			if c.lane == eventsLane {
				return nil, err
			}
			c.abandon(nil) // it is in memory, and written with the next segment
		}
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	var candidates []*segment
	for i, s := range c.segments {
		if last := i == len(c.segments)-1; s.replaced == nil && (!last || i == 0 && c.writing == nil && c.lane == telemetryLane && s.last >= s.first) {
			candidates = append(candidates, s)
		}
	}
	if len(candidates) == 0 {
		return nil, nil
	}
	s := slices.MinFunc(candidates, func(x, y *segment) int {
		return cmp.Or(boolean(c.isOut(x))-boolean(c.isOut(y)), cmp.Compare(y.generation, x.generation), cmp.Compare(x.first, y.first))
	})
	s.replaced = make(chan struct{})
	return s, nil
}

// stays reports whether a segment's file is still to be removed.
func (c *Chain) stays(s *segment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.leaving, s)
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// putBack lets readers at a segment again, or removes it if nothing in it is
// wanted.
func (c *Chain) putBack(s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(s.replaced)
	s.replaced = nil
	c.retire()
}

// unacknowledged counts what would be lost with the segment.
func (c *Chain) unacknowledged(s *segment, table *Table, now telemetry.Micros, reason telemetry.LossReason) (losses []telemetry.Loss, err error) {
	c.mu.Lock()
	wanted := c.done.without(s.first, s.last)
	c.mu.Unlock()
	count := newTally(table, now)
	var loss telemetry.Loss
	end := func() {
		if loss.Epoch == "" {
			return
		}
		if c.stream != record.Telemetry {
			count.partial = true
		}
		// Where thinning has left nothing, all of it was declared then; a loss without
		// counts would mean that nobody knows how much it was.
		if !count.empty() {
			losses = append(losses, count.losses(loss)...)
		}
		count, loss = newTally(table, now), telemetry.Loss{}
	}
	err = c.withSegment(s, func(db *bolt.DB) error {
		for _, w := range wanted {
			err := scan(db, w.first, w.last, func(e Entry) bool {
				if !e.readable() {
					count.partial = true
					return true
				}
				id := e.Record.Identity
				if loss.Epoch != id.Epoch.String() || loss.SeqLast+1 != id.First {
					end()
					loss = telemetry.Loss{Epoch: id.Epoch.String(), Stream: string(id.Stream), SeqFirst: id.First, Reason: reason}
				}
				loss.SeqLast = id.Last
				if c.stream == record.Telemetry {
					count.addRecord(e.Record)
				}
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	end()
	return losses, err
}
