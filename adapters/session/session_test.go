package session

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// meter is a device that is polled, or that answers nothing.
type meter struct {
	id     string
	every  time.Duration
	signal telemetry.SignalID
	silent *switchable
}

type switchable struct {
	mu sync.Mutex
	on bool
}

func (s *switchable) set(on bool) { s.mu.Lock(); s.on = on; s.mu.Unlock() }
func (s *switchable) is() bool    { s.mu.Lock(); defer s.mu.Unlock(); return s.on }

func (m meter) About() About {
	return About{ID: m.id, Where: "nowhere", Live: m.signal + 1, Points: []Point{{"V", m.signal}}}
}

func (m meter) Read(context.Context) Result {
	if m.silent.is() {
		return m.About().Failed(errors.New("silent"), Bad(telemetry.Timeout))
	}
	now := time.Now()
	return Result{Received: now, Samples: []telemetry.Sample{{Time: telemetry.MicrosOf(now), Signal: m.signal, Value: telemetry.FloatValue(230)}}}
}

func (m meter) Run(ctx context.Context, s *Session) { s.Poll(ctx, m.every, m.Read) }

type sink struct {
	mu      sync.Mutex
	batches []adapters.Batch
}

func (s *sink) Deliver(ctx context.Context, b adapters.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.Samples = slices.Clone(b.Samples)
	s.batches = append(s.batches, b)
	return ctx.Err()
}

func (s *sink) of(device string) (list []adapters.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.batches {
		if b.Device == device {
			list = append(list, b)
		}
	}
	return list
}

func start(t *testing.T, devices ...meter) (*Adapter[meter], *sink) {
	t.Helper()
	a, s := New(devices, slog.New(slog.DiscardHandler)), &sink{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, s) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return a, s
}

// lives are the values of the live signal in batches.
func lives(batches []adapters.Batch, live telemetry.SignalID) (list []bool) {
	for _, b := range batches {
		for _, v := range b.Samples {
			if v.Signal == live {
				list = append(list, v.Value == telemetry.BoolValue(true))
			}
		}
	}
	return list
}

// Every slot is accounted for, used or not, whether the device answers or not.
func TestSlots(t *testing.T) {
	silent := &switchable{}
	const every = 10 * time.Millisecond
	a, s := start(t, meter{id: "m", every: every, signal: 1, silent: silent})
	await.True(t, "three polls", func() bool { return len(s.of("m")) >= 3 })
	silent.set(true)
	await.True(t, "a device that doesn't live", func() bool { return slices.Contains(lives(s.of("m"), 2), false) })
	silent.set(false)
	await.True(t, "its return", func() bool { l := lives(s.of("m"), 2); return len(l) == 3 && l[2] })
	batches := s.of("m")
	for i, b := range batches[1:] {
		before := batches[i]
		if got := b.Due.Sub(before.Due); (got - time.Duration(1+b.Missed+b.Spared)*every).Abs() > time.Microsecond {
			t.Errorf("%v between the slots %v and %v, of which %d were missed and %d spared", got, before.Due, b.Due, b.Missed, b.Spared)
		}
	}
	if got := lives(batches, 2); !slices.Equal(got, []bool{true, false, true}) {
		t.Errorf("it lives: %v", got)
	}
	bad := slices.IndexFunc(batches, func(b adapters.Batch) bool { return b.Samples[0].Quality == Bad(telemetry.Timeout) })
	if bad < 0 || len(batches[bad].Samples) != 1 {
		t.Error("the first silence ends the life of the device, or isn't told")
	}
	if st := a.Stats()[0]; st.Failed < adapters.DeadAfter || st.Timeouts != st.Failed || st.Polls < st.Failed+4 || st.Delivered != st.Polls-st.Failed || st.LastAnswer.IsZero() {
		t.Errorf("%+v", st)
	}
}

// slow is a device whose first reading is quick; the others last until ctx ends.
type slow struct {
	meter
	reading chan struct{} // told of the others
}

func (d slow) Run(ctx context.Context, s *Session) {
	first := true
	s.Poll(ctx, time.Hour, func(ctx context.Context) Result {
		if first {
			first = false
			return d.Read(ctx)
		}
		close(d.reading)
		<-ctx.Done()
		return d.About().Failed(ctx.Err(), Bad(telemetry.Timeout))
	})
}

// Stopping ends a reading that somebody has asked for and still waits for.
func TestStoppingEndsWhatWasAskedFor(t *testing.T) {
	d := slow{meter{id: "m", signal: 1, silent: &switchable{}}, make(chan struct{})}
	a, s := New([]slow{d}, slog.New(slog.DiscardHandler)), &sink{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { a.Run(ctx, s); close(ended) }()
	await.True(t, "a first reading", func() bool { return a.Last(t.Context(), "m").Polled })
	go a.ReadOnce(t.Context(), "m")
	<-d.reading
	stop()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
}

// Who stays as it was isn't touched by a change; who goes has delivered its last batch
// when the others are exchanged.
func TestChange(t *testing.T) {
	answers := &switchable{}
	stays := meter{id: "stays", every: 5 * time.Millisecond, signal: 1, silent: answers}
	goes := meter{id: "goes", every: 5 * time.Millisecond, signal: 11, silent: answers}
	a, s := start(t, stays, goes)
	await.True(t, "polls of both", func() bool { return len(s.of("stays")) > 1 && len(s.of("goes")) > 1 })
	changed, comes := goes, meter{id: "comes", every: 5 * time.Millisecond, signal: 21, silent: answers}
	changed.signal = 31
	for _, next := range [][]meter{{stays, changed, comes}, {comes}} {
		swapped, before := 0, 0
		a.Change(next, func() { swapped++; before = len(s.of("goes")); time.Sleep(20 * time.Millisecond) })
		if after := s.of("goes"); swapped != 1 || len(after) > before && after[before].Samples[0].Signal == goes.signal {
			t.Errorf("%d swaps; %d batches before, %d after it", swapped, before, len(after))
		}
		await.True(t, "a poll of who comes", func() bool { return a.Last(t.Context(), "comes").Polled })
	}
	await.True(t, "the end of the others", func() bool { return !a.Has("stays") && !a.Last(t.Context(), "goes").Polled })
	batches := s.of("stays")
	if got := lives(batches, 2); len(got) != 1 {
		t.Errorf("who stays was begun %d times", len(got))
	}
	if _, err := a.ReadOnce(t.Context(), "goes"); err == nil {
		t.Error("a device that is gone is read")
	}
	if samples, err := a.ReadOnce(t.Context(), "comes"); err != nil || len(samples) != 1 {
		t.Errorf("%v, %v", samples, err)
	}
}
