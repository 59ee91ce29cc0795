package buffer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// commitSamples is how many samples are committed together at the latest.
const commitSamples = 10_000

// maxPending bounds the samples in memory while the disk doesn't take any.
const maxPending = 50 * commitSamples

// maxCommit bounds the chunks of one commit when many have waited.
const maxCommit = 2

// Ledger counts samples on their way into the buffer. Its state is committed in
// one transaction with what it has counted, as the state of the telemetry chain.
type Ledger interface {
	// Count takes the samples of the next commit, once: a commit that fails is
	// tried again with the same samples.
	Count(samples []telemetry.Sample, slots []account.Slot)
	// AppendPolls appends the form in which slots that count from the boot are
	// committed beside their samples.
	AppendPolls(dst []byte, slots []account.Slot) []byte
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
	hurried atomic.Bool
	trouble string         // the last error of keeping the books
	waiting []account.Slot // since the boot, and not committed
	blocks  []byte         // of the commit at hand, one behind the other

	mu        sync.Mutex
	pending   pending
	oldest    time.Time      // when the first of them came
	slots     []account.Slot // of the pending samples
	askers    []func(bool)   // who waits for them to be committed
	discarded uint64
	refused   *tally // what was discarded and isn't declared; nil if there is none
	failing   bool
}

// NewWriter makes a writer that lets no sample wait longer than an interval; 0:
// 600 ms if that is worth it and keeps the disk busy for a third of the time at
// most, and else LongestCommit. declare enters
// into the ledger what is given up to make room, found unreadable or discarded: all
// of it or nothing, or held; it commits events, and may fail with ErrHeld. It may be called on any goroutine that commits, and for events
// while the events have little room left. The ledger counts every sample that is
// added.
func (b *Buffer) NewWriter(interval time.Duration, declare func([]telemetry.Loss) error, ledger Ledger) *Writer {
	b.declare = declare
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		c.makeRoom = func(reason telemetry.LossReason) (bool, error) { return b.askForRoom(c, reason) }
	}
	w := &Writer{buffer: b, interval: interval, declare: declare, ledger: ledger, log: b.log, wake: make(chan struct{}, 1)}
	b.pressed = w.pressed
	b.relief.made = w.Hurry
	return w
}

// pressed reports whether memory can't take much more.
func (w *Writer) pressed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pending.count > maxPending/2
}

// Add copies samples and the slots in which they were read. It never blocks on
// the disk: when more than half a million wait for it, further ones are
// discarded, counted, and declared once the disk takes commits again. If somebody waits
// for them, they are committed at once, and each is told, on another goroutine or this
// one, whether they are on disk.
func (w *Writer) Add(samples []telemetry.Sample, slots []account.Slot, waiting ...func(committed bool)) {
	w.mu.Lock()
	before := w.pending.count
	if before == 0 {
		w.oldest = time.Now()
	}
	fits := min(len(samples), max(0, maxPending-before))
	w.pending.add(samples[:fits])
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
	now := w.pending.count
	refused := waiting
	if fits == len(samples) {
		w.askers = append(w.askers, waiting...)
		refused = nil
	}
	w.mu.Unlock()
	for _, tell := range refused {
		tell(false)
	}
	if len(waiting) > len(refused) {
		w.Hurry()
		return
	}
	// Whoever waits does so anew.
	if before == 0 && now > 0 || before < worthCommit && now >= worthCommit || now >= commitSamples {
		w.look()
	}
}

// Hurry has what waits committed now, and what couldn't be committed tried again at
// once.
func (w *Writer) Hurry() {
	w.hurried.Store(true)
	w.look()
}

