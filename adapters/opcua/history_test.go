package opcua

import (
	"slices"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
)

// history is an answer with values from a time on, one in each second.
func history(more []byte, at time.Time, values ...float64) ua.Response {
	h := &ua.HistoryData{}
	for i, v := range values {
		h.DataValues = append(h.DataValues, stamped(v, at.Add(time.Duration(i)*time.Second)))
	}
	return &ua.HistoryReadResponse{Results: []*ua.HistoryReadResult{{ContinuationPoint: more, HistoryData: ua.NewExtensionObject(h)}}}
}

// rangeOf is the time whose history is asked for.
func rangeOf(r *ua.HistoryReadRequest) (from, to time.Time) {
	d := r.HistoryReadDetails.Value.(*ua.ReadRawModifiedDetails)
	return d.StartTime, d.EndTime
}

// History that isn't read to its end when the line fails is read on over the next
// connection, and no value comes twice.
func TestALineThatFailsWhileHistoryIsRead(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	reads := 0
	f := newFake(t, func(f *fake, r ua.Request) ua.Response {
		switch r.(type) {
		case *ua.TransferSubscriptionsRequest:
			return fault(ua.StatusBadServiceUnsupported)
		case *ua.HistoryReadRequest:
			switch reads++; reads {
			case 1:
				return history([]byte{1}, at.Add(time.Second), 2, 3)
			case 2:
				f.breakOff()
				return silence
			}
			return history(nil, at.Add(2*time.Second), 3, 4)
		}
		return nil
	})
	c, _ := begin(t, f.device(1))
	f.tell(1, 1, f.values(at, 1))
	awaitNumbers(t, c, 1)
	f.breakOff()
	f.await("another subscription", func() bool { return len(requests[*ua.CreateSubscriptionRequest](f)) == 2 && len(f.waiting) > 0 })
	f.tell(2, 1, f.values(at.Add(10*time.Second), 11))
	var past []float64
	c.await(t, "the past", func() bool { _, past = floats(c, 1); return len(past) >= 3 })
	if !slices.Equal(past, []float64{2, 3, 4}) {
		t.Errorf("%v", past)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := requests[*ua.HistoryReadRequest](f)
	if from, _ := rangeOf(asked[2]); len(asked) != 3 || !from.Equal(at.Add(2*time.Second)) {
		t.Errorf("%d requests, the last from %v", len(asked), from)
	}
}

// Nodes of which values are missing for very different times aren't asked for together.
func TestGapsOfVeryDifferentLengths(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	at := []time.Time{now.Add(-time.Hour), now.Add(-time.Hour + time.Second), now}
	f := newFake(t, func(f *fake, r ua.Request) ua.Response {
		switch r := r.(type) {
		case *ua.TransferSubscriptionsRequest:
			return fault(ua.StatusBadServiceUnsupported)
		case *ua.HistoryReadRequest:
			res := &ua.HistoryReadResponse{}
			for range r.NodesToRead {
				res.Results = append(res.Results, &ua.HistoryReadResult{StatusCode: ua.StatusBadNoData, HistoryData: ua.NewExtensionObject(nil)})
			}
			return res
		}
		return nil
	})
	values := func(at ...time.Time) *ua.DataChangeNotification {
		n := &ua.DataChangeNotification{}
		for i, at := range at {
			n.MonitoredItems = append(n.MonitoredItems, &ua.MonitoredItemNotification{ClientHandle: uint32(i), Value: stamped(1.0, at)})
		}
		return n
	}
	c, _ := begin(t, f.device(len(at)))
	f.tell(1, 1, values(at...))
	c.await(t, "values", func() bool { return good(c.last(3)) })
	f.breakOff()
	f.await("another subscription", func() bool { return len(requests[*ua.CreateSubscriptionRequest](f)) == 2 && len(f.waiting) > 0 })
	after := now.Add(10 * time.Second)
	f.tell(2, 1, values(after, after, after))
	f.await("their history", func() bool { return len(requests[*ua.HistoryReadRequest](f)) == 2 })
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := requests[*ua.HistoryReadRequest](f)
	a, _ := rangeOf(asked[0])
	b, to := rangeOf(asked[1])
	if len(asked[0].NodesToRead) != 2 || !a.Equal(at[0]) || !b.Equal(at[2]) || !to.Equal(after) {
		t.Errorf("%d nodes from %v, and others from %v to %v", len(asked[0].NodesToRead), a, b, to)
	}
}
