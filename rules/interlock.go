package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/busbar/busbar/telemetry"
)

// Interlock is a condition without which something isn't operated. It is decided
// by samples of one moment, and has no state: it is safe for concurrent use.
type Interlock struct {
	text    string
	holds   condition
	slots   []slot // empty
	signals []telemetry.Signal
	slotOf  map[telemetry.SignalID]int32
}

// CompileInterlock binds a condition, as rules have it, to an asset or a device of
// the model. What is wrong is about the key when, on.asset or on.device.
func CompileInterlock(when string, on Target, m Model) (*Interlock, *Problem) {
	wrong := func(field string, f *fault) (*Interlock, *Problem) {
		return nil, &Problem{Field: field, Column: f.column, Err: errors.New(f.message)}
	}
	w := newNetwork(m)
	targets, field, err := w.targets(on)
	if err != nil {
		return wrong(field, err)
	}
	if len(targets) != 1 {
		return wrong("on", &fault{message: "expected one asset or one device"})
	}
	tree, err := parseExpression(when)
	if err != nil {
		return wrong("when", err)
	}
	s := &scope{network: w, target: targets[0], used: map[string]bool{}}
	holds, err := s.condition(tree)
	if err != nil {
		return wrong("when", err)
	}
	if len(s.slots) == 0 {
		return wrong("when", &fault{message: "the condition names no signal"})
	}
	if w.kept > 0 || len(s.counts) > 0 {
		return wrong("when", &fault{message: "it looks back, but is decided by samples of one moment"})
	}
	i := &Interlock{text: when, holds: holds, slots: w.inputs.slots, signals: w.inputs.signals, slotOf: w.slotOf}
	for n := range i.slots {
		i.slots[n].poll = 0 // what was read for this decision isn't old
	}
	return i, nil
}

// String is the condition as it was written.
func (i *Interlock) String() string { return i.text }

// Devices are those whose signals it names, sorted.
func (i *Interlock) Devices() []string {
	var ids []string
	for _, s := range i.signals {
		ids = append(ids, s.Device)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Verdict is what an Interlock says.
type Verdict int8

const (
	Blocks    Verdict = -1
	Undecided Verdict = 0 // a value that it needs isn't there, or isn't good
	Permits   Verdict = 1
)

// Judge decides by samples that were read for it. Only good values count: one that
// is uncertain, stale, substituted or estimated is none. Seen lists the values that it
// saw.
func (i *Interlock) Judge(samples []telemetry.Sample) (v Verdict, seen string) {
	in := inputs{slots: slices.Clone(i.slots), signals: i.signals}
	values := make([]string, len(i.signals))
	for n, s := range i.signals {
		values[n] = fmt.Sprintf("%s of %s wasn't read", s.Name, s.Device)
	}
	for _, s := range samples {
		n, ok := i.slotOf[s.Signal]
		if !ok {
			continue
		}
		name := fmt.Sprintf("%s of %s", i.signals[n].Name, i.signals[n].Device)
		if s.Quality.Validity() != telemetry.Good || s.Quality&^telemetry.ClockJumped>>8 != 0 {
			values[n] = name + " is " + s.Quality.String()
			continue
		}
		values[n] = name + " is " + s.Value.String()
		in.slots[n].set(s.Value, s.Quality, s.Time)
	}
	return Verdict(i.holds(&in)), strings.Join(values, ", ")
}
