package opcua

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/opcuaconn"
	"github.com/busbar/busbar/telemetry"
)

var _ adapters.Controller = (*Adapter)(nil)

// Control is a point that may be written.
type Control struct {
	Point    string        // its name; its Element is ""
	Feedback string        // the point that shows what was done; "": the same
	Settle   time.Duration // how long that may take
	Call     *Call         // nil: the point's node is written
}

// links are the connections over which devices are operated. They are safe for concurrent
// use.
type links struct {
	mu      sync.Mutex
	devices map[string]Device
	live    map[string]*link
}

// know takes the devices, and returns them as they find their way here.
func (l *links) know(devices []Device) []Device {
	devices = slices.Clone(devices)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.devices = map[string]Device{}
	for i := range devices {
		devices[i].links = l
		l.devices[devices[i].ID] = devices[i]
	}
	return devices
}

func (l *links) connected(device string, to *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live == nil {
		l.live = map[string]*link{}
	}
	l.live[device] = to
}

func (l *links) disconnected(device string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.live, device)
}

// operation is a value that is to be written.
type operation struct {
	*link
	name     string
	node     *ua.NodeID
	feedback *ua.NodeID
	sampler  *sampler // of what feedback shows
	settle   time.Duration
	variant  *ua.Variant           // as the node or method takes it; nil: the method takes none
	call     *ua.CallMethodRequest // nil: it is written
	expected telemetry.Value       // that is then shown
	old      telemetry.Value
}

// Select implements adapters.Controller. Nodes have no selection of their own.
func (a *Adapter) Select(ctx context.Context, c adapters.Control) (adapters.Controlled, error) {
	o, err := a.links.prepare(ctx, c)
	if err != nil {
		return adapters.Controlled{Outcome: telemetry.ControlFailed, Old: o.old}, o.wrap("select", c, err)
	}
	return adapters.Controlled{Outcome: telemetry.ControlDone, Old: o.old}, nil
}

// Operate implements adapters.Controller.
func (a *Adapter) Operate(ctx context.Context, c adapters.Control) (adapters.Controlled, error) {
	o, err := a.links.prepare(ctx, c)
	out := adapters.Controlled{Outcome: telemetry.ControlFailed, Old: o.old}
	if err == nil && c.Permitted != nil {
		err = c.Permitted()
	}
	if err == nil {
		err = ctx.Err()
	}
	what, do := "write", o.write
	if o.call != nil {
		what, do = "call a method for", o.invoke
	}
	if err != nil {
		return out, o.wrap(what, c, err)
	}
	ctx = context.WithoutCancel(ctx)
	sure, err := do(ctx)
	if err != nil && sure {
		return out, o.wrap(what, c, err)
	}
	shows, readErr := o.readBack(ctx)
	out.ReadBack = shows
	shown := readErr == nil && o.shows(shows)
	switch {
	case err == nil && shown, err != nil && shown && o.old.Kind() != telemetry.None && !o.shows(o.old):
		out.Outcome = telemetry.ControlDone
		return out, nil
	case err == nil && readErr != nil:
		out.Outcome, err = telemetry.ControlUnconfirmed, fmt.Errorf("the server took it, but can't be read back: %w", readErr)
	case err == nil:
		out.Outcome, err = telemetry.ControlUnconfirmed, fmt.Errorf("the server took it, but shows %v after %v", shows, o.settle)
	default:
		out.Outcome, err = telemetry.ControlUnknown, fmt.Errorf("it may have been executed: %w", errors.Join(err, readErr))
	}
	return out, o.wrap(what, c, err)
}

func (o operation) wrap(what string, c adapters.Control, err error) error {
	return fmt.Errorf("opcua: %s %s of device %s: %w", what, o.name, c.Device, err)
}

var (
	errNotConnected = errors.New("there is no connection to the server")
	errNotWritable  = errors.New("the server says that it can't be written")
)

