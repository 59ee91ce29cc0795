package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/forward"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// prepareLanes makes the ways to the log, each with a client of its own.
func (g *Gateway) prepareLanes() (err error) {
	if g.births, err = g.client(nil); err != nil {
		return err
	}
	topics := record.TopicsOf(g.config.Forward.Kafka.TopicPrefix)
	lane := func(name string, chain *buffer.Chain, topic string) forward.Options {
		o := forward.Options{Chain: chain, Topic: topic, Link: forward.NewLink(name, g.linkChanged, g.log), Prepare: g.identity.Prepare, Log: g.log}
		if err == nil {
			o.Client, err = g.client(o.Link)
		}
		return o
	}
	options := forward.LanesOptions{
		Events:       lane(forward.Events, g.buffer.Events, topics.Events()),
		Telemetry:    lane(forward.Telemetry, g.buffer.Telemetry, topics.Telemetry()),
		Backfill:     lane(forward.Backfill, g.buffer.Telemetry, topics.Backfill()),
		CommitEvery:  time.Duration(g.config.Buffer.CommitEvery),
		BackfillRate: int64(g.config.Forward.Backfill.MaxRate),
	}
	if err == nil {
		g.lanes = forward.NewLanes(options)
	}
	return err
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
	if g.sendBirth(ctx) == nil {
		close(born)
	}
	running.Wait()
}

// linkChanged enters a change of a lane's link into the events. It arrives when
// the link is back, and says how long it was away.
func (g *Gateway) linkChanged(change telemetry.Link, since time.Time) error {
	return g.commit(telemetry.Event{
		Kind: telemetry.LinkChanged, Time: telemetry.MicrosOf(since), Decided: telemetry.MicrosOf(time.Now()), Link: &change,
	})
}
