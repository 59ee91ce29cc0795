package cloud

import (
	"context"
	"sync"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// openPublishing makes what passes on to others what the cloud has, as far as it is
// configured.
func (c *Cloud) openPublishing(ctx context.Context, names record.Topics) (err error) {
	if err := c.openMeasurements(ctx, names); err != nil {
		return err
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
	if c.measured == nil {
		c.forgetMeasurements(ctx) // by whoever publishes: others may have an older configuration
		return
	}
	select {
	case <-ctx.Done():
	case <-c.prepared:
		c.measured.Run(ctx)
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
