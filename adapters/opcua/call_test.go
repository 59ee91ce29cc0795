package opcua

import (
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/opcuapeer"
)

// A point is operated by a method that takes the value, or by one for each of two values,
// and shows what that has done; what isn't listed isn't operated.
func TestCalls(t *testing.T) {
	for _, kind := range []opcuapeer.Kind{opcuapeer.Node, opcuapeer.Asyncua} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			p := opcuapeer.Start(t, kind, opcuapeer.Settings{})
			d := plant(t, p)
			tank := func(name string) Node { return Node{uri: opcuapeer.Namespace, kind: 's', value: "Tank" + name} }
			for i, name := range []string{"Level", "Valve", "Valve", "Level", "Valve"} {
				d.Points = append(d.Points, Point{Name: []string{"Level", "Valve", "OnlyOn", "Wrong", "Free"}[i], Node: tank("." + name), Scale: 1, Signal: telemetry.SignalID(i + 1)})
			}
			d.Points[0].Scale = 2
			both := &Call{Object: tank(""), On: tank(".Open"), Off: tank(".Shut")}
			d.Controls = []Control{
				{Point: "Level", Settle: 5 * time.Second, Call: &Call{Object: tank(""), Method: tank(".SetLevel")}},
				{Point: "Valve", Settle: 5 * time.Second, Call: both},
				{Point: "OnlyOn", Call: &Call{Object: tank(""), On: tank(".Open")}},
				{Point: "Wrong", Call: &Call{Object: tank(""), Method: tank(".Open")}},
			}
			c, a := begin(t, d)
			c.await(t, "values", func() bool { return good(c.last(1)) && good(c.last(2)) })
			operate := func(id telemetry.SignalID, v telemetry.Value) (adapters.Controlled, error) {
				return a.Operate(t.Context(), adapters.Control{Device: "plant", Signal: id, Value: v})
			}
			if got, err := a.Select(t.Context(), adapters.Control{Device: "plant", Signal: 1, Value: telemetry.FloatValue(120)}); err != nil || got.Old != telemetry.FloatValue(100) {
				t.Errorf("%+v, %v", got, err)
			}
			if got, err := operate(1, telemetry.FloatValue(121)); err != nil || got.Outcome != telemetry.ControlDone || got.ReadBack != telemetry.FloatValue(121) {
				t.Errorf("%+v, %v", got, err)
			}
			c.await(t, "that it is told", func() bool { return c.last(1).Value == telemetry.FloatValue(121) })
			for _, v := range []bool{true, false} {
				if got, err := operate(2, telemetry.BoolValue(v)); err != nil || got.Outcome != telemetry.ControlDone || got.ReadBack != telemetry.BoolValue(v) {
					t.Errorf("%v: %+v, %v", v, got, err)
				}
			}
			for id, want := range map[telemetry.SignalID]struct {
				v    telemetry.Value
				text string
			}{
				1: {telemetry.FloatValue(300), "the server refuses it"},
				2: {telemetry.FloatValue(2), "expected 0 or 1"},
				3: {telemetry.BoolValue(false), "there is no method for false"},
				4: {telemetry.FloatValue(1), "takes 0 arguments, expected one"},
				5: {telemetry.BoolValue(true), "isn't one that may be written"},
			} {
				got, err := operate(id, want.v)
				if err == nil || !strings.Contains(err.Error(), want.text) || got.Outcome != telemetry.ControlFailed {
					t.Errorf("%d: %+v, %v", id, got, err)
				}
			}
			c.await(t, "that it is shut", func() bool { return c.last(2).Value == telemetry.BoolValue(false) })
		})
	}
}

// What a server answers that doesn't know what its method has done isn't that it failed.
func TestCallsThatMayBeDone(t *testing.T) {
	t.Parallel()
	var answer ua.Response
	f := newFake(t, func(_ *fake, r ua.Request) ua.Response {
		if c, is := r.(*ua.CallRequest); is && c.MethodsToCall[0].ObjectID.IntID() == firstFakeNode+1 {
			return answer
		}
		return nil
	})
	d := f.device(1)
	d.Controls = []Control{{Point: d.Points[0].Name, Call: &Call{Object: fakeNode(1), On: fakeNode(2)}}}
	_, a := begin(t, d)
	f.await("a publish request", func() bool { return len(f.waiting) > 0 })
	result := func(s ua.StatusCode, arguments ...ua.StatusCode) ua.Response {
		return &ua.CallResponse{Results: []*ua.CallMethodResult{{StatusCode: s, InputArgumentResults: arguments}}}
	}
	for _, c := range []struct {
		answer ua.Response
		want   telemetry.ControlOutcome
		text   string
	}{
		{fault(ua.StatusBadTimeout), telemetry.ControlUnknown, "may have been executed"},
		{result(ua.StatusBadInternalError), telemetry.ControlUnknown, "may have been executed"},
		{result(ua.StatusBadInvalidArgument, ua.StatusBadTypeMismatch), telemetry.ControlFailed, "of its argument: "},
		{result(ua.StatusBadUserAccessDenied), telemetry.ControlFailed, "refuses it"},
		{result(ua.StatusOK), telemetry.ControlUnconfirmed, "shows 1.5"},
	} {
		answer = c.answer
		got, err := a.Operate(t.Context(), adapters.Control{Device: "plant", Signal: 1, Value: telemetry.BoolValue(true)})
		if got.Outcome != c.want || err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %+v, %v", c.answer, got, err)
		}
	}
}
