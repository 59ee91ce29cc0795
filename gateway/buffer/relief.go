package buffer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// errMakingRoom is what a commit fails with, beside the reason, while something is
// being given up for it.
var errMakingRoom = errors.New("room is being made")

// relief gives up what is oldest beside the commits that need the room. To count
// what is lost with a segment means to decode it, for seconds on a small machine,
// and an alarm must not wait for that: the commit fails, what it would have written
// stays in memory, and is tried again when there is room.
type relief struct {
	wake chan struct{}

	mu      sync.Mutex
	running bool                    // else whoever needs room makes it
	asked   [2]telemetry.LossReason // by lane; empty: nobody has
	stuck   [2]error                // why asking made no room the last time
	made    func()                  // is called when there is room again
}

// errNothingGivenUp is why there is no room although nothing failed.
var errNothingGivenUp = errors.New("nothing is given up for it yet")

// askForRoom is makeRoom, or leaves that to relieve where that is running.
func (b *Buffer) askForRoom(c *Chain, reason telemetry.LossReason) (made bool, err error) {
	r := &b.relief
	r.mu.Lock()
	running := r.running
	if running {
		r.asked[c.lane] = reason
		if err = r.stuck[c.lane]; err == nil {
			err = errMakingRoom
		}
	}
	r.mu.Unlock()
	if !running {
		return b.makeRoom(c, reason)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return false, err
}

// giveUp gives up what is asked for until ctx ends, and telemetry ahead of the
// commits that would have to ask, where thinning doesn't keep up.
func (b *Buffer) giveUp(ctx context.Context) {
	b.relief.run(true)
	defer b.relief.run(false)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.relief.wake:
		case <-ticker.C:
			b.giveUpAhead()
		}
		for _, c := range []*Chain{b.Events, b.Telemetry} {
			if reason := b.relief.take(c.lane); reason != "" && ctx.Err() == nil {
				b.relief.note(c.lane, b.tryToMakeRoom(c, reason))
			}
		}
	}
}

// giveUpAhead gives up telemetry that has nearly used up its share, or, where
// nothing can be thinned any more, that of the disk.
func (b *Buffer) giveUpAhead() {
	u := b.space.usage()
	switch {
	case float64(u.telemetry) >= dropFrom*float64(u.share):
		b.giveUpFor(telemetry.LostBufferFull)
	case b.fullness() >= dropFrom && b.Telemetry.thinnable() == nil:
		b.giveUpFor(telemetry.LostDiskFull)
	}
}

// giveUpFor makes room for telemetry before it is asked for.
func (b *Buffer) giveUpFor(reason telemetry.LossReason) {
	if b.tryToMakeRoom(b.Telemetry, reason) == nil {
		b.relief.note(telemetryLane, nil)
	}
}

// tryToMakeRoom says why it couldn't.
func (b *Buffer) tryToMakeRoom(c *Chain, reason telemetry.LossReason) error {
	dropped, err := b.makeRoom(c, reason)
	if err != nil {
		b.log.Warn("buffer: make room", "stream", c.stream, "error", err)
	}
	if !dropped && err == nil {
		err = errNothingGivenUp
	}
	return err
}

func (r *relief) run(running bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = running
	r.asked, r.stuck = [2]telemetry.LossReason{}, [2]error{}
}

func (r *relief) take(l lane) (reason telemetry.LossReason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reason, r.asked[l] = r.asked[l], ""
	return reason
}

func (r *relief) note(l lane, err error) {
	r.mu.Lock()
	r.stuck[l] = err
	made := r.made
	r.mu.Unlock()
	if err == nil && made != nil {
		made()
	}
}