func (w *Writer) look() {
	select {
	case w.wake <- struct{}{}:
	default:
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
// thinned when room gets short, and given up when there is none.
func (w *Writer) Run(ctx context.Context) {
	var beside sync.WaitGroup
	beside.Go(func() { w.buffer.thinAhead(ctx) })
	beside.Go(func() { w.buffer.giveUp(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	began, committed := time.Now(), time.Now() // the last commit
	failed, books := time.Time{}, time.Now()   // when a commit last failed, and the books were kept
	var group [][]telemetry.Sample             // what isn't committed yet of what was taken
	var slots []account.Slot
	var askers []func(bool) // who waits for the group, or for nothing but it
	var encoder telemetry.Encoder
	counted := 0 // chunks of the group that the ledger has
	for ended := false; !ended; {
		wait := w.wait(began, committed)
		if len(group) > 0 {
			wait = retryCommit - time.Since(failed)
		}
		if w.hurried.Swap(false) {
			wait = 0
		}
		if wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
			case <-timer.C:
			case <-w.wake:
			}
			if ctx.Err() == nil {
				continue
			}
		}
		if ctx.Err() != nil {
			ended = true
			beside.Wait() // from now on a commit makes room itself
		}
		began = time.Now()
		if len(group) == 0 {
			w.mu.Lock()
			group = w.pending.take()
			slots, w.slots = w.slots, slots[:0]
			askers = append(askers, w.askers...)
			clear(w.askers)
			w.askers = w.askers[:0]
			w.mu.Unlock()
			for _, s := range slots {
				if s.SinceBoot {
					w.waiting = append(w.waiting, s)
				}
			}
		}
		var err error
		for more := true; more && err == nil; more = len(group) > 0 {
			next := min(maxCommit, len(group))
			var due []account.Slot
			if next == len(group) { // they go with the last of the samples that they brought
				due, slots = slots, slots[:0]
			}
			if counted < next || len(due) > 0 {
				w.count(group[counted:next], due)
				counted = next
			}
			if err = w.commit(&encoder, group[:next]); err == nil {
				w.ledger.Committed()
				w.mu.Lock()
				w.pending.reuse(group[:next])
				w.mu.Unlock()
				group, counted = group[next:], 0
			}
		}
		if err != nil {
			if !errors.Is(err, errMakingRoom) {
				w.setFailing(true, err)
			}
			failed = time.Now()
			if failed.Sub(books) > LongestCommit { // of the events, if not of telemetry
				w.keepBooks()
				books = time.Now()
			}
			continue // the rest of the group is kept and tried again
		}
		w.setFailing(false, nil)
		for _, tell := range askers {
			tell(true)
		}
		clear(askers)
		askers = askers[:0]
		committed = time.Now()
		if ended {
			w.mu.Lock()
			ended = w.pending.count == 0
			w.mu.Unlock()
		}
		w.keepBooks()
		books = time.Now()
	}
	w.mu.Lock()
	askers = append(askers, w.askers...)
	w.mu.Unlock()
	for _, tell := range askers {
		tell(false)
	}
}

// wait is how long the samples that wait can do so; the last commit began and
// ended then. Without samples it is how long the books and the ledger's state can.
func (w *Writer) wait(began, ended time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	most := cmp.Or(w.interval, LongestCommit)
	switch n := w.pending.count; {
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
	errs = append(errs, w.buffer.Events.declareDiscarded(w.declare), w.buffer.declareLate(), w.declareDiscarded(), w.buffer.tellDamages(), w.buffer.Save())
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
	if !told(err) {
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

// count lets the ledger count chunks, and slots with the last of them.
func (w *Writer) count(chunks [][]telemetry.Sample, slots []account.Slot) {
	for _, chunk := range chunks {
		w.ledger.Count(chunk, nil)
	}
	if len(slots) > 0 {
		w.ledger.Count(nil, slots)
	}
}

func (w *Writer) commit(encoder *telemetry.Encoder, chunks [][]telemetry.Sample) error {
	state := w.ledger.State(len(chunks) == 0)
	if len(chunks) == 0 && state == nil {
		return nil
	}
	w.blocks = w.blocks[:0]
	var items []Item
	for _, chunk := range chunks {
		of, err := w.encode(encoder, chunk)
		if err != nil {
			return err
		}
		items = append(items, of...)
	}
	rest, err := w.addPolls(items, chunks)
	if err != nil {
		return err
	}
	if err := w.buffer.Telemetry.Commit(items, state); err != nil {
		return err
	}
	w.waiting = rest
	return nil
}
