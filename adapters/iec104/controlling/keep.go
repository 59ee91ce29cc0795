package controlling

import (
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
)

// hold is how far what a station has told is kept, over a link that is to Hold.
type hold struct {
	told    uint64    // the number of the last message
	asked   uint64    // up to which message the handler was asked to keep them
	since   time.Time // when the first one came behind these that is to be kept; zero: none has
	keeping atomic.Int32
}

// holdBack notes a message, and whether it is to be kept.
func (c *Client) holdBack(m link.Message, a *asdu.ASDU, err error) {
	c.hold.told = m.Number
	if err == nil && c.hold.since.IsZero() && c.config.Keep != nil && c.config.Keep(a) {
		c.hold.since = m.Received
	}
}

// keepBy is when what is to be kept has to be asked for: then half of t2 is left for it.
func (c *Client) keepBy() time.Time {
	if c.hold.since.IsZero() || !c.conn.Config().Hold {
		return time.Time{}
	}
	return c.hold.since.Add(c.conn.Config().T2 / 2)
}

// keep has the station get its acknowledgements: at once if there is nothing to be kept, and
// else when that is, which is asked for when w messages have come, or t2 is half over.
func (c *Client) keep(h Handler) error {
	config, s := c.conn.Config(), &c.hold
	switch {
	case !config.Hold:
		return nil
	case s.since.IsZero():
		if s.keeping.Load() == 0 {
			c.conn.Release(s.told, false)
		}
		return nil
	case s.told-s.asked < uint64(config.W) && time.Now().Before(c.keepBy()):
		return nil
	}
	number := s.told
	s.asked, s.since = number, time.Time{}
	s.keeping.Add(1)
	return h.Keep(func(kept bool) {
		s.keeping.Add(-1)
		if kept {
			c.conn.Release(number, true)
		}
	})
}
