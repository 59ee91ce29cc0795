package modbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

var _ adapters.Controller = (*Adapter)(nil)

// Select implements adapters.Controller. Modbus has no selection of its own.
func (a *Adapter) Select(ctx context.Context, c adapters.Control) (adapters.Controlled, error) {
	u, ctl, err := a.controlOf(c)
	if err != nil {
		return adapters.Controlled{Outcome: telemetry.ControlFailed}, err
	}
	var w writing
	err = u.bus.doWhole(ctx, func(l *link) (err error) {
		if err = u.configured(); err == nil {
			w, err = u.prepare(ctx, l, ctl, c.Value)
		}
		return err
	})
	if err != nil {
		return adapters.Controlled{Outcome: telemetry.ControlFailed, Old: w.old}, u.wrapControl("select", ctl, err)
	}
	return adapters.Controlled{Outcome: telemetry.ControlDone, Old: w.old}, nil
}

// Operate implements adapters.Controller. Between the write and the reads that follow
// it, others have their turn on the bus.
func (a *Adapter) Operate(ctx context.Context, c adapters.Control) (adapters.Controlled, error) {
	u, ctl, err := a.controlOf(c)
	if err != nil {
		return adapters.Controlled{Outcome: telemetry.ControlFailed}, err
	}
	var w writing
	var sure certainty
	err = u.bus.doWhole(ctx, func(l *link) (err error) {
		if err = u.configured(); err != nil {
			return err
		}
		if w, err = u.prepare(ctx, l, ctl, c.Value); err != nil {
			return err
		}
		if c.Permitted != nil {
			if err = c.Permitted(); err != nil {
				return err
			}
		}
		sure, err = ctl.write(ctx, l, u.meter, w)
		return err
	})
	out := adapters.Controlled{Outcome: telemetry.ControlFailed, Old: w.old}
	if sure == notWritten {
		return out, u.wrapControl("write", ctl, err)
	}
	settle := ctl.settle
	if sure == perhaps { // it may be slow, and then is with what it is asked next
		settle = max(settle, 2*u.Timeout)
	}
	shows, readErr := u.readBack(ctl, w, settle)
	out.ReadBack = shows
	shown := readErr == nil && ctl.shows(shows, w.held)
	switch {
	case sure == written && shown:
		out.Outcome = telemetry.ControlDone
		return out, nil
	case sure == written && readErr != nil:
		out.Outcome, err = telemetry.ControlUnconfirmed, fmt.Errorf("the device took it, but can't be read back: %w", readErr)
	case sure == written:
		out.Outcome, err = telemetry.ControlUnconfirmed, fmt.Errorf("the device took it, but shows %v after %v", shows, ctl.settle)
	case shown && !ctl.shows(w.old, w.held):
		out.Outcome = telemetry.ControlDone
		u.log.Warn("a write wasn't answered, but the device shows its value", "signal", ctl.point.Name, "error", err)
		return out, nil
	case readErr != nil:
		out.Outcome, err = telemetry.ControlUnknown, fmt.Errorf("it may have been executed: %w; nor can it be read back: %w", err, readErr)
	default:
		out.Outcome, err = telemetry.ControlUnknown, fmt.Errorf("it may have been executed, or still be: %w; the device shows %v", err, shows)
	}
	return out, u.wrapControl("write", ctl, err)
}

func (a *Adapter) controlOf(c adapters.Control) (*unit, *control, error) {
	u := a.unit(c.Device)
	if u == nil {
		return nil, nil, fmt.Errorf("modbus: no device %q", c.Device)
	}
	ctl := u.controls[c.Signal]
	if ctl == nil {
		return nil, nil, fmt.Errorf("modbus: meter %s: signal %d can't be written", c.Device, c.Signal)
	}
	if !a.running.Load() {
		return nil, nil, fmt.Errorf("modbus: meter %s: %w", c.Device, errStopped)
	}
	return u, ctl, nil
}

// configured says on the bus's goroutine whether the unit is still read as it was when
// the command was given: what it has meanwhile become may be another device.
func (u *unit) configured() error {
	if !slices.Contains(u.bus.units, u) {
		return errors.New("nothing was written, since the device is configured otherwise by now")
	}
	return nil
}

func (m *meter) wrapControl(what string, c *control, err error) error {
	return fmt.Errorf("modbus: %s %s %d (%s) of meter %s at %s: %w", what, c.point.Table, c.point.Address, c.point.Name, m.ID, m.endpoint.Address, err)
}

// writing is what is about to be written.
type writing struct {
	old  telemetry.Value // what the device shows
	data []byte
	held telemetry.Value // what data are
	// connection is that on which it was prepared, and the only one on which it is written.
	connection int
}

