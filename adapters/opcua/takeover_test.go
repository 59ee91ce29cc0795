package opcua

import (
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
)

// modelItems are how often the server was asked to tell when its address space changes.
func modelItems(f *fake) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range requests[*ua.CreateMonitoredItemsRequest](f) {
		for _, i := range r.ItemsToCreate {
			if i.RequestedParameters.ClientHandle == modelHandle {
				n++
			}
		}
	}
	return n
}

// A line that fails again before the subscriptions have been handed over, or before they
// have told anything, leaves them to the next connection.
func TestALineThatFailsAgainAndAgain(t *testing.T) {
	t.Parallel()
	transfers := 0
	f := newFake(t, func(f *fake, r ua.Request) ua.Response {
		if _, is := r.(*ua.TransferSubscriptionsRequest); is {
			if transfers++; transfers == 1 {
				f.breakOff()
				return silence
			}
		}
		return nil
	})
	d := f.device(1)
	d.Follow = []Follow{{Node: fakeNode(1)}}
	c, _ := begin(t, d)
	f.await("both items", func() bool { return len(requests[*ua.CreateMonitoredItemsRequest](f)) == 2 })
	f.tell(1, 1, f.values(time.Now(), 1))
	awaitNumbers(t, c, 1)
	f.breakOff()
	f.await("that the second is handed over", func() bool { return len(requests[*ua.TransferSubscriptionsRequest](f)) == 2 && len(f.waiting) > 0 })
	f.breakOff()
	f.await("that the third is handed over", func() bool { return len(requests[*ua.TransferSubscriptionsRequest](f)) == 3 && len(f.waiting) > 0 })
	f.tell(1, 2, f.values(time.Now(), 2))
	awaitNumbers(t, c, 1, 2)
	if n := count[*ua.CreateSubscriptionRequest](f); n != 1 {
		t.Errorf("%d subscriptions", n)
	}
	if n := modelItems(f); n != 1 {
		t.Errorf("%d items that tell of changes of the address space", n)
	}
}

// What a server has that has started again isn't taken over: its ids may be others'.
func TestAServerThatHasStartedAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t, quiet)
	c, _ := begin(t, f.device(1))
	f.tell(1, 1, f.values(time.Now(), 1))
	awaitNumbers(t, c, 1)
	f.mu.Lock()
	f.started = f.started.Add(time.Minute)
	f.mu.Unlock()
	f.breakOff()
	f.await("another subscription", func() bool { return len(requests[*ua.CreateSubscriptionRequest](f)) == 2 })
	if n := count[*ua.TransferSubscriptionsRequest](f); n != 0 {
		t.Error("it is taken over")
	}
}

// A subscription isn't taken over when it isn't known which items it has.
func TestItemsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	first := true
	f := newFake(t, func(f *fake, r ua.Request) ua.Response {
		if _, is := r.(*ua.CreateMonitoredItemsRequest); is && first {
			first = false
			return silence
		}
		return nil
	})
	c, _ := begin(t, f.device(1))
	f.await("an item", func() bool { return len(requests[*ua.CreateMonitoredItemsRequest](f)) == 1 && len(f.waiting) == 2 })
	f.tell(1, 1)
	f.await("that it is heard", func() bool { return len(f.waiting) == 2 })
	f.breakOff()
	f.await("another item", func() bool { return len(requests[*ua.CreateMonitoredItemsRequest](f)) == 2 })
	if n := count[*ua.TransferSubscriptionsRequest](f); n != 0 {
		t.Error("it is taken over")
	}
	f.tell(2, 1, f.values(time.Now(), 1))
	awaitNumbers(t, c, 1)
}

// A node that several reasons have asked for again meanwhile is monitored once.
func TestANodeIsMonitoredOnce(t *testing.T) {
	t.Parallel()
	refusals, asked := 1, make(chan struct{})
	f := newFake(t, func(f *fake, r ua.Request) ua.Response {
		switch r := r.(type) {
		case *ua.CreateMonitoredItemsRequest:
			if refusals > 0 && r.ItemsToCreate[0].RequestedParameters.ClientHandle == 1 {
				refusals--
				return &ua.CreateMonitoredItemsResponse{Results: []*ua.MonitoredItemCreateResult{{StatusCode: ua.StatusBadNodeIDUnknown, FilterResult: ua.NewExtensionObject(nil)}}}
			}
		case *ua.CallRequest: // which items it has
			<-asked
			return &ua.CallResponse{Results: []*ua.CallMethodResult{{OutputArguments: []*ua.Variant{ua.MustVariant([]uint32{}), ua.MustVariant([]uint32{})}}}}
		}
		return nil
	})
	d := f.device(2)
	d.Follow = []Follow{{Node: fakeNode(9)}}
	limited := f.answered
	f.answered = func(r ua.Request) ua.Response {
		if r, is := r.(*ua.CreateMonitoredItemsRequest); is && len(r.ItemsToCreate) > 1 {
			return fault(ua.StatusBadTooManyOperations) // so that each has an answer of its own
		}
		return limited(r)
	}
	c, _ := begin(t, d)
	f.await("the question which items it has", func() bool { return len(requests[*ua.CallRequest](f)) == 1 && len(f.waiting) == 2 })
	f.tell(1, 1, f.values(time.Now(), 1), modelChange(), modelChange())
	awaitNumbers(t, c, 1)
	close(asked)
	f.await("both nodes again", func() bool { return created(f, 0) >= 2 && created(f, 1) >= 2 })
	f.await("that time goes by", func() bool { n := len(requests[*ua.BrowseRequest](f)); return n >= 2 })
	before := count[*ua.ReadRequest](f)
	f.await("that time goes by", func() bool { return len(requests[*ua.ReadRequest](f)) >= before+4 })
	f.mu.Lock()
	defer f.mu.Unlock()
	if created(f, 0) != 2 || created(f, 1) != 2 {
		t.Errorf("the nodes are asked for %d and %d times", created(f, 0), created(f, 1))
	}
}

// created is how often an item was asked for by itself. f.mu is held.
func created(f *fake, handle uint32) (n int) {
	for _, r := range requests[*ua.CreateMonitoredItemsRequest](f) {
		if len(r.ItemsToCreate) == 1 && r.ItemsToCreate[0].RequestedParameters.ClientHandle == handle {
			n++
		}
	}
	return n
}
