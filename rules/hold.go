package rules

import (
	"time"

	"github.com/busbar/busbar/telemetry"
)

// hold counts how long a condition has held. The zero hold hasn't begun.
type hold struct {
	begun bool
	gap   bool // it was unknown since last
	since telemetry.Micros
	last  telemetry.Micros // the latest sample on which it was true
	held  telemetry.Micros // of the time from since to last, what counts
	due   time.Time        // when the clock may complete it; zero: only a sample can
}

// observe takes the condition's value at t and reports whether it is true and
// has held for the delay. After an unknown stretch longer than patience it
// starts anew.
func (h *hold) observe(v truth, t, delay, patience telemetry.Micros) bool {
	switch {
	case v == no:
		*h = hold{}
		return false
	case v == unknown:
		h.gap, h.due = h.begun, time.Time{}
		return false
	case !h.begun, h.gap && t-h.last > patience:
		*h = hold{begun: true, since: t, last: t}
	default:
		if !h.gap {
			h.held += t - h.last
		}
		h.last, h.gap = t, false
	}
	return h.held >= delay
}

// complete is the instant of source time at which it has held for the delay, if
// it goes on.
func (h *hold) complete(delay telemetry.Micros) telemetry.Micros {
	return h.last + delay - h.held
}
