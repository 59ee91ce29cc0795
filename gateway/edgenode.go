package gateway

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/edge"
	"github.com/busbar/busbar/gateway/edgenode"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/telemetry"
)

// sessionName is the file in the buffer's directory that keeps the number of the last
// Sparkplug session.
const sessionName = "sparkplug-session"

// prepareEdgeNode makes nothing if the gateway is no edge node.
func (g *Gateway) prepareEdgeNode(signals []telemetry.Signal) {
	s := g.config.Serve.Sparkplug
	if s == nil {
		return
	}
	g.pipeline.edge = edgenode.New(edgenode.Options{
		Config: s.Config, Dir: g.options.Dir, Now: func() time.Time { return g.clock.Now().Time() },
		Edge: edge.Config{Group: s.Group, Node: s.Node, PrimaryHost: s.PrimaryHost, Own: g.config.Gateway.ID, MostWaiting: edgenode.MostWaiting},
		File: filepath.Join(g.config.Buffer.Path.In(g.options.Dir), sessionName), Log: g.log,
	})
	g.pipeline.edge.Define(signals)
}

// tellPlant hands on what is stored, which came at that moment, if the gateway is an edge
// node. past says that it is older than what is current.
func (p *pipeline) tellPlant(at telemetry.Micros, samples []telemetry.Sample, past bool) {
	if p.edge != nil {
		p.edge.Take(at, samples, past)
	}
}

// reportEdgeNode says how publishing by Sparkplug stands.
func (g source) reportEdgeNode(r *status.Report) {
	if g.pipeline.edge == nil {
		return
	}
	s := g.pipeline.edge.Stats()
	r.Sparkplug = &status.Sparkplug{MQTT: status.MQTT{
		Broker: s.Broker, Connected: s.Connected, Since: s.Since, Published: s.Published, Waiting: s.Waiting, Dropped: s.Dropped,
	}, Online: s.Online}
	if !s.Connected {
		r.Problems = append(r.Problems, fmt.Sprintf("what is measured can't be published by Sparkplug: %s", s.Cause))
	}
}
