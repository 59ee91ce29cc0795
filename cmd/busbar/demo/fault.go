package demo

import (
	"context"
	"fmt"
	"time"
)

const (
	faultAfter = 20 * time.Second
	faultFor   = 20 * time.Second
	faultEvery = 90 * time.Second // while nobody has said how long
	faultTimes = 40               // then
)

// tellFaults has feeder-2's first cable fail and be repaired, as people do it, when the
// meters are read: once in what is left of a story with an end.
func (s *story) tellFaults(ctx context.Context) {
	after, lasts, times := faultAfter, faultFor, faultTimes
	if s.options.For > 0 {
		third := (s.options.For - time.Since(s.began)) / 3
		after, lasts, times = min(after, third), min(lasts, third), 1
	}
	for i := range times {
		id := fmt.Sprintf("%s-%d", cable, i+1)
		if !pause(ctx, after) {
			return
		}
		s.act(ctx, "fault", cable, "--id", id)
		if !pause(ctx, lasts) {
			return
		}
		s.act(ctx, "repair", id, "--close")
		after = faultEvery - lasts
	}
}

// act does something to the simulated grid.
func (s *story) act(ctx context.Context, args ...string) {
	t := tools{s.setup.Dir, s.options.Programs}
	if _, err := t.call(ctx, "busbar-sim", append(args, "--at", s.options.Grid)...); err != nil && ctx.Err() == nil {
		s.say("nothing happens in the field: %v", err)
	}
}

// pause lets time pass; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
