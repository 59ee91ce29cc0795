package buffer

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Commits, thinning, two readers that acknowledge, and events, all at once, in a
// buffer that is much too small: every sequence number was handed out or declared.
func TestEverythingAtOnce(t *testing.T) {
	k := newTank(t)
	c := k.b.Telemetry
	var mu sync.Mutex
	accounted := ranges{} // sequence numbers + 1
	cover := func(first, last uint64) {
		mu.Lock()
		defer mu.Unlock()
		accounted.add(Position(first)+1, Position(last)+1)
	}
	k.b.declare = func(losses []telemetry.Loss) error {
		for _, l := range losses {
			if l.Stream == string(record.Telemetry) {
				cover(l.SeqFirst, l.SeqLast)
			}
		}
		return k.b.Events.Commit([]Item{item(0)}, nil)
	}
	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	others.Go(func() {
		for ctx.Err() == nil {
			if k.b.fullness() <= thinFrom || !k.b.relieve(ctx) {
				k.b.Telemetry.Wait(ctx, c.End())
			}
		}
	})
	read := func(from func() Position, bytes int, most int) {
		r := c.Reader()
		defer r.Close()
		for after := from(); ctx.Err() == nil && most > 0; {
			entries, err := r.Read(after, Newest, bytes)
			if err != nil {
				t.Error(err)
				return
			}
			if len(entries) == 0 {
				c.Wait(ctx, c.End())
				continue
			}
			for _, e := range entries {
				most--
				after = e.Position
				cover(e.Record.First, e.Record.Last)
				if err := c.Acknowledge(e.Position, e.Position); err != nil {
					t.Error(err)
				}
			}
		}
	}
	others.Go(func() { read(c.End, 1, 30) })
	others.Go(func() { read(c.Released, 200<<10, 20) })
	others.Go(func() {
		for n := uint64(0); ctx.Err() == nil; n++ {
			if err := k.b.Events.Commit([]Item{item(n)}, []byte("state")); err != nil {
				t.Error(err)
			}
			c.Wait(ctx, c.End())
			k.b.Report()
		}
	})
	for range 300 {
		k.commit(10_000, []byte("accounts"))
		for deadline := time.Now().Add(time.Minute); k.b.fullness() > rushFrom && c.Stats().Thinned == 0 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond) // until the thinner has had a chance
		}
	}
	stop()
	others.Wait()
	for _, e := range readAll(t, c, 0) {
		cover(e.Record.First, e.Record.Last)
	}
	if all := c.Stats().Committed; len(accounted) != 1 || accounted.count() != all {
		t.Errorf("of %d sequence numbers, %v are accounted for", all, accounted)
	}
	k.exact()
	k.measure()
	if s := c.Stats(); s.Thinned == 0 {
		t.Errorf("nothing was thinned: %+v", s)
	}
}
