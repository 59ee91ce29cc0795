package iec104

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/iec104/controlling"
	"github.com/busbar/busbar/adapters/iec104/ft12"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

var (
	errConnecting = errors.New("the link is being made")
	errEnded      = errors.New("the link has ended meanwhile")
)

// Run implements session.Device.
func (d Device) Run(ctx context.Context, s *session.Session) {
	w := &watch{Device: d, session: s, places: placesOf(d.Points), last: make([]telemetry.Micros, len(d.Points))}
	for {
		err := w.follow(ctx)
		if ctx.Err() != nil || w.fail(ctx, err) != nil {
			return
		}
		// Only files that can't be read come to this.
		if !w.until(ctx, time.After(10*time.Second), err) {
			return
		}
	}
}

// watch is a device that is read, over all of its links. It belongs to the goroutine of
// Run, or that of the client that Run waits for.
type watch struct {
	Device
	session *session.Session
	places  places
	last    []telemetry.Micros // the newest that was delivered, by point
	failing bool               // it was said that there is no link
	pause   time.Duration      // before the next link, after what is told couldn't be kept; 0: it could
}

// Between links that end since what is told can't be kept, the wait doubles from the first to
// the last of these. A link that has lasted for lasting has kept it.
const (
	firstPause = time.Second
	lastPause  = 10 * time.Second
	lasting    = time.Minute
)

// follow keeps the links and reads until ctx ends. It fails only if it can't begin.
func (w *watch) follow(ctx context.Context) error {
	w.Link.Hold = true
	g, closeLinks, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer closeLinks()
	for {
		conn, err := w.started(ctx, g)
		if err == nil {
			w.failing = false
			began := time.Now()
			err = w.read(ctx, conn)
			if time.Since(began) > lasting {
				w.pause = 0
			}
			if errors.Is(err, controlling.ErrUnkept) { // the station is there, and keeps it
				w.hold(ctx, err)
				continue
			}
			if ctx.Err() == nil && len(g.Connected()) > 0 {
				w.session.Log().Warn("a link has failed, and another one is started", "error", err)
				continue
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := w.fail(ctx, err); err != nil {
			return err
		}
	}
}

// hold waits until what a station tells may be kept again, and says the first time why.
func (w *watch) hold(ctx context.Context, cause error) {
	if w.pause == 0 {
		w.session.Log().Warn("the link is made anew until what the station tells can be kept: it isn't acknowledged", "error", cause)
	}
	w.pause = min(max(2*w.pause, firstPause), lastPause)
	w.until(ctx, time.After(w.pause), cause)
}

// started awaits a link.
func (w *watch) started(ctx context.Context, g links) (conn controlling.Link, err error) {
	done := make(chan time.Time)
	go func() {
		conn, err = g.Started(ctx)
		close(done)
	}()
	if !w.until(ctx, done, errConnecting) {
		<-done
		return nil, ctx.Err()
	}
	return conn, err
}

// until waits, and meanwhile says that the device doesn't answer. It returns false when
// ctx ends.
func (w *watch) until(ctx context.Context, done <-chan time.Time, cause error) bool {
	alive := time.NewTicker(adapters.LiveEvery / 4)
	defer alive.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-done:
			return true
		case a := <-w.session.Asked():
			a.Answer(session.Result{Received: time.Now(), Cause: cause})
		case now := <-alive.C:
			if w.failing && w.session.LiveDue(now) && w.session.Deliver(ctx, session.Result{Received: now, Cause: cause}) != nil {
				return false
			}
		}
	}
}

// fail says once that no signal has a value any more.
func (w *watch) fail(ctx context.Context, cause error) error {
	if w.failing {
		return ctx.Err()
	}
	w.failing = true
	reason := telemetry.NotConnected
	if errors.Is(cause, link.ErrT1) || errors.Is(cause, ft12.ErrSilent) || errors.Is(cause, context.DeadlineExceeded) {
		reason = telemetry.Timeout
	}
	r := w.About().Failed(cause, session.Bad(reason)|telemetry.Stale)
	for i := range w.last {
		w.last[i] = max(w.last[i], r.Samples[i].Time)
	}
	return w.session.Deliver(ctx, r)
}

// read reads over a link that is started, until it fails.
func (w *watch) read(ctx context.Context, conn controlling.Link) error {
	delivering, cancel := context.WithCancel(context.WithoutCancel(ctx)) // what came before the end is delivered
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(controlling.Leaving, cancel) })()
	l := newLife(delivering, w, controlling.NewClient(conn, w.config(), w.session.Log()))
	w.session.Log().Info("the link is started", "remote", conn.Remote().String(), "signals", len(w.Points))
	w.stations.set(w.ID, l)
	defer w.stations.set(w.ID, nil)
	serving := make(chan struct{})
	go func() {
		defer close(serving)
		l.serve()
	}()
	err := l.client.Run(ctx, l)
	<-serving
	l.answer(errEnded)
	return err
}

// Read implements session.Device.
func (d Device) Read(ctx context.Context) session.Result {
	failed := func(err error) session.Result { return session.Result{Received: time.Now(), Cause: err} }
	running, stop := context.WithCancel(ctx)
	defer stop()
	g, closeLinks, err := d.open(ctx)
	if err != nil {
		return failed(err)
	}
	defer closeLinks()
	conn, err := g.Started(ctx)
	if err != nil {
		return failed(err)
	}
	config := d.config()
	config.Sync = 0 // who only looks sets no clock
	w := &watch{Device: d, places: placesOf(d.Points), last: make([]telemetry.Micros, len(d.Points))}
	l := newLife(running, w, controlling.NewClient(conn, config, slog.New(slog.DiscardHandler)))
	answer := make(chan session.Result, 1)
	l.asked = append(l.asked, func(r session.Result) {
		answer <- r
		stop()
	})
	err = l.client.Run(running, l)
	select {
	case r := <-answer:
		return r
	default:
		return failed(err)
	}
}
