package opcua

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/opcuapeer"
)

// A server that gives the subscriptions up is subscribed to anew over the same
// connection.
func TestSubscriptionsGivenUp(t *testing.T) {
	each(t, func(t *testing.T, kind opcuapeer.Kind) {
		if kind == opcuapeer.Node {
			t.Skip("the ids of its subscriptions can't be guessed")
		}
		p := opcuapeer.Start(t, kind, opcuapeer.Settings{})
		c, a := begin(t, plant(t, p, "Counter"))
		c.await(t, "values", func() bool { return good(c.last(1)) })
		a.links.mu.Lock()
		l := a.links.live["plant"]
		a.links.mu.Unlock()
		ids := make([]uint32, 100)
		for i := range ids {
			ids[i] = uint32(i)
		}
		res, err := request[*ua.DeleteSubscriptionsResponse](t.Context(), l, &ua.DeleteSubscriptionsRequest{SubscriptionIDs: ids})
		if err != nil || !slices.Contains(res.Results, ua.StatusOK) {
			t.Fatalf("%+v, %v", res, err)
		}
		last := c.last(1).Time
		c.await(t, "values again", func() bool { s := c.last(1); return good(s) && s.Time.Sub(last) > 2*time.Second })
		a.links.mu.Lock()
		defer a.links.mu.Unlock()
		if a.links.live["plant"] != l {
			t.Error("the connection was made anew, too")
		}
	})
}

// A server can be read again and again instead of being subscribed to.
func TestPoll(t *testing.T) {
	each(t, func(t *testing.T, kind opcuapeer.Kind) {
		p := opcuapeer.Start(t, kind, opcuapeer.Settings{})
		d := plant(t, p, "Name", "Nothing", "Counter")
		d.Poll = true
		c, _ := begin(t, d)
		c.await(t, "the same value several times", func() bool { now, _ := c.of(1); return len(now) > 3 })
		if s := c.last(1); s.Value != telemetry.TextValue("Transformer 1") || !good(s) || !good(c.last(3)) {
			t.Errorf("%+v, %+v", s, c.last(3))
		}
		if s := c.last(2); s.Quality.Reason() != telemetry.NotImplemented {
			t.Errorf("%+v", s)
		}
	})
}

// What lies within the deadband isn't sent.
func TestDeadband(t *testing.T) {
	each(t, func(t *testing.T, kind opcuapeer.Kind) {
		if kind == opcuapeer.Asyncua {
			t.Skip("it compares a value with the one before it, and tells of nothing")
		}
		p := opcuapeer.Start(t, kind, opcuapeer.Settings{})
		d := plant(t, p, "TopOil", "Name")
		d.Points[0].Scale, d.Points[0].Deadband = 2, 6 // 3 as the node has it
		d.Points[1].Deadband = 1                       // a text has none
		c, _ := begin(t, d)
		c.await(t, "values", func() bool { now, _ := c.of(1); return len(now) > 4 })
		c.await(t, "the text", func() bool { return good(c.last(2)) })
		now, _ := c.of(1)
		for i := 1; i < len(now); i++ {
			a, _ := now[i-1].Value.Float()
			b, _ := now[i].Value.Float()
			if math.Abs(a-b) <= 6 {
				t.Errorf("%v after %v", b, a)
			}
		}
	})
}

func TestSequenceNumbers(t *testing.T) {
	if !after(2, 1) || after(1, 2) || after(1, 1) || !after(1, math.MaxUint32) || following(math.MaxUint32) != 1 || following(1) != 2 {
		t.Error("numbers begin again at 1")
	}
}
