package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry/record"
)

// Options are what a lane needs.
type Options struct {
	Chain *buffer.Chain
	// Sink is where the lane's records go, and is closed when its Run ends. It
	// tells Link when it is held back.
	Sink Sink
	Link *Link
	// Prepare is called before a record is sent and may change its payload and
	// signature. One that isn't ready doesn't hold up those behind it: telemetry
	// leaves it to backfill, which comes back to it. Events wait. An error is treated
	// as if the log had refused the record. Nil: every record is ready as it is.
	Prepare func(buffer.Position, *record.Record) (ready bool, err error)
	// Ripened is a number that has changed if a record that wasn't ready may be
	// ready now. Backfill looks at it each second; nil: it may be so each second.
	Ripened func() uint64
	Log     *slog.Logger
}

// Lane carries records of one chain to one topic of the log. They are sent in the chain's
// order, but for those that have to wait until they are ready; if one fails,
// everything behind it is sent again after it.
type Lane struct {
	progress
	sink     Sink
	chain    *buffer.Chain
	reader   *buffer.Reader
	link     *Link
	prepare  func(buffer.Position, *record.Record) (bool, error)
	log      *slog.Logger
	share    share
	patience time.Duration // with an acknowledgement
	// How often the connection is used at least. Only events are worth it.
	warmEvery time.Duration

	started time.Time
	window  atomic.Pointer[window]
	sizes   sizes

	sent, bytes, failures atomic.Uint64
}

// share is the part of a chain that a lane carries, and how much of it at a
// time.
type share interface {
	// begin is where the lane goes on after a failure: nothing of its share that
	// isn't acknowledged is at that position or before it.
	begin() buffer.Position
	// read returns records of the share after position after, once there are any.
	read(ctx context.Context, after buffer.Position) ([]buffer.Entry, error)
	// admit returns when a record of so many bytes may be sent, or an error: ctx's,
	// or errMoved if the share no longer holds the record.
	admit(ctx context.Context, w *window, bytes int) error
	// pass is told of a record that isn't ready. It returns when the lane may go on
	// behind it, or as admit does.
	pass(ctx context.Context, w *window, p buffer.Position) error
	// leave is told of a record that the log doesn't take for now. It returns as pass
	// does.
	leave(ctx context.Context, w *window, p buffer.Position) error
	// acknowledged is told of each acknowledgement and how long it took.
	acknowledged(p buffer.Position, bytes int, took time.Duration)
	// drained reports whether everything was acknowledged that the share held.
	drained() bool
}

// errMoved says that the share's bounds have moved.
var errMoved = errors.New("the lane goes on elsewhere")

func newLane(o Options) *Lane {
	l := &Lane{sink: o.Sink, chain: o.Chain, reader: o.Chain.Reader(), link: o.Link, prepare: o.Prepare,
		log: o.Log.With("lane", o.Link.lane), patience: stalledAfter, warmEvery: warmEvery, started: time.Now()}
	if o.Link.lane == Backfill {
		l.patience = backfillStalledAfter
	}
	return l
}

// Stats counts what a lane has done since it was made.
type Stats struct {
	Records  uint64 // acknowledged
	Bytes    uint64 // of their payloads
	Failures uint64
	TooLarge int // records that wait because the log takes none of their size
	Link     LinkStats
}

// Stats may be called at any time.
func (l *Lane) Stats() Stats {
	return Stats{l.sent.Load(), l.bytes.Load(), l.failures.Load(), l.sizes.count(), l.link.Stats()}
}

