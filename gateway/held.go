package gateway

import (
	"errors"
	"slices"

	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// held is how far the records that waited for the time are accounted for. They are
// counted in the chain's order, from the records themselves, and only then sent: what
// the log has is in an account on disk, in the quarter-hour that it has it in. The
// position is committed with the counts, so none is counted twice or not at all. It
// is guarded by the accounts' mutex.
type held struct {
	through  buffer.Position // everything up to it is counted
	stated   buffer.Position // the same in the state that State returned last
	sendable buffer.Position // in the state that is on disk

	some   bool   // behind through, records may wait that are committed
	coming bool   // samples that wait are about to be committed
	polls  bool   // beside some of either there may be polls
	rounds uint64 // commits of samples that wait
	stuck  bool   // at a record that isn't ready
	ripe   uint64 // what Clock.Ripened said then

	failing bool
}

// start goes on behind position through, in a chain with end.
func (h *held) start(through, end buffer.Position) {
	*h = held{through: through, stated: through, sendable: through, some: through < end, polls: through < end}
}

// note is told of what is about to be committed.
func (h *held) note(samples []telemetry.Sample, slots []account.Slot) {
	h.coming = h.coming || slices.ContainsFunc(samples, func(s telemetry.Sample) bool { return s.Quality.TimeQuality() == telemetry.SinceBoot })
	h.polls = h.polls || slices.ContainsFunc(slots, func(s account.Slot) bool { return s.SinceBoot })
}

// state is called for each state that is about to be committed behind end.
func (h *held) state(end buffer.Position) {
	if !h.some {
		h.through = end
	}
	h.stated = h.through
}

// committed says that what state was called for is on disk.
func (h *held) committed() {
	h.sendable = h.stated
	if h.coming {
		h.some, h.coming = true, false
		h.rounds++
	}
}

// countHeld counts the records that waited and are ready by now.
func (a *accounts) countHeld() {
	a.mu.Lock()
	ripe := a.clock.Ripened()
	idle := !a.held.some || a.held.stuck && a.held.ripe == ripe
	rounds, after := a.held.rounds, a.held.through
	a.mu.Unlock()
	if idle {
		return
	}
	reader := a.telemetry.Reader()
	defer reader.Close()
	end := a.telemetry.End()
	stuck, polls := false, false
	for after < end {
		entries, err := reader.Read(after, end, 1<<20)
		if err != nil {
			a.failed(err)
			return
		}
		if len(entries) == 0 {
			break
		}
		for i := range entries {
			e := &entries[i]
			after = e.Position
			if !record.IsHeld(e.Record.Format) {
				continue
			}
			if !stuck {
				counted, err := a.countRecord(e)
				if err != nil {
					a.failed(err)
					return
				}
				stuck = !counted
			}
			if stuck {
				_, text, _, err := record.CutHeld(e.Record.Format, e.Record.Payload)
				polls = polls || err == nil && account.Polls(text)
			}
		}
		if !stuck {
			a.passed(after)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held.stuck, a.held.ripe, a.held.failing = stuck, ripe, false
	if !stuck {
		a.held.through = max(a.held.through, end)
	}
	if a.held.rounds == rounds {
		a.held.some = stuck
		a.held.polls = a.held.polls && (a.held.coming || polls)
	}
}

// passed says that everything up to position p is counted.
func (a *accounts) passed(p buffer.Position) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held.through = max(a.held.through, p)
}

// countRecord counts one record that waited, and reports whether it was ready.
func (a *accounts) countRecord(e *buffer.Entry) (counted bool, err error) {
	placed, ready, err := a.clock.Place(&e.Record)
	switch {
	case errors.Is(err, clock.ErrUnreadable):
		a.passed(e.Position) // nobody can count it
		return true, nil
	case err != nil || !ready:
		return false, err
	}
	known := a.clock.Stats().State != telemetry.ClockUnset
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Position <= a.held.through {
		return true, nil
	}
	if err := a.ledger.CountHeld(a.clock.Now(), e.Record.Epoch, placed.Samples, placed.Polls, placed.Began, known); err != nil {
		a.log.Error("polls that waited for the time are in no account", "seq", e.Record.First, "error", err)
	}
	a.held.through = e.Position
	return true, nil
}

func (a *accounts) failed(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.held.failing {
		a.log.Error("samples that waited for the time can't be counted; it is tried again", "error", err)
	}
	a.held.failing = true
}

// sendable reports whether the record at position p, which had waited, is in an
// account that is on disk.
func (a *accounts) sendable(p buffer.Position) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return p <= a.held.sendable
}

// ripened has changed if a record that wasn't sendable may be so now.
func (a *accounts) ripened() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return uint64(a.held.sendable)
}
