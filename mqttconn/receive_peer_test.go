package mqttconn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/busbar/busbar/test/mosquitto"
)

func dial(t testing.TB, b *mosquitto.Broker, id string, o Options) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), Config{Broker: "tcp://" + b.Address, ClientID: id}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func started(t testing.TB, directives string) *mosquitto.Broker {
	b := mosquitto.New(t, directives)
	b.Start()
	return b
}

func subscribe(t testing.TB, c *Conn, filters ...Filter) {
	t.Helper()
	granted, err := c.Subscribe(t.Context(), filters)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range filters {
		if granted[i] != f.QoS {
			t.Fatalf("%s is granted %d", f.Topic, granted[i])
		}
	}
}

// receive is the next n messages, acknowledged if done is.
func receive(t testing.TB, c *Conn, n int, acknowledge bool) (all []Received) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(all) < n {
		messages, err := c.Receive(ctx)
		if err != nil {
			t.Fatalf("after %d messages: %v", len(all), err)
		}
		if acknowledge {
			if err := c.Acknowledge(messages); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, messages...)
	}
	return all
}

func numbered(topic string, from, to int) (list []Message) {
	for i := from; i < to; i++ {
		list = append(list, Message{Topic: topic, Payload: strconv.AppendInt(nil, int64(i), 10)})
	}
	return list
}

func send(t testing.TB, c *Conn, messages []Message) {
	t.Helper()
	for some := range slices.Chunk(messages, 100) {
		if _, err := c.Publish(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
}

func payloads(messages []Received) (list []string) {
	for _, m := range messages {
		list = append(list, string(m.Payload))
	}
	return list
}

// What a session's client hasn't acknowledged comes again to its next connection, first
// and as a duplicate, and what was published meanwhile behind it, in order; what it has
// acknowledged doesn't.
func TestSession(t *testing.T) {
	b := started(t, "max_inflight_messages 10")
	publisher, session := dial(t, b, "publisher", Options{}), Options{Session: true}
	c := dial(t, b, "reader", session)
	if c.SessionPresent() {
		t.Error("a session is there before the first connection")
	}
	subscribe(t, c, Filter{"a/#", 1}, Filter{"b/+", 0})
	send(t, publisher, numbered("a/x", 0, 5))
	receive(t, c, 5, true)
	send(t, publisher, numbered("a/x", 5, 8))
	if got := payloads(receive(t, c, 3, false)); !slices.Equal(got, []string{"5", "6", "7"}) {
		t.Fatalf("%v", got)
	}
	c.Abort()
	send(t, publisher, numbered("a/x", 8, 100))
	c = dial(t, b, "reader", session)
	if !c.SessionPresent() {
		t.Error("the session isn't there any more")
	}
	got := receive(t, c, 95, true)
	for i, m := range got {
		// The broker may have sent some of the others too before it knew that nobody is there.
		if string(m.Payload) != strconv.Itoa(i+5) || i < 3 && !m.Duplicate || i > 3 && m.Duplicate && !got[i-1].Duplicate || m.QoS != 1 {
			t.Fatalf("%d: %+v", i, m)
		}
	}
	if len(got) != 95 {
		t.Errorf("%d messages", len(got))
	}
}

// A message that was kept says so; one that comes later, and is kept too, doesn't.
func TestRetained(t *testing.T) {
	b := started(t, "")
	b.Publish("a/b", "before", "-r")
	c := dial(t, b, "reader", Options{})
	subscribe(t, c, Filter{"a/b", 1})
	if m := receive(t, c, 1, true)[0]; !m.Retained || string(m.Payload) != "before" {
		t.Errorf("%+v", m)
	}
	b.Publish("a/b", "after", "-r")
	if m := receive(t, c, 1, true)[0]; m.Retained || string(m.Payload) != "after" {
		t.Errorf("%+v", m)
	}
}

// Whom a broker refuses is told for each topic, also of more than one packet's.
func TestManySubscriptions(t *testing.T) {
	b := started(t, "")
	c := dial(t, b, "reader", Options{})
	var filters []Filter
	for i := range 2*maxFilters + 1 {
		filters = append(filters, Filter{fmt.Sprintf("t/%d", i), 1})
	}
	subscribe(t, c, append(filters, filters[0])...)
	b.Publish("t/400", "hello")
	if m := receive(t, c, 1, true)[0]; m.Topic != "t/400" {
		t.Errorf("%+v", m)
	}
	if granted, err := c.Subscribe(t.Context(), []Filter{{"a/#/b", 0}}); err == nil {
		t.Errorf("%v", granted)
	}
}

// Who receives nothing for longer than the broker's keep-alive stays connected, and gets
// everything in the end.
func TestAReaderThatTakesItsTime(t *testing.T) {
	b := started(t, "max_queued_messages 100000\nmax_inflight_messages 0")
	c := dial(t, b, "reader", Options{KeepAlive: 3 * time.Second})
	subscribe(t, c, Filter{"a", 1})
	publisher := dial(t, b, "publisher", Options{})
	send(t, publisher, numbered("a", 0, 2*maxWaiting))
	select {
	case <-c.Lost():
		t.Fatal(c.Cause())
	case <-time.After(10 * time.Second): // longer than it may be silent
	}
	for i, m := range receive(t, c, 2*maxWaiting, true) {
		if string(m.Payload) != strconv.Itoa(i) {
			t.Fatalf("%d: %+v", i, m)
		}
	}
}

// A broker that doesn't answer any more is noticed, and everything ends.
func TestAFrozenBroker(t *testing.T) {
	b := started(t, "")
	c := dial(t, b, "reader", Options{KeepAlive: time.Second})
	subscribe(t, c, Filter{"a", 1})
	b.Freeze()
	defer b.Thaw()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if messages, err := c.Receive(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("%v, %v", messages, err)
	}
	if _, err := c.Subscribe(ctx, []Filter{{"b", 1}}); err == nil {
		t.Error("it goes on")
	}
}

// Closing ends who receives.
func TestCloseEndsReceive(t *testing.T) {
	c := dial(t, started(t, ""), "reader", Options{})
	ended := make(chan error, 1)
	go func() { _, err := c.Receive(context.Background()); ended <- err }()
	c.Close()
	if err := <-ended; !errors.Is(err, errClosed) {
		t.Errorf("%v", err)
	}
}

// BenchmarkReceive is messages that mosquitto sends at QoS 1, received and acknowledged.
func BenchmarkReceive(b *testing.B) {
	for _, inflight := range []int{20, 1000} {
		b.Run(strconv.Itoa(inflight), func(b *testing.B) {
			broker := started(b, fmt.Sprintf("max_queued_messages 0\nmax_inflight_messages %d", inflight))
			publisher, o := dial(b, broker, "publisher", Options{}), Options{Session: true}
			c := dial(b, broker, "reader", o)
			subscribe(b, c, Filter{"a/#", 1})
			c.Close()
			send(b, publisher, numbered("a/b", 0, b.N))
			b.ResetTimer()
			receive(b, dial(b, broker, "reader", o), b.N, true)
		})
	}
}
