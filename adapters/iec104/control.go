package iec104

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlling"
	"github.com/busbar/busbar/telemetry"
)

var _ adapters.Controller = (*Adapter)(nil)

var errNotConnected = errors.New("there is no link to the station")

// operation is a value that is to be commanded.
type operation struct {
	*life
	control  Control
	name     string
	feedback int // the point that shows it
	command  controlling.Command
	value    telemetry.Value
	signal   telemetry.SignalID
	old      telemetry.Value
}

// Select implements adapters.Controller. Where the station wants it, the object is selected
// there, too.
func (a *Adapter) Select(ctx context.Context, c adapters.Control) (adapters.Controlled, error) {
	o, err := a.stations.prepare(c)
	if err == nil && o.control.Select {
		err = o.selectIt(ctx)
	}
	if err != nil {
		return adapters.Controlled{Outcome: telemetry.ControlFailed, Old: o.old}, o.wrap("select", c, err)
	}
	return adapters.Controlled{Outcome: telemetry.ControlDone, Old: o.old}, nil
}

// Operate implements adapters.Controller. The command goes out once.
func (a *Adapter) Operate(ctx context.Context, c adapters.Control) (adapters.Controlled, error) {
	o, err := a.stations.prepare(c)
	out := adapters.Controlled{Outcome: telemetry.ControlFailed, Old: o.old}
	if err == nil && c.Permitted != nil {
		err = c.Permitted()
	}
	if err == nil && o.control.Select && !o.isSelected() {
		err = o.selectIt(ctx)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return out, o.wrap("command", c, err)
	}
	o.unselect()
	ctx = context.WithoutCancel(ctx)
	done, err := o.client.Command(ctx, o.command)
	if err != nil && controlling.NotSent(err) {
		return out, o.wrap("command", c, err)
	}
	shown, ended := o.await(ctx, done)
	out.ReadBack, _ = o.shown(o.feedback)
	switch {
	case err == nil && shown, err != nil && shown && o.old.Kind() != telemetry.None && !o.is(o.old):
		out.Outcome = telemetry.ControlDone
		return out, nil
	case err == nil && ended == nil && !o.shows(): // there is nothing else that could say it
		out.Outcome = telemetry.ControlDone
		return out, nil
	case err == nil && ended != nil && isRefused(ended):
		out.Outcome, err = telemetry.ControlUnconfirmed, fmt.Errorf("the station took it, and ended it as not done: %w", ended)
	case err == nil:
		out.Outcome, err = telemetry.ControlUnconfirmed, fmt.Errorf("the station took it, but shows %v after %v", out.ReadBack, o.control.Settle)
	default:
		out.Outcome, err = telemetry.ControlUnknown, fmt.Errorf("it may have been executed: %w", err)
	}
	return out, o.wrap("command", c, err)
}

func isRefused(err error) bool {
	var refused controlling.RefusedError
	return errors.As(err, &refused)
}

func (o operation) wrap(what string, c adapters.Control, err error) error {
	return fmt.Errorf("iec104: %s %s of device %s: %w", what, o.name, c.Device, err)
}

// selectIt selects the object at the station.
func (o operation) selectIt(ctx context.Context) error {
	selecting := o.command
	selecting.Object.Select = true
	if _, err := o.client.Command(ctx, selecting); err != nil {
		return fmt.Errorf("select at the station: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.selected[o.signal] = o.value
	return nil
}

func (o operation) isSelected() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, selected := o.selected[o.signal]
	return selected && v == o.value
}

func (o operation) unselect() {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.selected, o.signal)
}

