package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gateway/counter"
	"github.com/busbar/busbar/gateway/deadband"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// apply runs the gateway with another configuration of the same parts that take a
// restart. What is the same of devices, rules and signals goes on as if nothing had
// happened; alarms whose rule is gone stay active until settle. On an error
// nothing has changed, unless ctx has ended, with which the gateway must end too.
func (g *Gateway) apply(ctx context.Context, to setting) error {
	if err := g.found.lock(ctx); err != nil {
		return err
	}
	defer g.found.unlock()
	var err error
	if to.devices, err = g.define(to.config); err != nil {
		return fmt.Errorf("gateway: new signals can't be written down: %w", err)
	}
	engine, err := g.compile(to)
	if err != nil {
		return err
	}
	points, err := to.devices.controlled()
	if err != nil {
		return err
	}
	// Until the adapters have changed, a point's name may mean another device.
	g.control.Suspend()
	err = g.field.change(to.devices, func() {
		g.exchange(ctx, to, engine)
	})
	if err != nil {
		g.control.Resume()
		return err
	}
	g.control.Configure(points)
	return ctx.Err()
}

// exchange has everything behind the adapters go on with another configuration.
func (g *Gateway) exchange(ctx context.Context, to setting, engine *rules.Engine) {
	places := to.devices.index(g.accounts.change(to.devices.accounted()))
	periods := periodsOf(g.live.Load().config)
	next := periodsOf(to.config)
	g.live.Store(to.live())
	if g.pipeline.values != nil {
		g.pipeline.values.Describe(to.devices.model.Signals)
	}
	g.self.change(to.devices.selfIDs())
	g.pipeline.change(ctx, places, func(device string) bool { return periods[device] == next[device] }, func() []telemetry.Sample {
		g.pipeline.operations.configure(to.config.Rules)
		released := g.pipeline.exchange(engine, to.devices.counters(), to.devices.watched(), to.devices.limits())
		g.pipeline.tellPlant(0, released, false)
		if g.pipeline.edge != nil {
			g.pipeline.edge.Define(to.devices.model.Signals)
		}
		if g.pipeline.station != nil {
			g.pipeline.station.Define(to.devices.model.Signals)
		}
		return released
	})
}

// define is the devices of a configuration, with the signals that they have told of
// themselves. These have their ids also if they can't be written down, which is the
// error.
func (g *Gateway) define(config gatewayconfig.Config) (devices, error) {
	d := newDevices(g.found.expand(config), g.options.Dir)
	ids, err := g.buffer.Table().Define(d.definitions)
	d.assign(g.options.Dir, ids)
	d.definitions = nil
	d.share(g.buffer.Table().Signals())
	return d, err
}

func (g *Gateway) compile(s setting) (*rules.Engine, error) {
	engine, problems := rules.Compile(s.config.Rules, s.devices.model)
	if len(problems) > 0 {
		return nil, fmt.Errorf("gateway: rules: %w", problems[0])
	}
	engine.SetClock(g.clock.At)
	return engine, nil
}

// settle says that the configuration lasts.
func (g *Gateway) settle(ctx context.Context) {
	g.pipeline.do(ctx, func() []telemetry.Sample {
		g.pipeline.engine.Settle()
		return nil
	})
}

// periodsOf are those of a configuration's devices.
func periodsOf(c gatewayconfig.Config) map[string]time.Duration {
	periods := make(map[string]time.Duration, len(c.Devices))
	for _, d := range c.Devices {
		periods[d.ID] = time.Duration(d.PollEvery)
	}
	return periods
}

// errand is something to be done by the goroutine that owns the rules, between
// two batches. What it returns is stored.
type errand struct {
	do   func() []telemetry.Sample
	done chan<- struct{}
}

// do has something done after all batches that were delivered before, and returns
// when it has been, or when ctx ends.
func (p *pipeline) do(ctx context.Context, what func() []telemetry.Sample) {
	done := make(chan struct{})
	p.mu.Lock()
	p.queue.errands = append(p.queue.errands, errand{what, done})
	p.mu.Unlock()
	p.notify()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// change is do, and from now on batches are counted at other places. A device for
// which same is false begins a schedule: nobody failed to keep it before.
func (p *pipeline) change(ctx context.Context, index map[string]account.Place, same func(device string) bool, what func() []telemetry.Sample) {
	p.mu.Lock()
	p.index = index
	for device := range p.generations {
		if !same(device) {
			delete(p.generations, device)
		}
	}
	p.mu.Unlock()
	p.do(ctx, what)
}

// exchange puts other rules and limits in the place of those that there are. It
// returns what these had held back of signals that aren't filtered like that any
// more.
func (p *pipeline) exchange(engine *rules.Engine, counters map[telemetry.SignalID]bool, watched []counter.Counter, limits map[telemetry.SignalID]deadband.Limit) []telemetry.Sample {
	p.engine.Close(time.Now(), p.emit)
	engine.Continue(p.engine)
	p.engine, p.counters = engine, counters
	p.watch = p.watch.Continue(watched)
	p.publish()
	return p.filter.Change(limits)
}