// prepare finds out whether the value can be written.
func (l *links) prepare(ctx context.Context, c adapters.Control) (o operation, err error) {
	l.mu.Lock()
	d := l.devices[c.Device]
	o.link = l.live[c.Device]
	l.mu.Unlock()
	o.name = fmt.Sprintf("signal %d", c.Signal)
	at := slices.IndexFunc(d.Points, func(p Point) bool { return p.Signal == c.Signal })
	if at < 0 {
		return o, errors.New("there is no such signal")
	}
	p := d.Points[at]
	o.name = p.Name
	control := slices.IndexFunc(d.Controls, func(c Control) bool { return c.Point == p.Name })
	switch {
	case control < 0:
		return o, errors.New("it isn't one that may be written")
	case o.link == nil:
		return o, errNotConnected
	}
	o.settle = d.Controls[control].Settle
	names, err := o.namespaces(ctx)
	if err != nil {
		return o, err
	}
	if o.node, err = p.Node.on(names); err != nil {
		return o, err
	}
	shows := p
	if name := d.Controls[control].Feedback; name != "" {
		if at := slices.IndexFunc(d.Points, func(p Point) bool { return p.Name == name }); at >= 0 {
			shows = d.Points[at]
		}
	}
	if o.feedback, err = shows.Node.on(names); err != nil {
		return o, err
	}
	steps, err := shows.Element.steps()
	if err != nil {
		return o, err
	}
	o.sampler = &sampler{steps: steps, scale: shows.Scale, offset: shows.Offset}
	return o, o.check(ctx, p, d.Controls[control].Call, c.Value, names)
}

// check reads what is there, and makes of the value what the node or method takes.
func (o *operation) check(ctx context.Context, p Point, call *Call, v telemetry.Value, names []string) error {
	var now *ua.DataValue
	access := uint8(0)
	err := o.read(ctx, []*ua.ReadValueID{
		{NodeID: o.node, AttributeID: ua.AttributeIDValue}, {NodeID: o.node, AttributeID: ua.AttributeIDUserAccessLevel},
	}, func(i int, v *ua.DataValue) {
		if i == 0 {
			now = v
		} else if v.Value != nil {
			access, _ = v.Value.Value().(uint8)
		}
	})
	if err != nil {
		return err
	}
	var like any // what its type is that the value gets
	if now != nil && now.Value != nil {
		sample, _ := o.sample(&sampler{scale: p.Scale, offset: p.Offset}, now, time.Now())
		o.old, like = sample.Value, now.Value.Value()
	}
	switch {
	case call != nil:
		if like, err = o.called(ctx, *call, v, like, names); err != nil {
			return err
		}
		if call.Method == (Node{}) {
			o.expected = v
			return nil
		}
	case like != nil && access&accessWrite == 0:
		return errNotWritable
	}
	if like == nil {
		return errors.New("the server shows no value, and so not of which type it is")
	}
	raw, err := rawOf(v, like, p.Scale, p.Offset)
	if err != nil {
		return err
	}
	if o.variant, err = ua.NewVariant(raw); err != nil {
		return err
	}
	written, _ := o.sample(&sampler{scale: p.Scale, offset: p.Offset}, &ua.DataValue{Value: o.variant}, time.Now())
	o.expected = written.Value
	return nil
}

// write writes. sure says that nothing was executed if there is an error.
func (o *operation) write(ctx context.Context) (sure bool, err error) {
	res, err := request[*ua.WriteResponse](ctx, o.link, &ua.WriteRequest{NodesToWrite: []*ua.WriteValue{{
		NodeID: o.node, AttributeID: ua.AttributeIDValue, Value: &ua.DataValue{EncodingMask: ua.DataValueValue, Value: o.variant},
	}}})
	var status ua.StatusCode
	switch {
	case errors.As(err, &status) && status != 0 && o.Cause() == nil:
		return !isAny(err, mayBeDone), err // the server has answered
	case err != nil:
		return false, err
	case len(res.Results) != 1:
		return false, errAnswer(len(res.Results), 1)
	case res.Results[0]>>30 == 2:
		return !isAny(res.Results[0], mayBeDone), errors.New("the server refuses it: " + opcuaconn.Status(res.Results[0]))
	}
	return true, nil
}

