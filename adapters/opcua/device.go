// Package opcua reads OPC UA servers: it subscribes to what changes, reads what can't be
// subscribed to, follows what a server comes to have, and notices when a server is
// connected and says nothing. A connection or subscription that has failed isn't mended
// but made anew, and what the server has kept meanwhile is read from its history.
package opcua

import (
	"log/slog"
	"time"

	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/opcuaconn"
	"github.com/busbar/busbar/telemetry"
)

// Adapter is the adapters.Adapter for OPC UA servers.
type Adapter struct {
	*session.Adapter[Device]
	links *links
}

// New is an adapter of devices that have been checked. logger nil means slog.Default.
func New(devices []Device, logger *slog.Logger) *Adapter {
	l := &links{}
	return &Adapter{session.New(l.know(devices), logger), l}
}

// Change is session.Adapter.Change.
func (a *Adapter) Change(devices []Device, swap func()) {
	devices = a.links.know(devices)
	a.Adapter.Change(devices, swap)
}

// Device is one server.
type Device struct {
	ID     string
	Server opcuaconn.Config
	Dir    string // that its file names are relative to
	Keep   string // see opcuaconn.Options
	// Poll has every node read once in PublishEvery, instead of being subscribed to.
	Poll bool
	// PublishEvery is how often the server sends what has changed, and SampleEvery how
	// often it looks.
	PublishEvery, SampleEvery time.Duration
	// KeepAlive is for how long the server may send nothing; after three of them it counts
	// as frozen.
	KeepAlive time.Duration
	// Queue is how many values of a node the server keeps until it sends them.
	Queue uint32
	// History has what was missed read from the server's history.
	History bool
	Timeout time.Duration // for an answer
	Points  []Point
	Follow  []Follow
	Alarms  []Alarms // there are none with Poll
	// FollowEvery is how often it is looked what the server has come to have, also if it
	// doesn't tell of that.
	FollowEvery time.Duration
	// Revision changes with whatever gives what is found another identity.
	Revision string
	Controls []Control
	Live     telemetry.SignalID

	links *links // where those that operate it find its connection
}

// Point is a signal in the value of a node.
type Point struct {
	Name    string
	Node    Node
	Element Element // valid
	Scale   float64 // not 0
	Offset  float64
	Bool    bool // what isn't one is a wrong answer
	// Deadband, in the signal's unit, is how far the value has to move before the server
	// tells of it, if that can do that; 0: each change is told.
	Deadband float64
	Signal   telemetry.SignalID
}

// Follow is all variables below a node.
type Follow struct {
	Node     Node
	Match    Pattern // of their paths of browse names from there
	Deadband float64
}

// toldWithin is how long it may take until everything that is followed has been found and
// has had a value.
const toldWithin = 2 * time.Minute

// About implements session.Device.
func (d Device) About() session.About {
	a := session.About{ID: d.ID, Where: d.Server.Endpoint, Live: d.Live, Open: len(d.Follow)+len(d.Alarms) > 0, ToldWithin: toldWithin}
	for _, p := range d.Points {
		a.Points = append(a.Points, session.Point{Name: p.Name, Signal: p.Signal})
	}
	return a
}