// await waits until the station shows the value, or ends the command as not done, or the
// time for that is over; then it is asked once more. Neither the end of the command nor
// what it shows can be the only sign: of many stations one of them never comes.
func (o operation) await(ctx context.Context, done <-chan error) (shown bool, ended error) {
	ended = errors.New("the station hasn't said that it has ended")
	limit := time.NewTimer(o.control.Settle)
	defer limit.Stop()
	for {
		v, changed := o.shown(o.feedback)
		if o.is(v) {
			return true, ended
		}
		select {
		case ended = <-done:
			done = nil
			if isRefused(ended) || ended == nil && !o.shows() {
				return false, ended
			}
		case <-changed:
		case <-o.client.Done():
			return false, ended
		case <-limit.C:
			p := o.Points[o.feedback]
			asking, cancel := context.WithTimeout(ctx, o.Timeout)
			defer cancel()
			if o.shows() && o.client.Read(asking, p.Station, p.Object) == nil {
				v, _ = o.shown(o.feedback)
			}
			return o.is(v), ended
		}
	}
}

// shows reports whether a value that is commanded is then shown as it is; a step isn't.
func (o operation) shows() bool {
	return o.control.Type != asdu.StepCommand && o.control.Type != asdu.StepCommandTime
}

// is reports whether that is the value that was commanded.
func (o operation) is(v telemetry.Value) bool {
	got, ok := v.Float()
	want, _ := o.value.Float()
	if !ok || !o.shows() {
		return false
	}
	if o.control.Type.Whole() {
		return got == want
	}
	// It went through a number of 16 or 32 bits there, and perhaps through another one back.
	p := o.Points[o.feedback]
	step := max(abs(want-p.Offset)*1e-6, abs(p.Scale)*1e-9)
	if o.control.Type == asdu.SetNormalized || o.control.Type == asdu.SetNormalizedTime {
		step = abs(p.Scale) / 32768
	}
	return abs(got-want) <= step
}

func abs(v float64) float64 { return max(v, -v) }

// prepare finds out whether the value can be commanded.
func (s *stations) prepare(c adapters.Control) (o operation, err error) {
	s.mu.Lock()
	d := s.devices[c.Device]
	o.life = s.live[c.Device]
	s.mu.Unlock()
	o.name, o.value, o.signal = fmt.Sprintf("signal %d", c.Signal), c.Value, c.Signal
	at := slices.IndexFunc(d.Points, func(p Point) bool { return p.Signal == c.Signal })
	if at < 0 {
		return o, errors.New("there is no such signal")
	}
	p := d.Points[at]
	o.name = p.Name
	control := slices.IndexFunc(d.Controls, func(c Control) bool { return c.Point == p.Name })
	switch {
	case control < 0:
		return o, errors.New("it isn't one that may be commanded")
	case o.life == nil:
		return o, errNotConnected
	}
	o.control, o.feedback = d.Controls[control], at
	if name := o.control.Feedback; name != "" {
		o.feedback = slices.IndexFunc(d.Points, func(p Point) bool { return p.Name == name })
	}
	o.old, _ = o.shown(o.feedback)
	raw, err := rawOf(c.Value, p, o.control.Type)
	if err != nil {
		return o, err
	}
	o.command = controlling.Command{
		Station: o.control.Station, Type: o.control.Type,
		Object: asdu.Object{Address: o.control.Object, Value: raw, Qualifier: o.control.Qualifier},
	}
	// What doesn't fit is found out before anything is sent.
	test := o.command.Object
	test.Time = asdu.TimeOf(time.Now())
	_, err = d.Params.Append(nil, asdu.Header{Type: o.control.Type, Cause: asdu.Activation, Address: o.control.Station}, []asdu.Object{test})
	return o, err
}

// rawOf is a value in a signal's unit as a command of the type has it.
func rawOf(v telemetry.Value, p Point, t asdu.Type) (float64, error) {
	number, ok := v.Float()
	if !ok {
		return 0, fmt.Errorf("%v is no number", v)
	}
	if p.Bool && (t == asdu.DoubleCommand || t == asdu.DoubleCommandTime) {
		switch number {
		case 0:
			return doubleOff, nil
		case 1:
			return doubleOn, nil
		}
		return 0, fmt.Errorf("%v, expected 0 or 1", v)
	}
	return (number - p.Offset) / p.Scale, nil
}
