package controlled

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// mostGuests is how many connections there are at most.
const mostGuests = 100

// guest is a connection. It has proved to be a master's while the transfer is started: by then
// its certificate has been checked, too.
type guest struct {
	conn    net.Conn
	from    netip.Addr
	started atomic.Bool
}

// guests are the connections, the oldest first. Whoever opens many takes the room from
// himself, so that others still get in.
type guests struct {
	mu   sync.Mutex
	list []*guest
}

// admit takes a connection. If there are too many, other is one that has to be closed for it:
// of those that aren't started, the oldest from where most come from. If all are, it isn't
// taken, and g is nil.
func (s *guests) admit(c net.Conn) (g *guest, other net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g = &guest{conn: c}
	if at, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		g.from = at.Addr().Unmap()
	}
	if len(s.list) >= mostGuests {
		i := s.victim()
		if i < 0 {
			return nil, nil
		}
		other = s.list[i].conn
		s.list = slices.Delete(s.list, i, i+1)
	}
	s.list = append(s.list, g)
	return g, other
}

func (s *guests) victim() int {
	strangers := map[netip.Addr]int{}
	for _, g := range s.list {
		if !g.started.Load() {
			strangers[g.from]++
		}
	}
	chosen, most := -1, 0
	for i, g := range s.list {
		if n := strangers[g.from]; !g.started.Load() && n > most {
			chosen, most = i, n
		}
	}
	return chosen
}

func (s *guests) leave(g *guest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(other *guest) bool { return other == g })
}
