package iec104

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/adapters/iec104/link"
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

// What a station has got an acknowledgement of isn't told again: a device that is left has
// delivered all of it, in order, and the station keeps the rest.
func TestLeaving(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	point := controlled.Point{Station: 1, Address: 1003, Type: asdu.ShortFloat}
	server, err := controlled.New(controlled.Default, []controlled.Point{point}, nil, idle{}, log)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(serving, listener)
	}()
	defer func() {
		stop()
		<-served
	}()
	status := func() controlled.GroupStatus { return server.Status()[0] }

	d := device(listener.Addr().String())
	d.Points, d.Controls = d.Points[2:3], nil
	d.Points[0].Scale, d.Points[0].Offset = 1, 0
	sink := &held{release: make(chan struct{})}
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan struct{})
	go func() {
		defer close(left)
		New([]Device{d}, log).Run(ctx, sink)
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
