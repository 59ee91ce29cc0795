package buffer

import (
	"context"
	"encoding/binary"
	"os"
	"slices"
	"sync"
	"testing"
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
	for name, c := range map[string]struct {
		interval time.Duration
		waiting  int
		since    time.Duration
		want     bool
	}{
		"as asked for":     {time.Second, 1, time.Second, true},
		"few":              {0, worthCommit - 1, time.Second, false},
		"many":             {0, worthCommit, time.Second, true},
		"few for long":     {0, 1, LongestCommit, true},
		"an early tick":    {0, 1, LongestCommit - time.Millisecond, true},
		"the tick before":  {0, 1, LongestCommit - shortestCommit, false},
		"nothing for long": {0, 0, LongestCommit, true}, // the books are kept
	} {
		w := Writer{interval: c.interval, pending: pending{count: c.waiting}}
		if got := w.due(c.since); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
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
