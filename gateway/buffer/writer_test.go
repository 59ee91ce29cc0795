package buffer

import (
	"context"
	"encoding/binary"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// ledger is a Ledger that counts samples and slots.
type ledger struct {
	t                         *testing.T
	chain                     *Chain
	samples, slots, discarded uint64
	states                    int
	wants                     bool // a commit without samples
	committed                 chan uint64

	mu sync.Mutex // Discard comes from other goroutines
}

func (l *ledger) Count(samples []telemetry.Sample, slots []account.Slot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples += uint64(len(samples))
	l.slots += uint64(len(slots))
}

func (l *ledger) Discard(samples []telemetry.Sample, slots []account.Slot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.discarded += uint64(len(samples))
	l.slots += uint64(len(slots))
}

func (l *ledger) State(idle bool) []byte {
	if idle && !l.wants {
		return nil
	}
	l.states++
	l.wants = false
	return binary.BigEndian.AppendUint64(nil, l.samples)
}

func (l *ledger) Committed() {
	if l.samples != l.chain.Stats().Committed {
		l.t.Errorf("%d samples counted, %d committed", l.samples, l.chain.Stats().Committed)
	}
	if state := l.chain.State(); len(state) == 8 && binary.BigEndian.Uint64(state) != l.samples {
		l.t.Errorf("state %x says something else than %d samples", state, l.samples)
	}
	if l.states > 0 {
		l.committed <- l.samples
	}
	l.states = 0
}

// uncounted is a Ledger that counts nothing.
type uncounted struct{}

func (uncounted) Count([]telemetry.Sample, []account.Slot)   {}
func (uncounted) Discard([]telemetry.Sample, []account.Slot) {}
func (uncounted) State(bool) []byte                          { return nil }
func (uncounted) Committed()                                 {}

func (*ledger) AppendPolls(dst []byte, slots []account.Slot) []byte {
	for _, s := range slots {
		dst = append(dst, byte(s.Device))
	}
	return dst
}

func (uncounted) AppendPolls(dst []byte, _ []account.Slot) []byte { return dst }

func TestCountsAreCommittedWithTheirSamples(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	l := &ledger{t: t, chain: b.Telemetry, committed: make(chan uint64, 100), wants: true}
	w := b.NewWriter(10*time.Millisecond, func([]telemetry.Loss) error { return nil }, l)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	if n := <-l.committed; n != 0 {
		t.Errorf("%d samples in a commit of the state alone", n)
	}
	samples := noisySamples(5000)
	for i := range uint64(5) {
		w.Add(samples, make([]account.Slot, 100))
		if n := <-l.committed; n != 5000*(i+1) {
			t.Errorf("%d samples committed", n)
		}
	}
	w.Add(samples[:1], nil)
	cancel()
	<-ended
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir, 0)
	defer b.Close()
	if state := b.Telemetry.State(); binary.BigEndian.Uint64(state) != 25_001 || l.slots != 500 {
		t.Errorf("after a restart the state is %x, %d slots", state, l.slots)
	}
}

// While the disk takes nothing, samples are counted once, and those for which
// there is no room as discarded.
func TestWhatIsTriedAgainIsCountedOnce(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 1) // a new file for every commit
	defer b.Close()
	l := &ledger{t: t, chain: b.Telemetry, committed: make(chan uint64, 100)}
	w := b.NewWriter(time.Millisecond, func([]telemetry.Loss) error { return nil }, l)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	samples := noisySamples(5000)
	w.Add(samples, nil)
	<-l.committed
	if err := os.Rename(dir+"/telemetry", dir+"/away"); err != nil {
		t.Fatal(err)
	}
	w.Add(samples, make([]account.Slot, 100))
	for deadline := time.Now().Add(20 * time.Second); !w.Failing(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the writer doesn't notice that it can't write")
		}
	}
	for range maxPending/5000 + 1 {
		w.Add(samples, make([]account.Slot, 100))
	}
	if err := os.Rename(dir+"/away", dir+"/telemetry"); err != nil {
		t.Fatal(err)
	}
	for n := range l.committed {
		if n == 10_000+maxPending {
			break
		}
	}
	cancel()
	<-ended
	if slots := uint64(100 * (maxPending/5000 + 2)); l.discarded != 5000 || l.slots != slots || w.Discarded() != 5000 {
		t.Errorf("%d discarded, %d slots of %d", l.discarded, l.slots, slots)
	}
}

