package live

import "github.com/busbar/busbar/sim/world"

// Change is something that has happened. Numbers have no holes.
type Change struct {
	Number uint64
	// What it is, but for the service points whose supply has changed; nil if only values
	// have changed: voltages, currents, powers.
	Event *world.Event
	// How many service points have lost their supply by it, and have it again.
	Lost, Back int
}

// kept is how many changes can be asked for afterwards. What one takes doesn't depend on the
// size of the grid.
const kept = 4096

func changeOf(e world.Event) Change {
	var c Change
	for _, x := range e.Supply {
		switch was, is := x.From.Live() != 0, x.To.Live() != 0; {
		case was && !is:
			c.Lost++
		case is && !was:
			c.Back++
		}
	}
	e.Supply = nil
	c.Event = &e
	return c
}

// changes is the latest of them.
type changes struct {
	first uint64 // the number of list[0]
	list  []Change
	more  chan struct{} // is closed when there are more
}

func (c *changes) add(events []world.Event, values bool) {
	if len(events) == 0 && !values {
		return
	}
	add := func(x Change) {
		x.Number = c.first + uint64(len(c.list))
		c.list = append(c.list, x)
	}
	for _, e := range events {
		add(changeOf(e))
	}
	if values {
		add(Change{})
	}
	if over := len(c.list) - kept; over > kept { // seldom, as all that are kept move
		c.list = append(c.list[:0:0], c.list[over:]...)
		c.first += uint64(over)
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