// Run sends until ctx ends; what was not acknowledged by then stays in the
// chain. Sending begins when before, if there is one, has succeeded.
func (l *Lane) Run(ctx context.Context, before func(context.Context) error) {
	defer l.reader.Close()
	// Closing the sink fails what is under way, so that run can return.
	stop := context.AfterFunc(ctx, l.sink.Close)
	defer stop()
	if before != nil {
		l.prepares()
	}
	var watching sync.WaitGroup
	watching.Go(func() { l.watch(ctx) })
	if before != nil && l.link.lane == Telemetry {
		// The connection is made meanwhile: the first values have waited for long.
		watching.Go(func() { l.warm(ctx) })
	}
	defer watching.Wait()
	if before != nil {
		if before(ctx) != nil {
			return
		}
		l.acknowledged()
	}
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		progressed, err := l.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if progressed {
			wait = retryFirst
		}
		l.failures.Add(1)
		if l.goesOn(err) {
			continue
		}
		if !l.refused(err) {
			l.log.Warn("a record was refused; it stays in the buffer and is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// errAgain says that what was passed over is to be tried again.
var errAgain = errors.New("the lane begins anew")

// goesOn reports whether the lane tries again at once after an error, in another
// way than before.
func (l *Lane) goesOn(err error) bool {
	var large *tooLarge
	switch {
	case errors.Is(err, errAgain):
		return true
	case !errors.As(err, &large) || !l.sizes.learn(large):
		return false
	case l.sizes.passes(large.position):
		l.log.Warn("a record is too large for the log; it stays in the buffer and is tried again later", "error", err)
	}
	return true
}

// tryAgain begins anew if a record that was passed over is to be tried again.
func (l *Lane) tryAgain() {
	if w := l.window.Load(); w != nil && l.sizes.forget() {
		w.fail(errAgain)
	}
}

// run sends until a record fails or ctx ends.
func (l *Lane) run(ctx context.Context) (progressed bool, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	w := newWindow(fail)
	l.window.Store(w)
	defer func() {
		w.empty()
		progressed = w.acked > 0
		fail(nil)
	}()
	for {
		position := l.share.begin()
		err := l.follow(ctx, w, position)
		if !errors.Is(err, errMoved) {
			return false, err
		}
		w.empty()
	}
}

// follow sends what comes after position until it fails, ctx ends, or the share
// has moved.
func (l *Lane) follow(ctx context.Context, w *window, position buffer.Position) error {
	for {
		entries, err := l.share.read(ctx, position)
		if err != nil {
			return causeOf(ctx, err)
		}
		for i := range entries {
			e := &entries[i]
			goes, err := l.ready(e)
			switch {
			case err != nil:
			case !goes:
				l.reader.PutBack(e.Position)
				err = l.share.pass(ctx, w, e.Position)
			case l.sizes.passes(e.Position):
				goes = false
				l.reader.PutBack(e.Position)
				err = l.share.leave(ctx, w, e.Position)
			default:
				err = l.admit(ctx, w, len(e.Record.Payload))
			}
			if err != nil {
				return causeOf(ctx, err)
			}
			if goes {
				l.produce(w, *e)
			}
			position = e.Position
		}
	}
}

// admit returns when a record of so many bytes may be sent, or as the share's does.
func (l *Lane) admit(ctx context.Context, w *window, bytes int) error {
	if err := w.await(ctx, func(s size) bool { return l.sizes.allows(s, bytes) }); err != nil {
		return err
	}
	return l.share.admit(ctx, w, bytes)
}

// causeOf is why ctx ended, if it has, and err otherwise.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// prepareEvery is how often a record that isn't ready is asked for again.
const prepareEvery = time.Second

// ready prepares a record and reports whether it can be sent.
func (l *Lane) ready(e *buffer.Entry) (bool, error) {
	if l.prepare == nil {
		return true, nil
	}
	ready, err := l.prepare(e.Position, &e.Record)
	if err != nil {
		return false, fmt.Errorf("forward: prepare record %s: %w", e.Record.Identity, err)
	}
	return ready, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (l *Lane) produce(w *window, e buffer.Entry) {
	size := len(e.Record.Payload)
	f := w.add(size)
	l.sink.Produce(e.Record.Message(), func(err error) {
		defer w.remove(f)
		if errors.Is(err, ErrTooLarge) {
			err = &tooLarge{e.Position, e.Record.Identity.String(), size, w.size(), err}
		}
		if !w.judge(err) {
			return
		}
		l.acknowledged()
		l.sent.Add(1)
		l.bytes.Add(uint64(size))
		l.share.acknowledged(e.Position, size, time.Since(f.sent))
		if err := l.chain.Acknowledge(e.Position, e.Position); err != nil {
			l.log.Warn("buffer", "error", err)
		}
	})
}

// Drained waits until everything of the lane's share has been acknowledged, or
// until ctx ends; it reports which.
func (l *Lane) Drained(ctx context.Context) bool {
	for !l.share.drained() {
		if sleep(ctx, 10*time.Millisecond) != nil {
			return false
		}
	}
	return true
}
