package gpio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// input is a line that the gateway holds.
type input interface {
	// level is whether it is 1 now.
	level() (bool, error)
	// edges waits for the next changes. It fails when the line is gone, or closed.
	edges() ([]edge, error)
	close()
}

// edge is a change of a line.
type edge struct {
	to   bool
	at   time.Time // with its monotonic reading
	lost bool      // changes before it were lost, as there were too many
}

// opener takes a line of a chip.
type opener func(chip string, l Line) (input, error)

// failure is why a line can't be read, and what that says about its value.
type failure struct {
	reason telemetry.Reason
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func reasonOf(err error) telemetry.Reason {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.reason
	}
	return telemetry.NotConnected
}

// tryEvery is how often a line is tried that can't be read.
const tryEvery = 5 * time.Second

// Run implements session.Device.
func (d Device) Run(ctx context.Context, s *session.Session) { d.run(ctx, s, openLine) }

// Read implements session.Device.
func (d Device) Read(context.Context) session.Result {
	h := newHolder(d, openLine)
	defer h.close()
	h.take()
	return h.levels()
}

func (d Device) run(ctx context.Context, s *session.Session, open opener) {
	h := newHolder(d, open)
	defer h.close()
	again := time.NewTicker(tryEvery)
	defer again.Stop()
	alive := time.NewTicker(adapters.LiveEvery / 4)
	defer alive.Stop()
	r := h.take()
	for {
		if !r.Received.IsZero() && s.Deliver(ctx, r) != nil {
			return
		}
		r = session.Result{}
		select {
		case <-ctx.Done():
			return
		case a := <-s.Asked():
			a.Answer(h.levels())
		case c := <-h.changes:
			r = h.changed(c)
		case <-again.C:
			if taken := h.take(); len(taken.Samples) > 0 {
				r = taken
			}
		case now := <-alive.C:
			if s.LiveDue(now) {
				r = session.Result{Received: now, Cause: h.cause()}
			}
		}
	}
}

// holder holds the lines of a device, as many of them as can be had.
type holder struct {
	Device
	open    opener
	held    []held
	changes chan change
	done    chan struct{} // closed when nobody takes changes any more
	reading sync.WaitGroup
}

type held struct {
	input input
	err   error // why there is none
	told  bool  // it has been said how the line is
}

// change is what a line tells by itself; err is that it is gone.
type change struct {
	line  int
	input input
	edges []edge
	err   error
}

func newHolder(d Device, open opener) *holder {
	return &holder{Device: d, open: open, held: make([]held, len(d.Lines)), changes: make(chan change), done: make(chan struct{})}
}

func (h *holder) close() {
	close(h.done)
	for i := range h.held {
		if in := h.held[i].input; in != nil {
			in.close()
		}
	}
	h.reading.Wait()
}

// take tries to get the lines that aren't held, and says how those are of which that
// has become known.
func (h *holder) take() session.Result {
	r := session.Result{Received: time.Now()}
	for i := range h.held {
		line := &h.held[i]
		if line.input != nil {
			continue
		}
		in, err := h.open(h.Chip, h.Lines[i])
		var level bool
		if err == nil {
			if level, err = in.level(); err != nil {
				in.close()
			}
		}
		switch {
		case err == nil:
			line.input, line.err = in, nil
			r.Samples = append(r.Samples, h.sample(i, time.Now(), level))
			h.reading.Go(func() { h.read(i, in) })
		case !line.told || reasonOf(err) != reasonOf(line.err):
			line.err = err
			r.Samples = append(r.Samples, h.lack(i, err))
		}
		line.told = true
	}
	r.Received, r.Cause = time.Now(), h.cause()
	return r
}

// read waits for the changes of a line until it is gone.
func (h *holder) read(i int, in input) {
	for {
		edges, err := in.edges()
		select {
		case h.changes <- change{i, in, edges, err}:
		case <-h.done:
			return
		}
		if err != nil {
			return
		}
	}
}

func (h *holder) changed(c change) session.Result {
	line := &h.held[c.line]
	r := session.Result{Received: time.Now()}
	for _, e := range c.edges {
		// On the wall clock of Received, which may have been set meanwhile.
		v := h.sample(c.line, r.Received.Add(min(0, e.at.Sub(r.Received))), e.to)
		if e.lost {
			v.Quality |= telemetry.Oscillatory
		}
		r.Samples = append(r.Samples, v)
	}
	if c.err != nil {
		c.input.close()
		line.input, line.err = nil, c.err
		r.Samples = append(r.Samples, h.lack(c.line, c.err))
	}
	r.Cause = h.cause()
	return r
}

// levels is how all lines are now.
func (h *holder) levels() session.Result {
	r := session.Result{Received: time.Now(), Cause: h.cause()}
	for i, line := range h.held {
		err := line.err
		if line.input != nil {
			var level bool
			if level, err = line.input.level(); err == nil {
				r.Samples = append(r.Samples, h.sample(i, r.Received, level))
				continue
			}
		}
		r.Samples = append(r.Samples, h.lack(i, err))
	}
	return r
}

// cause is why no line can be read; nil if one can.
func (h *holder) cause() error {
	var first error
	for i, line := range h.held {
		if line.input != nil {
			return nil
		}
		if first == nil && line.err != nil {
			first = fmt.Errorf("line %d of %s: %w", h.Lines[i].Offset, h.Chip, line.err)
		}
	}
	return first
}

func (h *holder) sample(i int, at time.Time, level bool) telemetry.Sample {
	return telemetry.Sample{Time: telemetry.MicrosOf(at), Signal: h.Lines[i].Signal, Value: telemetry.BoolValue(level)}
}

func (h *holder) lack(i int, err error) telemetry.Sample {
	return telemetry.Sample{Time: telemetry.MicrosOf(time.Now()), Signal: h.Lines[i].Signal, Quality: session.Bad(reasonOf(err))}
}
