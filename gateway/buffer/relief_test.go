package buffer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// brim fills telemetry's share until little room is left.
func (k *tank) brim() {
	k.t.Helper()
	for {
		if u := k.b.space.usage(); u.share-u.telemetry < 300<<10 {
			return
		}
		k.commit(2000, nil)
	}
}

// soon fails unless f returns in time.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s doesn't end", what)
	}
}

// However long it takes to count and to declare what is given up: commits fail at
// once, what they would have written is kept, and is written when there is room.
func TestCommitsDoNotWaitForADrop(t *testing.T) {
	k := newTank(t)
	k.brim()
	held, declare := make(chan struct{}), k.b.declare
	release := sync.OnceFunc(func() { close(held) })
	k.b.declare = func(losses []telemetry.Loss) error {
		<-held
		return declare(losses)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { k.writer.Run(ctx); close(ended) }()
	defer func() { release(); cancel(); <-ended }()

	block := make([]byte, 64<<10)
	var err error
	for !errors.Is(err, errMakingRoom) {
		soon(t, "a commit beside a drop", func() {
			err = k.b.Telemetry.Commit([]Item{{Format: "other", Payload: block, Count: 1}}, nil)
		})
		if err != nil && !errors.Is(err, errMakingRoom) {
			t.Fatal(err)
		}
		k.measure()
	}
	if k.writer.Failing() {
		t.Error("that room is being made is told as a failure")
	}
	soon(t, "an event beside a drop", func() {
		err = k.b.Events.Enter([]Item{{Format: record.FormatEvent, Payload: block[:10], Count: 1}})
	})
	if err != nil {
		t.Error(err)
	}
	samples := noisySamples(500)
	k.writer.Add(samples, nil)
	before := k.b.Telemetry.End()
	release()
	soon(t, "what waited for room", func() {
		if err := k.b.Telemetry.Wait(ctx, before); err != nil {
			t.Error(err)
		}
	})
	if dropped := k.b.Telemetry.Stats().Dropped; dropped == 0 {
		t.Error("nothing was given up: the test tests nothing")
	}
}

// Events that find no room are sent from memory meanwhile, and written afterwards.
func TestEventsWithoutRoomAreSentMeanwhile(t *testing.T) {
	k := newTank(t)
	event := Item{Format: record.FormatEvent, Payload: make([]byte, 60_000), Count: 1}
	c := k.b.Events
	var err error
	k.b.relief.run(true) // and nobody serves it yet
	for err == nil {
		soon(t, "a commit of events", func() { err = c.Enter([]Item{event}) })
	}
	if !errors.Is(err, errMakingRoom) {
		t.Fatal(err)
	}
	end := c.End()
	if n := c.Stats().Held; n != 1 {
		t.Errorf("%d events are held", n)
	}
	r := c.Reader()
	defer r.Close()
	if entries, err := r.Read(end-1, Newest, 1); err != nil || len(entries) != 1 {
		t.Errorf("%d entries can be sent: %v", len(entries), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go k.b.giveUp(ctx)
	for deadline := time.Now().Add(30 * time.Second); c.CommitHeld() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no room is made")
		}
	}
	if n := c.Stats().Held; n != 0 || c.End() < end {
		t.Errorf("%d events are held, up to %d of %d", n, c.End(), end)
	}
}