func TestACommitWaitsUntilItIsWorthItsWear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			interval time.Duration
			waiting  int
			oldest   time.Duration // how long it has waited
			took     time.Duration // the last commit
			ended    time.Duration // how long ago it did
			want     time.Duration
		}{
			"as asked for":      {2 * time.Second, worthCommit, time.Second, time.Minute, time.Second, time.Second},
			"few":               {0, worthCommit - 1, time.Second, 0, time.Minute, LongestCommit - time.Second},
			"many":              {0, worthCommit, 100 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond},
			"many, a slow disk": {0, worthCommit, 500 * time.Millisecond, 400 * time.Millisecond, 500 * time.Millisecond, 300 * time.Millisecond},
			"very many":         {time.Minute, commitSamples, 0, time.Minute, 0, 0},
			"none":              {0, 0, time.Hour, 0, time.Second, LongestCommit - time.Second}, // the books are kept
			"none, as asked":    {time.Minute, 0, time.Hour, time.Second, time.Second, 58 * time.Second},
		} {
			w := Writer{interval: c.interval, pending: pending{count: c.waiting}, oldest: time.Now().Add(-c.oldest)}
			ended := time.Now().Add(-c.ended)
			if got := w.wait(ended.Add(-c.took), ended); got != c.want {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
	})
}

// Without an interval, samples that come all the time wait for 600 ms where they
// are many, and for as long as LongestCommit where they are few.
func TestSamplesAreCommittedInTime(t *testing.T) {
	for _, c := range []struct {
		each int // every 250 ms
		want time.Duration
	}{{1250, freshCommit}, {3, LongestCommit}} {
		synctest.Test(t, func(t *testing.T) {
			b := open(t, t.TempDir(), 0)
			defer b.Close()
			w := b.NewWriter(0, func([]telemetry.Loss) error { return nil }, uncounted{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan struct{})
			go func() { w.Run(ctx); close(ended) }()
			samples := noisySamples(c.each)
			began := time.Now()
			for range 4 * 40 {
				synctest.Wait()
				if waited := w.longest(); waited > c.want {
					t.Fatalf("after %v of %d samples a quarter second, one has waited for %v", time.Since(began), c.each, waited)
				}
				w.Add(samples, nil)
				time.Sleep(250 * time.Millisecond)
			}
			cancel()
			<-ended
		})
	}
}

// Slots that count from the boot are committed beside the samples that they brought,
// and wait for those if they come in another commit.
func TestPollsAreCommittedWithHeldSamples(t *testing.T) {
	b := open(t, t.TempDir(), 0)
	defer b.Close()
	l := &ledger{t: t, chain: b.Telemetry, committed: make(chan uint64, 100)}
	w := b.NewWriter(10*time.Millisecond, func([]telemetry.Loss) error { return nil }, l)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	at := func(times ...telemetry.Micros) (samples []telemetry.Sample) {
		for _, at := range times {
			samples = append(samples, telemetry.Sample{Signal: 1, Time: at, Quality: telemetry.Quality(0).WithTime(telemetry.SinceBoot)})
		}
		return samples
	}
	slot := func(device int, due telemetry.Micros) account.Slot {
		return account.Slot{Device: device, Due: due, SinceBoot: true}
	}
	w.Add(noisySamples(3), []account.Slot{{Device: 9, Due: 1}, slot(1, 5)}) // which has no sample yet
	<-l.committed
	w.Add(append(at(6, 8), noisySamples(2)...), []account.Slot{slot(2, 7), slot(3, 9), {Device: 8, Due: 10}})
	<-l.committed
	w.Add(at(10), nil)
	<-l.committed
	cancel()
	<-ended
	var got []string
	for _, e := range readAll(t, b.Telemetry, 0) {
		if e.Record.Format == record.FormatHeld {
			_, polls, _, err := record.CutHeld(e.Record.Format, e.Record.Payload)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(polls))
		}
	}
	if want := []string{"\x01\x02", "\x03"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// longest is how long a sample has waited.
func (w *Writer) longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending.count == 0 {
		return 0
	}
	return time.Since(w.oldest)
}
