package log

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 10 * time.Second
	mostCauses   = 10 // to log: texts may hold ports that are never the same
)

// Sessions runs session until ctx ends, again after each error and with longer
// pauses each time it fails without a success in between. A session begins from
// what the database holds, so failing is the same as being killed and started
// again. It calls ok after each success. One line is logged for each cause, of
// at most ten, that ends sessions, and one when they succeed again.
func Sessions(ctx context.Context, logger *slog.Logger, session func(ctx context.Context, ok func()) error) {
	pause := firstPause
	causes := map[string]bool{}
	ok := func() {
		if len(causes) > 0 {
			logger.Info("consuming again")
		}
		pause = firstPause
		clear(causes)
	}
	for {
		err := session(ctx, ok)
		if ctx.Err() != nil {
			return
		}
		if text := fmt.Sprint(err); !causes[text] && len(causes) < mostCauses {
			logger.Warn("consuming has stopped, trying again", "error", err)
			causes[text] = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}
