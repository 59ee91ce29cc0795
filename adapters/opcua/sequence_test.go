package opcua

import (
	"slices"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/telemetry"
)

// quiet answers as usual.
func quiet(*fake, ua.Request) ua.Response { return nil }

// awaitNumbers waits until these good numbers, and no others, have come of signal 1.
func awaitNumbers(t *testing.T, c *collector, want ...float64) {
	t.Helper()
	var now []float64
	c.await(t, "values", func() bool { now, _ = floats(c, 1); return len(now) >= len(want) })
	if !slices.Equal(now, want) {
		t.Errorf("%v, expected %v", now, want)
	}
}

// A message that others have overtaken is waited for; one that doesn't come is asked for
// again; and what comes twice counts once.
func TestAMissingMessage(t *testing.T) {
	at := time.Now().Add(-time.Hour)
	f := newFake(t, func(f *fake, r ua.Request) ua.Response {
		if r, is := r.(*ua.RepublishRequest); is && r.RetransmitSequenceNumber == 4 {
			return &ua.RepublishResponse{NotificationMessage: notification(4, f.values(at.Add(4*time.Second), 4))}
		}
		return nil
	})
	c, _ := begin(t, f.device(1))
	f.await("an item", func() bool { return len(requests[*ua.CreateMonitoredItemsRequest](f)) == 1 })
	f.tell(1, 1, f.values(at.Add(time.Second), 1))
	f.tell(1, 3, f.values(at.Add(3*time.Second), 3))
	f.tell(1, 2, f.values(at.Add(2*time.Second), 2))
	awaitNumbers(t, c, 1, 2, 3)
	f.tell(1, 5, f.values(at.Add(5*time.Second), 5))
	awaitNumbers(t, c, 1, 2, 3, 4, 5)
	f.tell(1, 4, f.values(at.Add(4*time.Second), 4))
	f.tell(1, 7) // a keep-alive: 6 is missing, and lost
	f.tell(1, 7, f.values(at.Add(7*time.Second), 7))
	awaitNumbers(t, c, 1, 2, 3, 4, 5, 7)
	if n := count[*ua.CreateSubscriptionRequest](f); n != 1 {
		t.Errorf("%d subscriptions", n)
	}
}

// A server that takes fewer publish requests gets fewer.
func TestFewerPublishRequests(t *testing.T) {
	f := newFake(t, quiet)
	c, _ := begin(t, f.device(1))
	f.await("publish requests", func() bool { return len(f.waiting) == 2 })
	f.publish(fault(ua.StatusBadTooManyPublishRequests))
	f.tell(1, 1, f.values(time.Now(), 1))
	awaitNumbers(t, c, 1)
	f.await("one publish request", func() bool { return len(f.waiting) == 1 })
	if n := count[*ua.PublishRequest](f); n != 3 || c.last(live).Value != telemetry.BoolValue(true) {
		t.Errorf("%d publish requests", n)
	}
}

// The values of a message that also ends its subscription count.
func TestAMessageThatEndsItsSubscription(t *testing.T) {
	f := newFake(t, quiet)
	c, _ := begin(t, f.device(1))
	f.tell(1, 1, &ua.StatusChangeNotification{Status: ua.StatusBadTimeout, DiagnosticInfo: &ua.DiagnosticInfo{}}, f.values(time.Now(), 1))
	awaitNumbers(t, c, 1)
	f.await("another subscription", func() bool { return len(requests[*ua.CreateSubscriptionRequest](f)) == 2 })
}

// A number that doesn't go with those before it has the subscription made anew, rather
// than any number of messages asked for or kept.
func TestOddSequenceNumbers(t *testing.T) {
	at := time.Now().Add(-time.Hour)
	f := newFake(t, quiet)
	d := f.device(1)
	d.History = false
	c, _ := begin(t, d)
	f.tell(1, 1, f.values(at, 1))
	awaitNumbers(t, c, 1)
	f.tell(1, 1<<30, f.values(at, 2))
	f.await("a second subscription", func() bool { return len(requests[*ua.CreateSubscriptionRequest](f)) == 2 })
	f.tell(2, 1, f.values(at, 3))
	awaitNumbers(t, c, 1, 3)
	f.tell(2, 1<<30)
	f.await("a third subscription", func() bool { return len(requests[*ua.CreateSubscriptionRequest](f)) == 3 })
	for n := range uint32(mostPublishers + 2) {
		f.tell(3, n+1, f.values(at, 4))
	}
	c.await(t, "values", func() bool { now, _ := floats(c, 1); return len(now) == mostPublishers+4 })
	for n := range uint32(mostPublishers + 1) { // it begins again
		f.tell(3, n+1, f.values(at, 5))
	}
	f.await("a fourth subscription", func() bool { return len(requests[*ua.CreateSubscriptionRequest](f)) == 4 })
	f.tell(4, 1, f.values(at, 6))
	c.await(t, "its value", func() bool { now, _ := floats(c, 1); return len(now) > 0 && now[len(now)-1] == 6 })
	if n := count[*ua.RepublishRequest](f); n != 0 {
		t.Errorf("%d messages are asked for again", n)
	}
}

// A subscription that is given up before the server has said which items it has doesn't
// keep the publish requests that wait for it.
func TestGivenUpBeforeItHasItems(t *testing.T) {
	f := newFake(t, func(_ *fake, r ua.Request) ua.Response {
		if r, is := r.(*ua.CreateMonitoredItemsRequest); is && r.SubscriptionID == 1 {
			return silence
		}
		return nil
	})
	c, _ := begin(t, f.device(1))
	at := time.Now().Add(-time.Hour)
	f.tell(1, 1, f.values(at, 1))
	f.tell(1, 1<<30)
	f.await("a second subscription", func() bool { return len(requests[*ua.CreateSubscriptionRequest](f)) == 2 })
	f.tell(2, 1, f.values(at, 2))
	c.await(t, "its value", func() bool { now, _ := floats(c, 1); return len(now) > 0 && now[len(now)-1] == 2 })
	if n := count[*ua.RepublishRequest](f); n != 0 {
		t.Errorf("%d messages are asked for again", n)
	}
}

// A server that refuses publish requests at once isn't flooded with them.
func TestPublishRequestsThatFail(t *testing.T) {
	f := newFake(t, func(_ *fake, r ua.Request) ua.Response {
		if _, is := r.(*ua.PublishRequest); is {
			return fault(ua.StatusBadTimeout)
		}
		return nil
	})
	begin(t, f.device(1))
	var before int
	f.await("publish requests", func() bool {
		before = len(requests[*ua.ReadRequest](f))
		return len(requests[*ua.PublishRequest](f)) > 1
	})
	f.await("that time goes by", func() bool { return len(requests[*ua.ReadRequest](f)) >= before+2 })
	if n := count[*ua.PublishRequest](f); n > 50 {
		t.Errorf("%d publish requests", n)
	}
	l := &life{watch: &watch{Device: Device{KeepAlive: time.Second, PublishEvery: time.Hour}}, link: &link{timeout: time.Second}}
	if at := l.publishTimeout(); at < 4*time.Hour {
		t.Errorf("a server that tells each hour has %v", at)
	}
}
