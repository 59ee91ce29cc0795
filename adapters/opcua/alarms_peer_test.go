package opcua

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/opcuaconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/opcuapeer"
)

// A condition of a server is a signal that is true while it is active. What cleared while
// the line was cut, or the gateway was stopped, is known to have afterwards.
func TestAlarms(t *testing.T) {
	t.Parallel()
	p := opcuapeer.Start(t, opcuapeer.Node, opcuapeer.Settings{})
	d := plant(t, p)
	d.Alarms = []Alarms{{Node: serverObject, Severity: 100}}
	direct := d
	r := newRelay(t, p.Endpoint())
	d.Server.Endpoint = r.endpoint
	c := newCollector()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	a := New([]Device{d}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	go func() { defer close(ended); a.Run(ctx, c) }()
	set := func(level float64) {
		t.Helper()
		l := reach(t, direct)
		res, err := request[*ua.WriteResponse](t.Context(), l, &ua.WriteRequest{NodesToWrite: []*ua.WriteValue{{
			NodeID: onPlant(t, l, "Tank.Level"), AttributeID: ua.AttributeIDValue, Value: &ua.DataValue{EncodingMask: ua.DataValueValue, Value: ua.MustVariant(level)},
		}}})
		if err != nil || res.Results[0] != ua.StatusOK {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	shows := func(want bool) func() bool {
		return func() bool {
			s := c.last(c.named("Tank.Limits"))
			return good(s) && s.Value == telemetry.BoolValue(want)
		}
	}
	c.await(t, "a connection", func() bool { return c.last(live).Value == telemetry.BoolValue(true) })
	before := time.Now()
	set(90)
	c.await(t, "the alarm", shows(true))
	if s := c.last(c.named("Tank.Limits")); s.Quality.TimeQuality() != telemetry.DeviceTime || s.Time.Time().Before(before.Add(-time.Minute)) {
		t.Errorf("%v %v", s, s.Quality)
	}
	set(50)
	c.await(t, "that it has cleared", shows(false))
	set(97)
	c.await(t, "that it is back", shows(true))
	r.cut()
	c.await(t, "that the line is cut", func() bool { return c.last(c.named("Tank.Limits")).Quality.Validity() == telemetry.Bad })
	set(50)
	r.mend()
	c.await(t, "that it cleared meanwhile", shows(false))
	set(3)
	c.await(t, "that it is back again", shows(true))
	stop()
	<-ended
	set(50)
	beginWith(t, d, c)
	c.await(t, "that it cleared before the gateway started", shows(false))
	now, _ := c.of(c.named("Tank.Limits"))
	for i, s := range now {
		if i > 0 && s.Time < now[i-1].Time {
			t.Errorf("%v comes behind %v", s, now[i-1])
		}
	}
	if len(c.found) != 1 {
		t.Errorf("%+v", c.found)
	}
}

// Events that are no conditions' are texts.
func TestEvents(t *testing.T) {
	for kind, object := range map[opcuapeer.Kind]string{opcuapeer.Node: "Tank", opcuapeer.Asyncua: "T1"} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			p := opcuapeer.Start(t, kind, opcuapeer.Settings{})
			d := plant(t, p)
			d.Alarms = []Alarms{{Node: Node{uri: opcuapeer.Namespace, kind: 's', value: object}, Severity: 700, Match: "T*.Event"}}
			c, _ := begin(t, d)
			name := object + ".Event"
			c.await(t, "a connection", func() bool { return c.last(live).Value == telemetry.BoolValue(true) })
			trip := func(text string) { call(t, d, object, object+".Trip", text) }
			for limit := time.Now().Add(time.Minute); c.named(name) == 0 && time.Now().Before(limit); time.Sleep(100 * time.Millisecond) {
				trip("tripped") // until the server tells
			}
			c.await(t, "the event", func() bool { return c.last(c.named(name)).Value == telemetry.TextValue("tripped") })
		})
	}
}

// A server that can't tell its conditions anew leaves them as it told them.
func TestAlarmsOfAsyncua(t *testing.T) {
	t.Parallel()
	p := opcuapeer.Start(t, opcuapeer.Asyncua, opcuapeer.Settings{})
	d := plant(t, p)
	d.Alarms = []Alarms{{Node: Node{uri: opcuapeer.Namespace, kind: 's', value: "Tank"}, Severity: 500}}
	direct := d
	r := newRelay(t, p.Endpoint())
	d.Server.Endpoint = r.endpoint
	c, _ := begin(t, d)
	c.await(t, "a connection", func() bool { return c.last(live).Value == telemetry.BoolValue(true) })
	say := func(active bool) { call(t, direct, "Tank", "Tank.Say", active) }
	sayUntil := func(active bool, is func() bool) { // the server tells it to us, too
		t.Helper()
		for limit := time.Now().Add(time.Minute); !is() && time.Now().Before(limit); time.Sleep(100 * time.Millisecond) {
			say(active)
		}
		c.await(t, "what is said", is)
	}
	sayUntil(true, c.shows("Tank.Full", "true good"))
	say(false)
	c.await(t, "that it has cleared", c.shows("Tank.Full", "false good"))
	say(true)
	c.await(t, "that it is back", c.shows("Tank.Full", "true good"))
	r.cut()
	c.await(t, "that the line is cut", func() bool { return c.last(c.named("Tank.Full")).Quality.Validity() == telemetry.Bad })
	say(false)
	r.mend()
	c.await(t, "what was told last", c.shows("Tank.Full", "true uncertain (stale)"))
	sayUntil(false, c.shows("Tank.Full", "false good")) // it hands subscriptions over that are dead
}

// call has a server do something.
func call(t *testing.T, d Device, object, method string, argument any) {
	t.Helper()
	l := reach(t, d)
	res, err := opcuaconn.Request[*ua.CallResponse](t.Context(), l.Conn, &ua.CallRequest{MethodsToCall: []*ua.CallMethodRequest{{
		ObjectID: onPlant(t, l, object), MethodID: onPlant(t, l, method), InputArguments: []*ua.Variant{ua.MustVariant(argument)},
	}}})
	if err != nil || res.Results[0].StatusCode != ua.StatusOK {
		t.Fatalf("%+v, %v", res, err)
	}
}

// reach is another connection to a device.
func reach(t *testing.T, d Device) *link {
	t.Helper()
	l, err := dial(t.Context(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Abort)
	return l
}
