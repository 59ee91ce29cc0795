package buffer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// commitSamples is how many samples are committed together at the latest.
const commitSamples = 10_000

// maxPending bounds the samples in memory while the disk doesn't take any.
const maxPending = 50 * commitSamples

// maxCommit bounds the samples of one commit when many have waited.
const maxCommit = 5 * commitSamples

// Ledger counts samples on their way into the buffer. Its state is committed in
// one transaction with what it has counted, as the state of the telemetry chain.
type Ledger interface {
	// Count takes the samples of the next commit, once: a commit that fails is
	// tried again with the same samples.
	Count(samples []telemetry.Sample, slots []account.Slot)
	// Discard takes samples that will never be committed. It doesn't block, and is
	// called from any goroutine.
	Discard(samples []telemetry.Sample, slots []account.Slot)
	// State is to be committed with what was counted; when no samples wait, idle is
	// true, and nil says that nothing needs to be committed.
	State(idle bool) []byte
	// Committed says that what State returned last is on disk.
	Committed()
}

// Without an interval, a commit waits until it is worth its cost to the disk,
// some 20 KB however few samples it has.
const (
	worthCommit = 1000 // samples
	// freshCommit is how long a sample waits if a commit is worth it: a current
	// value is in the log within a second of being read.
	freshCommit = 600 * time.Millisecond
	// LongestCommit is how long a sample waits for its commit at most.
	LongestCommit = 15 * time.Second

	// retryCommit is how long a commit waits that has failed.
	retryCommit = time.Second
)

// Writer commits samples to the telemetry chain in groups: when the first has
// waited for an interval, or 10,000 at a time. Until their group is committed they
// are not accepted.
type Writer struct {
	// Boot is the boot that times of quality telemetry.SinceBoot count from.
	Boot record.Boot

	buffer   *Buffer
	interval time.Duration
	log      *slog.Logger
	declare  func([]telemetry.Loss) error
	ledger   Ledger

	wake    chan struct{}
	trouble string // the last error of keeping the books

	mu        sync.Mutex
	pending   []telemetry.Sample
	oldest    time.Time      // when the first of them came
	slots     []account.Slot // of the pending samples
	discarded uint64
	refused   *tally // what was discarded and isn't declared; nil if there is none
	failing   bool
}

// NewWriter makes a writer that lets no sample wait longer than an interval; 0:
// 600 ms if that is worth it and keeps the disk busy for a third of the time at
// most, and else LongestCommit. declare enters
// into the ledger what is given up to make room, found unreadable or discarded; it
// commits an event. It may be called on any goroutine that commits, and for events
// while the events have little room left. The ledger counts every sample that is
// added.
func (b *Buffer) NewWriter(interval time.Duration, declare func([]telemetry.Loss) error, ledger Ledger) *Writer {
	b.declare = declare
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		c.makeRoom = func(reason telemetry.LossReason) (bool, error) { return b.makeRoom(c, reason) }
	}
	w := &Writer{buffer: b, interval: interval, declare: declare, ledger: ledger, log: b.log, wake: make(chan struct{}, 1)}
	b.pressed = w.pressed
	return w
}

// pressed reports whether memory can't take much more.
func (w *Writer) pressed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending) > maxPending/2
}

// Add copies samples and the slots in which they were read. It never blocks on
// the disk: when more than half a million wait for it, further ones are
// discarded, counted, and declared once the disk takes commits again.
func (w *Writer) Add(samples []telemetry.Sample, slots []account.Slot) {
	w.mu.Lock()
	before := len(w.pending)
	if before == 0 {
		w.oldest = time.Now()
	}
	fits := min(len(samples), max(0, maxPending-before))
	w.pending = append(w.pending, samples[:fits]...)
	if fits > 0 || len(samples) == 0 {
		w.slots = append(w.slots, slots...)
		slots = nil
	}
	if rest := samples[fits:]; len(rest) > 0 {
		w.ledger.Discard(rest, slots)
		w.discarded += uint64(len(rest))
		if w.refused == nil {
			w.refused = newTally(w.buffer.table, w.buffer.now())
		}
		w.refused.add(rest, 1)
	}
	now := len(w.pending)
	w.mu.Unlock()
	// Whoever waits does so anew.
	if before == 0 && now > 0 || before < worthCommit && now >= worthCommit || now >= commitSamples {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Discarded counts the samples that were never accepted because the disk
// didn't keep up.
func (w *Writer) Discarded() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.discarded
}

// Failing reports whether the last commit failed.
func (w *Writer) Failing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failing
}

