package forward

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// impatient makes fresh fall behind soon.
func (r *rig) impatient() {
	parts := r.lanes.Telemetry.share.(fresh).split
	parts.stale, parts.longest = 50*time.Millisecond, 0
}

// stuck reports whether what fresh can't send is stale: what it has in hand, or
// what it will find when it tries again after a refusal.
func (r *rig) stuck() bool {
	parts := r.lanes.Telemetry.share.(fresh).split
	w := r.lanes.Telemetry.window.Load()
	refused := w != nil && w.size().records == 0
	parts.mu.Lock()
	defer parts.mu.Unlock()
	stale := func(since time.Time) bool { return !since.IsZero() && time.Since(since) > parts.stale }
	return parts.leaving || parts.acked < parts.known && stale(parts.noted) && (stale(parts.read) || refused && parts.read.IsZero())
}

// After an outage the newest record goes first, the others go as backfill, and
// none goes both ways.
func TestAfterAnOutageTheCurrentValueComesFirst(t *testing.T) {
	const during = 100
	for name, outage := range map[string]func(r *rig, over <-chan struct{}){
		"refused": func(r *rig, over <-chan struct{}) {
			r.refuse(topics.Telemetry(), func() bool {
				select {
				case <-over:
					return false
				default:
					return true
				}
			})
		},
		"no answer": func(r *rig, over <-chan struct{}) {
			r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				r.cluster.KeepControl()
				r.cluster.SleepControl(func() { <-over })
				return nil, nil, false
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 20)
			r.impatient()
			over := make(chan struct{})
			outage(r, over)
			r.run(r.lanes.Telemetry, r.lanes.Backfill)
			r.commit(20, 21)
			r.await("the first record to be tried", func() bool {
				w := r.lanes.Telemetry.window.Load()
				return w != nil && w.size().records > 0 || r.lanes.Telemetry.Stats().Failures > 0
			})
			r.commit(21, during)
			r.await("fresh to be behind", r.stuck)
			close(over)
			r.drained()
			current, _ := r.consume(topics.Telemetry(), 1)
			rest, _ := r.consume(topics.Backfill(), during-len(current))
			if newest := slices.Index(current, during-1); newest < 0 || newest > 1 || len(current) > 2 {
				t.Errorf("went as current: %v, want the newest first but for what was under way", current)
			}
			all := slices.Sorted(slices.Values(append(current, rest...)))
			if len(all) != during || len(slices.Compact(all)) != during {
				t.Errorf("%d records in both topics, want each of %d once", len(all), during)
			}
		})
	}
}

// What is committed before the lane may send is an outage like any other.
func TestWaitingBeforeTheStartIsAnOutage(t *testing.T) {
	r := newRig(t, 0)
	r.impatient()
	begin := make(chan struct{})
	r.runAfter(func(ctx context.Context) error {
		select {
		case <-begin:
		case <-ctx.Done():
		}
		return ctx.Err()
	}, r.lanes.Telemetry, r.lanes.Backfill)
	r.commit(0, 100)
	committed := time.Now()
	r.await("the samples to be stale", func() bool { return time.Since(committed) > 100*time.Millisecond })
	close(begin)
	r.drained()
	if current, _ := r.consume(topics.Telemetry(), 1); len(current) != 1 || current[0] != 99 {
		t.Errorf("went as current: %v, want 99 alone", current)
	}
}

// What fresh finds while a record is under way for long is handed over, though
// that record is acknowledged first.
func TestHandingOverIsDecidedOnce(t *testing.T) {
	r := newRig(t, 0)
	r.impatient()
	parts := r.lanes.Telemetry.share.(fresh)
	r.commit(0, 1)
	if _, err := parts.read(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * parts.stale)
	r.commit(1, 100)
	if _, err := parts.read(t.Context(), 1); !errors.Is(err, errMoved) {
		t.Fatalf("not behind: %v", err)
	}
	parts.acknowledged(1, 1, time.Second)
	if at := parts.begin(); at != 99 {
		t.Errorf("goes on after position %d, want 99", at)
	}
}

func TestWhileLinkedAllIsCurrent(t *testing.T) {
	r := newRig(t, 0)
	r.run(r.lanes.Telemetry, r.lanes.Backfill)
	for n := range uint64(50) {
		r.commit(n, n+1)
	}
	r.drained()
	if sent := r.lanes.Telemetry.Stats().Records; sent != 50 || !r.lanes.Telemetry.Drained(t.Context()) {
		t.Errorf("%d of 50 records went as current telemetry", sent)
	}
}

// What fresh has under way stays its own: backfill waits for the split to move,
// which it doesn't before that.
func TestSplitStaysWhileRecordsAreUnderWay(t *testing.T) {
	r := newRig(t, 0)
	r.impatient()
	var asked atomic.Int32
	answer := make(chan struct{})
	r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		asked.Add(1)
		r.cluster.SleepControl(func() { <-answer })
		return nil, nil, false
	})
	r.run(r.lanes.Telemetry, r.lanes.Backfill)
	r.commit(0, 1)
	r.await("a request", func() bool { return asked.Load() == 1 })
	r.commit(1, 40)
	r.await("fresh to be behind", r.stuck)
	if at, _ := r.lanes.Telemetry.share.(fresh).position(); at != 0 {
		t.Errorf("the split is at %d", at)
	}
	close(answer)
	r.drained()
	if at, _ := r.lanes.Telemetry.share.(fresh).position(); at < 30 || r.lanes.Backfill.Stats().Records+r.lanes.Telemetry.Stats().Records != 40 {
		t.Errorf("the split is at %d; sent %+v and %+v", at, r.lanes.Telemetry.Stats(), r.lanes.Backfill.Stats())
	}
}
