package gateway

import (
	"cmp"
	"context"
	"time"

	"github.com/busbar/busbar/telemetry"
)

const (
	// heartbeat is the longest time that passes between two records of a gateway that
	// can send.
	heartbeat = time.Minute
	// heartbeatLook is how often it is looked whether something was sent.
	heartbeatLook = time.Second
)

// presence is what a gateway says by which its silence is noticed.
func (g *Gateway) presence() *telemetry.Presence {
	c := g.config.Gateway
	return &telemetry.Presence{Every: cmp.Or(g.options.heartbeat, heartbeat).Microseconds(), Site: c.Site, Feeder: c.Feeder, Uplink: c.Uplink}
}

// tellAlive sends an event when nothing has been sent for a heartbeat, until ctx ends.
// While events wait for the log it sends none: they will be heard, and a gateway that
// was away has no backlog of them.
func (g *Gateway) tellAlive(ctx context.Context) {
	every := cmp.Or(g.options.heartbeat, heartbeat)
	var since lull
	ticker := time.NewTicker(min(heartbeatLook, every/2))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			sent := g.lanes.Events.Stats().Records + g.lanes.Telemetry.Stats().Records + g.lanes.Backfill.Stats().Records
			if since.lasts(now, sent) < every || g.buffer.Events.Stats().Waiting > 0 {
				continue
			}
			at := g.clock.Now()
			if err := g.hold(telemetry.Event{Kind: telemetry.GatewayAlive, Time: at, Decided: at, Presence: g.presence()}); err != nil {
				g.log.Error("a heartbeat can't be sent", "error", err)
			}
		}
	}
}

// lull is since when a count hasn't changed.
type lull struct {
	count uint64
	since time.Time
}

func (l *lull) lasts(now time.Time, count uint64) time.Duration {
	if count != l.count || l.since.IsZero() {
		l.count, l.since = count, now
	}
	return now.Sub(l.since)
}
