package gateway

import (
	"fmt"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/gateway/forward"
	"github.com/busbar/busbar/gateway/serialport"
	"github.com/busbar/busbar/gateway/status"
)

// source makes the reports of a running gateway.
type source struct {
	*Gateway
	started time.Time
}

// Report implements status.Source.
func (g source) Report() status.Report {
	r := status.Report{
		Gateway: g.config.Gateway.ID, Site: g.config.Gateway.Site, Version: g.options.Version, Started: g.started,
		Good: g.pipeline.good.Load(), Bad: g.pipeline.bad.Load(), LeftOut: g.pipeline.leftOut.Load(), Discarded: g.pipeline.writer.Discarded(),
		AlarmsRaised: g.pipeline.raised.Load(), AlarmsEnd: g.pipeline.cleared.Load(),
		Suppressed: g.pipeline.suppressed.Load(), Uncaptured: g.pipeline.uncaptured.Load(),
	}
	c := g.clock.Stats()
	r.Clock = status.Clock{
		State: c.State, Source: c.Source, Now: g.clock.Now().Time(), Steps: c.Steps, MaxError: c.MaxError,
		Holding: c.Holding != clock.Nothing,
	}
	r.Problems = append(r.Problems, clockProblems(c, g.ntp.Stats())...)
	for _, a := range *g.pipeline.active.Load() {
		r.Alarms = append(r.Alarms, status.Alarm{
			ID: a.ID, Rule: a.Rule, Asset: a.Asset, Device: a.Device, Priority: string(a.Priority), Raised: a.Raised.Time(), AcknowledgedBy: a.AcknowledgedBy,
		})
	}
	for _, s := range []struct {
		name  string
		chain *buffer.Chain
	}{{"events", g.buffer.Events}, {"telemetry", g.buffer.Telemetry}} {
		kept := s.chain.Stats()
		r.Streams = append(r.Streams, status.Stream{
			Name: s.name, Waiting: kept.Waiting, Bytes: kept.Bytes, Committed: kept.Committed,
		})
	}
	for _, l := range g.lanes.All() {
		sent := l.Stats()
		lane := status.Lane{
			Name: sent.Link.Lane, Sent: sent.Records, SentBytes: sent.Bytes, State: string(sent.Link.State),
			Since: sent.Link.Since, Cause: sent.Link.Cause, Spent: map[string]time.Duration{}, Changes: sent.Link.Changes,
		}
		for state, spent := range sent.Link.Spent {
			lane.Spent[string(state)] = spent
		}
		r.Lanes = append(r.Lanes, lane)
		if sent.TooLarge > 0 {
			r.Problems = append(r.Problems, fmt.Sprintf("%d records of %s are too large for the log, wait in the buffer and are tried every ten minutes: raise its max.message.bytes", sent.TooLarge, lane.Name))
		}
		switch sent.Link.State {
		case forward.Down:
			r.Problems = append(r.Problems, fmt.Sprintf("the log doesn't acknowledge %s: %s", lane.Name, lane.Cause))
		case forward.Throttled:
			r.Problems = append(r.Problems, fmt.Sprintf("the log's quota holds %s back", lane.Name))
		}
	}
	if refused := g.trials.problem(); refused != "" {
		r.Problems = append(r.Problems, refused)
	}
	g.self.supply.report(&r)
	g.reportBuffer(&r)
	if (g.pipeline.failing.Load() || g.pipeline.writer.Failing()) && r.Buffer.FailingSince.IsZero() {
		r.Problems = append(r.Problems, "the buffer can't be written; samples are kept in memory only, events are sent all the same")
	}
	g.reportControl(&r)
	g.reportUpdates(&r)
	g.reportPublisher(&r)
	g.reportEdgeNode(&r)
	g.reportStation(&r)
	for _, d := range g.field.stats() {
		r.Devices = append(r.Devices, status.Device{
			ID: d.Device, Polls: d.Polls, Failed: d.Failed, Timeouts: d.Timeouts, Missed: d.Missed, Late: d.Late, LastAnswer: d.LastAnswer,
		})
	}
	for _, e := range g.field.modbus.Stats().Endpoints {
		r.Buses = append(r.Buses, status.Bus{Endpoint: e.Endpoint, Busy: e.Busy, Used: e.Used, Waiting: e.Waiting, Reconnects: e.Reconnects})
	}
	r.Ports = serialport.List()
	return r
}
