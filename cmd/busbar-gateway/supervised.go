package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// supervised is what systemd hears of a service of Type=notify: that it is ready, that
// it goes on, and that it stops.
type supervised struct {
	log   *slog.Logger
	every time.Duration // how often it expects to hear; 0: it doesn't
	told  time.Time     // when it last did; zero: never
	// extended is when it was last asked for more time to start.
	extended time.Time
}

func newSupervised(ctx context.Context, log *slog.Logger) *supervised {
	s := supervised{log: log}
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Error("what systemd says of its watchdog can't be read", "error", err)
	}
	s.every = limit / 3
	context.AfterFunc(ctx, func() { s.tell(daemon.SdNotifyStopping) })
	return &s
}

// alive is gateway.Options.Alive.
func (s *supervised) alive() {
	now := time.Now()
	switch {
	case s.told.IsZero():
		s.tell(daemon.SdNotifyReady)
	case s.every == 0 || now.Sub(s.told) < s.every:
		return
	default:
		s.tell(daemon.SdNotifyWatchdog)
	}
	s.told = now
}

// stuck is how long it may take to look through one part of a buffer that wasn't closed,
// which is a file: 256 MiB at 1 MiB/s, and a margin.
const stuck = 10 * time.Minute

// opening is gateway.Options.Opening: a start takes as long as it goes on.
func (s *supervised) opening() {
	if now := time.Now(); now.Sub(s.extended) >= time.Second {
		s.extended = now
		s.tell(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", stuck.Microseconds()))
	}
}

func (s *supervised) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Error("systemd can't be told", "what", state, "error", err)
	}
}
