package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/busbar/busbar/gateway/command"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// commands reads what the cloud asks of the gateway, judges it, and hands it to
// the pipeline.
type commands struct {
	source interface {
		// Receive waits for messages; those that come with an error count.
		Receive(ctx context.Context) ([]record.Message, error)
		Close()
	}
	judge    *command.Judge
	now      func() command.Now
	read     func(ctx context.Context, device string) (reading, error)
	reads    sync.WaitGroup
	pipeline *pipeline
	log      *slog.Logger

	refused, forged command.Limiter // what others can make without end has a limit of its own
	away            bool
}

// prepareCommands makes nothing if the configuration names no key: commands are
// then not even read.
func (g *Gateway) prepareCommands() error {
	config := g.config.Gateway.Commands
	if config == nil {
		return nil
	}
	keys, err := command.ReadKeys(config.Key.In(g.options.Dir))
	if err != nil {
		return err
	}
	c := &commands{judge: command.NewJudge(g.config.Gateway.ID, g.buffer.Epoch(), keys), now: g.present, read: g.readNow, pipeline: g.pipeline, log: g.log}
	if g.config.Forward.Uplink != nil {
		c.source = g.uplink.NewCommands(g.config.Gateway.ID, g.identity.SignCommandRequest, g.clock.Now)
	} else {
		options, err := g.kafkaOptions()
		if err != nil {
			return err
		}
		topics := record.TopicsOf(g.config.Forward.Kafka.TopicPrefix)
		if c.source, err = command.NewLog(options, topics.Commands(), g.config.Gateway.ID, g.present()); err != nil {
			return err
		}
	}
	g.commands = c
	return nil
}

// present is the gateway's clock as commands are judged by it.
func (g *Gateway) present() command.Now {
	return command.Now{Time: g.clock.Now(), Set: g.clock.Stats().State != telemetry.ClockUnset}
}

// receiveAgain is how long it waits after a failure.
const receiveAgain = 5 * time.Second

// run takes commands until ctx ends, whatever becomes of their source meanwhile.
func (c *commands) run(ctx context.Context) {
	defer c.reads.Wait()
	for ctx.Err() == nil {
		messages, err := c.source.Receive(ctx)
		for _, m := range messages {
			c.take(ctx, m)
		}
		if ctx.Err() != nil {
			return
		}
		if away := err != nil; away != c.away {
			c.away = away
			if away {
				c.log.Warn("commands can't be read; trying again", "error", err)
			} else {
				c.log.Info("commands can be read again")
			}
		}
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(receiveAgain):
			}
		}
	}
}

func (c *commands) take(ctx context.Context, m record.Message) {
	asked, refusal := c.judge.Judge(m, c.now())
	if refusal != "" {
		limit := &c.refused
		if !refusal.Authentic() {
			limit = &c.forged
		}
		// What can't be read has no id that an answer could name.
		if asked.ID == "" || !limit.Allow(time.Now()) {
			c.log.Debug("command refused without an answer", "command", asked.ID, "cause", refusal)
			return
		}
		c.log.Warn("command refused", "command", asked.ID, "kind", asked.Kind, "by", asked.By, "cause", refusal)
	}
	if asked.Kind == record.Read && refusal == "" {
		c.reads.Go(func() { c.readDevice(ctx, asked) }) // there are no more of them than the judge can tell apart
		return
	}
	c.pipeline.command(order{Command: asked, refusal: refusal})
}

// readDevice reads a device between its polls, and answers.
func (c *commands) readDevice(ctx context.Context, asked record.Command) {
	limited, cancel := context.WithTimeout(ctx, asked.Expires.Sub(c.now().Time))
	defer cancel()
	r, err := c.read(limited, asked.Device)
	o := order{Command: asked, reading: r}
	switch {
	case errors.Is(err, errNoDevice):
		o.refusal = command.UnknownDevice
	case limited.Err() != nil:
		o.refusal = command.Late // whether it would have answered isn't known
	case err != nil:
		c.log.Debug("device asked for doesn't answer", "device", asked.Device, "error", err)
		o.silent = true
	}
	c.pipeline.command(o)
}

// order is a command that was judged.
type order struct {
	record.Command
	refusal command.Refusal
	reading reading // of a device that was read
	silent  bool    // it didn't answer
}

// command has the goroutine that owns the rules obey, or answer a refusal.
func (p *pipeline) command(o order) {
	p.mu.Lock()
	p.queue.orders = append(p.queue.orders, o)
	p.mu.Unlock()
	p.notify()
}

// obey carries out a command. Its answer is committed together with what it
// changes.
func (p *pipeline) obey(o order) {
	now := time.Now()
	if o.refusal == "" {
		known := true
		switch o.Kind {
		case record.Ack:
			known = p.engine.Acknowledge(o.Alarm, o.By)
		case record.Reset:
			known = p.engine.Reset(o.Alarm, now, func(e telemetry.Event) { p.decide(e, true) })
		}
		if !known {
			o.refusal = command.UnknownAlarm
		}
		p.log.Info("command", "command", o.ID, "kind", o.Kind, "alarm", o.Alarm, "by", o.By, "refused", o.refusal)
	}
	e := command.Answer(o.Command, o.refusal, p.clock.At(now))
	if o.Kind == record.Read && o.refusal == "" {
		if e.Answer.Asset, e.Answer.Began, e.Answer.Read = o.reading.asset, o.reading.began, o.reading.values; o.silent {
			e.Answer.Cause = telemetry.NoAnswer
		}
	}
	p.emit(e)
}

// publish lets others see which alarms are active.
func (p *pipeline) publish() {
	active := p.engine.Active()
	p.active.Store(&active)
}
