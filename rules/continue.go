package rules

import "time"

// Continue takes over from the Engine of another configuration, which isn't used any
// more: the last samples of every signal that both read, the alarms that are active,
// and the conditions that are holding, of each rule and asset or device that both
// have. A rule whose condition or duration reads otherwise waits anew, and its
// active alarm waits for the new condition to clear it.
//
// Active alarms of which the rule is gone stay so until Settle is called: if the
// configuration doesn't last, an Engine of the old one that continues from this one
// goes on with them.
func (e *Engine) Continue(from *Engine) {
	for id, n := range from.slotOf {
		old := &from.in.slots[n]
		if m, both := e.slotOf[id]; both {
			s := &e.in.slots[m]
			s.take(old.latest())
			for i := range old.trail.count {
				s.trail.push(*old.trail.at(i))
			}
		} else if last := e.idle.of(id); last != nil {
			*last = old.latest()
		}
	}
	for id, old := range from.idle.all() {
		if m, both := e.slotOf[id]; both {
			e.in.slots[m].take(*old)
		} else if last := e.idle.of(id); last != nil {
			*last = *old
		}
	}
	for n := range from.instances {
		old := &from.instances[n]
		i, both := e.known[claim{old.rule, old.target}]
		if !both {
			if old.firing {
				e.orphans = append(e.orphans, old.saved())
			}
			continue
		}
		i.take(old.saved())
		i.at = old.at
		if i.text == old.text {
			i.hold, i.held = old.hold, old.held
			if i.firing && i.latch {
				i.hold = hold{}
			}
			if !i.polled {
				i.fade, i.fades = old.fade, old.fades
			}
			if len(i.counts) == len(old.counts) {
				for n, c := range old.counts {
					i.counts[n].was, i.counts[n].times = c.was, c.times
				}
			}
		}
		if i.fade != 0 {
			e.wake(i.fades)
		}
		if !i.hold.due.IsZero() {
			e.wake(i.hold.due)
		}
	}
	for _, o := range from.orphans {
		if i, known := e.known[claim{o.Rule, target{o.Asset, o.Device}}]; known {
			i.take(o)
		} else {
			e.orphans = append(e.orphans, o)
		}
	}
	e.trial, e.changed, e.stats = true, true, from.stats
	e.fresh, e.next = true, time.Unix(0, 0)
}

// Settle says that the configuration lasts: the next Tick, which NextDeadline then
// asks for at once, clears the alarms whose rule is gone.
func (e *Engine) Settle() {
	e.trial = false
	if len(e.orphans) > 0 {
		e.next = time.Unix(0, 0)
	}
}

// saved is the instance's alarm without what it waits for.
func (i *instance) saved() savedAlarm {
	a := savedAlarm{Rule: i.rule, Asset: i.target.asset, Device: i.target.device, Priority: i.priority}
	if i.firing {
		a.ID, a.Raised, a.Noted, a.FirstUp = i.id, i.raised, i.noted, i.first
	}
	return a
}

// take makes the instance's alarm what was saved of it.
func (i *instance) take(a savedAlarm) {
	i.firing, i.id, i.raised, i.noted, i.first = a.ID != "", a.ID, a.Raised, a.Noted, a.FirstUp
}
