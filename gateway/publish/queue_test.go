package publish

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func raise(alarm, topic string) transition {
	return transition{alarm: alarm, topic: topic, raised: true, payload: []byte("raise " + alarm)}
}

func clearing(alarm, topic string) transition {
	return transition{alarm: alarm, topic: topic, payload: []byte("clear " + alarm)}
}

// texts are what a batch publishes, in short.
func texts(batch []outgoing) (list []string) {
	for _, m := range batch {
		text := fmt.Sprintf("%s: %s", m.Topic, m.Payload)
		if m.Retain {
			text += " (kept)"
		}
		list = append(list, text)
	}
	return list
}

func (q *queue) want(t *testing.T, connection uint64, want ...string) []outgoing {
	t.Helper()
	batch := q.take(together, connection)
	if got := texts(batch); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	return batch
}

// What has happened goes first, in order; what is over isn't kept; then comes what is
// active and the broker doesn't know.
func TestWhatIsPublished(t *testing.T) {
	var q queue
	q.activate(active{alarm: "old", topic: "t0", payload: []byte("raise old")})
	q.add(raise("a", "t1"))
	q.add(clearing("a", "t1"))
	q.add(raise("b", "t1"))
	batch := q.want(t, 1, "t1: raise a", "t1: clear a", "t1:  (kept)", "t1: raise b (kept)")
	// The connection is lost between the clearing and its end at the broker.
	if n := q.settle(batch, 2, 1); n != 1 {
		t.Errorf("%d published", n)
	}
	batch = q.want(t, 2, "t1: clear a", "t1:  (kept)", "t1: raise b (kept)")
	if n := q.settle(batch, len(batch), 2); n != 2 {
		t.Errorf("%d published", n)
	}
	batch = q.want(t, 2, "t0: raise old (kept)")
	q.settle(batch, 1, 2)
	q.want(t, 2)
	// Another connection, perhaps to a broker that has forgotten everything.
	batch = q.want(t, 3, "t0: raise old (kept)", "t1: raise b (kept)")
	q.settle(batch, 0, 3)
	q.add(clearing("old", "t0"))
	batch = q.want(t, 4, "t0: clear old", "t0:  (kept)")
	q.settle(batch, 2, 4)
	q.want(t, 4, "t1: raise b (kept)")
}

// What the broker keeps that nothing stands for goes, and nothing else.
func TestWhatTheBrokerForgets(t *testing.T) {
	var q queue
	q.add(raise("a", "t1"))
	q.settle(q.take(together, 1), 1, 1)
	q.forget("t1")
	q.forget("t9")
	q.forget("t9")
	batch := q.want(t, 1, "t9:  (kept)")
	q.settle(batch, 0, 1)
	batch = q.want(t, 2, "t1: raise a (kept)")
	q.settle(batch, 1, 2)
	q.settle(q.want(t, 2, "t9:  (kept)"), 1, 2)
	q.want(t, 2)
}

// Two alarms with one topic, of a rule about an asset and about a device of its name.
func TestTheOtherAlarmOfATopicIsShownAgain(t *testing.T) {
	var q queue
	q.add(raise("a", "t1"))
	q.add(raise("b", "t1"))
	q.settle(q.take(together, 1), 2, 1)
	q.add(clearing("b", "t1"))
	q.settle(q.want(t, 1, "t1: clear b", "t1:  (kept)"), 2, 1)
	q.settle(q.want(t, 1, "t1: raise a (kept)"), 1, 1)
	q.want(t, 1)
}

// Of two alarms with one topic the later one is shown, and that comes to an end.
func TestTwoAlarmsOfATopic(t *testing.T) {
	var q queue
	q.add(raise("a", "t1"))
	q.add(raise("b", "t1"))
	for connection := range uint64(2) {
		for round := 0; ; round++ {
			batch := q.take(together, connection+1)
			if len(batch) == 0 {
				break
			}
			if round == 2 {
				t.Fatalf("connection %d: %q is published for ever", connection+1, texts(batch))
			}
			if last := batch[len(batch)-1]; last.shows != "b" {
				t.Errorf("%q is shown", last.shows)
			}
			q.settle(batch, len(batch), connection+1)
		}
	}
}

// Without a broker, what waits is bounded: all of it active, all but the last cleared, or
// each cleared at once. It ends only if adding doesn't cost more the more waits.
func TestAStormWithoutABroker(t *testing.T) {
	const storm = 10_000
	var active, mixed, cleared queue
	for n := range storm {
		id := fmt.Sprint(n)
		active.add(raise(id, id))
		mixed.add(raise(id, id))
		if n > mostWaiting {
			mixed.add(clearing(id, id))
		}
		cleared.add(raise(id, "t"))
		cleared.add(clearing(id, "t"))
	}
	if len(active.waiting) != mostWaiting || len(active.active) != storm || active.dropped != 0 || cleared.dropped != 2*storm-mostWaiting || len(cleared.active) != 0 {
		t.Errorf("%d active, %d and %d dropped", len(active.active), active.dropped, cleared.dropped)
	}
}

// What is counted of the transitions that wait is what waits.
func TestWhatIsSpent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var q queue
	for step := range 20_000 {
		id := fmt.Sprint(random.IntN(50))
		switch random.IntN(8) {
		case 0:
			batch := q.take(together, 1)
			q.settle(batch, random.IntN(len(batch)+1), 1)
		case 1, 2, 3:
			q.add(raise(id, id))
		case 4, 5, 6:
			q.add(clearing(id, id))
		default:
			if len(q.waiting) > 0 {
				q.shed()
			}
		}
		spent := 0
		for _, t := range q.waiting {
			if !q.isActive(t.alarm) {
				spent++
			}
		}
		if q.spent != spent {
			t.Fatalf("step %d: %d are spent, counted %d", step, spent, q.spent)
		}
	}
}

// Too many: what has cleared again goes first, oldest first, and what is active is
// published in the end.
func TestTooManyWait(t *testing.T) {
	var q queue
	q.add(raise("first", "first"))
	q.add(raise("second", "second"))
	q.add(clearing("second", "second"))
	for n := range mostWaiting - 3 {
		q.add(raise(fmt.Sprint(n), fmt.Sprint(n)))
	}
	if len(q.waiting) != mostWaiting || q.dropped != 0 {
		t.Fatalf("%d wait, %d dropped", len(q.waiting), q.dropped)
	}
	q.add(raise("next", "next"))
	if len(q.waiting) != mostWaiting-1 || q.dropped != 2 || q.waiting[0].alarm != "first" || q.waiting[1].alarm != "0" {
		t.Errorf("%d wait, %d dropped, %+v", len(q.waiting), q.dropped, q.waiting[:2])
	}
	// Now all of them are active.
	q.add(raise("more", "more"))
	q.add(raise("most", "most"))
	if len(q.waiting) != mostWaiting || q.dropped != 2 {
		t.Errorf("%d wait, %d dropped", len(q.waiting), q.dropped)
	}
	shown := map[string]bool{}
	var last []string
	for {
		batch := q.take(together, 1)
		if len(batch) == 0 {
			break
		}
		last = texts(batch)
		for _, m := range batch {
			if m.shows != "" {
				shown[m.shows] = true
			}
		}
		q.settle(batch, len(batch), 1)
	}
	if len(shown) != mostWaiting+1 || !shown["first"] || shown["second"] {
		t.Errorf("%d are shown as active", len(shown))
	}
	if !slices.Equal(last, []string{"second:  (kept)"}) {
		t.Errorf("at last %q", last)
	}
}
