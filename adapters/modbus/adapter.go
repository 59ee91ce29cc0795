// Package modbus reads devices over Modbus TCP, serial lines, and serial device
// servers: one connection to an endpoint, shared by its units, the most urgent
// first; neighbouring points read together; each sample stamped with the middle
// between request and answer; a wrong or late answer never taken for a value.
package modbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
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

// Adapter is the adapters.Adapter for Modbus. Run is called once; ReadOnce and
// Stats are safe at any time.
type Adapter struct {
	opener  opener
	buses   []*bus
	units   []*unit // as configured
	running atomic.Bool
}

// New checks the whole configuration; the error joins everything that is wrong
// with it.
func New(c Config) (*Adapter, error) {
	if err := check(c.Devices); err != nil {
		return nil, err
	}
	a := &Adapter{opener: opener{(&net.Dialer{}).DialContext, openSerial}}
	log := cmp.Or(c.Logger, slog.Default())
	byAddress := map[string]*bus{}
	for _, d := range c.Devices {
		e, _ := ParseEndpoint(d.Endpoint)
		b := byAddress[e.Address]
		if b == nil {
			b = newBus(e)
			byAddress[e.Address] = b
			a.buses = append(a.buses, b)
		}
		u := newUnit(newMeter(d, e), log)
		u.bus = b
		b.units = append(b.units, u)
		a.units = append(a.units, u)
	}
	return a, nil
}

func check(devices []Device) error {
	var errs []error
	ids, signals := map[string]bool{}, map[telemetry.SignalID]string{}
	endpoints := map[string]Endpoint{}
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
		if e, err := ParseEndpoint(d.Endpoint); err == nil {
			if other, taken := endpoints[e.Address]; !taken {
				endpoints[e.Address] = e
			} else if err := e.Conflict(other); err != nil {
				errs = append(errs, fmt.Errorf("modbus: %s: endpoint: %w", device, err))
			}
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
// independent of one another; the units of one are read in turn, the one whose
// slot ends first before the others.
func (a *Adapter) Run(ctx context.Context, sink adapters.Sink) error {
	start := time.Now()
	var running sync.WaitGroup
	for i, b := range a.buses {
		l := newLink(ctx, b.endpoint, a.opener, &b.stats)
		for j, u := range b.units {
			n := len(b.units)
			place, places := i*n+j, len(a.buses)*n
			u.due = start.Add(min(u.PollEvery, startSpread) / phases * time.Duration(place*phases/places))
			l.pause = max(l.pause, u.PauseAfterConnect)
		}
		running.Go(func() { b.run(ctx, l, sink) })
	}
	a.running.Store(true)
	running.Wait()
	<-ctx.Done()
	return nil
}

// ReadOnce reads one device, ahead of all polls and over the connection that they
// use while Run goes on, else over one of its own. The samples have the
// configured order, without the live signal. A request that fails beside others
// that don't is logged, and its points are bad.
func (a *Adapter) ReadOnce(ctx context.Context, device string) ([]telemetry.Sample, error) {
	at := slices.IndexFunc(a.units, func(u *unit) bool { return u.ID == device })
	if at < 0 {
		return nil, fmt.Errorf("modbus: no device %q", device)
	}
	u := a.units[at]
	r := u.newReader()
	read := func(l *link) error {
		if l.bus != nil { // what it has learnt is known here
			r.learned = u.learned.clone()
			r.replan(time.Now())
		}
		return r.poll(ctx, l)
	}
	var err error
	if a.running.Load() {
		err = u.bus.do(ctx, read)
	} else {
		l := newLink(ctx, u.endpoint, a.opener, new(busCounters))
		l.pause = u.PauseAfterConnect
		err = read(l)
		l.close()
	}
	if err != nil {
		return nil, fmt.Errorf("modbus: read meter %s at %s: %w", u.ID, u.endpoint.Address, err)
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
