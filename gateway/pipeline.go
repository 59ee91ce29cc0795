package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// pipeline takes batches from the adapters through the rules into the buffer.
// One goroutine, run's, owns the rules' state: events are committed together
// with it, before the samples that caused them.
type pipeline struct {
	engine   *rules.Engine
	clock    *clock.Clock
	counters map[telemetry.SignalID]bool
	events   *buffer.Chain
	writer   *buffer.Writer
	index    map[string]int // of a device in the accounts
	table    *buffer.Table
	log      *slog.Logger

	wake chan struct{}
	room chan struct{} // closed and replaced when the queue has been taken

	mu          sync.Mutex
	queue       queue
	generations map[string]uint64 // of gateway time, by device, at its last batch

	decided []buffer.Item // events that are to be committed
	saved   time.Time     // when a commit was last tried
	dirty   bool          // it failed
	failing atomic.Bool

	good, bad, raised, cleared atomic.Uint64
	active                     atomic.Pointer[[]rules.Active] // the alarms, for whoever reports
}

// queue holds batches with their samples side by side.
type queue struct {
	batches []queued
	samples []telemetry.Sample
	slots   []account.Slot
	orders  []order
}

type queued struct {
	received time.Time
	samples  int
	stamp    clock.Stamp
}

// maxQueued bounds the samples that wait for the rules.
const maxQueued = 100_000

func newPipeline(engine *rules.Engine, c *clock.Clock, counters map[telemetry.SignalID]bool, events *buffer.Chain, writer *buffer.Writer, index map[string]int, log *slog.Logger) *pipeline {
	return &pipeline{
		engine: engine, clock: c, counters: counters, events: events, writer: writer, index: index, log: log,
		wake: make(chan struct{}, 1), room: make(chan struct{}), generations: map[string]uint64{},
	}
}

// Deliver implements adapters.Sink.
func (p *pipeline) Deliver(ctx context.Context, b adapters.Batch) error {
	for {
		p.mu.Lock()
		if len(p.queue.samples) < maxQueued {
			break
		}
		room := p.room
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-room:
		}
	}
	start := len(p.queue.samples)
	p.queue.samples = append(p.queue.samples, b.Samples...)
	stamp := p.stamp(b, p.queue.samples[start:])
	p.queue.batches = append(p.queue.batches, queued{b.Received, len(b.Samples), stamp})
	if device, known := p.index[b.Device]; known && !b.Due.IsZero() {
		slot := account.Slot{
			Device: device, Due: p.clock.At(b.Due), Missed: uint32(b.Missed), Spared: uint32(b.Spared), SparedFor: b.SparedFor,
		}
		if stamp.Held == clock.Everything {
			slot.Due, slot.SinceBoot = slot.Due-stamp.Began, true
		}
		p.queue.slots = append(p.queue.slots, slot)
	}
	p.mu.Unlock()
	p.notify()
	return nil
}

func (p *pipeline) notify() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// stamp gives samples gateway time. If that was moved since the device's last
// batch, it says so: rules then start to wait anew instead of counting the step.
func (p *pipeline) stamp(b adapters.Batch, samples []telemetry.Sample) clock.Stamp {
	stamp := p.clock.Stamp(b.Received, samples)
	if before, seen := p.generations[b.Device]; seen && before != stamp.Generation {
		for i := range samples {
			samples[i].Quality |= telemetry.ClockJumped
		}
	}
	p.generations[b.Device] = stamp.Generation
	return stamp
}

// hold makes samples that have been evaluated what they are stored as: those
// that wait for the time count from the boot.
func (p *pipeline) hold(stamp clock.Stamp, samples []telemetry.Sample) {
	if stamp.Held == clock.Nothing && !stamp.Guessed {
		return
	}
	for i := range samples {
		switch s := &samples[i]; {
		case stamp.Guessed:
			clock.Doubt(s)
		case stamp.Held == clock.Everything || p.counters[s.Signal]:
			stamp.Hold(s)
		}
	}
}

