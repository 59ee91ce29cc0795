package controlling

import (
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

// procedure is what a station is asked for again and again, and how far that is. It knows
// no clock: times are handed in.
type procedure struct {
	header asdu.Header
	every  time.Duration // 0: when a link is started, and when the station says that it has been
	// whole is that the station says when it has told all.
	whole bool

	due      time.Time // zero: not
	phase    phase
	deadline time.Time
	tries    int
	objects  int // that came as an answer
}

type phase uint8

const (
	idle      phase = iota
	asked           // and not confirmed
	confirmed       // and not terminated
)

// Ending is how a procedure has ended.
type Ending uint8

const (
	Complete   Ending = iota
	Incomplete        // it was begun and not ended
	Unanswered
	Refused
)

var endings = [...]string{"complete", "incomplete", "unanswered", "refused"}

func (e Ending) String() string { return endings[e] }

// mostTries is how often in a row it is asked for.
const mostTries = 3

// retryAfter is when it is tried again after that, unless its period is shorter.
const retryAfter = time.Minute

// begin notes that it has been asked for.
func (p *procedure) begin(now time.Time, within time.Duration) {
	p.phase, p.deadline, p.due = asked, now.Add(within), time.Time{}
	p.tries++
	p.objects = 0
}

// end plans the next time.
func (p *procedure) end(now time.Time, e Ending) Ending {
	p.phase, p.tries = idle, 0
	switch {
	case p.every > 0:
		p.due = now.Add(p.every)
	}
	if soon := now.Add(retryAfter); (e == Incomplete || e == Unanswered) && (p.due.IsZero() || p.due.After(soon)) {
		p.due = soon
	}
	return e
}

// answer takes what the station says of it. ended is false while it goes on.
func (p *procedure) answer(h asdu.Header, now time.Time, within time.Duration) (e Ending, ended bool) {
	switch {
	case p.phase == idle:
	case h.Cause.Rejects(), h.Negative:
		return p.end(now, Refused), true
	case h.Cause == asdu.ActivationCon && p.whole:
		p.phase, p.deadline = confirmed, now.Add(within)
	case h.Cause == asdu.ActivationCon, h.Cause == asdu.ActivationTermin:
		return p.end(now, Complete), true
	}
	return 0, false
}

// progress notes objects that came as its answer.
func (p *procedure) progress(n int, now time.Time, within time.Duration) {
	if p.phase != idle {
		p.objects += n
		p.deadline = now.Add(within)
	}
}

// late says what becomes of it at its deadline: again, or it has ended.
func (p *procedure) late(now time.Time) (e Ending, ended bool) {
	e = Unanswered
	if p.phase == confirmed || p.objects > 0 {
		e = Incomplete
	}
	if p.tries < mostTries {
		p.phase, p.due = idle, now
		return e, false
	}
	return p.end(now, e), true
}
