package forward

import (
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry/record"
)

func newTestPace(maxRate int64) (*pace, *precedence) {
	first := &Lane{link: NewLink(Telemetry, nil, quiet)}
	rank := &precedence{lanes: []*Lane{first}}
	return newPace(rank, NewLink(Backfill, nil, quiet), maxRate), rank
}

func TestBackfillGrowsAndGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, rank := newTestPace(0)
		under := newWindow(nil)
		rank.lanes[0].window.Store(under)
		rank.acknowledged(600 * time.Millisecond) // a long way is no reason to wait
		rank.acknowledged(900 * time.Millisecond)
		for range 100 {
			p.acknowledged(time.Second)
		}
		if most, rest := p.limits(); most != mostBackfill || rest > 0 {
			t.Errorf("with nothing in its way it sends %d at a time, and rests %v", most, rest)
		}

		under.add(1)
		time.Sleep(900 * time.Millisecond)
		p.acknowledged(time.Second)
		if most, _ := p.limits(); most != mostBackfill {
			t.Errorf("it sends %d at a time while nothing is late", most)
		}
		time.Sleep(300 * time.Millisecond)
		for range 6 {
			p.acknowledged(2 * time.Second)
		}
		if most, rest := p.limits(); most != 1 || rest != 6*time.Second {
			t.Errorf("while a record waits it sends %d at a time and rests %v after one that took 2 s", most, rest)
		}

		under.remove(under.flight[0])
		rank.acknowledged(1600 * time.Millisecond)
		if !p.yields() {
			t.Error("a late acknowledgement is forgotten at once")
		}
		time.Sleep(lateFor)
		if p.yields() {
			t.Error("it still gives way")
		}
		p.acknowledged(time.Second)
		if most, _ := p.limits(); most != 2 {
			t.Errorf("it sends %d at a time after the first acknowledgement", most)
		}
	})
}

// What is usual is learnt anew: a way may become longer.
func TestUsualIsThatOfTheLastMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, rank := newTestPace(0)
		rank.acknowledged(5 * time.Millisecond)
		for range 3 {
			time.Sleep(usualPeriod + time.Second)
			rank.acknowledged(600 * time.Millisecond)
		}
		if got := rank.allowed(); got != 950*time.Millisecond {
			t.Errorf("allowed are %v", got)
		}
	})
}

func TestBackfillGivesWayWhileTheBrokerThrottles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, rank := newTestPace(0)
		for _, link := range []*Link{rank.lanes[0].link, p.link} {
			time.Sleep(time.Minute)
			if p.yields() {
				t.Error("gives way without reason")
			}
			link.OnBrokerThrottle(kgoBroker, time.Second, true)
			if !p.yields() {
				t.Error("doesn't give way")
			}
		}
	})
}

func TestMaxRate(t *testing.T) {
	p, _ := newTestPace(1000)
	start := time.Unix(1000, 0)
	now := start
	var sent int
	for now.Before(start.Add(10 * time.Second)) {
		now = now.Add(p.claim(now, 250))
		sent += 250
		now = now.Add(time.Millisecond)
	}
	// A second's worth more, and the record with which the time ends.
	if sent < 10_000 || sent > 11_500 {
		t.Errorf("%d bytes in 10 s at 1000 bytes/s", sent)
	}
	if wait := p.claim(now.Add(time.Hour), 250); wait != 0 {
		t.Errorf("after an hour of silence it waits %v", wait)
	}
}

// thinLink lets requests through one after another, so many bytes a second.
func (r *rig) thinLink(rate int) {
	var line sync.Mutex
	r.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		size := 0
		for _, t := range produce.Topics {
			for _, p := range t.Partitions {
				size += len(p.Records)
			}
		}
		r.cluster.SleepControl(func() {
			line.Lock()
			defer line.Unlock()
			time.Sleep(time.Duration(size) * time.Second / time.Duration(rate))
		})
		return nil, nil, false
	})
}

// On a thin link events and current telemetry wait for at most a few records of
// the backfill, and the backfill moves all the same.
func TestNothingStarvesOnAThinLink(t *testing.T) {
	const backlog, each = 400, 4000
	r := newRig(t, 0)
	var items []buffer.Item
	for n := range uint64(backlog) {
		payload := make([]byte, each)
		binary.BigEndian.PutUint64(payload, n)
		items = append(items, buffer.Item{Format: record.FormatBlock, Payload: payload, Count: 10})
	}
	if err := r.buffer.Telemetry.Commit(items, nil); err != nil {
		t.Fatal(err)
	}
	parts := r.lanes.Telemetry.share.(fresh).split
	*parts = *newSplit(r.buffer.Telemetry, parts.stale)
	r.thinLink(10 * each) // ten records a second
	r.run(r.lanes.All()...)
	r.await("the backfill to move", func() bool { return r.lanes.Backfill.Stats().Records > 0 })
	backfilled := func() uint64 { return r.lanes.Backfill.Stats().Records }
	var waited []uint64
	for n := range uint64(12) {
		before := backfilled()
		r.commit(n, n+1)
		commit(t, r.buffer.Events, n, n+1)
		r.await("current telemetry and an event", func() bool {
			return r.lanes.Telemetry.Stats().Records == n+1 && r.lanes.Events.Stats().Records == n+1
		})
		waited = append(waited, backfilled()-before)
	}
	for _, n := range waited[4:] { // backfill has to learn that it is in the way
		if n > 6 {
			t.Fatalf("records of the backfill that current ones waited for: %v", waited)
		}
	}
	before := backfilled()
	r.await("the backfill to go on", func() bool { return backfilled() > before+2 })
}
