package rules

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// transition raises the instance's alarm, or clears it, at the time its
// condition began. No alarm is cleared before it was raised, whatever clocks say.
// One that is suppressed is held instead.
func (e *Engine) transition(n int32, confirmed telemetry.Micros, decided time.Time, emit func(telemetry.Event)) {
	i := &e.instances[n]
	if i.firing {
		e.end(i, max(i.hold.since, i.raised), confirmed, decided, emit)
		return
	}
	if e.isSuppressed(i) {
		i.held = true
		return
	}
	began := i.hold.since
	i.id, i.raised, i.noted = alarmID(e.gateway, i.rule, i.target, began), began, ""
	i.first = e.firstUp(i)
	i.firing, i.hold, i.held = true, hold{}, false
	e.tell(i, telemetry.AlarmRaised, began, confirmed, decided, emit)
	if i.capture != nil {
		e.beginCapture(n, confirmed, decided)
	}
}

// end clears the instance's alarm.
func (e *Engine) end(i *instance, at, confirmed telemetry.Micros, decided time.Time, emit func(telemetry.Event)) {
	i.firing, i.hold = false, hold{}
	e.tell(i, telemetry.AlarmCleared, at, confirmed, decided, emit)
}

func (e *Engine) tell(i *instance, kind telemetry.EventKind, at, confirmed telemetry.Micros, decided time.Time, emit func(telemetry.Event)) {
	summary, err := i.summary.render(&e.in)
	if err != nil {
		summary = i.rule
	}
	e.changed = true
	emit(telemetry.Event{
		Kind:    kind,
		Time:    at,
		Decided: e.clock(decided),
		Alarm: &telemetry.AlarmChange{
			ID: i.id, Rule: i.rule, Asset: i.target.asset, Device: i.target.device,
			Priority: i.priority, Summary: summary, Confirmed: confirmed, Version: i.version, Method: i.method, Group: i.group, FirstUp: i.first,
			Inputs: e.in.inputsOf(i.slots),
		},
	})
}

// alarmID is the same for the same occurrence, whoever computes it.
func alarmID(gateway, rule string, t target, raised telemetry.Micros) string {
	h := sha256.New()
	for _, part := range []string{gateway, rule, t.asset, t.device} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(raised)))
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// clearOrphans closes the alarms of rules that no longer apply: nothing else
// ever would.
func (e *Engine) clearOrphans(now time.Time, emit func(telemetry.Event)) {
	orphans, present := e.orphans, e.clock(now)
	e.orphans = nil
	for _, o := range orphans {
		e.changed = true
		emit(telemetry.Event{
			Kind:    telemetry.AlarmCleared,
			Time:    present,
			Decided: present,
			Alarm: &telemetry.AlarmChange{
				ID: o.ID, Rule: o.Rule, Asset: o.Asset, Device: o.Device, Priority: o.Priority,
				Summary: "closed because the configuration no longer applies rule " + o.Rule + " to " + target{o.Asset, o.Device}.String(),
			},
		})
	}
}