// run evaluates until ctx ends and the queue is empty.
func (p *pipeline) run(ctx context.Context) {
	var taken queue
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(p.untilDue())
		ended := false
		select {
		case <-ctx.Done():
			ended = true
		case <-p.wake:
		case now := <-timer.C:
			p.engine.Tick(now, p.emit)
		}
		taken = p.take(taken)
		samples := taken.samples
		for _, b := range taken.batches {
			p.engine.Update(b.received, samples[:b.samples], p.emit)
			p.hold(b.stamp, samples[:b.samples])
			samples = samples[b.samples:]
		}
		for _, o := range taken.orders {
			p.obey(o)
		}
		if len(p.decided) > 0 {
			p.publish()
		}
		p.commit(ended)
		p.count(taken.samples)
		p.writer.Add(taken.samples, taken.slots)
		if ended {
			return
		}
	}
}

func (p *pipeline) take(empty queue) queue {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.queue
	p.queue = queue{batches: empty.batches[:0], samples: empty.samples[:0], slots: empty.slots[:0], orders: empty.orders[:0]}
	if len(taken.samples) >= maxQueued {
		close(p.room)
		p.room = make(chan struct{})
	}
	return taken
}

const (
	// saveEvery bounds how often the rules' state is committed when no event is: it
	// costs a write to flash, and losing it costs the time that a condition has held.
	saveEvery = 10 * time.Second
	// retryEvery bounds how often a commit is tried again that failed.
	retryEvery = time.Second
)

// untilDue is how long the rules and their state can wait.
func (p *pipeline) untilDue() time.Duration {
	due := time.Hour
	if at := p.engine.NextDeadline(); !at.IsZero() {
		due = min(due, time.Until(at))
	}
	return max(0, min(due, p.untilSaved()))
}

// untilSaved is how long until the state is to be committed without an event.
func (p *pipeline) untilSaved() time.Duration {
	switch {
	case p.dirty || p.events.Stats().Held > 0:
		return retryEvery - time.Since(p.saved)
	case p.engine.Changed():
		return saveEvery - time.Since(p.saved)
	}
	return time.Hour
}

func (p *pipeline) count(samples []telemetry.Sample) {
	var bad uint64
	for i := range samples {
		if samples[i].Quality.Validity() == telemetry.Bad {
			bad++
		}
	}
	p.bad.Add(bad)
	p.good.Add(uint64(len(samples)) - bad)
}

func (p *pipeline) emit(e telemetry.Event) {
	switch e.Kind {
	case telemetry.AlarmRaised:
		p.raised.Add(1)
		p.log.Warn("alarm raised", "rule", e.Alarm.Rule, "asset", e.Alarm.Asset, "device", e.Alarm.Device, "summary", e.Alarm.Summary)
	case telemetry.AlarmCleared:
		p.cleared.Add(1)
		p.log.Info("alarm cleared", "rule", e.Alarm.Rule, "asset", e.Alarm.Asset, "device", e.Alarm.Device)
	}
	e.Clock = p.clock.Reading(e.Decided)
	if e.Alarm != nil {
		p.withholdIDs(e.Alarm.Inputs)
	}
	item, err := eventItem(e)
	if err != nil {
		p.log.Error("event can't be written", "kind", e.Kind, "error", err)
		return
	}
	p.decided = append(p.decided, item)
}

// withholdIDs takes the ids from inputs whose signals aren't on disk yet: another
// process may give them to others. Names say which they are.
func (p *pipeline) withholdIDs(inputs []telemetry.Input) {
	saved, _ := p.table.Saved()
	for i := range inputs {
		if uint32(inputs[i].Signal) > saved.Version {
			inputs[i].Signal = 0
		}
	}
}

func eventItem(e telemetry.Event) (buffer.Item, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return buffer.Item{}, fmt.Errorf("encode event: %w", err)
	}
	return buffer.Item{Format: record.FormatEvent, Payload: payload, Count: 1}, nil
}

// commit commits the events that emit gathered together with the rules' state,
// or the state alone if it is time or the end. Events that can't be committed are
// sent all the same: a gateway whose disk has failed still alarms.
func (p *pipeline) commit(ending bool) {
	if due := p.untilSaved(); len(p.decided) == 0 && due > 0 && (!ending || due == time.Hour) {
		return
	}
	err := p.events.CommitOrHold(p.decided, p.engine.State())
	p.decided = nil
	p.saved, p.dirty = time.Now(), err != nil
	if failing := err != nil; p.failing.Swap(failing) != failing && failing {
		p.log.Error("events can't be committed; they are sent, kept in memory and tried again", "error", err)
	}
}