// prepare makes sure that this is the device, and finds out what it shows.
func (u *unit) prepare(ctx context.Context, l *link, c *control, v telemetry.Value) (w writing, err error) {
	if _, err := u.recognise(ctx, l); err != nil {
		return w, err
	}
	if w.connection = l.dialled; len(u.Identity) == 0 {
		defer func() { w.connection = l.dialled }()
	}
	if w.old, err = u.show(ctx, l, c.feedback); err != nil {
		return w, fmt.Errorf("nothing was written, since what it shows now can't be read: %w", err)
	}
	var f factor
	if c.factor != nil {
		if f, err = u.readFactor(ctx, l, *c.factor); err != nil {
			return w, fmt.Errorf("nothing was written, since its factor can't be read: %w", err)
		}
	}
	old := make([]byte, 2*c.point.Size())
	if c.parts != nil {
		if old, err = u.readPoint(ctx, l, c.point); err != nil {
			return w, fmt.Errorf("nothing was written, since the registers can't be read: %w", err)
		}
	}
	w.data, w.held, err = c.encode(v, old, f)
	return w, err
}

// readPoint is the registers of a point, or the byte of a bit.
func (u *unit) readPoint(ctx context.Context, l *link, p Point) ([]byte, error) {
	req := request{table: p.Table, first: p.Address, count: uint16(p.Size())}
	if u.Reads.BitsFromZero && !p.Table.Registers() {
		req.first, req.count = 0, p.Address+1
	}
	data, err := cloned(l.read(ctx, u.meter, req))
	if err == nil && !p.Table.Registers() {
		at := int(p.Address - req.first)
		data = []byte{data[at/8] >> (at % 8) & 1}
	}
	return data, err
}

func (u *unit) readFactor(ctx context.Context, l *link, p Point) (factor, error) {
	data, err := u.readPoint(ctx, l, p)
	if err != nil {
		return factor{}, err
	}
	d := newDecoder(p)
	f := newFactor(d.value(data, 0))
	if f.reason != telemetry.NoReason {
		return f, errors.New(f.reason.String())
	}
	return f, nil
}

// show is the value of a point now. One that the device has none for is an error, and
// so is one whose factor changes meanwhile.
func (u *unit) show(ctx context.Context, l *link, s shown) (telemetry.Value, error) {
	var before factor
	if s.factor != nil {
		var err error
		if before, err = u.readFactor(ctx, l, *s.factor); err != nil {
			return telemetry.Value{}, err
		}
	}
	data, err := u.readPoint(ctx, l, s.point)
	if err != nil {
		return telemetry.Value{}, err
	}
	d := newDecoder(s.point)
	v, reason := d.value(data, 0)
	if reason == telemetry.NoReason && s.factor != nil {
		f, err := u.readFactor(ctx, l, *s.factor)
		if err == nil && f != before {
			err = fmt.Errorf("the factor of %s changed while it was read", s.point.Name)
		}
		if err != nil {
			return telemetry.Value{}, err
		}
		number, _ := v.Float()
		v = telemetry.FloatValue(d.scale(f.apply(number)))
	}
	if reason != telemetry.NoReason {
		return telemetry.Value{}, fmt.Errorf("%s has no value (%v)", s.point.Name, reason)
	}
	return v, nil
}

// shows reports whether the feedback shows what the point was to hold.
func (c *control) shows(v, held telemetry.Value) bool {
	if c.feedback.point.Signal == c.point.Signal {
		return v == held
	}
	got, number := v.Float()
	want, _ := held.Float()
	return number && near(got, want, 1e-6)
}

const (
	readBackEvery   = 200 * time.Millisecond
	readBackTimeout = 30 * time.Second // for its turn on the bus
	// readBackRest is how long others have the bus after a read, in times of what that
	// took: commands go before their polls, and a device may have fallen silent.
	readBackRest = 3
)

// readBack reads the feedback until it shows what was written, or the device has had
// its time.
func (u *unit) readBack(c *control, w writing, settle time.Duration) (v telemetry.Value, err error) {
	limit := time.Now().Add(settle)
	for {
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), readBackTimeout)
		err = u.bus.doWhole(ctx, func(l *link) (err error) {
			v, err = u.show(ctx, l, c.feedback)
			return err
		})
		cancel()
		left := time.Until(limit)
		if err == nil && c.shows(v, w.held) || left <= 0 || errors.Is(err, errStopped) {
			return v, err
		}
		select {
		case <-u.bus.ended:
			return v, err
		case <-time.After(min(left, max(readBackEvery, readBackRest*time.Since(began)))):
		}
	}
}

// doWhole is do, but what has begun is waited for, whatever becomes of ctx: the caller
// has to know what came of it.
func (b *bus) doWhole(ctx context.Context, do func(*link) error) error {
	const (
		waiting = iota
		begun
		givenUp
	)
	var state atomic.Int32
	ended := make(chan error, 1)
	err := b.do(ctx, func(l *link) error {
		if !state.CompareAndSwap(waiting, begun) {
			return context.Canceled
		}
		err := do(l)
		ended <- err
		return err
	})
	if err != nil && !state.CompareAndSwap(waiting, givenUp) {
		return <-ended
	}
	return err
}
