package forward

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"
)

const (
	watchEvery = time.Second
	// Two connections to a broker, with TLS and a login, over a round trip of 600 ms.
	checkTimeout = 15 * time.Second
	checkEvery   = 15 * time.Second // while the link is down
	stalledAfter = 5 * time.Second
	// Backfill isn't stalled by a large record on a thin link.
	backfillStalledAfter = 30 * time.Second
)

// watch keeps the state of the lane's link until ctx ends. It asks the brokers at
// once, so that a wrong password is named and not waited for.
func (l *Lane) watch(ctx context.Context) {
	err := l.check(ctx)
	checked, warmed := time.Now(), time.Now()
	switch {
	case err == nil:
		l.link.confirm()
	case ctx.Err() == nil:
		l.link.set(Down, l.started, err)
	}
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		l.link.tell()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		l.tryAgain()
		if l.link.lane == Events && time.Since(warmed) > l.warmEvery {
			warmed = time.Now()
			l.warm(ctx)
		}
		link := l.link.Stats()
		since, asking := l.asking()
		stalled := asking && time.Since(since) > l.patience
		switch {
		case l.link.heldBack():
			l.forgive()
			l.link.set(Throttled, time.Now(), nil)
		case link.State == Down && l.acknowledgedAfter(link.Since), link.State != Down && !stalled:
			l.link.set(Up, time.Now(), nil)
		case link.State == Down && time.Since(checked) < checkEvery:
		default:
			err := l.check(ctx)
			checked = time.Now()
			if err == nil && stalled {
				err = cmp.Or(l.lastRefusal(), errNoAnswer)
			}
			if ctx.Err() != nil || l.acknowledgedAfter(since) {
				continue
			}
			if err != nil {
				l.link.set(Down, since, err)
			} else {
				l.link.set(Up, time.Now(), nil)
			}
		}
	}
}

// errNoAnswer is the cause where the brokers answer everything but what is sent.
var errNoAnswer = errors.New("the brokers answer, but acknowledge no record")

// check asks whether the lane's records would be taken.
func (l *Lane) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return l.sink.Check(ctx)
}

// warm keeps the lane's connection open while there is nothing to send.
func (l *Lane) warm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	l.sink.Warm(ctx)
}

// progress is what a lane's link is judged by.
type progress struct {
	mu        sync.Mutex
	preparing time.Time // since when the lane does what comes before sending; zero: it doesn't
	failing   time.Time // since when nothing is under way because of a refusal; zero: it isn't so
	acked     time.Time // the last acknowledgement
	refusal   error     // the last one since then
}

// acknowledged says that the log has acknowledged something.
func (p *progress) acknowledged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked = time.Now()
	p.failing, p.preparing, p.refusal = time.Time{}, time.Time{}, nil
}

// prepares says that something else has to be acknowledged before sending begins.
func (p *progress) prepares() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.preparing = time.Now()
}

// refused says that a record was, and reports whether the one before it was for
// the same reason.
func (p *progress) refused(err error) (again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again = p.refusal != nil && p.refusal.Error() == err.Error()
	p.refusal = err
	if p.failing.IsZero() {
		p.failing = time.Now()
	}
	return again
}

// forgive begins the time anew after which the lane is stalled.
func (p *progress) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked = time.Now()
}

func (p *progress) lastRefusal() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refusal
}

func (p *progress) acknowledgedAfter(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked.After(t)
}

// asking reports whether the lane waits for anything to be acknowledged, and
// since when nothing was.
func (l *Lane) asking() (since time.Time, asking bool) {
	var oldest time.Time
	if w := l.window.Load(); w != nil {
		oldest = w.size().oldest
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range []time.Time{oldest, l.failing, l.preparing} {
		if !t.IsZero() && (since.IsZero() || t.Before(since)) {
			since = t
		}
	}
	if since.IsZero() {
		return time.Now(), false
	}
	if l.acked.After(since) {
		since = l.acked
	}
	return since, true
}
