package forward

import (
	"context"
	"sync"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
)

// whole is the share of a lane that carries a chain alone.
type whole struct {
	chain  *buffer.Chain
	reader *buffer.Reader
	rank   *precedence
}

func (s whole) begin() buffer.Position { return s.chain.Released() }

func (s whole) read(ctx context.Context, after buffer.Position) ([]buffer.Entry, error) {
	for {
		if err := s.chain.Wait(ctx, after); err != nil {
			return nil, err
		}
		end := s.chain.End()
		entries, err := s.reader.Read(after, end, readBytes)
		if err != nil || len(entries) > 0 {
			return entries, err
		}
		after = end // all of it was given up
	}
}

const mostEvents = 64 // under way

func (s whole) admit(ctx context.Context, w *window, _ int) error {
	return w.await(ctx, func(s size) bool { return s.records < mostEvents })
}

// pass waits at the record: all is read again.
func (s whole) pass(ctx context.Context, _ *window, _ buffer.Position) error {
	if err := sleep(ctx, prepareEvery); err != nil {
		return err
	}
	return errMoved
}

func (s whole) leave(context.Context, *window, buffer.Position) error { return nil }

func (s whole) acknowledged(_ buffer.Position, _ int, took time.Duration) { s.rank.acknowledged(took) }

func (s whole) drained() bool { return s.chain.Stats().Waiting == 0 }

// split divides the telemetry chain at a position: what is behind it goes fresh,
// what is up to it is backfill. At the start all that is there is backfill. When
// fresh falls behind, the position moves to the end of the chain, so that after
// any outage the current values come first, and where fresh meets a record that
// isn't ready, behind that; never while fresh has something under way, so that no
// record is in both lanes.
type split struct {
	chain   *buffer.Chain
	stale   time.Duration // that a committed record may wait to go fresh
	longest time.Duration // that one may be under way before more are sent

	mu    sync.Mutex
	at    buffer.Position
	moved chan struct{} // closed and replaced when at moves
	acked buffer.Position

	// Everything up to known had been committed when it was noted.
	known buffer.Position
	noted time.Time
	// What fresh has in hand was read then. From the start until it has begun, that
	// is all there is.
	read time.Time
	// Fresh hands over as soon as nothing is under way.
	leaving bool
}

func newSplit(chain *buffer.Chain, stale time.Duration) *split {
	end := chain.End()
	return &split{chain: chain, stale: stale, longest: longestFresh, at: end, moved: make(chan struct{}), acked: end, known: end, noted: time.Now(), read: time.Now()}
}

// behind reports whether something that was committed so long ago that it is
// stale hasn't been acknowledged. It notices between once and twice that time,
// and at once if it is what fresh has in hand.
func (s *split) behind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.acked >= s.known {
		s.known, s.noted = s.chain.End(), time.Now()
	}
	return s.leaving || s.acked < s.known && time.Since(s.noted) > s.stale || !s.read.IsZero() && time.Since(s.read) > s.stale
}

// handOver leaves to backfill all but the newest record.
func (s *split) handOver() {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.chain.End()
	s.known, s.noted, s.read, s.leaving = end, time.Now(), time.Time{}, false
	if end <= s.acked+1 {
		return
	}
	s.at = end - 1
	s.acked = s.at
	close(s.moved)
	s.moved = make(chan struct{})
}

// concede leaves to backfill what is up to position p.
func (s *split) concede(p buffer.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.acked = p, p
	close(s.moved)
	s.moved = make(chan struct{})
}

// handsOver decides that fresh does so, whatever is acknowledged before it can.
func (s *split) handsOver() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
	return errMoved
}

func (s *split) inHand(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = since
}

func (s *split) position() (at buffer.Position, moved <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at, s.moved
}

// fresh is the share behind the split.
type fresh struct {
	*split
	reader *buffer.Reader
	rank   *precedence
}

func (f fresh) begin() buffer.Position {
	if f.behind() {
		f.handOver()
	}
	f.inHand(time.Time{})
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.acked
}

const (
	freshBytes   = 1 << 20 // under way
	mostFresh    = 64      // records under way
	longestFresh = time.Second
)

func (f fresh) read(ctx context.Context, after buffer.Position) ([]buffer.Entry, error) {
	for {
		if err := f.chain.Wait(ctx, after); err != nil {
			return nil, err
		}
		f.inHand(time.Time{})
		if f.behind() {
			return nil, f.handsOver()
		}
		f.inHand(time.Now())
		end := f.chain.End()
		entries, err := f.reader.Read(after, end, readBytes)
		if err != nil || len(entries) > 0 {
			return entries, err
		}
		after = end // all of it was given up
	}
}

// admit lets no more be sent while something has been under way for long: on a
// thin link it would only stand in the way of what is current by then.
func (f fresh) admit(ctx context.Context, w *window, bytes int) error {
	err := w.await(ctx, func(s size) bool {
		return s.records == 0 || s.records < mostFresh && s.bytes+bytes <= freshBytes && time.Since(s.oldest) < f.longest
	})
	if err == nil && f.behind() {
		return f.handsOver()
	}
	return err
}

func (f fresh) pass(ctx context.Context, w *window, p buffer.Position) error {
	if err := w.await(ctx, func(s size) bool { return s.records == 0 }); err != nil {
		return err
	}
	if f.behind() {
		return f.handsOver()
	}
	f.concede(p)
	return nil
}

// leave leaves the record to backfill.
func (f fresh) leave(ctx context.Context, w *window, p buffer.Position) error {
	return f.pass(ctx, w, p)
}

func (f fresh) acknowledged(p buffer.Position, _ int, took time.Duration) {
	f.mu.Lock()
	f.acked = max(f.acked, p)
	f.mu.Unlock()
	f.rank.acknowledged(took)
}

func (f fresh) drained() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.chain.End() <= f.acked
}

// backfill is the share up to the split. It passes over records that aren't ready,
// and begins anew when they may be.
type backfill struct {
	*split
	reader *buffer.Reader
	*pace
	ripened func() uint64

	// Of the present run through the share, by the lane's goroutine alone.
	passed bool      // a record that wasn't ready
	begun  time.Time // when it began
	ripe   uint64    // what ripened said then
}

func (b *backfill) begin() buffer.Position {
	b.passed, b.begun = false, time.Now()
	if b.ripened != nil {
		b.ripe = b.ripened()
	}
	return b.chain.Released()
}

func (b *backfill) pass(context.Context, *window, buffer.Position) error {
	b.passed = true
	return nil
}

func (b *backfill) leave(context.Context, *window, buffer.Position) error { return nil }

// again reports whether a record that was passed over may be ready now.
func (b *backfill) again() bool {
	return b.passed && time.Since(b.begun) >= prepareEvery && (b.ripened == nil || b.ripened() != b.ripe)
}

func (b *backfill) read(ctx context.Context, after buffer.Position) ([]buffer.Entry, error) {
	for {
		if b.again() {
			return nil, errMoved
		}
		at, moved := b.position()
		if after < at {
			entries, err := b.reader.Read(after, at, readBytes)
			if err != nil || len(entries) > 0 {
				return entries, err
			}
			after = at
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-moved:
		case <-b.look():
		}
	}
}

// look is ready when it is time to see whether records are ready that weren't.
func (b *backfill) look() <-chan time.Time {
	if !b.passed {
		return nil
	}
	return time.After(prepareEvery)
}

func (b *backfill) acknowledged(_ buffer.Position, _ int, took time.Duration) {
	b.pace.acknowledged(took)
}

func (b *backfill) drained() bool { return false }
