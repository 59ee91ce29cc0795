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
	// presenceBeats is after how many heartbeats a gateway sends an event whatever else
	// it sends: the cloud may have refused, or not understood, what its start said.
	presenceBeats = 60
)

// presence is what a gateway says by which its silence is noticed.
func (g *Gateway) presence() *telemetry.Presence {
	c := g.config.Gateway
	return &telemetry.Presence{Every: cmp.Or(g.options.heartbeat, heartbeat).Microseconds(), Site: c.Site, Feeder: c.Feeder, Uplink: c.Uplink}
}

// tellAlive sends an event when nothing has been sent for a heartbeat, and once an
// hour beside whatever is sent, until ctx ends.
// While events wait for the log it sends none: they will be heard, and a gateway that
// was away has no backlog of them.
func (g *Gateway) tellAlive(ctx context.Context) {
	every := cmp.Or(g.options.heartbeat, heartbeat)
	heard := pulse{told: time.Now()} // by the start
	ticker := time.NewTicker(min(heartbeatLook, every/2))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			sent := g.lanes.Events.Stats().Records + g.lanes.Telemetry.Stats().Records + g.lanes.Backfill.Stats().Records
			if !heard.due(now, sent, every) || g.buffer.Events.Stats().Waiting > 0 {
				continue
			}
			at := g.clock.Now()
			if err := g.hold(telemetry.Event{Kind: telemetry.GatewayAlive, Time: at, Decided: at, Presence: g.presence()}); err != nil {
				g.log.Error("a heartbeat can't be sent", "error", err)
			}
			heard.told = now
		}
	}
}

// pulse is since when a count of what was sent hasn't changed, and when the gateway has
// last said by what it is heard.
type pulse struct {
	count       uint64
	since, told time.Time
}

func (p *pulse) due(now time.Time, count uint64, every time.Duration) bool {
	if count != p.count || p.since.IsZero() {
		p.count, p.since = count, now
	}
	return now.Sub(p.since) >= every || now.Sub(p.told) >= presenceBeats*every
}
