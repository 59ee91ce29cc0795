package controlling

import (
	"errors"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
)

// hold is how far what a station has told is kept, over a link that is to Hold.
type hold struct {
	told  uint64    // the number of the last message
	asked uint64    // up to which message the handler was asked to keep them
	since time.Time // when the first one came behind these that is to be kept; zero: none has

	lost    chan struct{} // closed when something isn't kept
	further chan struct{} // more is kept, for who leaves
	mu      sync.Mutex
	asks    []keeping // the oldest first
}

// keeping is that messages up to a number are being kept, or are behind others that are.
type keeping struct {
	number uint64
	kept   bool
}

// ErrUnkept ends a link of which something isn't kept: the station has no acknowledgement of
// it, and tells it again over the next one.
var ErrUnkept = errors.New("iec104: what the station has told can't be kept")

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
// else when that is, which is asked for now, or when w messages have come, or t2 is half over.
func (c *Client) keep(h Handler, now bool) error {
	config, s := c.conn.Config(), &c.hold
	switch {
	case !config.Hold:
		return nil
	case s.since.IsZero():
		if s.kept(s.asked) {
			c.conn.Release(s.told, now)
		}
		return nil
	case !now && s.told-s.asked < uint64(config.W) && time.Now().Before(c.keepBy()):
		return nil
	}
	number := s.told
	s.asked, s.since = number, time.Time{}
	s.mu.Lock()
	s.asks = append(s.asks, keeping{number: number})
	s.mu.Unlock()
	return h.Keep(func(kept bool) {
		if through := s.answer(number, kept); through > 0 {
			c.conn.Release(through, true)
			select {
			case s.further <- struct{}{}:
			default:
			}
		}
	})
}

// answer notes whether the messages up to a number are kept, and returns up to which one all
// are; 0: no more than before. Behind one that isn't none is, ever.
func (s *hold) answer(number uint64, kept bool) (through uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !kept {
		select {
		case <-s.lost:
		default:
			close(s.lost)
		}
		return 0
	}
	for i := range s.asks {
		if s.asks[i].number == number {
			s.asks[i].kept = true
		}
	}
	for len(s.asks) > 0 && s.asks[0].kept {
		through = s.asks[0].number
		s.asks = s.asks[1:]
	}
	return through
}

// kept reports whether all that the handler was asked for is, up to a number.
func (s *hold) kept(through uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asks) == 0 || s.asks[0].number > through
}
