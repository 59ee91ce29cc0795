// Package iec104 reads and commands stations of IEC 60870-5-104 and -101: it asks for
// everything when a link is started, and then takes what they tell. What it doesn't know
// itself of the protocols is in the packages below: asdu and controlling are of both, apdu
// and link of 104, and ft12 of 101.
package iec104

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // a station's zone is known on machines that have none

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlling"
	"github.com/busbar/busbar/adapters/iec104/ft12"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/adapters/wire"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry"
)

// Adapter is the adapters.Adapter for stations of IEC 60870-5-104 and -101.
type Adapter struct {
	*session.Adapter[Device]
	stations *stations
}

// New is an adapter of devices that have been checked. logger nil means slog.Default.
func New(devices []Device, logger *slog.Logger) *Adapter {
	s := &stations{}
	return &Adapter{session.New(s.know(devices), logger), s}
}

// Change is session.Adapter.Change.
func (a *Adapter) Change(devices []Device, swap func()) {
	devices = a.stations.know(devices)
	a.Adapter.Change(devices, swap)
}

// Device is one controlled station, or several behind the same links.
type Device struct {
	ID        string
	Addresses []string       // host:port; several are a redundancy group
	TLS       *kafkaconn.TLS // nil: none
	Dir       string         // that its file names are relative to
	T0        time.Duration
	Link      link.Config
	// Serial is the station's place on a line of 60870-5-101, instead of Addresses, TLS, T0
	// and Link. Nil: it is reached by 104.
	Serial *ft12.Station
	Params asdu.Params
	// Originator is the address of this controlling station, 0 if it has none.
	Originator uint8
	// Interrogate, Counters and Sync are as of controlling.Config.
	Interrogate, Counters, Sync time.Duration
	Zone                        string        // of the station's clock, as time.LoadLocation takes it
	Timeout                     time.Duration // for an answer
	Points                      []Point
	Controls                    []Control
	Live                        telemetry.SignalID
	// KeepAll is that measured values, too, are acknowledged only when they are on disk.
	KeepAll bool

	stations *stations // where those that command it find its link
}

// Point is a signal at an object of a station.
type Point struct {
	Name    string
	Station uint16  // common address
	Object  uint32  // information object address
	Scale   float64 // not 0
	Offset  float64
	// Bool is that it is one: of a double point, off or on. Its other two positions are no
	// value.
	Bool bool
	// Counter is that it is told when counters are asked for.
	Counter bool
	Signal  telemetry.SignalID
}

// Control is a point that may be commanded.
type Control struct {
	Point     string // its name
	Station   uint16
	Object    uint32
	Type      asdu.Type // a command
	Select    bool      // the station wants it to be selected first
	Qualifier uint8
	Feedback  string        // the point that shows what was done; "": the same
	Settle    time.Duration // how long that may take
}

// About implements session.Device.
func (d Device) About() session.About {
	a := session.About{ID: d.ID, Live: d.Live}
	if d.Serial != nil {
		a.Where = d.Serial.String()
	} else {
		a.Where = d.Addresses[0]
	}
	a.Points = make([]session.Point, len(d.Points))
	for i, p := range d.Points {
		a.Points[i] = session.Point{Name: p.Name, Signal: p.Signal}
	}
	return a
}

// links keep a device's stations reachable.
type links interface {
	// Started returns a link over which ASDUs go. It fails when ctx ends, or when there is
	// none after a new attempt; the attempts go on.
	Started(ctx context.Context) (controlling.Link, error)
	Connected() []string // where there is one
	Wait()               // until all are closed, after the context has ended
}

// serial is links over a line.
type serial struct{ *ft12.Link }

func (s serial) Started(ctx context.Context) (controlling.Link, error) {
	c, err := s.Link.Started(ctx)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// open makes the device's links. They outlive ctx, so that who reads over one can stop it in
// order, and are closed by the second result. Files that can't be read are an error now.
func (d Device) open(ctx context.Context) (links, func(), error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var l links
	if d.Serial != nil {
		lines := &ft12.Lines{}
		if d.stations != nil {
			lines = &d.stations.lines
		}
		l = serial{lines.Open(ctx, *d.Serial)}
	} else {
		var encryption *tls.Config
		if d.TLS != nil {
			var err error
			if encryption, err = d.TLS.Config(d.Dir); err != nil {
				stop()
				return nil, nil, err
			}
		}
		l = controlling.Open(ctx, controlling.Links{Addresses: d.Addresses, TLS: encryption, T0: d.T0, Link: d.Link, Tap: d.stations.tap(d)})
	}
	return l, func() {
		stop()
		l.Wait()
	}, nil
}

// config is how the device's stations are asked.
func (d Device) config() controlling.Config {
	c := controlling.Config{
		Params: d.Params, Originator: d.Originator, Interrogate: d.Interrogate, Counters: d.Counters, Sync: d.Sync, Zone: d.zone(), Respond: d.Timeout,
		Keep: d.keeps,
	}
	for _, p := range d.Points {
		if !slices.Contains(c.Stations, p.Station) {
			c.Stations = append(c.Stations, p.Station)
		}
	}
	return c
}

func (d Device) zone() *time.Location {
	zone, err := time.LoadLocation(d.Zone)
	if err != nil {
		panic(err) // it has been checked
	}
	return zone
}

// stations are those that can be commanded. They are safe for concurrent use.
type stations struct {
	lines ft12.Lines

	mu      sync.Mutex
	devices map[string]Device
	live    map[string]*life
	taps    map[string]*wire.Tap
}

// tap is told what goes over the links of a device; of one that belongs to nobody, nobody is.
func (s *stations) tap(d Device) *wire.Tap {
	switch {
	case s == nil:
		return nil
	case d.Serial != nil:
		return s.lines.Tap(d.Serial.Endpoint)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taps == nil {
		s.taps = map[string]*wire.Tap{}
	}
	if s.taps[d.ID] == nil {
		s.taps[d.ID] = &wire.Tap{}
	}
	return s.taps[d.ID]
}

// Capture implements adapters.Capturer. Of a serial line it has what goes to and from all
// stations on it.
func (a *Adapter) Capture(ctx context.Context, device string, w io.Writer) error {
	a.stations.mu.Lock()
	d, known := a.stations.devices[device]
	a.stations.mu.Unlock()
	if !known {
		return fmt.Errorf("iec104: there is no device %q", device)
	}
	return a.stations.tap(d).Write(ctx, w, d.Serial != nil)
}

// know takes the devices, and returns them as they find their way here.
func (s *stations) know(devices []Device) []Device {
	devices = slices.Clone(devices)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.devices = map[string]Device{}
	for i := range devices {
		devices[i].stations = s
		s.devices[devices[i].ID] = devices[i]
	}
	return devices
}

// set notes the link of a device; nil: there is none.
func (s *stations) set(device string, l *life) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == nil {
		s.live = map[string]*life{}
	}
	s.live[device] = l
}
