package main

import (
	"context"
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

func (s *supervised) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Error("systemd can't be told", "what", state, "error", err)
	}
}
