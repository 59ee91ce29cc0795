package live

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/world"
)

// FaultState is a fault that there is, or was.
type FaultState struct {
	world.Fault
	Active bool
	// What protection has opened for it and nobody has closed since: switches, and
	// service points whose own fuses have blown.
	Opened []string
}

// Fault causes one now. Its asset may be a feeder or a switch as well, which means the
// first line behind it; letters are taken as large or small. One without an id
// gets one. What it returns is as it was caused.
func (l *Live) Fault(f world.Fault) (world.Fault, error) {
	l.step.Lock()
	defer l.step.Unlock()
	asset, err := l.faulted(f.Asset)
	if err != nil {
		return f, err
	}
	f.Asset = asset
	for w := l.play.World(); f.ID == "" || w.FaultOf(f.ID) != grid.None && strings.HasPrefix(f.ID, "hand-"); {
		l.hands++
		f.ID = fmt.Sprintf("hand-%d", l.hands)
	}
	return f, l.act(world.Action{Act: world.BeginFault, Fault: f})
}

// act does something at the present of the clock; step is held.
func (l *Live) act(a world.Action) error {
	if to := l.catchUp(time.Now()); to > l.play.World().Now() {
		if err := l.advance(to); err != nil {
			return err
		}
	}
	events, err := l.play.Act(a)
	l.follow(events, l.fine())
	return err
}

// faulted is the asset that a name means.
func (l *Live) faulted(name string) (string, error) {
	s := l.snapshot
	if feeder := l.feederOf(name); feeder != grid.None {
		name = s.Feeder(feeder).Head
	}
	id, err := l.asset(name)
	if err != nil {
		return "", err
	}
	edge := s.EdgeOf(id)
	if edge == grid.None || s.Edge(edge).Kind != grid.KindSwitch {
		return id, nil
	}
	if below := s.Normal().Below(edge); below != grid.None {
		for _, n := range s.Normal().Downstream(below) {
			if e := s.Normal().Supply(int(n)); s.Edge(e).Kind == grid.KindLine {
				return s.EdgeAsset(e).ID, nil
			}
		}
	}
	return "", fmt.Errorf("there is no line behind %q in normal operation", id)
}

func (l *Live) feederOf(name string) int {
	for i := range l.snapshot.Feeders() {
		if strings.EqualFold(l.snapshot.Feeder(i).ID, name) {
			return i
		}
	}
	return grid.None
}

// asset is the id of what can be faulted or switched that a name means.
func (l *Live) asset(name string) (string, error) {
	s := l.snapshot
	for _, id := range []string{name, strings.ToLower(name)} {
		if s.EdgeOf(id) != grid.None || s.PointOf(id) != grid.None || s.Node(id) != grid.None {
			return id, nil
		}
	}
	return "", fmt.Errorf("the grid has no feeder, line, switch, transformer, node or service point %q", name)
}

// Repair takes faults away: one by its id, or all that an asset has, which may be named
// as for Fault. With closing, what protection has opened for them is closed again,
// or replaced if it is a fuse. It returns the faults, and what remains open because of
// them.
func (l *Live) Repair(name string, closing bool) (repaired []FaultState, err error) {
	l.step.Lock()
	defer l.step.Unlock()
	w := l.play.World()
	var faults []int
	if i := w.FaultOf(name); i != grid.None {
		faults = []int{i}
	} else if asset, err := l.faulted(name); err == nil {
		for i := range w.Faults() {
			if w.Fault(i).Asset == asset && (w.Active(i) || len(l.faultState(i).Opened) > 0) {
				faults = append(faults, i)
			}
		}
	}
	if len(faults) == 0 {
		return nil, fmt.Errorf("there is no fault %q, and no asset with one", name)
	}
	for _, i := range faults {
		if w.Active(i) {
			if err := l.act(world.Action{Act: world.RepairFault, Fault: world.Fault{ID: w.Fault(i).ID}}); err != nil {
				return repaired, err
			}
		}
		if closing {
			for _, id := range l.faultState(i).Opened {
				if err := l.act(world.Action{Act: world.Close, Asset: id}); err != nil {
					return repaired, err
				}
			}
		}
		repaired = append(repaired, l.faultState(i))
	}
	return repaired, nil
}

// Open opens a switch or a line, or disconnects a service point; 0 is all phases.
func (l *Live) Open(id string, phases grid.Phases) error {
	return l.operate(world.Action{Act: world.Open, Asset: id, Phases: phases})
}

// Close closes a switch or a line, replaces a fuse, or connects a service point.
func (l *Live) Close(id string, phases grid.Phases) error {
	return l.operate(world.Action{Act: world.Close, Asset: id, Phases: phases})
}

func (l *Live) operate(a world.Action) (err error) {
	l.step.Lock()
	defer l.step.Unlock()
	if a.Asset, err = l.asset(a.Asset); err != nil {
		return err
	}
	return l.act(a)
}

// CutOff takes the connection of a gateway, or of all of a feeder's, for a time of the
// grid. It returns which they are.
func (l *Live) CutOff(name string, lasts time.Duration) ([]string, error) {
	l.step.Lock()
	defer l.step.Unlock()
	if lasts <= 0 || lasts > 365*24*time.Hour {
		return nil, fmt.Errorf("a connection can't fail for %v, expected more than 0 and up to a year", lasts)
	}
	if l.play.Over() {
		return nil, fmt.Errorf("the scenario is over")
	}
	return l.play.CutOff(name, lasts)
}

// Faults is those that there are, and those that were of which something is open
// still, in the order in which they were planned.
func (l *Live) Faults() (list []FaultState) {
	l.step.Lock()
	defer l.step.Unlock()
	for i := range l.play.World().Faults() {
		if x := l.faultState(i); x.Active || len(x.Opened) > 0 {
			list = append(list, x)
		}
	}
	return list
}

func (l *Live) faultState(i int) FaultState {
	w, s := l.play.World(), l.snapshot
	x := FaultState{Fault: w.Fault(i), Active: w.Active(i)}
	for _, edge := range l.opened[i] {
		if id := s.EdgeAsset(edge).ID; w.Position(edge) != 0 && !slices.Contains(x.Opened, id) && l.trippedFor(edge) {
			x.Opened = append(x.Opened, id)
		}
	}
	for _, p := range l.blown[i] {
		if id := s.PointAsset(p).ID; w.Connection(p) != 0 && !slices.Contains(x.Opened, id) {
			x.Opened = append(x.Opened, id)
		}
	}
	return x
}

// trippedFor reports whether an edge is open by protection still.
func (l *Live) trippedFor(edge int) bool {
	i := l.state.switchOf[edge]
	return i < 0 || l.state.switches[i].Tripped || l.state.switches[i].LockedOut
}

// FaultAt is the fault with an index, as events have it.
func (l *Live) FaultAt(index int) (world.Fault, bool) {
	if index < 0 {
		return world.Fault{}, false
	}
	l.step.Lock()
	defer l.step.Unlock()
	return l.play.World().Fault(index), true
}
