// Package script says what is wrong on the grid at which time: scripted
// faults of feeders and devices, and what follows from them. It is a pure
// function of the script and the time since the start.
package script

import (
	"maps"
	"slices"
	"time"
)

// Kind is a kind of fault.
type Kind string

const (
	Outage    Kind = "outage"    // a feeder is dead
	Misbehave Kind = "misbehave" // a device answers in another way than it should
)

// Kinds are all kinds, in the order in which they are listed to people.
var Kinds = []Kind{Outage, Misbehave}

// Fault is one entry of the script. It names a feeder if it is an outage, or
// else a device.
type Fault struct {
	At     time.Duration // since the start
	For    time.Duration // 0 if it lasts to the end
	Kind   Kind
	Feeder string
	Device string
	How    string // a device misbehaves: as devices.ParseMisbehaviours reads it
}

// Active reports whether the fault is there at a time since the start.
func (f Fault) Active(at time.Duration) bool { return f.span().covers(at) }

func (f Fault) span() span {
	if f.For == 0 {
		return span{f.At, forever}
	}
	return span{f.At, f.At + f.For}
}

// Device is what a script has to know of a device.
type Device struct {
	ID     string
	Feeder string
	// SelfPowered is whether the device lives on the voltage it measures. It
	// then loses its power HoldUp after its feeder, and works again BootTime
	// after its feeder has come back.
	SelfPowered bool
}

const (
	HoldUp   = 500 * time.Millisecond
	BootTime = 2 * time.Second
)

// Condition is the state of a device.
type Condition struct {
	Live    bool   // its feeder is
	Powered bool   // it works
	How     string // it misbehaves; "": it doesn't
}

// Script is one that has been checked. It is immutable.
type Script struct {
	faults  []Fault
	devices map[string]Device
	dead    map[string]spans // by feeder, apart: together they are what a hold-up has to bridge
	off     map[string]spans // by device, of those that are self-powered
	changes []time.Duration  // sorted, each once
}

// New checks the faults against the devices, whose IDs are unique, and returns
// every problem it finds as Problems.
func New(devices []Device, faults []Fault) (*Script, error) {
	if problems := check(devices, faults); len(problems) > 0 {
		return nil, problems
	}
	s := &Script{faults: slices.Clone(faults), devices: map[string]Device{}, dead: map[string]spans{}, off: map[string]spans{}}
	changes := map[time.Duration]bool{}
	for _, f := range faults {
		changes[f.span().from], changes[f.span().to] = true, true
		if f.Kind == Outage {
			s.dead[f.Feeder] = append(s.dead[f.Feeder], f.span())
		}
	}
	for feeder, outages := range s.dead {
		s.dead[feeder] = outages.union()
	}
	for _, d := range devices {
		s.devices[d.ID] = d
		if !d.SelfPowered {
			continue
		}
		for _, outage := range s.dead[d.Feeder] {
			if off := (span{outage.from + HoldUp, outage.to}); off.from < off.to {
				if off.to != forever {
					off.to += BootTime
				}
				s.off[d.ID] = append(s.off[d.ID], off)
				changes[off.from], changes[off.to] = true, true
			}
		}
	}
	delete(changes, forever)
	s.changes = slices.Sorted(maps.Keys(changes))
	return s, nil
}

// Live reports whether a feeder has voltage at a time since the start.
func (s *Script) Live(feeder string, at time.Duration) bool { return !s.dead[feeder].cover(at) }

// Condition is the state of a device at a time since the start.
func (s *Script) Condition(device string, at time.Duration) Condition {
	c := Condition{Live: s.Live(s.devices[device].Feeder, at), Powered: !s.off[device].cover(at)}
	for _, f := range s.faults {
		if f.Device == device && f.Active(at) {
			c.How = f.How
		}
	}
	return c
}

// Next is the first time after at when anything changes; ok is false if nothing
// does.
func (s *Script) Next(at time.Duration) (next time.Duration, ok bool) {
	i, found := slices.BinarySearch(s.changes, at)
	if found {
		i++
	}
	if i == len(s.changes) {
		return 0, false
	}
	return s.changes[i], true
}
