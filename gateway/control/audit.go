package control

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// attempt is a request on its way, and what has been found out.
type attempt struct {
	Request
	action        telemetry.ControlAction
	id            string
	asset, unit   string
	old, readBack telemetry.Value
	detail        string
	admitted      bool
}

// longestDetail bounds a sentence, in bytes.
const longestDetail = 500

// Text is a value as it is written down and told, "" if it isn't known.
func Text(v telemetry.Value) string {
	if v.Kind() == telemetry.None {
		return ""
	}
	return v.String()
}

// event is a step of the attempt as it is written down.
func (t attempt) event(outcome telemetry.ControlOutcome, cause Cause) telemetry.Control {
	return telemetry.Control{
		ID: short(t.id, longestName), Action: t.action, Device: short(t.Device, longestName), Signal: short(t.Signal, longestName),
		Asset: t.asset, Unit: t.unit, Origin: t.Origin, By: short(t.By, longestName),
		Requested: Text(t.Value), Old: Text(t.old), ReadBack: Text(t.readBack),
		Outcome: outcome, Cause: string(cause), Detail: short(t.detail, longestDetail),
	}
}

// short is at most so many bytes of a text, without halves of characters.
func short(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

func (t attempt) answer(outcome telemetry.ControlOutcome, cause Cause) Answer {
	return Answer{ID: t.id, Outcome: outcome, Cause: cause, Detail: t.detail, Old: t.old, ReadBack: t.readBack}
}

// begin writes a step down before it is taken. It isn't taken if that fails.
func (a *Authoriser) begin(t attempt, outcome telemetry.ControlOutcome) Answer {
	if err := a.o.Audit(t.event(outcome, "")); err != nil {
		t.detail = "it can't be written down: " + err.Error()
		return a.refuse(t, NoAudit)
	}
	a.count(t.action, outcome)
	a.log(slog.LevelInfo, t, outcome, "")
	return t.answer(outcome, "")
}

// finish writes down what came of an attempt.
func (a *Authoriser) finish(t attempt, outcome telemetry.ControlOutcome, cause Cause) Answer {
	a.tell(t, outcome, cause)
	return t.answer(outcome, cause)
}

// tell writes a step down that has been taken. If that fails, it is sent all the same.
func (a *Authoriser) tell(t attempt, outcome telemetry.ControlOutcome, cause Cause) {
	a.count(t.action, outcome)
	level := slog.LevelWarn
	if outcome == telemetry.ControlDone {
		level = slog.LevelInfo
	}
	a.log(level, t, outcome, cause)
	if err := a.o.Audit(t.event(outcome, cause)); err != nil {
		a.o.Log.Error("what came of an operation can't be committed; it is sent and tried again", "device", t.Device, "signal", t.Signal, "error", err)
	}
}

func (a *Authoriser) log(level slog.Level, t attempt, outcome telemetry.ControlOutcome, cause Cause) {
	a.o.Log.Log(context.Background(), level, "control", "action", t.action, "device", short(t.Device, longestName), "signal", short(t.Signal, longestName),
		"origin", t.Origin, "by", short(t.By, longestName), "requested", t.Value.String(), "old", t.old.String(), "read_back", t.readBack.String(),
		"outcome", outcome, "cause", cause, "detail", short(t.detail, longestDetail))
}

// refuse writes a refusal down, unless there were too many, since whoever may ask
// could otherwise fill the disk, or the gateway stops, which is then the cause: its end may
// have been written down.
func (a *Authoriser) refuse(t attempt, cause Cause) Answer {
	a.mu.Lock()
	stopped := a.stopping && !t.admitted
	if stopped {
		cause = Stopping
	}
	limit := &a.refusals
	if cause == Disabled || cause == Unauthorised {
		limit = &a.strangers
	}
	told := !stopped && limit.allow(a.o.Now())
	if told {
		a.running.Add(1)
	}
	a.mu.Unlock()
	if told {
		defer a.running.Done()
		a.tell(t, telemetry.ControlRefused, cause)
	} else {
		a.count(t.action, telemetry.ControlRefused)
		a.o.Log.Debug("control refused", "device", short(t.Device, longestName), "signal", short(t.Signal, longestName), "by", short(t.By, longestName), "cause", cause)
	}
	return t.answer(telemetry.ControlRefused, cause)
}

// Refuse writes down an attempt that whoever speaks for the Authoriser to others has
// refused.
func (a *Authoriser) Refuse(action telemetry.ControlAction, r Request, cause Cause, detail string) Answer {
	return a.refuse(attempt{action: action, Request: r, detail: detail}, cause)
}

// Count is what is counted.
type Count struct {
	Action  telemetry.ControlAction
	Outcome telemetry.ControlOutcome
}

func (a *Authoriser) count(action telemetry.ControlAction, outcome telemetry.ControlOutcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[Count{action, outcome}]++
}

// Stats is how it stands.
type Stats struct {
	Enabled bool
	Points  int
	Counts  map[Count]uint64
	// Selected are the points that are selected, and by whom.
	Selected []Selected
}

// Selected is a point that somebody has selected.
type Selected struct {
	Device, Signal, By string
	Expires            time.Time
}

// Stats may be called at any time.
func (a *Authoriser) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Stats{Enabled: a.o.Enabled, Points: len(a.points), Counts: map[Count]uint64{}}
	for c, n := range a.counts {
		s.Counts[c] = n
	}
	for _, p := range a.points {
		if p.selection != nil {
			s.Selected = append(s.Selected, Selected{p.Device, p.Signal, p.selection.by, p.selection.expires})
		}
	}
	return s
}
