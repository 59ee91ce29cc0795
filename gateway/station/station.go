// Package station offers what a gateway measures to control rooms, by IEC 60870-5-104: it
// is a controlled station whose points are the gateway's signals. What reads and stores
// never waits for it.
package station

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/gateway/control"
	"github.com/busbar/busbar/telemetry"
)

// Options are what a Station needs.
type Options struct {
	Config  controlled.Config // but for its journal
	Signals []Signal
	Listen  string
	// TLS is asked for the certificates of each connection; nil: there is no encryption.
	TLS     func() (*tls.Config, error)
	File    string // keeps the events
	Control Controller
	// SetClock is told the time by a master; nil: that is refused.
	SetClock func(at time.Time) error
	// Lost enters events that were lost into the ledger, so many of a group.
	Lost func(group string, count uint64) error
	// Damaged tells that the file was set aside.
	Damaged func(telemetry.Damage) error
	Log     *slog.Logger
}

// Signal is a signal and the point that it is.
type Signal struct {
	Device, Name string
	Bool         bool
	Scale        float64 // of what is told, not 0
	Point        controlled.Point
	Control      *controlled.Control // nil: it can't be commanded
}

// Controller is control.Authoriser's.
type Controller interface {
	Select(ctx context.Context, r control.Request) control.Answer
	Operate(ctx context.Context, r control.Request) control.Answer
	Cancel(r control.Request) control.Answer
}

// Station is a controlled station. It is safe for concurrent use.
type Station struct {
	o       Options
	server  *controlled.Server
	journal *journal
	points  atomic.Pointer[map[telemetry.SignalID]*point]
	all     []*point
	owner   owner

	mu    sync.Mutex
	cause error // why it doesn't listen; nil: it does
}

// errStarting is that it doesn't listen yet.
var errStarting = fmt.Errorf("it is being started")

// New reads the events that were kept, and serves when it runs. If they can't be read
// because of the machine, it tries again then, and Stats says so.
func New(o Options) (*Station, error) {
	s := &Station{o: o, cause: errStarting}
	var controls []controlled.Control
	var points []controlled.Point
	s.owner = owner{station: s, commanded: map[object]*point{}, selected: map[object]string{}}
	for _, signal := range o.Signals {
		p := &point{Signal: signal}
		s.all = append(s.all, p)
		points = append(points, signal.Point)
		if c := signal.Control; c != nil {
			controls = append(controls, *c)
			s.owner.commanded[object{c.Station, c.Address}] = p
		}
	}
	config := o.Config
	if len(config.Groups) == 0 {
		config.Groups = []controlled.Group{{Name: "all"}}
	}
	var groups []string
	for _, g := range config.Groups {
		groups = append(groups, g.Name)
	}
	s.journal, config.Restored = openJournal(o.File, groups, config.Events, o.Log)
	config.Journal = s.journal
	var err error
	if s.server, err = controlled.New(config, points, controls, &s.owner, o.Log); err != nil {
		return nil, err
	}
	s.journal.tell = s.server
	s.points.Store(&map[telemetry.SignalID]*point{})
	return s, nil
}

// Define says which signals there are from now on.
func (s *Station) Define(signals []telemetry.Signal) {
	ids := make(map[[2]string]telemetry.SignalID, len(signals))
	for _, signal := range signals {
		ids[[2]string{signal.Device, signal.Name}] = signal.ID
	}
	points := make(map[telemetry.SignalID]*point, len(s.all))
	for _, p := range s.all {
		if id, has := ids[[2]string{p.Device, p.Name}]; has {
			points[id] = p
		}
	}
	s.points.Store(&points)
}

// Take takes samples, in gateway time; doubted says that this isn't known, and past that
// they are older than what is current. It is called by one goroutine, and never waits for a
// master or the disk.
func (s *Station) Take(samples []telemetry.Sample, doubted, past bool) {
	points := *s.points.Load()
	for i := range samples {
		p := points[samples[i].Signal]
		if p == nil {
			continue
		}
		if err := s.server.Tell(p.change(samples[i], doubted, past)); err != nil && !p.complained {
			p.complained = true
			s.o.Log.Warn("a value can't be told to control rooms", "device", p.Device, "signal", p.Name, "error", err)
		}
	}
}

// Await has those who wait for what was taken to be on disk wait for the events among it,
// too.
func (s *Station) Await(waiting []func(bool)) []func(bool) {
	for i, tell := range waiting {
		var left atomic.Int32
		left.Store(2)
		each := func(is bool) {
			if !is && left.Swap(-1) > 0 {
				tell(false)
			} else if is && left.Add(-1) == 0 {
				tell(true)
			}
		}
		if s.journal.await(each) {
			waiting[i] = each
		}
	}
	return waiting
}

// again is how long it waits until it listens again, after that has failed, and how often
// it looks for events that were lost.
const again = 5 * time.Second

// Run serves masters until ctx ends.
func (s *Station) Run(ctx context.Context) {
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { s.journal.run(keeping) })
	running.Go(func() { s.declare(ctx) })
	for ctx.Err() == nil {
		if err := s.serve(ctx); ctx.Err() == nil {
			s.set(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
	stop()
	running.Wait()
}

func (s *Station) serve(ctx context.Context) error {
	var encryption *tls.Config
	if s.o.TLS != nil {
		if _, err := s.o.TLS(); err != nil {
			return err
		}
		encryption = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.o.TLS() }}
	}
	l, err := controlled.Listen(s.o.Listen, encryption)
	if err != nil {
		return err
	}
	s.set(nil)
	s.o.Log.Info("control rooms are served", "address", l.Addr().String(), "encrypted", encryption != nil, "points", len(s.all))
	return s.server.Serve(ctx, l)
}

// set notes why it doesn't listen.
func (s *Station) set(err error) {
	s.mu.Lock()
	was := s.cause
	s.cause = err
	s.mu.Unlock()
	if err != nil && (was == nil || was.Error() != err.Error()) {
		s.o.Log.Error("control rooms can't be served", "address", s.o.Listen, "error", err)
	}
}

// declare enters what is lost into the ledger, and tells of files that were set aside. What
// an earlier process has lost it has entered, unless it ended within seconds.
func (s *Station) declare(ctx context.Context) {
	told := map[string]uint64{}
	ticker := time.NewTicker(again)
	defer ticker.Stop()
	var damages []telemetry.Damage
	for ended := false; !ended; {
		damages = latestOf(append(damages, s.journal.damaged()...))
		for len(damages) > 0 && s.o.Damaged(damages[0]) == nil {
			damages = damages[1:]
		}
		select {
		case <-ctx.Done():
			ended = true
		case <-ticker.C:
		}
		for _, g := range s.server.Status() {
			if lost := g.Dropped - g.Earlier - told[g.Name]; lost > 0 {
				if err := s.o.Lost(g.Name, lost); err == nil {
					told[g.Name] += lost
				}
			}
		}
	}
}

// Stats is how it stands.
type Stats struct {
	Listen    string
	Encrypted bool
	Cause     error  // why it doesn't listen; nil: it does
	Unkept    error  // why events are told without being on disk; nil: they aren't
	Passed    uint64 // events that didn't wait for the disk, whether a master has taken them or not
	Groups    []controlled.GroupStatus
}

// Stats may be called at any time.
func (s *Station) Stats() Stats {
	unkept, passed := s.journal.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Listen: s.o.Listen, Encrypted: s.o.TLS != nil, Cause: s.cause, Unkept: unkept, Passed: passed, Groups: s.server.Status()}
}
