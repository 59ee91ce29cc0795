package control

import (
	"context"
	"fmt"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// selection is a point that somebody has reserved.
type selection struct {
	id      string
	origin  telemetry.ControlOrigin
	by      string
	value   telemetry.Value
	old     telemetry.Value
	expires time.Time
	timer   *time.Timer
}

// Select reserves a point for whoever asks, for one value and a time. It changes
// nothing at the device but, where the protocol has it, that it is selected there.
func (a *Authoriser) Select(ctx context.Context, r Request) Answer {
	t := attempt{action: telemetry.ControlSelect, Request: r, id: record.NewCommandID()}
	p, refused := a.admit(&t)
	if refused != "" {
		return a.refuse(t, refused)
	}
	defer a.release()
	if refused = a.interlocks(ctx, p, &t); refused != "" {
		return a.refuse(t, refused)
	}
	result, err := a.o.Controller.Select(ctx, adapters.Control{Device: p.Device, Signal: p.ID, Value: r.Value})
	t.old = result.Old
	if err != nil {
		t.detail = err.Error()
		return a.finish(t, telemetry.ControlFailed, DeviceFailed)
	}
	// Nobody operates on a selection that nobody knows of.
	if answer := a.begin(t, telemetry.ControlDone); answer.Outcome != telemetry.ControlDone {
		return answer
	}
	expires := a.keep(p, t)
	return Answer{ID: t.id, Outcome: telemetry.ControlDone, Old: t.old, Expires: expires}
}

// keep selects the point for an attempt.
func (a *Authoriser) keep(p *point, t attempt) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &selection{id: t.id, origin: t.Origin, by: t.By, value: t.Value, old: t.old, expires: a.o.Now().Add(p.SelectFor)}
	if a.stopping || a.points[name{p.Device, p.Signal}] != p {
		return s.expires // it is over already
	}
	if p.selection != nil { // by the same person
		p.selection.timer.Stop()
	}
	s.timer = time.AfterFunc(p.SelectFor, func() { a.expire(p, s) })
	p.selection = s
	return s.expires
}

// expire ends a selection that nobody has operated on.
func (a *Authoriser) expire(p *point, s *selection) {
	a.mu.Lock()
	if p.selection != s || a.stopping {
		a.mu.Unlock()
		return
	}
	p.selection = nil
	a.running.Add(1)
	a.mu.Unlock()
	defer a.running.Done()
	a.tell(s.ended(p, ""), telemetry.ControlDone, "")
}

// ended is that nobody can operate on the selection any more.
func (s *selection) ended(p *point, why string) attempt {
	return attempt{
		action: telemetry.ControlExpire, id: s.id, old: s.old, asset: p.Asset, unit: p.Unit, detail: why,
		Request: Request{Device: p.Device, Signal: p.Signal, Value: s.value, Origin: s.origin, By: s.by},
	}
}

// Cancel gives a selection up.
func (a *Authoriser) Cancel(r Request) Answer {
	t := attempt{action: telemetry.ControlCancel, Request: r, id: r.Selection}
	a.mu.Lock()
	p := a.points[name{r.Device, r.Signal}]
	if !a.o.Enabled {
		a.mu.Unlock()
		t.detail = isDisabled
		return a.refuse(t, Disabled)
	}
	if p == nil || a.stopping || p.selection == nil || !p.selection.of(r) {
		a.mu.Unlock()
		t.detail = "there is no such selection"
		return a.refuse(t, NotSelected)
	}
	t.Value, t.old, t.asset, t.unit = p.selection.value, p.selection.old, p.Asset, p.Unit
	p.selection.timer.Stop()
	p.selection = nil
	a.running.Add(1)
	a.mu.Unlock()
	defer a.running.Done()
	return a.finish(t, telemetry.ControlDone, "")
}

// of reports whether the selection is that of whoever asks.
func (s *selection) of(r Request) bool {
	return s.id == r.Selection && s.origin == r.Origin && s.by == r.By
}

// selected is why an attempt may not go on for what is selected.
func (p *point) selected(t *attempt, now time.Time) Cause {
	s := p.selection
	if s != nil && now.After(s.expires) {
		s = nil // its timer is late
	}
	switch {
	case s != nil && !s.of(t.Request):
		t.detail = fmt.Sprintf("it is selected by %s until %s", s.by, s.expires.UTC().Format(time.TimeOnly))
		return OtherSelected
	case t.action == telemetry.ControlSelect:
		return ""
	case s == nil && t.Selection != "":
		t.detail = "the selection is over"
		return NotSelected
	case s == nil && p.Select:
		t.detail = "it has to be selected first"
		return NotSelected
	case s != nil && !same(s.value, t.Value):
		t.detail = fmt.Sprintf("it was selected for %v", s.value)
		return OtherValue
	}
	return ""
}
