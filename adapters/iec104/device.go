// Package iec104 reads and commands stations of IEC 60870-5-104: it asks for everything
// when a link is started, and then takes what they tell. What it doesn't know itself of the
// protocol is in the packages below: apdu, asdu, link and controlling.
package iec104

import (
	"crypto/tls"
	"log/slog"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // a station's zone is known on machines that have none

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlling"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry"
)

// Adapter is the adapters.Adapter for stations of IEC 60870-5-104.
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
	Params    asdu.Params
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
	a := session.About{ID: d.ID, Where: d.Addresses[0], Live: d.Live}
	for _, p := range d.Points {
		a.Points = append(a.Points, session.Point{Name: p.Name, Signal: p.Signal})
	}
	return a
}

// links are those of the device. Files that can't be read are an error now.
func (d Device) links() (controlling.Links, error) {
	var encryption *tls.Config
	if d.TLS != nil {
		var err error
		if encryption, err = d.TLS.Config(d.Dir); err != nil {
			return controlling.Links{}, err
		}
	}
	return controlling.Links{Addresses: d.Addresses, TLS: encryption, T0: d.T0, Link: d.Link}, nil
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
	mu      sync.Mutex
	devices map[string]Device
	live    map[string]*life
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
