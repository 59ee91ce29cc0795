package rules

import (
	"time"

	"github.com/busbar/busbar/telemetry"
)

// suppressing reports whether an instance keeps others from being raised: its alarm is
// active, or its condition holds and waits for its time.
func (i *instance) suppressing() bool { return i.firing || i.hold.begun && !i.hold.gap }

// isSuppressed reports whether an alarm mustn't be raised now.
func (e *Engine) isSuppressed(i *instance) bool {
	for _, n := range i.suppressors {
		if e.instances[n].suppressing() {
			return true
		}
	}
	return i.suppressed != nil && i.suppressed(&e.in) == yes
}

// release raises what an instance has held back, once it doesn't any more and the
// conditions still hold.
func (e *Engine) release(by *instance, decided time.Time, emit func(telemetry.Event)) {
	if len(by.suppresses) == 0 || by.suppressing() {
		return
	}
	for _, n := range by.suppresses {
		i := &e.instances[n]
		if !i.held || i.hold.gap {
			continue
		}
		i.at = max(i.at, by.at)
		e.in.at = i.at
		if i.when(&e.in) == yes {
			e.transition(n, i.at, decided, emit)
			e.release(i, decided, emit)
		}
	}
}

// firstUp is the alarm of the instance's group that was raised first of those that are
// active: its own if there is no other.
func (e *Engine) firstUp(i *instance) string {
	if i.group == "" {
		return ""
	}
	first := i
	for _, n := range i.peers {
		if p := &e.instances[n]; p.firing && (first == i || p.raised < first.raised) {
			first = p
		}
	}
	return first.id
}
