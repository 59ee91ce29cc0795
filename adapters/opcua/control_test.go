package opcua

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/opcuapeer"
)

// A point that may be written is, and is read back; what the server doesn't let be
// written, or isn't listed, isn't.
func TestControl(t *testing.T) {
	each(t, func(t *testing.T, kind opcuapeer.Kind) {
		p := opcuapeer.Start(t, kind, opcuapeer.Settings{})
		d := plant(t, p, "Setpoint", "Energy", "Alarm")
		d.Points[0].Scale = 0.5
		d.Controls = []Control{{Point: "Setpoint", Settle: 5 * time.Second}, {Point: "Energy"}}
		c, a := begin(t, d)
		c.await(t, "values", func() bool { return good(c.last(1)) })
		control := func(id telemetry.SignalID, v telemetry.Value) adapters.Control {
			return adapters.Control{Device: "plant", Signal: id, Value: v}
		}
		got, err := a.Select(t.Context(), control(1, telemetry.FloatValue(35.5)))
		if err != nil || got.Outcome != telemetry.ControlDone || got.Old != telemetry.FloatValue(40) {
			t.Errorf("%+v, %v", got, err)
		}
		no := control(1, telemetry.FloatValue(35.5))
		no.Permitted = func() error { return errors.New("not now") }
		if got, err := a.Operate(t.Context(), no); err == nil || got.Outcome != telemetry.ControlFailed {
			t.Errorf("%+v, %v", got, err)
		}
		got, err = a.Operate(t.Context(), control(1, telemetry.FloatValue(35.5)))
		if err != nil || got.Outcome != telemetry.ControlDone || got.ReadBack != telemetry.FloatValue(35.5) || got.Old != telemetry.FloatValue(40) {
			t.Errorf("%+v, %v", got, err)
		}
		c.await(t, "that it is told", func() bool { return c.last(1).Value == telemetry.FloatValue(35.5) })
		for id, want := range map[telemetry.SignalID]string{2: "can't be written", 3: "isn't one that may be written", 7: "no such signal"} {
			if id == 2 && kind == opcuapeer.Node {
				continue // it lets all be written
			}
			if got, err := a.Operate(t.Context(), control(id, telemetry.IntValue(1))); err == nil || !strings.Contains(err.Error(), want) || got.Outcome != telemetry.ControlFailed {
				t.Errorf("%d: %+v, %v", id, got, err)
			}
		}
		p.Kill()
		c.await(t, "that it is gone", func() bool { return c.last(live).Value == telemetry.BoolValue(false) })
		if got, err := a.Operate(t.Context(), control(1, telemetry.FloatValue(1))); !errors.Is(err, errNotConnected) || got.Outcome != telemetry.ControlFailed {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// What a server answers that doesn't know what became of a value isn't that it failed.
func TestControlThatMayBeDone(t *testing.T) {
	var answer ua.Response
	f := newFake(t, func(_ *fake, r ua.Request) ua.Response {
		if _, is := r.(*ua.WriteRequest); is {
			return answer
		}
		return nil
	})
	d := f.device(1)
	d.Controls = []Control{{Point: d.Points[0].Name}}
	_, a := begin(t, d)
	f.await("a publish request", func() bool { return len(f.waiting) > 0 })
	result := func(s ua.StatusCode) ua.Response { return &ua.WriteResponse{Results: []ua.StatusCode{s}} }
	for _, c := range []struct {
		answer ua.Response
		want   telemetry.ControlOutcome
	}{
		{fault(ua.StatusBadTimeout), telemetry.ControlUnknown},
		{result(ua.StatusBadCommunicationError), telemetry.ControlUnknown},
		{result(ua.StatusBadNotWritable), telemetry.ControlFailed},
		{fault(ua.StatusBadTooManyOperations), telemetry.ControlFailed},
		{result(ua.StatusOK), telemetry.ControlUnconfirmed},
	} {
		answer = c.answer
		got, err := a.Operate(t.Context(), adapters.Control{Device: "plant", Signal: 1, Value: telemetry.FloatValue(2)})
		if got.Outcome != c.want || err == nil {
			t.Errorf("%+v: %+v, %v", c.answer, got, err)
		}
	}
}

func TestRawOf(t *testing.T) {
	for _, c := range []struct {
		v             telemetry.Value
		like          any
		scale, offset float64
		want          any // nil: refused
	}{
		{telemetry.FloatValue(1.5), float64(0), 1, 0, 1.5},
		{telemetry.FloatValue(1.5), float32(0), 1, 0, float32(1.5)},
		{telemetry.FloatValue(1e300), float32(0), 1, 0, nil},
		{telemetry.FloatValue(12.3), int16(0), 0.1, 0, int16(123)},
		{telemetry.FloatValue(12.34), int16(0), 0.1, 0, nil},
		{telemetry.FloatValue(-1), uint8(0), 1, 0, nil},
		{telemetry.FloatValue(255), uint8(0), 1, 0, uint8(255)},
		{telemetry.FloatValue(256), uint8(0), 1, 0, nil},
		{telemetry.FloatValue(128), int8(0), 1, 0, nil},
		{telemetry.FloatValue(20), uint32(0), 1, 10, uint32(10)},
		{telemetry.IntValue(1<<53 + 1), int64(0), 1, 0, int64(1<<53 + 1)},
		{telemetry.UintValue(1 << 40), uint64(0), 1, 0, uint64(1 << 40)},
		{telemetry.FloatValue(math.Inf(1)), int32(0), 1, 0, nil},
		{telemetry.FloatValue(math.NaN()), int32(0), 1, 0, nil},
		{telemetry.BoolValue(true), false, 1, 0, true},
		{telemetry.FloatValue(0.5), false, 1, 0, nil},
		{telemetry.TextValue("1"), int32(0), 1, 0, nil},
		{telemetry.FloatValue(1), "text", 1, 0, nil},
	} {
		got, err := rawOf(c.v, c.like, c.scale, c.offset)
		if got != c.want || (err == nil) != (c.want != nil) {
			t.Errorf("%v as %T: %v, %v, expected %v", c.v, c.like, got, err, c.want)
		}
	}
}
