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
