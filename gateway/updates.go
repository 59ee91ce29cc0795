package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gateway/update"
	"github.com/busbar/busbar/gateway/uplink"
	"github.com/busbar/busbar/telemetry"
)

// updated is the gateway as updates see it.
type updated struct{ g *Gateway }

const (
	// stillAnswers is after how many periods without an answer a device doesn't answer, and
	// quietest after how long one doesn't that says by itself what changes.
	stillAnswers = 3
	quietest     = 5 * time.Minute
)

// Health implements update.Gateway.
func (u updated) Health() update.Health {
	g := u.g
	var h update.Health
	kept := g.buffer.Events.Stats()
	h.Writable = kept.Committed > 0 && kept.FailingSince.IsZero() && !g.pipeline.failing.Load() && !g.pipeline.writer.Failing()
	for _, l := range g.lanes.All() {
		h.Acknowledged = h.Acknowledged || l.Stats().Records > 0
	}
	late := map[string]time.Duration{}
	for _, d := range g.live.Load().config.Devices {
		h.Devices = append(h.Devices, d.ID)
		if late[d.ID] = quietest; !d.ByChange() {
			late[d.ID] = max(time.Minute, stillAnswers*time.Duration(d.PollEvery))
		}
	}
	for _, d := range g.field.stats() {
		if !d.LastAnswer.IsZero() && time.Since(d.LastAnswer) < late[d.Device] {
			h.Answering = append(h.Answering, d.Device)
		}
	}
	return h
}

// Tell implements update.Gateway.
func (u updated) Tell(e telemetry.Event) error {
	item, err := u.g.item(e)
	if err != nil {
		return err
	}
	return u.g.buffer.Events.Commit([]buffer.Item{item}, nil)
}

// Now implements update.Gateway.
func (u updated) Now() time.Time { return u.g.clock.Now().Time() }

// runUpdates confirms the version that runs and follows the channel, until ctx ends.
func (g *Gateway) runUpdates(ctx context.Context) {
	c := g.config.Update
	p := update.Policy{Gateway: g.config.Gateway.ID, Zone: g.config.Gateway.Zone, Window: bundle.Window(c.Window), AllowOffline: c.AllowOffline, Within: time.Duration(c.ConfirmWithin)}
	if c.Channel != "" {
		transport, err := g.updateTransport()
		if err != nil {
			g.log.Error("no new versions are fetched", "error", err)
		} else {
			defer transport.CloseIdleConnections()
			p.Source = &update.Source{Channel: c.Channel, Every: time.Duration(c.Every), Client: &http.Client{Transport: transport, CheckRedirect: uplink.OverHTTPS}}
		}
	}
	g.options.Updates.Run(ctx, updated{g}, p)
}

func (g *Gateway) updateTransport() (*http.Transport, error) {
	c := g.config.Update
	o := uplink.Options{URL: c.Channel, Now: gatewayTime(g.clock)}
	if c.CA != "" {
		o.CAFile = c.CA.In(g.options.Dir)
	}
	if c.Proxy != nil {
		var err error
		if o.Proxy, err = c.Proxy.Address(g.options.Dir); err != nil {
			return nil, err
		}
	}
	return uplink.Transport(o)
}

// reportUpdates says how updates stand.
func (g *Gateway) reportUpdates(r *status.Report) {
	if g.options.Updates == nil {
		return
	}
	s := g.options.Updates.Status()
	r.Update = &s
	r.Problems = append(r.Problems, s.Problems()...)
	if last := s.Last; last != nil && !last.Confirmed {
		r.Problems = append(r.Problems, "version "+last.Version+" was rolled back: "+last.Cause)
	}
}

// Updates implements status.Updatable.
func (g source) Updates() *update.Updater { return g.options.Updates }

// Health implements status.Updatable.
func (g source) Health() update.Health { return updated{g.Gateway}.Health() }
