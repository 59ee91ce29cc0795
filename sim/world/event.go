package world

import "github.com/busbar/busbar/grid"

// Kind is what has happened.
type Kind uint8

const (
	FaultBegan Kind = iota
	FaultEnded      // a temporary one, after a time without voltage
	Repaired        // by a crew or a script
	Tripped         // a breaker or recloser, by its protection
	Blown           // a fuse
	Reclosed        // by itself
	LockedOut       // it won't close by itself
	Opened          // by somebody: a switch, or a line that was cut
	Closed          // by somebody, or a fuse replaced, or a line joined
	Dispatched      // a crew is on its way
	SupplyChanged
)

var kindNames = [...]string{"fault-begin", "fault-end", "repaired", "trip", "blown", "reclose", "lockout", "open", "close", "dispatched", "supply"}

func (k Kind) String() string { return kindNames[k] }

// Event is something that has happened.
type Event struct {
	At     int64 // µs UTC
	Kind   Kind
	Fault  int         // of World.Fault, or grid.None
	Edge   int         // the device or line, or grid.None
	Point  int         // the service point whose own fuse it is, or grid.None
	Phases grid.Phases // that were opened or closed
	Trips  int         // of a device's sequence, up to now
	Supply []Change    // of SupplyChanged, by point
}

// Change is that of a service point's supply. Its levels are those of the phases
// that it uses.
type Change struct {
	Point    int32
	From, To Levels
}

func event(at int64, kind Kind) Event {
	return Event{At: at, Kind: kind, Fault: grid.None, Edge: grid.None, Point: grid.None}
}
