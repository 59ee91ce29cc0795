package gateway

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/busbar/busbar/gateway/publish"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

// preparePublisher makes nothing if the configuration names no broker. Of an alarm that
// the process before has raised, the rules' state says what it is, and not by which
// values.
func (g *Gateway) preparePublisher() {
	m := g.config.Serve.MQTT
	if m == nil {
		return
	}
	p := publish.New(publish.Options{
		Config: m.Config, Dir: g.options.Dir, Now: func() time.Time { return g.clock.Now().Time() },
		Gateway: g.config.Gateway.ID, Prefix: m.TopicPrefix, Log: g.log,
	})
	for _, a := range *g.pipeline.active.Load() {
		e := telemetry.Event{Kind: telemetry.AlarmRaised, Time: a.Raised, Decided: a.Raised, Alarm: &telemetry.AlarmChange{
			ID: a.ID, Rule: a.Rule, Asset: a.Asset, Device: a.Device, Priority: a.Priority, Summary: a.Rule + " at " + a.Asset,
		}}
		payload, err := json.Marshal(e)
		if err != nil {
			panic(err) // it is text and whole numbers
		}
		p.Restore(e, payload)
	}
	g.pipeline.publisher = p
	if m.Values != nil {
		g.prepareValues(*m)
	}
}

// prepareValues has values published, over a connection of their own: alarms don't wait
// for them.
func (g *Gateway) prepareValues(m gatewayconfig.MQTT) {
	m.ClientID += ".values" // a device's, by default, has its id behind a hyphen
	g.pipeline.values = publish.NewValues(publish.ValuesOptions{
		Options: publish.Options{
			Config: m.Config, Dir: g.options.Dir, Now: func() time.Time { return g.clock.Now().Time() },
			Gateway: g.config.Gateway.ID, Prefix: m.TopicPrefix, Log: g.log,
		},
		QoS: m.Values.QoS, Retain: m.Values.Retain,
	})
	g.pipeline.values.Describe(g.live.Load().devices.model.Signals)
}

// tellSite publishes an alarm that was raised or cleared, if there is a broker.
func (p *pipeline) tellSite(e telemetry.Event, payload []byte) {
	if p.publisher != nil {
		p.publisher.Add(e, payload)
	}
}

// reportPublisher says how publishing alarms stands.
func (g source) reportPublisher(r *status.Report) {
	if g.pipeline.publisher == nil {
		return
	}
	s := g.pipeline.publisher.Stats()
	r.MQTT = &status.MQTT{
		Broker: s.Broker, Connected: s.Connected, Since: s.Since, Published: s.Published, Waiting: s.Waiting, Dropped: s.Dropped,
	}
	if !s.Connected {
		r.Problems = append(r.Problems, fmt.Sprintf("alarms can't be published: %s", s.Cause))
	}
	if v := g.pipeline.values; v != nil {
		s := v.Stats()
		r.Values = &status.Values{Connected: s.Connected, Published: s.Published, Replaced: s.Replaced}
		if !s.Connected {
			r.Problems = append(r.Problems, fmt.Sprintf("values can't be published: %s", s.Cause))
		}
	}
	if s.Connected && s.Blind {
		r.Problems = append(r.Problems, fmt.Sprintf("%s doesn't let the gateway subscribe to its own alarms: one that ended while the gateway didn't run stays active there", s.Broker))
	}
}