// Run commits until ctx ends, and then once more. Beside it, what is oldest is
// thinned when room gets short.
func (w *Writer) Run(ctx context.Context) {
	var thinning sync.WaitGroup
	thinning.Go(func() { w.buffer.thinAhead(ctx) })
	defer thinning.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	began, committed := time.Now(), time.Now() // the last commit
	var group []telemetry.Sample
	var slots []account.Slot
	var encoder telemetry.Encoder
	done, counted := 0, 0 // samples of the group that are committed, and that the ledger has
	for ended := false; !ended; {
		wait := w.wait(began, committed)
		if done < len(group) {
			wait = retryCommit - time.Since(began)
		}
		if wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				ended = true
			case <-timer.C:
			case <-w.wake:
			}
			if !ended {
				continue
			}
		}
		began = time.Now()
		if done == len(group) {
			w.mu.Lock()
			group, w.pending = w.pending, group[:0]
			slots, w.slots = w.slots, slots[:0]
			w.mu.Unlock()
			done, counted = 0, 0
		}
		var err error
		for more := true; more && err == nil; more = done < len(group) {
			next := min(done+maxCommit, len(group))
			var due []account.Slot
			if next == len(group) { // they go with the last of the samples that they brought
				due, slots = slots, slots[:0]
			}
			w.ledger.Count(group[counted:next], due)
			counted = next
			if err = w.commit(&encoder, group[done:next]); err == nil {
				w.ledger.Committed()
				done = next
			}
		}
		if err != nil {
			w.setFailing(true, err)
			continue // the rest of the group is kept and tried again
		}
		w.setFailing(false, nil)
		committed = time.Now()
		if ended {
			w.mu.Lock()
			ended = len(w.pending) == 0
			w.mu.Unlock()
		}
		w.keepBooks()
	}
}

// wait is how long the samples that wait can do so; the last commit began and
// ended then. Without samples it is how long the books and the ledger's state can.
func (w *Writer) wait(began, ended time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	most := cmp.Or(w.interval, LongestCommit)
	switch n := len(w.pending); {
	case n >= commitSamples:
		return 0
	case n == 0:
		return most - time.Since(began)
	case n >= worthCommit && w.interval == 0:
		return max(freshCommit-time.Since(w.oldest), 2*ended.Sub(began)-time.Since(ended))
	}
	return most - time.Since(w.oldest)
}

// keepBooks declares what is known to be lost and saves how far the streams have
// come. What fails is tried again the next time.
func (w *Writer) keepBooks() {
	w.buffer.filling.note(time.Now(), w.buffer.Telemetry.taken())
	var errs []error
	for _, c := range []*Chain{w.buffer.Events, w.buffer.Telemetry} {
		errs = append(errs, c.declareMissing(w.declare), c.sweep())
	}
	errs = append(errs, w.buffer.declareLate(), w.declareDiscarded(), w.buffer.tellDamages(), w.buffer.Save())
	trouble := ""
	if err := errors.Join(errs...); err != nil {
		trouble = err.Error()
	}
	if trouble != w.trouble && trouble != "" {
		w.log.Warn("the buffer's books can't be kept; it is tried again", "error", trouble)
	}
	w.trouble = trouble
}

// declareDiscarded enters into the ledger what memory couldn't take.
func (w *Writer) declareDiscarded() error {
	w.mu.Lock()
	refused := w.refused
	w.refused = nil
	w.mu.Unlock()
	if refused == nil {
		return nil
	}
	err := w.declare(refused.losses(telemetry.Loss{
		Epoch: w.buffer.epoch.String(), Stream: string(record.Telemetry), Reason: telemetry.LostDiscarded,
	}))
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.refused != nil {
			refused.merge(w.refused)
		}
		w.refused = refused
	}
	return err
}

func (w *Writer) setFailing(failing bool, err error) {
	w.mu.Lock()
	changed := w.failing != failing
	w.failing = failing
	w.mu.Unlock()
	switch {
	case changed && failing:
		w.log.Error("samples can't be committed; they are kept in memory and tried again", "error", err)
	case changed:
		w.log.Info("samples are committed again")
	}
}

func (w *Writer) commit(encoder *telemetry.Encoder, samples []telemetry.Sample) error {
	state := w.ledger.State(len(samples) == 0)
	if len(samples) == 0 && state == nil {
		return nil
	}
	var items []Item
	if len(samples) > 0 {
		var err error
		if items, err = w.encode(encoder, samples); err != nil {
			return err
		}
	}
	return w.buffer.Telemetry.Commit(items, state)
}
