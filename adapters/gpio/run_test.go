package gpio

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// chip is one whose lines the test moves.
type chip struct {
	mu    sync.Mutex
	lines map[uint32]*wire // those that can be taken
	slow  time.Duration    // to give one away
}

type wire struct {
	mu     sync.Mutex
	high   bool
	events chan []edge
	gone   chan struct{}
}

func (w *wire) level() (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.gone:
		return false, errGone
	default:
		return w.high, nil
	}
}

var errGone = &failure{telemetry.NotConnected, errors.New("gone")}

func (w *wire) edges() ([]edge, error) {
	select {
	case e := <-w.events:
		return e, nil
	case <-w.gone:
		return nil, errGone
	}
}

func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.gone:
	default:
		close(w.gone)
	}
}

func (w *wire) set(high bool, at time.Time, lost bool) {
	w.mu.Lock()
	w.high = high
	w.mu.Unlock()
	w.events <- []edge{{high, at, lost}}
}

func (c *chip) add(offset uint32, high bool) *wire {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &wire{high: high, events: make(chan []edge), gone: make(chan struct{})}
	c.lines[offset] = w
	return w
}

func (c *chip) open(_ string, l Line) (input, error) {
	time.Sleep(c.slow)
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.lines[l.Offset]
	if w == nil {
		return nil, &failure{telemetry.Refused, errors.New("somebody else holds it")}
	}
	delete(c.lines, l.Offset) // a line is held once
	return w, nil
}

// board is a device on a chip of the test's.
type board struct {
	Device
	chip *chip
}

func (b board) Run(ctx context.Context, s *session.Session) { b.run(ctx, s, b.chip.open) }

type sink struct {
	mu      sync.Mutex
	samples []telemetry.Sample
}

func (s *sink) Deliver(ctx context.Context, b adapters.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !b.Due.IsZero() || b.Device != "contacts" {
		return errors.New("a line has no schedule")
	}
	s.samples = append(s.samples, slices.Clone(b.Samples)...)
	return ctx.Err()
}

// take is what has been delivered since the last time, of one signal.
func (s *sink) take(id telemetry.SignalID) (list []telemetry.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = slices.DeleteFunc(s.samples, func(v telemetry.Sample) bool {
		if v.Signal == id {
			list = append(list, v)
		}
		return v.Signal == id
	})
	return list
}

const (
	door, cover telemetry.SignalID = 1, 2
	live        telemetry.SignalID = 3
)

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chip{lines: map[uint32]*wire{}}
		w := c.add(17, false)
		a := session.New([]board{{Device{ID: "contacts", Chip: "c", Live: live, Lines: []Line{
			{Name: "Door", Offset: 17, Signal: door}, {Name: "Cover", Offset: 4, Signal: cover},
		}}, c}}, slog.New(slog.DiscardHandler))
		s := &sink{}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx, s) }()
		defer func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		expect := func(what string, id telemetry.SignalID, want ...telemetry.Sample) {
			t.Helper()
			synctest.Wait()
			if got := s.take(id); !slices.Equal(got, want) {
				t.Errorf("%s: %v, expected %v", what, got, want)
			}
		}
		now := func() telemetry.Micros { return telemetry.MicrosOf(time.Now()) }
		value := func(at telemetry.Micros, id telemetry.SignalID, v bool) telemetry.Sample {
			return telemetry.Sample{Time: at, Signal: id, Value: telemetry.BoolValue(v)}
		}
		lack := func(id telemetry.SignalID, r telemetry.Reason) telemetry.Sample {
			return telemetry.Sample{Time: now(), Signal: id, Quality: session.Bad(r)}
		}
		// One line that can't be had doesn't keep the other from being read.
		expect("at the start", door, value(now(), door, false))
		expect("a line that is taken", cover, lack(cover, telemetry.Refused))
		expect("it lives", live, value(now(), live, true))

		// An edge has the kernel's time, also if it was long in coming.
		time.Sleep(tryEvery)
		at := time.Now().Add(-300 * time.Millisecond)
		w.set(true, at, false)
		expect("an edge", door, value(telemetry.MicrosOf(at), door, true))
		w.set(false, time.Now(), true)
		lost := value(now(), door, false)
		lost.Quality |= telemetry.Oscillatory
		expect("an edge after others were lost", door, lost)
		if samples, err := a.ReadOnce(ctx, "contacts"); err != nil || samples[0] != value(now(), door, false) || samples[1] != lack(cover, telemetry.Refused) {
			t.Errorf("%v, %v", samples, err)
		}

		// Nothing is said twice; the other line is taken when it can be.
		time.Sleep(3 * tryEvery)
		expect("without a change", door)
		expect("without a change", cover)
		c.add(4, true)
		time.Sleep(tryEvery)
		expect("the other line", cover, value(now(), cover, true))

		// A chip that vanishes, and comes back.
		w.close()
		expect("a line that is gone", door, lack(door, telemetry.NotConnected))
		c.add(17, true)
		time.Sleep(tryEvery)
		expect("its return", door, value(now(), door, true))
		expect("it has lived all the time", live)
		time.Sleep(adapters.LiveEvery * 5 / 4)
		if got := s.take(live); len(got) != 1 || got[0].Value != telemetry.BoolValue(true) {
			t.Errorf("after a minute: %v", got)
		}
	})
}

// That a device lives is said again within a minute and a quarter, also if its lines
// took a while to be had, and is no poll.
func TestItLivesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chip{lines: map[uint32]*wire{}, slow: 10 * time.Millisecond}
		c.add(17, true)
		a := session.New([]board{{Device{ID: "contacts", Chip: "c", Live: live, Lines: []Line{{Name: "Door", Offset: 17, Signal: door}}}, c}}, slog.New(slog.DiscardHandler))
		s := &sink{}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx, s) }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		got := s.take(live)
		for i, v := range got[1:] {
			if gap := v.Time.Time().Sub(got[i].Time.Time()); gap < adapters.LiveEvery || gap > adapters.LiveEvery*5/4 {
				t.Errorf("%v after the one before", gap)
			}
		}
		if len(got) < 8 {
			t.Errorf("said %d times in ten minutes", len(got))
		}
		if st := a.Stats()[0]; st.Polls != 1 || st.Values != 1 || time.Since(st.LastAnswer) > adapters.LiveEvery*5/4 {
			t.Errorf("%+v", st)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A device none of whose lines can be had doesn't live.
func TestNoLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chip{lines: map[uint32]*wire{}}
		a := session.New([]board{{Device{ID: "contacts", Chip: "c", Live: live, Lines: []Line{{Name: "Door", Offset: 17, Signal: door}}}, c}}, slog.New(slog.DiscardHandler))
		s := &sink{}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx, s) }()
		lives := func(want bool) {
			t.Helper()
			synctest.Wait()
			if got := s.take(live); len(got) != 1 || got[0].Value != telemetry.BoolValue(want) {
				t.Errorf("%v, expected %v", got, want)
			}
		}
		lives(false)
		if last := a.Last(t.Context(), "contacts"); last.Cause == nil || !last.Polled {
			t.Errorf("%+v", last)
		}
		if _, err := a.ReadOnce(ctx, "contacts"); err == nil {
			t.Error("it is read")
		}
		c.add(17, true)
		time.Sleep(tryEvery)
		lives(true)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
