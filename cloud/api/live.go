package api

import (
	"sync"

	"github.com/busbar/busbar/telemetry"
)

// Live passes the newest sample of each series on to those who watch. A watcher
// that is slow gets fewer values, each the newest, and delays nobody.
type Live struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

func NewLive() *Live { return &Live{watchers: map[*watcher]struct{}{}} }

// watcher gathers what its connection hasn't sent yet.
type watcher struct {
	mu      sync.Mutex
	pending map[telemetry.SignalID]telemetry.Sample
}

// Publish hands out samples, whose Signal is their series. It keeps nothing of
// the slice.
func (l *Live) Publish(newest []telemetry.Sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.watchers {
		w.add(newest)
	}
}

// Watched reports whether anybody does.
func (l *Live) Watched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.watchers) > 0
}

func (l *Live) watch() (w *watcher, stop func()) {
	w = &watcher{pending: map[telemetry.SignalID]telemetry.Sample{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers[w] = struct{}{}
	return w, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, w)
	}
}

func (w *watcher) add(newest []telemetry.Sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range newest {
		w.pending[s.Signal] = s
	}
}

func (w *watcher) take() map[telemetry.SignalID]telemetry.Sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.pending
	w.pending = map[telemetry.SignalID]telemetry.Sample{}
	return taken
}
