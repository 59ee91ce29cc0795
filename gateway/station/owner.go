package station

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/gateway/control"
	"github.com/busbar/busbar/telemetry"
)

// owner hands the commands of masters on to the gateway's control.
type owner struct {
	station   *Station
	commanded map[object]*point

	mu       sync.Mutex
	selected map[object]string // the selections that it has, by their ids
}

// object is where one is that is commanded.
type object struct {
	station uint16
	address uint32
}

// latest is how old a command may be that says when it was given. It may have waited on the
// way, or somebody repeats it.
const latest = 30 * time.Second

var (
	errNoClock = errors.New("the time isn't taken from masters")
	errValue   = errors.New("there is no such value of such a command")
)

// request is what a command wants.
func (o *owner) request(c controlled.Command) (r control.Request, err error) {
	p := o.commanded[object{c.Station, c.Address}]
	r = control.Request{Device: p.Device, Signal: p.Name, Origin: telemetry.ControlMaster, By: by(c.Master)}
	v := c.Object.Value
	switch c.Type {
	case asdu.DoubleCommand, asdu.StepCommand:
		if v != 1 && v != 2 {
			return r, errValue
		}
		if r.Value = telemetry.IntValue(int64(v)); p.Bool {
			r.Value = telemetry.BoolValue(v == doubleOn)
		}
	case asdu.SingleCommand:
		if r.Value = telemetry.IntValue(int64(v)); p.Bool {
			r.Value = telemetry.BoolValue(v != 0)
		}
	default:
		r.Value = telemetry.FloatValue(v / p.Scale)
	}
	return r, nil
}

// timely is an error if a command says that it was given too long ago.
func timely(c controlled.Command) error {
	if age := time.Since(c.Time); !c.Time.IsZero() && age.Abs() > latest {
		return fmt.Errorf("it was given at %v, more than %v ago or ahead", c.Time.UTC().Format(time.RFC3339), latest)
	}
	return nil
}

// by is who asks: a master at its address.
func by(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	return "master " + host
}

// failed is why something isn't done.
func failed(a control.Answer, want telemetry.ControlOutcome) error {
	if a.Outcome == want {
		return nil
	}
	return fmt.Errorf("%s: %s: %s", a.Outcome, a.Cause, a.Detail)
}

// Select implements controlled.Owner.
func (o *owner) Select(ctx context.Context, c controlled.Command) error {
	if err := timely(c); err != nil {
		return err
	}
	r, err := o.request(c)
	if err != nil {
		return err
	}
	at := object{c.Station, c.Address}
	o.mu.Lock()
	r.Selection = o.selected[at]
	o.mu.Unlock()
	a := o.station.o.Control.Select(ctx, r)
	if err := failed(a, telemetry.ControlDone); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.selected[at] = a.ID
	return nil
}

// take takes the selection of a control, which serves once.
func (o *owner) take(c controlled.Command) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := object{c.Station, c.Address}
	id := o.selected[at]
	delete(o.selected, at)
	return id
}

// Cancel implements controlled.Owner.
func (o *owner) Cancel(c controlled.Command) {
	if r, err := o.request(c); err == nil || r.Device != "" {
		r.Selection = o.take(c)
		o.station.o.Control.Cancel(r)
	}
}

// Execute implements controlled.Owner.
func (o *owner) Execute(ctx context.Context, c controlled.Command, accepted func()) error {
	if err := timely(c); err != nil {
		return err
	}
	r, err := o.request(c)
	if err != nil {
		return err
	}
	r.Selection, r.Begun = o.take(c), accepted
	return failed(o.station.o.Control.Operate(ctx, r), telemetry.ControlDone)
}

// SetClock implements controlled.Owner.
func (o *owner) SetClock(_ uint16, at time.Time) error {
	if o.station.o.SetClock == nil {
		return errNoClock
	}
	return o.station.o.SetClock(at)
}
