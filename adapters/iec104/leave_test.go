package iec104

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// idle is the owner of a station that isn't commanded.
type idle struct{}

func (idle) Select(context.Context, controlled.Command) error          { return nil }
func (idle) Cancel(controlled.Command)                                 {}
func (idle) Execute(context.Context, controlled.Command, func()) error { return nil }
func (idle) SetClock(uint16, time.Time) error                          { return nil }

// held is a sink that takes nothing until it is released.
type held struct {
	release chan struct{}
	mu      sync.Mutex
	values  []float64 // of the level
}

func (h *held) Deliver(ctx context.Context, b adapters.Batch) error {
	select {
	case <-h.release:
	case <-ctx.Done():
		return ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range b.Samples {
		if v, ok := s.Value.Float(); ok && s.Signal == level {
			h.values = append(h.values, v)
		}
	}
	return nil
}

// ours is a station that is served until the test ends, and where.
func ours(t *testing.T, point controlled.Point) (server *controlled.Server, address string) {
	t.Helper()
	server, err := controlled.New(controlled.Default, []controlled.Point{point}, nil, idle{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	listener := listen(t)
	serving, stop := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(serving, listener)
	}()
	t.Cleanup(func() {
		stop()
		<-served
	})
	return server, listener.Addr().String()
}

// What a station has got an acknowledgement of isn't told again: a device that is left has
// delivered all of it, in order, and the station keeps the rest.
func TestLeaving(t *testing.T) {
	server, address := ours(t, controlled.Point{Station: 1, Address: 1003, Type: asdu.ShortFloat})
	status := func() controlled.GroupStatus { return server.Status()[0] }

	d := device(address)
	d.Points, d.Controls = d.Points[2:3], nil
	d.Points[0].Scale, d.Points[0].Offset = 1, 0
	sink := &held{release: make(chan struct{})}
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan struct{})
	go func() {
		defer close(left)
		New([]Device{d}, slog.New(slog.DiscardHandler)).Run(ctx, sink)
	}()
	await.True(t, "the transfer is started", func() bool { return status().Started != "" })
	const changes = 500
	for n := range changes {
		if err := server.Tell(controlled.Change{Station: 1, Address: 1003, Value: float64(n + 1), At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	await.True(t, "as much is sent as may be without an acknowledgement", func() bool { return status().Waiting <= changes-link.Default.K/2 })
	leave()
	close(sink.release)
	<-left
	await.True(t, "the station has seen the end", func() bool { return status().Started == "" })
	values := sink.values
	if len(values) > 0 && values[0] == 0 { // of the interrogation, before the first change
		values = values[1:]
	}
	for n, v := range values {
		if v != float64(n+1) {
			t.Fatalf("change %d is told as %v", n+1, v)
		}
	}
	if waiting := status().Waiting; len(values)+waiting != changes {
		t.Errorf("%d of %d changes are delivered, and %d are kept", len(values), changes, waiting)
	}
}

// disk is a sink that says as it is told whether what was delivered is on disk.
type disk struct {
	kept func(n int) (is, answers bool) // by the number of the answer that is wanted, from 1

	mu     sync.Mutex
	wanted int
	told   int // changes of the position
	bad    []telemetry.Quality
}

func (d *disk) Deliver(_ context.Context, b adapters.Batch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range b.Samples {
		if s.Quality.Validity() == telemetry.Bad {
			d.bad = append(d.bad, s.Quality)
		}
		if s.Signal == pos && s.Quality.TimeQuality() == telemetry.DeviceTime {
			d.told++
		}
	}
	if b.Committed != nil {
		d.wanted++
		if is, answers := d.kept(d.wanted); answers {
			go b.Committed(is)
		}
	}
	return nil
}

func (d *disk) count() (told, wanted int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.told, d.wanted
}

// events has a station make so many, read by a device until leave is called.
func events(t *testing.T, sink *disk, n int) (server *controlled.Server, leave func()) {
	t.Helper()
	server, address := ours(t, controlled.Point{Station: 1, Address: 1001, Type: asdu.DoublePoint})
	d := device(address)
	d.Points, d.Controls, d.Counters, d.Sync = d.Points[:1], nil, 0, 0
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan struct{})
	go func() {
		defer close(left)
		New([]Device{d}, slog.New(slog.DiscardHandler)).Run(ctx, sink)
	}()
	leave = sync.OnceFunc(func() { cancel(); <-left })
	t.Cleanup(leave)
	await.True(t, "the transfer is started", func() bool { return server.Status()[0].Started != "" })
	for i := range n + 1 { // the first is no change
		if err := server.Tell(controlled.Change{Station: 1, Address: 1001, Value: float64(1 + i%2), At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	return server, leave
}

// acknowledged is how many of the events a station has been acknowledged.
func acknowledged(s *controlled.Server, before uint64) int {
	return int(s.Outstanding().Done["all"] - before)
}

// A device that is left has what was told kept before it acknowledges it: what isn't on disk
// the station keeps, and what is it doesn't tell again.
func TestLeavingKeeps(t *testing.T) {
	t.Parallel()
	for _, is := range []bool{true, false} {
		name := map[bool]string{true: "kept", false: "never kept"}[is]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := &disk{kept: func(int) (bool, bool) { return true, is }}
			server, leave := events(t, sink, 2) // with all else less than w, and t2 isn't half over
			await.True(t, "they are told", func() bool { told, _ := sink.count(); return told >= 2 })
			n := acknowledged(server, 0)
			if _, wanted := sink.count(); n > 1 && wanted == 0 { // after half of t2 they would have been asked for
				t.Fatalf("%d are acknowledged", n)
			}
			leave()
			await.True(t, "the station has seen the end", func() bool { return server.Status()[0].Started == "" })
			_, wanted := sink.count()
			waiting := server.Status()[0].Waiting
			if wanted == 0 || is && waiting != 0 || !is && waiting < 2 {
				t.Errorf("asked %d times to keep them, %d wait at the station", wanted, waiting)
			}
		})
	}
}

// What can't be kept isn't acknowledged, also not with what comes behind it: the link is ended,
// and the station tells it again over the next one. It is only the disk that is slow: nothing
// is said to be unconnected.
func TestNotKept(t *testing.T) {
	t.Parallel()
	const n = 40
	sink := &disk{kept: func(n int) (bool, bool) { return n > 2, true }}
	server, _ := events(t, sink, n)
	await.True(t, "all is told, and what was not kept again", func() bool { told, _ := sink.count(); return told > n+1 && server.Status()[0].Waiting == 0 })
	_, wanted := sink.count()
	await.True(t, "all is acknowledged in the end", func() bool { return acknowledged(server, 0) >= n })
	if wanted < 3 {
		t.Errorf("asked %d times", wanted)
	}
	sink.mu.Lock()
	defer sink.mu.Unlock()
	for _, q := range sink.bad {
		if q.Reason() == telemetry.NotConnected {
			t.Fatalf("%v is told", q)
		}
	}
}
