package gateway

import (
	"time"

	"github.com/busbar/busbar/gateway/buffer"
)

// captures are samples kept with alarms that wait to be sent. They share the events'
// lane, and nobody waits for them: they are let into it at such a rate that an alarm
// behind one isn't late on a line of 64 kbit/s.
type captures struct {
	waiting   []buffer.Item
	bytes     int
	dropped   uint64 // since the start, for want of room
	allowance int    // bytes that may be sent; below 0 after a large one
	counted   time.Time
}

const (
	captureRate     = 512     // B/s
	captureBurst    = 8 << 10 // B: a second of such a line
	mostCaptureWait = 2 << 20 // B
)

func (c *captures) add(i buffer.Item) {
	if c.bytes+len(i.Payload) > mostCaptureWait {
		c.dropped++
		return
	}
	c.waiting, c.bytes = append(c.waiting, i), c.bytes+len(i.Payload)
}

// release is what may be sent now; all of it at the end.
func (c *captures) release(now time.Time, ending bool) (items []buffer.Item) {
	if len(c.waiting) == 0 {
		return nil
	}
	since := now.Sub(c.counted)
	c.counted = now
	c.allowance += int(min(since, time.Hour).Seconds() * captureRate)
	c.allowance = min(c.allowance, captureBurst)
	for len(c.waiting) > 0 && (ending || c.allowance >= c.needed()) {
		size := len(c.waiting[0].Payload)
		items = append(items, c.waiting[0])
		c.waiting, c.bytes, c.allowance = c.waiting[1:], c.bytes-size, c.allowance-size
	}
	return items
}

// needed is the allowance that the next one goes with.
func (c *captures) needed() int { return min(captureBurst, len(c.waiting[0].Payload)) }

// due is how long until release has something.
func (c *captures) due() time.Duration {
	if len(c.waiting) == 0 {
		return time.Hour
	}
	return time.Duration(max(0, c.needed()-c.allowance)) * time.Second / captureRate
}
