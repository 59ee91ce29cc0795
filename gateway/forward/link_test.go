package forward

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/busbar/busbar/kafkaconn/kafkatest"
	"github.com/busbar/busbar/telemetry"
)

var kgoBroker kgo.BrokerMetadata

func TestLinkTellsStatesAndDurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []telemetry.Link
		var failing bool
		l := NewLink(Backfill, func(c telemetry.Link, since time.Time) error {
			if failing {
				return errors.New("disk full")
			}
			told = append(told, c)
			return nil
		}, quiet)
		time.Sleep(time.Minute)
		l.tell()
		l.set(Down, time.Now().Add(-5*time.Second), errors.New("kafka: no broker answers: dial 127.0.0.1:9092"))
		failing = true
		l.tell()
		failing = false
		time.Sleep(2 * time.Hour)
		l.set(Down, time.Now(), errors.New("kafka: no broker answers: dial 127.0.0.1:9093"))
		l.tell()
		l.set(Up, time.Now(), nil)
		l.tell()
		l.tell()
		want := []telemetry.Link{
			{Stream: Backfill, State: "down", Was: "up", Cause: "kafka: no broker answers", Lasted: 55e6},
			{Stream: Backfill, State: "up", Was: "down", Lasted: 7205e6},
		}
		if !slices.Equal(told, want) {
			t.Errorf("told %+v, want %+v", told, want)
		}
		time.Sleep(time.Minute)
		s := l.Stats()
		if s.State != Up || s.Changes != 2 || s.Spent[Up] != 115*time.Second || s.Spent[Down] != 7205*time.Second || s.Spent[Throttled] != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// What the process before reported last holds until something shows otherwise.
func TestLinkResumesWhatWasReported(t *testing.T) {
	for _, c := range []struct {
		before State
		shows  func(*Link)
		want   []telemetry.Link
	}{
		{"", (*Link).confirm, nil},
		{Up, (*Link).confirm, nil},
		{Down, (*Link).confirm, []telemetry.Link{{Stream: Events, State: "up", Was: "down"}}},
		{Down, func(l *Link) { l.set(Down, time.Now(), nil) }, nil},
		{Throttled, func(l *Link) { l.set(Down, time.Now(), nil) }, []telemetry.Link{{Stream: Events, State: "down", Was: "throttled"}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var told []telemetry.Link
			l := NewLink(Events, func(c telemetry.Link, _ time.Time) error { told = append(told, c); return nil }, quiet).Resume(c.before)
			l.tell()
			if len(told) > 0 {
				t.Errorf("told %+v before anything showed", told)
			}
			c.shows(l)
			l.tell()
			l.tell()
			if !slices.Equal(told, c.want) {
				t.Errorf("after %q told %+v, want %+v", c.before, told, c.want)
			}
		})
	}
}

// A link that flaps doesn't fill the buffer with reports, and what they tell is
// true: the state that the last one named, and how long ago that was.
func TestFlappingLinkIsReportedAFewTimesAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []telemetry.Link
		l := NewLink(Events, func(c telemetry.Link, _ time.Time) error { told = append(told, c); return nil }, quiet)
		const minutes = 10
		for i := range minutes * 60 / 2 {
			l.set([]State{Down, Up}[i%2], time.Now(), nil)
			time.Sleep(time.Second)
			l.tell()
			time.Sleep(time.Second)
		}
		if n := len(told); n < minutes || n > minutes*mostReports {
			t.Errorf("%d reports in %d minutes", n, minutes)
		}
		for i := 1; i < len(told); i++ {
			if told[i].Was != told[i-1].State || told[i].State == told[i].Was {
				t.Errorf("after %+v comes %+v", told[i-1], told[i])
			}
		}
		if s := l.Stats(); s.Changes != minutes*30 {
			t.Errorf("%d changes", s.Changes)
		}
	})
}

// A broker that answers and refuses is no link either, and neither is a signal
// table that nobody acknowledges.
func TestRefusalsAreReportedAsNoLink(t *testing.T) {
	t.Run("records", func(t *testing.T) {
		r := newRig(t, 0)
		var over atomic.Bool
		r.refuse(topics.Telemetry(), func() bool { return !over.Load() })
		r.run(r.lanes.Telemetry)
		r.commit(0, 1)
		r.await("the link to be down", func() bool { return r.lanes.Telemetry.Stats().Link.State == Down })
		if cause := r.lanes.Telemetry.Stats().Link.Cause; !strings.Contains(cause, kerr.TopicAuthorizationFailed.Message) {
			t.Errorf("cause %q", cause)
		}
		over.Store(true)
		r.await("the link to be up", func() bool { return r.lanes.Telemetry.Stats().Link.State == Up })
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.changes) != 2 || r.changes[0].State != "down" || r.changes[1].State != "up" || r.changes[1].Lasted < 5e6 {
			t.Errorf("reported %+v", r.changes)
		}
	})
	t.Run("before sending", func(t *testing.T) {
		r := newRig(t, 0)
		born := make(chan struct{})
		r.runAfter(func(ctx context.Context) error {
			select {
			case <-born:
			case <-ctx.Done():
			}
			return ctx.Err()
		}, r.lanes.Telemetry)
		r.await("the link to be down", func() bool { return r.lanes.Telemetry.Stats().Link.State == Down })
		close(born)
		r.await("the link to be up", func() bool { return r.lanes.Telemetry.Stats().Link.State == Up })
	})
}

