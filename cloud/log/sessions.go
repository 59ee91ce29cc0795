package log

import (
	"context"
	"log/slog"
	"time"
)

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 10 * time.Second
)

// Sessions runs session until ctx ends, again after each error and with longer
// pauses each time it fails without a success in between. A session begins from
// what the database holds, so failing is the same as being killed and started
// again. It calls ok after each success. One line is logged when sessions begin
// to fail and one when they succeed again.
func Sessions(ctx context.Context, logger *slog.Logger, session func(ctx context.Context, ok func()) error) {
	pause := firstPause
	failing := false
	ok := func() {
		if failing {
			logger.Info("consuming again")
		}
		pause, failing = firstPause, false
	}
	for {
		err := session(ctx, ok)
		if ctx.Err() != nil {
			return
		}
		if !failing {
			logger.Warn("consuming has stopped, trying again", "error", err)
			failing = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}
