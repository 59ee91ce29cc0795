package session

import (
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/adapters"
)

type counters struct {
	polls, failed, timeouts, missed, late, values, delivered atomic.Uint64
	lastAnswer                                               atomic.Int64 // µs since 1970, 0 before the first
}

func (c *counters) read(device string) adapters.DeviceStats {
	// A poll counts before it counts as failed, so that read in this order
	// there are never more failed polls than polls.
	timeouts := c.timeouts.Load()
	failed := c.failed.Load()
	d := adapters.DeviceStats{
		Device: device, Polls: c.polls.Load(), Failed: failed, Timeouts: timeouts,
		Missed: c.missed.Load(), Late: c.late.Load(), Values: c.values.Load(), Delivered: c.delivered.Load(),
	}
	if at := c.lastAnswer.Load(); at != 0 {
		d.LastAnswer = time.UnixMicro(at)
	}
	return d
}
