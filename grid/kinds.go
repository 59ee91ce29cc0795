package grid

import (
	"fmt"
	"slices"
	"strings"
)

// Coordinates is a system of coordinates.
type Coordinates uint8

// Positions are in the network's own plane, or longitude and latitude.
const (
	Local Coordinates = iota
	WGS84
)

// NodeType is what a node is made as.
type NodeType uint8

const (
	Joint NodeType = iota
	Busbar
	Cabinet
)

// LineType is how a line is built.
type LineType uint8

const (
	UnknownLine LineType = iota
	Overhead
	Cable
)

// SwitchType is what a switch can do.
type SwitchType uint8

const (
	Breaker      SwitchType = iota // interrupts faults, by a relay
	Recloser                       // a breaker on the line that closes again by itself
	LoadSwitch                     // opens under load
	Disconnector                   // opens without load only
	Fuse                           // interrupts faults once, one phase at a time
)

// Protective reports whether a switch of this type opens by itself at a fault.
func (t SwitchType) Protective() bool { return t == Breaker || t == Recloser || t == Fuse }

// Priority is how urgent a supply is.
type Priority uint8

const (
	NormalPriority   Priority = iota
	HighPriority              // a school, a waterworks
	CriticalPriority          // a hospital, life support at home
)

var (
	coordinatesNames = []string{"local", "wgs84"}
	nodeTypeNames    = []string{"joint", "busbar", "cabinet"}
	lineTypeNames    = []string{"unknown", "overhead", "cable"}
	switchTypeNames  = []string{"breaker", "recloser", "load-switch", "disconnector", "fuse"}
	priorityNames    = []string{"normal", "high", "critical"}
)

func (c Coordinates) String() string { return coordinatesNames[c] }
func (t NodeType) String() string    { return nodeTypeNames[t] }
func (t LineType) String() string    { return lineTypeNames[t] }
func (t SwitchType) String() string  { return switchTypeNames[t] }
func (p Priority) String() string    { return priorityNames[p] }

func (c Coordinates) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
func (t NodeType) MarshalText() ([]byte, error)    { return []byte(t.String()), nil }
func (t LineType) MarshalText() ([]byte, error)    { return []byte(t.String()), nil }
func (t SwitchType) MarshalText() ([]byte, error)  { return []byte(t.String()), nil }
func (p Priority) MarshalText() ([]byte, error)    { return []byte(p.String()), nil }

func (c *Coordinates) UnmarshalText(text []byte) error {
	return oneOf(c, coordinatesNames, text, "system of coordinates")
}
func (t *NodeType) UnmarshalText(text []byte) error {
	return oneOf(t, nodeTypeNames, text, "type of node")
}
func (t *LineType) UnmarshalText(text []byte) error {
	return oneOf(t, lineTypeNames, text, "type of line")
}
func (t *SwitchType) UnmarshalText(text []byte) error {
	return oneOf(t, switchTypeNames, text, "type of switch")
}
func (p *Priority) UnmarshalText(text []byte) error {
	return oneOf(p, priorityNames, text, "priority")
}

func oneOf[T ~uint8](to *T, names []string, text []byte, what string) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("%q is no %s, expected one of %s", shorten(string(text)), what, strings.Join(names, ", "))
	}
	*to = T(i)
	return nil
}
