package modbus

import (
	"context"
	"time"

	"github.com/busbar/busbar/adapters"
)

// endpoint is one host and port with the units behind it. Its goroutine is the
// only one that talks to it: many meters accept one client, and serial
// gateways queue.
type endpoint struct {
	address  string
	units    []*unit
	connects counter
}

func (e *endpoint) run(ctx context.Context, l *link, sink adapters.Sink) {
	defer l.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		u := e.next()
		timer.Reset(time.Until(u.due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		u.skipMissed(time.Now())
		batch, err := u.read(ctx, l)
		if err != nil {
			return
		}
		// Fails only when ctx ends.
		if err := sink.Deliver(ctx, batch); err != nil {
			return
		}
	}
}

func (e *endpoint) next() *unit {
	first := e.units[0]
	for _, u := range e.units[1:] {
		if u.due.Before(first.due) {
			first = u
		}
	}
	return first
}
