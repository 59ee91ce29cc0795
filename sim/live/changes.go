package live

import "github.com/busbar/busbar/sim/world"

// Change is something that has happened. Numbers have no holes.
type Change struct {
	Number uint64
	// What it is; nil if only values have changed: voltages, currents, powers.
	Event *world.Event
}

// kept is how many changes can be asked for afterwards.
const kept = 4096

// changes is the latest of them.
type changes struct {
	first uint64 // the number of list[0]
	list  []Change
	more  chan struct{} // is closed when there are more
}

func (c *changes) add(events []world.Event, values bool) {
	for i := range events {
		c.list = append(c.list, Change{Event: &events[i]})
	}
	if values {
		c.list = append(c.list, Change{})
	}
	if len(events) == 0 && !values {
		return
	}
	if over := len(c.list) - kept; over > 0 {
		c.list = append(c.list[:0:0], c.list[over:]...)
		c.first += uint64(over)
	}
	for i := range c.list {
		c.list[i].Number = c.first + uint64(i)
	}
	close(c.more)
	c.more = make(chan struct{})
}

// Changes is what has happened since the change with a number, from it on, and the number
// to ask for next. more is closed when there are some of that number. If the first
// that is returned has a higher number than was asked for, what was between is
// forgotten, and everything has to be looked at. Nobody who is slow delays the grid.
//
//	for next := l.Next(); ; {
//		changes, n, more := l.Changes(next)
//		…
//		next = n
//		<-more
//	}
func (l *Live) Changes(since uint64) (list []Change, next uint64, more <-chan struct{}) {
	l.read.RLock()
	defer l.read.RUnlock()
	c := &l.changes
	next = c.first + uint64(len(c.list))
	if since < next {
		list = append(list, c.list[max(since, c.first)-c.first:]...)
	}
	return list, next, c.more
}

// Next is the number that the next change will have.
func (l *Live) Next() uint64 {
	l.read.RLock()
	defer l.read.RUnlock()
	return l.changes.first + uint64(len(l.changes.list))
}
