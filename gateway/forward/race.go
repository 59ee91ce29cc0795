package forward

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/busbar/busbar/telemetry/record"
)

// race is a sink with two ways to the same topic. What the first way hasn't got
// acknowledged in time goes the second way as well, so that neither a lost segment,
// which holds up everything behind it for a second and more on a long line, nor a
// dead connection holds up an event. The log then has some messages twice.
//
// All that waits goes the second way at once and in order. So what a way carries
// comes behind everything before it that the log doesn't have yet, and messages
// come to the log in order, if each is taken when it comes first.
type race struct {
	first, second Sink
	// patience is how long an acknowledgement may take; false: nobody knows yet.
	patience func() (time.Duration, bool)

	order sync.Mutex // held while messages go the second way

	mu      sync.Mutex
	runners []*runner // that wait for an acknowledgement, in order
	asked   [2]int    // of each way, and not answered by it
	opened  bool      // the second way was used
	rest    time.Time // the second way isn't used before
	closed  bool
	timer   *time.Timer
}

// runner is a message on its way.
type runner struct {
	message record.Message
	done    func(error)
	sent    time.Time
	second  bool // it was sent the second way as well
	over    bool
}

const (
	// mostRaced is how many messages may wait for the second way to be used. When
	// there are more it is the line's rate that makes them wait, and its half would be
	// worse.
	mostRaced = 16
	// secondRest is how long a second way that has failed isn't used.
	secondRest = 5 * time.Second
)

func newRace(first, second Sink, patience func() (time.Duration, bool)) *race {
	r := &race{first: first, second: second, patience: patience}
	r.timer = time.AfterFunc(time.Hour, r.late)
	return r
}

// Produce sends the very first message both ways, which opens the second: when a
// message is late, a handshake would be too.
func (r *race) Produce(m record.Message, done func(error)) {
	n := &runner{message: m, done: done, sent: time.Now()}
	r.mu.Lock()
	r.runners = append(r.runners, n)
	r.asked[0]++
	r.schedule()
	open := !r.opened
	r.opened = true
	r.mu.Unlock()
	r.first.Produce(m, func(err error) { r.answered(n, 0, err) })
	if open {
		r.goSecond(func() bool { return true })
	}
}

// due is when something has to go the second way, if all stays as it is; mu is
// held.
func (r *race) due() (at time.Time, ever bool) {
	i := slices.IndexFunc(r.runners, func(n *runner) bool { return !n.second })
	patience, known := r.patience()
	// A way that answers nothing at all is given no more: what it has would grow.
	if i < 0 || !known || r.closed || len(r.runners) > mostRaced || max(r.asked[0], r.asked[1]) > mostEvents {
		return at, false
	}
	at = r.runners[i].sent.Add(patience)
	if at.Before(r.rest) {
		at = r.rest
	}
	return at, true
}

// schedule sets the timer; mu is held. It is called whenever anything has changed
// that due depends on, but for patience, which changes with an answer.
func (r *race) schedule() {
	if at, ever := r.due(); ever {
		r.timer.Reset(max(0, time.Until(at)))
	}
}

func (r *race) late() {
	r.goSecond(func() bool {
		at, ever := r.due()
		now := ever && !at.After(time.Now())
		if !now {
			r.schedule()
		}
		return now
	})
}

// goSecond sends everything that waits the second way, if it still has to when its
// turn has come, which is asked with mu held.
func (r *race) goSecond(has func() bool) {
	r.order.Lock()
	defer r.order.Unlock()
	var all []*runner
	r.mu.Lock()
	if !r.closed && has() {
		for _, n := range r.runners {
			if !n.second {
				n.second = true
				all = append(all, n)
				r.asked[1]++
			}
		}
	}
	r.mu.Unlock()
	for _, n := range all {
		r.second.Produce(n.message, func(err error) { r.answered(n, 1, err) })
	}
}

// answered is told what came of a message on one way. Its first success counts,
// and else what the first way says.
func (r *race) answered(n *runner, way int, err error) {
	r.mu.Lock()
	r.asked[way]--
	decided := !n.over && (err == nil || way == 0)
	if decided {
		n.over = true
		r.runners = slices.DeleteFunc(r.runners, func(other *runner) bool { return other == n })
	} else if err != nil && way == 1 {
		// What goes the second way later mustn't come without this.
		n.second = false
		r.rest = time.Now().Add(secondRest)
	}
	r.schedule()
	r.mu.Unlock()
	if decided {
		n.done(err)
	}
}

// Check asks the first way.
func (r *race) Check(ctx context.Context) error { return r.first.Check(ctx) }

// Warm keeps both ways open.
func (r *race) Warm(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { r.first.Warm(ctx) })
	both.Go(func() { r.second.Warm(ctx) })
	both.Wait()
}

// Close fails what is under way.
func (r *race) Close() {
	r.mu.Lock()
	r.closed = true
	r.timer.Stop()
	r.mu.Unlock()
	r.first.Close()
	r.second.Close()
}
