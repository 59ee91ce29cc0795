package cloud

import (
	"context"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/measurements"
	"github.com/busbar/busbar/cloud/outage/rekey"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// openPublishing makes what passes on to others what the cloud has, as far as it is
// configured.
func (c *Cloud) openPublishing(ctx context.Context, names record.Topics) (err error) {
	if err := c.openMeasurements(ctx, names); err != nil {
		return err
	}
	if c.config.Evidence != nil {
		if c.evidence, err = rekey.New(ctx, rekey.Config{Log: c.kafka, Topics: names, Store: c.store, Logger: c.log}); err != nil {
			return err
		}
	}
	if c.notify, err = c.config.Notify.notifier(c.options.Dir, c.store, c.log); err != nil {
		return err
	}
	return c.openRemoteWrite()
}

// publish passes it on until ctx ends.
func (c *Cloud) publish(ctx context.Context) {
	c.publishing.Store(true)
	defer c.publishing.Store(false)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { c.notify.Run(ctx) })
	for _, w := range c.writers {
		running.Go(func() { w.Run(ctx) })
	}
	if p := c.config.Public; p != nil {
		running.Go(func() { c.publisher(*p).Run(ctx, time.Duration(p.Every)) })
	}
	// Who isn't asked for has nothing kept any more, by whoever publishes: others may have an
	// older configuration.
	write := func(asked bool, run func(context.Context), of string, forget func(context.Context, *store.Store) error) {
		running.Go(func() {
			if !asked {
				c.giveUp(ctx, of, forget)
				return
			}
			select {
			case <-ctx.Done():
			case <-c.prepared:
				run(ctx)
			}
		})
	}
	write(c.measured != nil, c.measured.Run, "measurements", measurements.Forget)
	write(c.evidence != nil, c.evidence.Run, "evidence", rekey.Forget)
}

const giveUpAgain = 5 * time.Second

// giveUp has the store keep nothing for those who aren't asked for any more. It tries until
// ctx ends.
func (c *Cloud) giveUp(ctx context.Context, of string, forget func(context.Context, *store.Store) error) {
	failed := false
	for {
		err := forget(ctx, c.store)
		if err == nil || ctx.Err() != nil {
			return
		}
		if !failed {
			failed = true
			c.log.Warn("what was kept for others to read can't be given up, trying again", "of", of, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(giveUpAgain):
		}
	}
}

// pass hands the newest samples to whoever watches them.
func (c *Cloud) pass(newest []telemetry.Sample) {
	c.live.Publish(newest)
	c.writeRemotely(newest)
}

// writeRemotely hands them to other systems, unless another process does.
func (c *Cloud) writeRemotely(newest []telemetry.Sample) {
	if !c.publishing.Load() {
		return
	}
	for _, w := range c.writers {
		w.Publish(newest)
	}
}
