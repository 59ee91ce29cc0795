// Package session reads devices each of which has a connection of its own, whatever
// they speak: one goroutine a device, which another device's silence costs nothing.
package session

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// Device is a device as its protocol reads it. It is configuration: two that are
// deeply equal are the same device.
type Device interface {
	About() About
	// Read reads all points once, now, over a connection of its own.
	Read(ctx context.Context) Result
	// Run reads the device until ctx ends, delivers what it says to s, and does what s
	// is asked for.
	Run(ctx context.Context, s *Session)
}

// About is what every protocol says of a device.
type About struct {
	ID     string
	Where  string // how it is reached, for people
	Points []Point
	Live   telemetry.SignalID // the device's telemetry.ChannelLive
	// Open is that it tells by itself of signals besides Points, and ToldWithin how long
	// after it begins to answer it has told of all that there are; 0: nobody knows.
	Open       bool
	ToldWithin time.Duration
}

// Point is a signal of a device.
type Point struct {
	Name   string
	Signal telemetry.SignalID
}

// Adapter is the adapters.Adapter of such devices. Run is called once; the other
// methods are safe at any time.
type Adapter[D Device] struct {
	log     *slog.Logger
	started chan struct{} // closed when it runs

	changing sync.Mutex // held while devices start or change
	ctx      context.Context
	sink     adapters.Sink
	reading  sync.WaitGroup

	mu       sync.Mutex
	sessions []*Session
	devices  []D
}

// New is an adapter of devices that have been checked. logger nil means slog.Default.
func New[D Device](devices []D, logger *slog.Logger) *Adapter[D] {
	a := &Adapter[D]{log: cmp.Or(logger, slog.Default()), started: make(chan struct{})}
	a.devices, a.sessions = devices, a.arrange(devices)
	return a
}

// Run implements adapters.Adapter.
func (a *Adapter[D]) Run(ctx context.Context, sink adapters.Sink) error {
	a.changing.Lock()
	a.ctx, a.sink = ctx, sink
	for i, s := range a.sessions {
		a.start(s, a.devices[i])
	}
	close(a.started)
	a.changing.Unlock()
	<-ctx.Done()
	a.changing.Lock() // from now on nobody is started
	a.changing.Unlock()
	a.reading.Wait()
	return nil
}

// AwaitRunning returns true when Run reads devices, or false when ctx ends.
func (a *Adapter[D]) AwaitRunning(ctx context.Context) bool {
	select {
	case <-a.started:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *Adapter[D]) start(s *Session, d D) {
	ctx, stop := context.WithCancel(a.ctx)
	s.begin(a.sink, stop)
	a.reading.Go(func() {
		defer close(s.ended)
		defer stop()
		if s.remember(ctx) == nil {
			d.Run(ctx, s)
		}
	})
}

// Change has the adapter read other devices from now on, also while Run goes on. Who
// stays as it was isn't touched. swap is called once, when those who go or change
// have delivered their last batch, before they and those who come deliver the next.
func (a *Adapter[D]) Change(devices []D, swap func()) {
	a.changing.Lock()
	defer a.changing.Unlock()
	sessions := a.arrange(devices)
	staying := map[*Session]bool{}
	for _, s := range sessions {
		staying[s] = true
	}
	var leaving []*Session
	for _, s := range a.sessions {
		if !staying[s] && s.stop != nil {
			s.stop()
			leaving = append(leaving, s)
		}
	}
	for _, s := range leaving {
		<-s.ended
	}
	swap()
	a.mu.Lock()
	a.devices, a.sessions = devices, sessions
	a.mu.Unlock()
	if a.ctx == nil || a.ctx.Err() != nil {
		return
	}
	for i, s := range sessions {
		if s.stop == nil {
			a.start(s, devices[i])
		}
	}
}

// arrange keeps the sessions of the devices that are the same as before.
func (a *Adapter[D]) arrange(devices []D) []*Session {
	before := map[string]int{}
	for i, d := range a.devices {
		before[d.About().ID] = i
	}
	var sessions []*Session
	for _, d := range devices {
		about := d.About()
		i, known := before[about.ID]
		if known && reflect.DeepEqual(a.devices[i], d) {
			sessions = append(sessions, a.sessions[i])
			continue
		}
		s := newSession(about, a.log)
		if known {
			s.stats = a.sessions[i].stats
		}
		sessions = append(sessions, s)
	}
	return sessions
}

// ReadOnce implements adapters.Adapter: over the connection that is used while Run
// goes on, else over one of its own. The samples have the configured order.
func (a *Adapter[D]) ReadOnce(ctx context.Context, device string) ([]telemetry.Sample, error) {
	a.mu.Lock()
	sessions, devices := a.sessions, a.devices
	a.mu.Unlock()
	for i, s := range sessions {
		if s.about.ID != device {
			continue
		}
		result, running := s.ask(ctx)
		if !running {
			result = devices[i].Read(ctx)
		}
		if result.Cause != nil {
			return nil, fmt.Errorf("read %s at %s: %w", device, s.about.Where, result.Cause)
		}
		return result.Samples, nil
	}
	return nil, fmt.Errorf("no device %q", device)
}

// Last says what a device's last poll brought, without waiting; nothing, if the device
// isn't read.
func (a *Adapter[D]) Last(_ context.Context, device string) adapters.Last {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sessions {
		if s.about.ID == device {
			return s.lastResult()
		}
	}
	return adapters.Last{}
}

// Has reports whether the device is one of this adapter's.
func (a *Adapter[D]) Has(device string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sessions {
		if s.about.ID == device {
			return true
		}
	}
	return false
}

// Stats is what reading has come to, in configured order.
func (a *Adapter[D]) Stats() []adapters.DeviceStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]adapters.DeviceStats, len(a.sessions))
	for i, s := range a.sessions {
		list[i] = s.stats.read(s.about.ID)
	}
	return list
}