// What is wrong is named by the check at the start, though nothing is to be sent.
func TestStartNamesTheCause(t *testing.T) {
	t.Run("no topic", func(t *testing.T) {
		r := newRig(t, 0)
		r.lanes.Backfill.sink = Kafka(r.client(), "absent.backfill", "gw")
		r.run(r.lanes.Backfill)
		r.await("the cause", func() bool { return r.lanes.Backfill.Stats().Link.State == Down })
		if cause := r.lanes.Backfill.Stats().Link.Cause; !strings.Contains(cause, "absent.backfill doesn't exist") {
			t.Errorf("cause %q", cause)
		}
	})
	t.Run("nothing listens, until it does", func(t *testing.T) {
		r := newRig(t, 0)
		address := r.cluster.ListenAddrs()[0]
		r.cluster.Close()
		r.run(r.lanes.Events)
		r.await("the cause", func() bool { return r.lanes.Events.Stats().Link.State == Down })
		if cause := r.lanes.Events.Stats().Link.Cause; !strings.Contains(cause, "nothing listens") {
			t.Errorf("cause %q", cause)
		}
		port := 0
		for _, c := range address[strings.LastIndexByte(address, ':')+1:] {
			port = 10*port + int(c-'0')
		}
		again, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.SeedTopics(1, topics.Events()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(again.Close)
		commit(t, r.buffer.Events, 0, 1)
		r.drained()
		r.await("the link to be up", func() bool { return r.lanes.Events.Stats().Link.State == Up })
	})
}

// A throttled gateway says so, goes on, and loses nothing.
func TestThrottling(t *testing.T) {
	r := newRig(t, 50)
	var throttled atomic.Int32
	r.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		if throttled.Add(1) > 3 {
			return nil, nil, false
		}
		response := kafkatest.Refusal(req.(*kmsg.ProduceRequest), kerr.RequestTimedOut)
		response.ThrottleMillis = 300
		return response, nil, true
	})
	r.run(r.lanes.Telemetry, r.lanes.Backfill)
	r.commit(50, 100)
	r.drained()
	r.await("throttling to be over", func() bool {
		var spent time.Duration
		for _, l := range r.lanes.All() {
			if l.Stats().Link.State != Up {
				return false
			}
			spent += l.Stats().Link.Spent[Throttled]
		}
		return spent > 0
	})
	if sent := r.lanes.Telemetry.Stats().Records + r.lanes.Backfill.Stats().Records; sent != 100 {
		t.Errorf("%d of 100 records were sent", sent)
	}
}

// The connection that the next event takes is used even when there is no event.
func TestEventsConnectionIsKeptWarm(t *testing.T) {
	r := newRig(t, 0)
	var empty atomic.Int32
	r.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		if len(req.(*kmsg.ProduceRequest).Topics) == 0 {
			empty.Add(1)
		}
		return nil, nil, false
	})
	r.lanes.Events.warmEvery = time.Millisecond
	r.run(r.lanes.Events)
	commit(t, r.buffer.Events, 0, 1)
	r.drained()
	r.await("the connection to be used", func() bool { return empty.Load() > 1 })
	commit(t, r.buffer.Events, 1, 2)
	r.drained()
	if failures := r.lanes.Events.Stats().Failures; failures > 0 {
		t.Errorf("%d failures", failures)
	}
}

// What current telemetry needs before its first record is made while the signal
// table is on its way.
func TestTheWayIsOpenBeforeTheFirstRecord(t *testing.T) {
	r := newRig(t, 0)
	var ids, empty atomic.Int32
	for key, count := range map[kmsg.Key]*atomic.Int32{kmsg.InitProducerID: &ids, kmsg.Produce: &empty} {
		r.cluster.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			r.cluster.KeepControl()
			if produce, is := req.(*kmsg.ProduceRequest); !is || len(produce.Topics) == 0 {
				count.Add(1)
			}
			return nil, nil, false
		})
	}
	born := make(chan struct{})
	r.runAfter(func(ctx context.Context) error {
		select {
		case <-born:
		case <-ctx.Done():
		}
		return ctx.Err()
	}, r.lanes.Telemetry)
	r.await("the connection for producing", func() bool { return empty.Load() == 1 })
	close(born)
	r.commit(0, 1)
	r.drained()
	if n := ids.Load(); n != 1 {
		t.Errorf("%d producer ids were asked for", n)
	}
}
