package forward

import (
	"context"
	"slices"
	"sync"
	"time"
)

// window is what a lane has under way. None is begun after the first failure, so
// that what fails is sent again before what comes behind it.
type window struct {
	fail    context.CancelCauseFunc
	changed chan struct{} // holds one when something has left since it was read last

	mu     sync.Mutex
	flight []*flight // in the order in which they were sent
	bytes  int
	failed bool
	acked  int
}

// flight is a record on its way.
type flight struct {
	sent  time.Time
	bytes int
}

func newWindow(fail context.CancelCauseFunc) *window {
	return &window{fail: fail, changed: make(chan struct{}, 1)}
}

// size is what is under way: how many records, of how many bytes, and when the
// oldest was sent.
type size struct {
	records, bytes int
	oldest         time.Time // zero if there are none
}

func (w *window) size() size {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := size{records: len(w.flight), bytes: w.bytes}
	if s.records > 0 {
		s.oldest = w.flight[0].sent
	}
	return s
}

// await returns when fits says that the window's size fits, or with ctx's error.
// It asks again whenever something has left the window.
func (w *window) await(ctx context.Context, fits func(size) bool) error {
	for !fits(w.size()) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.changed:
		}
	}
	return ctx.Err()
}

// empty returns when nothing is under way, whatever becomes of it.
func (w *window) empty() {
	w.await(context.Background(), func(s size) bool { return s.records == 0 })
}

func (w *window) add(bytes int) *flight {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &flight{time.Now(), bytes}
	w.flight = append(w.flight, f)
	w.bytes += bytes
	return f
}

// judge says whether a record and all before it were acknowledged.
func (w *window) judge(err error) (acknowledged bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.failed:
	case err != nil:
		w.failed = true
		w.fail(err)
	default:
		w.acked++
		return true
	}
	return false
}

// remove ends a record's stay, once all that follows from it is done.
func (w *window) remove(f *flight) {
	w.mu.Lock()
	if i := slices.Index(w.flight, f); i >= 0 {
		w.flight = slices.Delete(w.flight, i, i+1)
	}
	w.bytes -= f.bytes
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}
