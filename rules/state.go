package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// savedState is the form of State. A change that an older program can't read
// has a new version.
type savedState struct {
	Version int          `json:"version"`
	Alarms  []savedAlarm `json:"alarms"`
}

const stateVersion = 1

// savedAlarm is the state of an instance that is firing or holding.
type savedAlarm struct {
	Rule     string             `json:"rule"`
	Asset    string             `json:"asset"`
	Device   string             `json:"device,omitempty"`
	Priority telemetry.Priority `json:"priority,omitempty"`
	ID       string             `json:"id,omitempty"` // "" if not firing
	Raised   telemetry.Micros   `json:"raised_us,omitempty"`
	Noted    string             `json:"acknowledged_by,omitempty"`
	FirstUp  string             `json:"first_up,omitempty"`
	Text     string             `json:"text,omitempty"` // names what the rest is of
	Hold     *savedHold         `json:"hold,omitempty"`
	Counts   []savedCount       `json:"counts,omitempty"`
	Counted  telemetry.Micros   `json:"counted_us,omitempty"` // until when
	Inputs   []savedInput       `json:"inputs,omitempty"`     // then
}

// savedCount is what one count_over of a rule has counted.
type savedCount struct {
	Was   truth              `json:"was"`
	Times []telemetry.Micros `json:"times_us,omitempty"`
}

type savedHold struct {
	Since  telemetry.Micros `json:"since_us"`
	Last   telemetry.Micros `json:"last_us"`
	Held   telemetry.Micros `json:"held_us"`
	Gap    bool             `json:"gap,omitempty"`
	Inputs []savedInput     `json:"inputs"`
}

type savedInput struct {
	Signal  telemetry.SignalID `json:"signal"`
	Time    telemetry.Micros   `json:"time_us"`
	Value   *float64           `json:"value"`
	Quality telemetry.Quality  `json:"quality"`
}

// Changed reports whether State differs from what it last returned. State
// belongs into the transaction that commits the events of the same call.
func (e *Engine) Changed() bool { return e.changed }

// State is what an Engine needs to go on after a restart: the alarms that are
// active and the conditions that are holding, with the samples they hold on.
// Rules that are idle start from the samples that follow.
func (e *Engine) State() []byte {
	e.changed = false
	state := savedState{Version: stateVersion, Alarms: append([]savedAlarm{}, e.orphans...)}
	for n := range e.instances {
		i := &e.instances[n]
		idle, counting := !i.firing && !i.hold.begun, slices.ContainsFunc(i.counts, func(c *edges) bool { return c.count(i.at) > 0 })
		if idle && !slices.ContainsFunc(i.counts, func(c *edges) bool { return c.was != unknown }) {
			continue
		}
		a := i.saved()
		a.Text = i.text
		if h := i.hold; h.begun {
			a.Hold = &savedHold{Since: h.since, Last: h.last, Held: h.held, Gap: h.gap, Inputs: e.in.save(i.slots)}
		}
		for _, c := range i.counts {
			a.Counts = append(a.Counts, savedCount{c.was, c.times})
		}
		if counting {
			a.Counted, a.Inputs = i.at, e.in.save(i.slots)
		} else if idle {
			a.Priority = ""
			for n := range a.Counts {
				a.Counts[n].Times = nil
			}
		}
		state.Alarms = append(state.Alarms, a)
	}
	out, err := json.Marshal(state)
	if err != nil {
		panic(err) // every number in it is finite
	}
	return out
}

func (in *inputs) save(slots []int32) []savedInput {
	out := make([]savedInput, 0, len(slots))
	for _, n := range slots {
		s := &in.slots[n]
		if s.time == never {
			continue
		}
		saved := savedInput{Signal: in.signals[n].ID, Time: s.time, Quality: s.quality}
		if s.known {
			saved.Value = &s.number
		}
		out = append(out, saved)
	}
	return out
}

// Restore takes up what State returned. An active alarm keeps its id and is
// cleared later. One whose rule no longer applies to its asset or device is
// cleared by the first Tick, which NextDeadline then asks for at once. Samples and
// waiting conditions of times after now, of a clock that has been set back since,
// are forgotten: they would hide what is read until the clock has caught up. On an
// error, of a state that is damaged or of another version, the Engine is as it
// was: an alarm that is still true will be raised again under another id.
func (e *Engine) Restore(state []byte, now time.Time) error {
	var saved savedState
	if err := json.Unmarshal(state, &saved); err != nil {
		return fmt.Errorf("restore the state of the rules: %w", err)
	}
	if saved.Version != stateVersion {
		return fmt.Errorf("restore the state of the rules: it is of version %d, expected %d", saved.Version, stateVersion)
	}
	present := e.clock(now)
	for _, a := range saved.Alarms {
		i, ok := e.known[claim{a.Rule, target{a.Asset, a.Device}}]
		if !ok {
			if a.ID != "" {
				e.orphans = append(e.orphans, a)
				e.next = time.Unix(0, 0)
			}
			continue
		}
		i.take(a)
		if a.Text != "" && a.Text != i.text {
			continue // it waits for something else now
		}
		for n, c := range a.Counts {
			if len(a.Counts) == len(i.counts) && len(c.Times) <= mostCounted {
				i.counts[n].was = c.Was
				i.counts[n].times = append(i.counts[n].times, slices.DeleteFunc(c.Times, func(t telemetry.Micros) bool { return t > present })...)
			}
		}
		e.in.restore(a.Inputs, e.slotOf, present)
		i.at = min(a.Counted, present)
		if a.Counted > 0 && !i.polled {
			e.foresee(i, now.Add((i.at - present).Sub(0)))
		}
		if h := a.Hold; h != nil {
			if max(h.Since, h.Last) <= present && !(i.firing && i.latch) {
				i.hold = hold{begun: true, since: h.Since, last: h.Last, held: h.Held, gap: h.Gap}
				i.held = !i.firing && h.Held >= i.delay && (len(i.suppressors) > 0 || i.suppressed != nil)
			}
			e.in.restore(h.Inputs, e.slotOf, present)
		}
	}
	e.fresh, e.next = true, time.Unix(0, 0)
	return nil
}

func (in *inputs) restore(saved []savedInput, slotOf map[telemetry.SignalID]int32, now telemetry.Micros) {
	for _, s := range saved {
		if n, ok := slotOf[s.Signal]; ok && s.Time <= now {
			value := telemetry.Value{}
			if s.Value != nil {
				value = telemetry.FloatValue(*s.Value)
			}
			in.slots[n].set(value, s.Quality, s.Time)
		}
	}
}
