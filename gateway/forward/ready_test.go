package forward

import (
	"encoding/binary"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry/record"
)

func numberOf(r *record.Record) uint64 { return binary.BigEndian.Uint64(r.Payload) }

// held makes the odd records wait until ripe is set.
func held(ripe *atomic.Uint64) func(*LanesOptions) {
	prepare := func(_ buffer.Position, r *record.Record) (bool, error) {
		return numberOf(r)%2 == 0 || ripe.Load() > 0, nil
	}
	return func(o *LanesOptions) {
		o.Telemetry.Prepare, o.Backfill.Prepare = prepare, prepare
		o.Backfill.Ripened = ripe.Load
	}
}

func TestRecordsArePrepared(t *testing.T) {
	var asked atomic.Int32
	r := newRig(t, 3, func(o *LanesOptions) {
		o.Backfill.Prepare = func(p buffer.Position, rec *record.Record) (bool, error) {
			if asked.Add(1) == 1 {
				return false, io.ErrUnexpectedEOF
			}
			rec.Payload[0] = 0xff
			return true, nil
		}
	})
	r.run(r.lanes.Backfill)
	r.drained()
	order, _ := r.consume(topics.Backfill(), 3)
	if order[0] != 0xff<<56 || len(order) != 3 || r.lanes.Backfill.Stats().Failures != 1 {
		t.Errorf("%x, %+v", order, r.lanes.Backfill.Stats())
	}
}

// Records that aren't ready hold up neither current telemetry nor backfill, nor a
// gateway that stops. When they are, backfill brings each of them once.
func TestWhatIsNotReadyHoldsNothingUp(t *testing.T) {
	var ripe atomic.Uint64
	r := newRig(t, 100, held(&ripe))
	r.run(r.lanes.Telemetry, r.lanes.Backfill)
	r.await("the backlog", func() bool { return r.buffer.Telemetry.Stats().Waiting == 50 })
	r.commit(100, 200)
	r.await("what is ready", func() bool { return r.buffer.Telemetry.Stats().Waiting == 100 })
	r.await("the current lane to have drained", r.lanes.Telemetry.share.drained)

	ripe.Store(1)
	r.drained()
	fresh, _ := r.consume(topics.Telemetry(), 50)
	behind, _ := r.consume(topics.Backfill(), 150)
	if !slices.IsSorted(fresh) || len(fresh) != 50 || fresh[0] != 100 || slices.ContainsFunc(fresh, func(n uint64) bool { return n%2 == 1 }) {
		t.Errorf("current: %v", fresh)
	}
	late := slices.DeleteFunc(slices.Clone(behind), func(n uint64) bool { return n%2 == 0 })
	if len(behind) != 150 || len(late) != 100 || !slices.IsSorted(late) {
		t.Errorf("backfill: %v", behind)
	}
}

// Backfill reads what waits again only when it may be ready.
func TestBackfillComesBackWhenItMayBeReady(t *testing.T) {
	var ripe atomic.Uint64
	var asked atomic.Int32
	r := newRig(t, 10, func(o *LanesOptions) {
		held(&ripe)(o)
		prepare := o.Backfill.Prepare
		o.Backfill.Prepare = func(p buffer.Position, rec *record.Record) (bool, error) {
			asked.Add(1)
			return prepare(p, rec)
		}
	})
	r.run(r.lanes.Backfill)
	r.await("what is ready", func() bool { return r.buffer.Telemetry.Stats().Waiting == 5 })
	began := time.Now()
	r.await("two looks", func() bool { return time.Since(began) > 2*prepareEvery+prepareEvery/2 })
	if n := asked.Load(); n != 10 {
		t.Errorf("asked %d times, want once for each of 10 records", n)
	}
	ripe.Store(1)
	r.drained()
	if n := asked.Load(); n != 15 {
		t.Errorf("asked %d times, want once more for each of 5 records", n)
	}
}
