package buffer

import (
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry"
)

// declareMissing enters into the ledger what nobody can read, once.
func (c *Chain) declareMissing(declare func([]telemetry.Loss) error) error {
	c.mu.Lock()
	missing := slices.Clone(c.missing)
	c.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	for _, m := range missing {
		if losses := c.lossOf(m); len(losses) > 0 {
			if err := declare(losses); !told(err) {
				return err
			}
		}
		c.mu.Lock()
		c.done.add(m.first, m.last)
		c.missing = slices.DeleteFunc(c.missing, func(s span) bool { return c.done.has(s.first, s.last) })
		c.retire()
		c.mu.Unlock()
	}
	return c.sweep()
}

// lossOf finds out which sequence numbers were at the missing positions, from
// what is around them. Where that can't be told, the ledger shows a hole without
// a reason.
func (c *Chain) lossOf(m span) (losses []telemetry.Loss) {
	c.mu.Lock()
	segments := slices.Clone(c.segments)
	c.mu.Unlock()
	add := func(from, to edge) {
		if from.known && to.known && from.epoch == to.epoch && from.seq < to.seq {
			losses = append(losses, telemetry.Loss{
				Epoch: from.epoch.String(), Stream: string(c.stream),
				SeqFirst: from.seq, SeqLast: to.seq - 1, Reason: telemetry.LostUnreadable,
			})
		}
	}
	for i, s := range segments {
		var before, behind *segment
		if i > 0 {
			before = segments[i-1]
		}
		if i+1 < len(segments) {
			behind = segments[i+1]
		}
		if m.first < s.first && (before == nil || m.last > before.last) && m.last >= s.first-1 {
			// A file is gone between the two.
			from, to := c.lastOf(before), c.startOf(s)
			if s.before.known && (!from.known || from.epoch != to.epoch) {
				from = s.before
			}
			add(from, to)
		}
		if m.last < s.first || m.first > s.last {
			continue
		}
		from, to := c.nearest(s, min(m.first, s.last+1)-1, -1), c.nearest(s, max(m.last, s.first-1)+1, 1)
		if !from.known {
			from = s.start
		}
		if !from.known {
			from = c.endOf(before)
		}
		if !to.known {
			to = s.end
		}
		if !to.known {
			to = c.startOf(behind)
		}
		add(from, to)
	}
	return losses
}

func (c *Chain) startOf(s *segment) edge {
	switch {
	case s == nil:
		return edge{}
	case s.start.known:
		return s.start
	}
	return c.nearest(s, s.first, 1)
}

// lastOf is where the numbers end that the segment's file has.
func (c *Chain) lastOf(s *segment) (found edge) {
	if s == nil {
		return edge{}
	}
	if s.last < s.first {
		found = s.start
	}
	c.withSegment(s, func(db *bolt.DB) error {
		return scan(db, s.last, s.last, func(e Entry) bool {
			if e.readable() {
				found = edge{e.Record.Epoch, e.Record.Last + 1, true}
			}
			return false
		})
	})
	if !found.known {
		return c.endOf(s)
	}
	return found
}

func (c *Chain) endOf(s *segment) edge {
	switch {
	case s == nil:
		return edge{}
	case s.end.known:
		return s.end
	}
	return c.nearest(s, s.last, -1)
}

// nearest finds the first record of the segment that can be read, from position p
// on in the direction of step, and returns the edge of it that it meets first.
func (c *Chain) nearest(s *segment, p Position, step int) (found edge) {
	c.withSegment(s, func(db *bolt.DB) error {
		for ; p >= s.first && p <= s.last && !found.known; p += Position(step) {
			err := scan(db, p, p, func(e Entry) bool {
				if !e.readable() {
					return false
				}
				found = edge{e.Record.Epoch, e.Record.First, true}
				if step < 0 {
					found.seq = e.Record.Last + 1
				}
				return false
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return found
}