// mayBeDone are what a server answers also when it has handed the value on, and doesn't
// know what became of it.
var mayBeDone = []error{
	ua.StatusBadTimeout, ua.StatusBadRequestTimeout, ua.StatusBadCommunicationError, ua.StatusBadNoCommunication, ua.StatusBadConnectionClosed, ua.StatusBadUnexpectedError,
}

// shows reports whether a value is the number that was written.
func (o *operation) shows(v telemetry.Value) bool {
	got, is := v.Float()
	want, _ := o.expected.Float()
	return is && math.Abs(got-want) <= 1e-9*max(1, math.Abs(want))
}

// readBackEvery is how often it is looked whether what was written shows.
const readBackEvery = 100 * time.Millisecond

// readBack reads until the value shows, or has had its time.
func (o *operation) readBack(ctx context.Context) (shows telemetry.Value, err error) {
	for limit := time.Now().Add(o.settle); ; {
		err = o.read(ctx, []*ua.ReadValueID{{NodeID: o.feedback, AttributeID: ua.AttributeIDValue}}, func(_ int, v *ua.DataValue) {
			sample, _ := o.sample(o.sampler, v, time.Now())
			shows = sample.Value
		})
		if err == nil && o.shows(shows) || time.Now().After(limit) {
			return shows, err
		}
		select {
		case <-time.After(readBackEvery):
		case <-o.Lost():
			return shows, o.Cause()
		}
	}
}

// rawOf is a value in a signal's unit as a value of the type that like has.
func rawOf(v telemetry.Value, like any, scale, offset float64) (any, error) {
	number, ok := v.Float()
	if !ok {
		return nil, fmt.Errorf("%v is no number", v)
	}
	exact := scale == 1 && offset == 0
	if !exact {
		number = (number - offset) / scale
	}
	switch like.(type) {
	case bool:
		if number != 0 && number != 1 {
			return nil, fmt.Errorf("%v, expected 0 or 1", v)
		}
		return number == 1, nil
	case float64:
		return number, nil
	case float32:
		if math.Abs(number) > math.MaxFloat32 {
			return nil, fmt.Errorf("%v is beyond what the node holds", v)
		}
		return float32(number), nil
	}
	var whole int64
	switch {
	case exact && v.Kind() == telemetry.Int64:
		whole = int64(v.Bits())
	case exact && v.Kind() == telemetry.Uint64 && v.Bits() <= math.MaxInt64:
		whole = int64(v.Bits())
	default:
		rounded := math.Round(number)
		if math.Abs(rounded-number) > 1e-9*max(1, math.Abs(number)) || math.Abs(rounded) > 1<<53 {
			return nil, fmt.Errorf("%v isn't a whole number of the node's", v)
		}
		whole = int64(rounded)
	}
	var low, high int64
	var raw any
	switch like.(type) {
	case int8:
		low, high, raw = math.MinInt8, math.MaxInt8, int8(whole)
	case int16:
		low, high, raw = math.MinInt16, math.MaxInt16, int16(whole)
	case int32:
		low, high, raw = math.MinInt32, math.MaxInt32, int32(whole)
	case int64:
		low, high, raw = math.MinInt64, math.MaxInt64, whole
	case uint8:
		low, high, raw = 0, math.MaxUint8, uint8(whole)
	case uint16:
		low, high, raw = 0, math.MaxUint16, uint16(whole)
	case uint32:
		low, high, raw = 0, math.MaxUint32, uint32(whole)
	case uint64:
		low, high, raw = 0, math.MaxInt64, uint64(whole)
	default:
		return nil, fmt.Errorf("a value of type %T can't be written", like)
	}
	if whole < low || whole > high {
		return nil, fmt.Errorf("%v is beyond what the node holds", v)
	}
	return raw, nil
}
