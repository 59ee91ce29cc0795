package api

import (
	"sync"

	"github.com/busbar/busbar/telemetry"
)

// Live passes the newest sample of each series on to the streams, which all get the
// same frame of them, made once.
type Live struct {
	mu      sync.Mutex
	wanted  bool // somebody takes
	pending map[telemetry.SignalID]telemetry.Sample
}

func NewLive() *Live { return &Live{pending: map[telemetry.SignalID]telemetry.Sample{}} }

// Publish hands out samples, whose Signal is their series. It keeps nothing of
// the slice, and waits for nobody.
func (l *Live) Publish(newest []telemetry.Sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.wanted {
		return
	}
	for _, s := range newest {
		l.pending[s.Signal] = s
	}
}

// Watched reports whether anybody does.
func (l *Live) Watched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wanted
}

// want begins to gather, or ends it.
func (l *Live) want(wanted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wanted = wanted
	clear(l.pending)
}

// take is the newest sample of each series that has one since the last call.
func (l *Live) take() map[telemetry.SignalID]telemetry.Sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.pending
	l.pending = map[telemetry.SignalID]telemetry.Sample{}
	return taken
}
