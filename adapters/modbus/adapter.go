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

// Adapter is the adapters.Adapter for Modbus. Run is called once; the other methods
// are safe at any time.
type Adapter struct {
	opener  opener
	log     *slog.Logger
	running atomic.Bool
	started chan struct{} // closed when it runs

	changing sync.Mutex // held while buses start or change
	ctx      context.Context
	sink     adapters.Sink
	polling  sync.WaitGroup

	mu    sync.Mutex // of the lists
	buses []*bus
	units []*unit // as configured
}

// New checks the whole configuration; the error joins everything that is wrong
// with it.
func New(c Config) (*Adapter, error) {
	if err := check(c.Devices); err != nil {
		return nil, err
	}
	a := &Adapter{
		started: make(chan struct{}),
		opener:  opener{(&net.Dialer{}).DialContext, openSerial},
		log:     cmp.Or(c.Logger, slog.Default()),
	}
	l := a.arrange(c.Devices)
	for _, b := range l.buses {
		b.units = l.units[b]
	}
	a.buses, a.units = l.buses, l.all
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
	// The polls of a period begin at one moment for each as many endpoints as
	// together, and no more than mostMoments. Each wakes the process: with 100 of
	// them, waking up costs several times what reading does. Units that share an
	// endpoint, and so its time, are always spread.
	together    = 128
	mostMoments = 4
)

// Run polls every device on its own fixed grid until ctx ends. Endpoints are
// independent of one another; the units of one are read in turn, the one whose
// slot ends first before the others.
func (a *Adapter) Run(ctx context.Context, sink adapters.Sink) error {
	a.changing.Lock()
	start := time.Now()
	a.ctx, a.sink = ctx, sink
	for i, b := range a.buses {
		for j, u := range b.units {
			u.due = start.Add(u.phase(i, len(a.buses), j, len(b.units)))
		}
		a.start(b)
	}
	a.running.Store(true)
	close(a.started)
	a.changing.Unlock()
	<-ctx.Done()
	a.changing.Lock() // from now on no bus is started
	a.changing.Unlock()
	a.polling.Wait()
	return nil
}

// AwaitRunning returns true when Run reads devices, or false when ctx ends. Before,
// nothing can be operated.
func (a *Adapter) AwaitRunning(ctx context.Context) bool {
	select {
	case <-a.started:
		return true
	case <-ctx.Done():
		return false
	}
}

// start has a bus's units polled until the context of Run ends, or the bus is
// stopped.
func (a *Adapter) start(b *bus) {
	ctx, stop := context.WithCancel(a.ctx)
	b.stop = stop
	l := newLink(ctx, b.endpoint, a.opener, &b.stats)
	l.pause = longestPause(b.units)
	a.polling.Go(func() {
		defer stop()
		b.run(ctx, l, a.sink)
	})
}

// phase is how long after a start the unit is polled first. It is the unit-th of the
// units of the bus-th of all buses.
func (u *unit) phase(bus, buses, unit, units int) time.Duration {
	place, places := bus*units+unit, buses*units
	moments := mostMoments
	if units == 1 {
		moments = min(1+(buses-1)/together, mostMoments)
	}
	return min(u.PollEvery, startSpread) / time.Duration(moments) * time.Duration(place*moments/places)
}

// ReadOnce reads one device, ahead of all polls and over the connection that they
// use while Run goes on, else over one of its own. The samples have the
// configured order, without the live signal. A request that fails beside others
// that don't is logged, and its points are bad.
func (a *Adapter) ReadOnce(ctx context.Context, device string) ([]telemetry.Sample, error) {
	u := a.unit(device)
	if u == nil {
		return nil, fmt.Errorf("modbus: no device %q", device)
	}
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

// Has reports whether the device is one of this adapter's.
func (a *Adapter) Has(device string) bool { return a.unit(device) != nil }

// unit is a device's; nil if there is none.
func (a *Adapter) unit(device string) *unit {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range a.units {
		if u.ID == device {
			return u
		}
	}
	return nil
}
