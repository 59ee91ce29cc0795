package mqttconn

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Who has taken messages doesn't wait for who receives, which may have left meanwhile.
func TestArrivalsEnd(t *testing.T) {
	b := started(t, "")
	publisher := dial(t, b, "publisher", Options{})
	for range 20 {
		c := dial(t, b, "reader", Options{})
		subscribe(t, c, Filter{"a", 0})
		ctx, cancel := context.WithCancel(t.Context())
		arrivals := c.Arrivals(ctx)
		send(t, publisher, numbered("a", 0, 1))
		<-arrivals.Messages
		cancel()
		taken := make(chan struct{})
		go func() { arrivals.Next(); close(taken) }()
		select {
		case <-taken:
		case <-time.After(time.Minute):
			t.Fatal("it waits for who has left")
		}
		c.Close()
	}
}

// They come one after the other, and then it is said why there are no more.
func TestArrivals(t *testing.T) {
	b := started(t, "")
	c := dial(t, b, "reader", Options{})
	subscribe(t, c, Filter{"a", 0})
	arrivals := c.Arrivals(t.Context())
	send(t, dial(t, b, "publisher", Options{}), numbered("a", 0, 10))
	var got []string
	for len(got) < 10 {
		got = append(got, payloads(<-arrivals.Messages)...)
		arrivals.Next()
	}
	if got[0] != "0" || got[9] != "9" {
		t.Errorf("%q", got)
	}
	b.Kill()
	if messages, ok := <-arrivals.Messages; ok || arrivals.Err() == nil || errors.Is(arrivals.Err(), context.Canceled) {
		t.Errorf("%v, %v", messages, arrivals.Err())
	}
}
