package rules

import (
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Active is an alarm that hasn't cleared.
type Active struct {
	ID       string
	Rule     string
	Asset    string
	Device   string // "" if the rule is about the asset
	Priority telemetry.Priority
	Raised   telemetry.Micros
	// AcknowledgedBy is who has taken notice of it, "" if nobody.
	AcknowledgedBy string
}

// Active lists the alarms that haven't cleared, in the order of the rules.
func (e *Engine) Active() []Active {
	var list []Active
	for n := range e.instances {
		if i := &e.instances[n]; i.firing {
			list = append(list, Active{i.id, i.rule, i.target.asset, i.target.device, i.priority, i.raised, i.noted})
		}
	}
	return list
}

// ActiveIDs are the ids of all alarms that haven't cleared, with those that
// Restore found and whose rule is gone: they are cleared by the first Tick.
func (e *Engine) ActiveIDs() []string {
	ids := []string{}
	for _, a := range e.Active() {
		ids = append(ids, a.ID)
	}
	for _, o := range e.orphans {
		ids = append(ids, o.ID)
	}
	return ids
}

// Acknowledge notes that somebody has taken notice of an active alarm, and
// reports whether there is such an alarm. The first one stays.
func (e *Engine) Acknowledge(alarm, by string) bool {
	i := e.firing(alarm)
	if i == nil {
		return false
	}
	if i.noted == "" {
		i.noted, e.changed = by, true
	}
	return true
}

// Reset clears an active alarm and forgets what its rule has waited for, so that
// the rule decides anew, from the samples that follow, or from what holds if it comes by
// change only; it reports whether there is such an alarm. If what raised it still holds, it is raised again under another
// id once it has held for the rule's time.
func (e *Engine) Reset(alarm string, now time.Time, emit func(telemetry.Event)) bool {
	i := e.firing(alarm)
	if i == nil {
		return false
	}
	at := max(e.clock(now), i.raised)
	e.end(i, at, at, now, emit)
	e.fresh = true
	e.wake(now)
	return true
}

func (e *Engine) firing(alarm string) *instance {
	for n := range e.instances {
		if i := &e.instances[n]; i.firing && i.id == alarm {
			return i
		}
	}
	return nil
}
