// Package modbus reads devices over Modbus TCP: one connection to an endpoint,
// shared by its units; neighbouring points read together; each sample stamped
// with the middle between request and answer; a wrong or late answer never
// taken for a value.
package modbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

var _ adapters.Adapter = (*Adapter)(nil)

// Config is what New needs; it isn't used afterwards.
type Config struct {
	Devices []Device
	Logger  *slog.Logger // nil: slog.Default
}

// Adapter is the adapters.Adapter for Modbus TCP. Run is called once; ReadOnce
// and Stats are safe at any time.
type Adapter struct {
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	endpoints []*endpoint
	units     []*unit // as configured
}

// New checks the whole configuration; the error joins everything that is wrong
// with it.
func New(c Config) (*Adapter, error) {
	if err := check(c.Devices); err != nil {
		return nil, err
	}
	a := &Adapter{dial: (&net.Dialer{}).DialContext}
	log := cmp.Or(c.Logger, slog.Default())
	byAddress := map[string]*endpoint{}
	for _, d := range c.Devices {
		address, _ := ParseEndpoint(d.Endpoint)
		e := byAddress[address]
		if e == nil {
			e = &endpoint{address: address}
			byAddress[address] = e
			a.endpoints = append(a.endpoints, e)
		}
		u := newUnit(newMeter(d, address), log)
		e.units = append(e.units, u)
		a.units = append(a.units, u)
	}
	return a, nil
}

func check(devices []Device) error {
	var errs []error
	ids, signals := map[string]bool{}, map[telemetry.SignalID]string{}
	claim := func(id telemetry.SignalID, owner string) {
		if other, taken := signals[id]; taken {
			errs = append(errs, fmt.Errorf("modbus: %s: signal %d is also that of %s", owner, id, other))
		}
		signals[id] = owner
	}
	for _, d := range devices {
		device := fmt.Sprintf("device %q", d.ID)
		if ids[d.ID] {
			errs = append(errs, fmt.Errorf("modbus: %s: configured twice", device))
		}
		ids[d.ID] = true
		for _, err := range d.Check() {
			errs = append(errs, fmt.Errorf("modbus: %s: %w", device, err))
		}
		claim(d.Live, device)
		for _, p := range d.Points {
			point := fmt.Sprintf("%s: point %q", device, p.Name)
			for _, err := range p.Check() {
				errs = append(errs, fmt.Errorf("modbus: %s: %w", point, err))
			}
			claim(p.Signal, point)
		}
	}
	return errors.Join(errs...)
}

const (
	// startSpread bounds how long the first poll of a device with a long period
	// is put off to spread the load.
	startSpread = 10 * time.Second
	// phases is how many moments of a period the endpoints are spread over.
	// Each moment wakes the process once: with 100 of them, waking up costs several
	// times what reading does.
	phases = 4
)

// Run polls every device on its own fixed grid until ctx ends. Endpoints are
// independent of one another; the units of one are read in turn, the most
// overdue first.
func (a *Adapter) Run(ctx context.Context, sink adapters.Sink) error {
	start := time.Now()
	var running sync.WaitGroup
	for i, e := range a.endpoints {
		for j, u := range e.units {
			n := len(e.units)
			u.alone = n == 1
			place, places := i*n+j, len(a.endpoints)*n
			u.due = start.Add(min(u.PollEvery, startSpread) / phases * time.Duration(place*phases/places))
		}
		running.Go(func() { e.run(ctx, newLink(e.address, a.dial, &e.connects), sink) })
	}
	running.Wait()
	<-ctx.Done()
	return nil
}

// ReadOnce reads one device over a connection of its own, which a device that
// takes one client refuses while Run has it. The samples have the configured
// order, without the live signal. A request that fails beside others that don't
// is logged, and its points are bad.
func (a *Adapter) ReadOnce(ctx context.Context, device string) ([]telemetry.Sample, error) {
	for _, u := range a.units {
		if u.ID != device {
			continue
		}
		l := newLink(u.address, a.dial, new(counter))
		defer l.close()
		r := u.newReader()
		if err := r.poll(ctx, l); err != nil {
			return nil, u.wrap(r.requests[0], err)
		}
		if !r.answered {
			return nil, u.wrap(r.silence())
		}
		for _, o := range r.outcomes {
			if o.err != nil {
				u.log.Warn("request fails", "request", o.request.String(), "error", o.err)
			}
		}
		return r.samples, nil
	}
	return nil, fmt.Errorf("modbus: no device %q", device)
}
