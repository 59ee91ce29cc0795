package gateway

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/forward"
	"github.com/busbar/busbar/gateway/uplink"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// prepareLanes makes the ways to the log, each with a client of its own.
func (g *Gateway) prepareLanes() (err error) {
	g.links = readLinks(g.buffer, g.log)
	if g.births, err = g.sink("births", nil); err != nil {
		return err
	}
	lane := func(name string, chain *buffer.Chain, prepare func(buffer.Position, *record.Record) (bool, error)) forward.Options {
		o := forward.Options{Chain: chain, Link: forward.NewLink(name, g.linkChanged, g.log).Resume(g.links.before(name)), Prepare: prepare, Ripened: g.ripened, Log: g.log}
		if err == nil {
			o.Sink, err = g.sink(name, o.Link)
		}
		return o
	}
	signed := func(_ buffer.Position, r *record.Record) (bool, error) { return g.identity.Prepare(r) }
	options := forward.LanesOptions{
		Events:       lane(forward.Events, g.buffer.Events, signed),
		Telemetry:    lane(forward.Telemetry, g.buffer.Telemetry, g.prepareRecord),
		Backfill:     lane(forward.Backfill, g.buffer.Telemetry, g.prepareRecord),
		CommitEvery:  cmp.Or(time.Duration(g.config.Buffer.CommitEvery), buffer.LongestCommit),
		BackfillRate: int64(g.config.Forward.Backfill.MaxRate),
	}
	if err == nil {
		options.SecondEvents, err = g.sink(forward.Events, options.Events.Link)
		options.ThirdEvents = forward.Spare(func() (forward.Sink, error) { return g.newSink(forward.Events, options.Events.Link) })
		g.sinks = append(g.sinks, options.ThirdEvents)
	}
	if err == nil {
		g.lanes = forward.NewLanes(options)
	}
	return err
}

// sink makes the way to the log of a lane, or of births, which close closes.
func (g *Gateway) sink(lane string, link *forward.Link) (forward.Sink, error) {
	sink, err := g.newSink(lane, link)
	if err == nil {
		g.sinks = append(g.sinks, sink)
	}
	return sink, err
}

func (g *Gateway) newSink(lane string, link *forward.Link) (forward.Sink, error) {
	if g.config.Forward.Uplink != nil {
		return g.uplinkSink(lane, link)
	}
	return g.kafkaSink(lane, link)
}

func (g *Gateway) kafkaSink(lane string, link *forward.Link) (forward.Sink, error) {
	options, err := g.kafkaOptions()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(options, forward.ClientOptions(link)...)...)
	if err != nil {
		return nil, fmt.Errorf("gateway: Kafka client: %w", err)
	}
	return forward.Kafka(client, record.TopicsOf(g.config.Forward.Kafka.TopicPrefix).Lane(lane), g.config.Gateway.ID), nil
}

// kafkaOptions are what every client of the cluster has.
func (g *Gateway) kafkaOptions() ([]kgo.Opt, error) {
	options, err := g.config.Forward.Kafka.OptionsAt(g.options.Dir, gatewayTime(g.clock))
	if err != nil {
		return nil, err
	}
	return append(options, kgo.ClientID("busbar-gateway/"+g.config.Gateway.ID), kgo.WithHooks(timestamps{g.clock})), nil
}

func (g *Gateway) uplinkSink(lane string, link *forward.Link) (forward.Sink, error) {
	if g.uplink == nil {
		connection, err := OpenUplink(*g.config.Forward.Uplink, g.options.Dir, g.options.Version, gatewayTime(g.clock))
		if err != nil {
			return nil, err
		}
		g.uplink = connection
	}
	var throttled func(time.Duration)
	if link != nil {
		throttled = link.HoldBack
	}
	return g.uplink.NewClient(lane, throttled), nil
}

// OpenUplink prepares the connection that the configuration describes. dir is the
// directory that its file names are relative to. now is the time at which
// certificates are checked; nil for this machine's clock.
func OpenUplink(c gatewayconfig.Uplink, dir, version string, now func() time.Time) (*uplink.Connection, error) {
	o := uplink.Options{URL: c.URL, UserAgent: "busbar-gateway/" + version, Now: now}
	if c.CA != "" {
		o.CAFile = c.CA.In(dir)
	}
	if c.Proxy != nil {
		var err error
		if o.Proxy, err = c.Proxy.Address(dir); err != nil {
			return nil, fmt.Errorf("gateway: uplink: %w", err)
		}
	}
	return uplink.New(o)
}

// runLanes sends until ctx ends. Blocks wait for the births that name their
// signals; events name theirs themselves.
func (g *Gateway) runLanes(ctx context.Context) {
	born := make(chan struct{})
	known := func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-born:
			return nil
		}
	}
	var running sync.WaitGroup
	running.Go(func() { g.lanes.Events.Run(ctx, nil) })
	running.Go(func() { g.lanes.Telemetry.Run(ctx, known) })
	running.Go(func() { g.lanes.Backfill.Run(ctx, known) })
	g.sendBirths(ctx, func() { close(born) })
	running.Wait()
}

// linkChanged enters a change of a lane's link into the events. It arrives when
// the link is back, and says how long it was away.
func (g *Gateway) linkChanged(change telemetry.Link, since time.Time) error {
	at := g.clock.At(since)
	change.Lasted = g.links.lasted(change.Stream, at, change.Lasted)
	err := g.hold(telemetry.Event{Kind: telemetry.LinkChanged, Time: at, Decided: g.clock.Now(), Link: &change})
	if err == nil {
		g.links.note(change, at)
	}
	return err
}
