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
	"github.com/busbar/busbar/gateway/counter"
	"github.com/busbar/busbar/gateway/deadband"
	"github.com/busbar/busbar/gateway/edgenode"
	"github.com/busbar/busbar/gateway/publish"
	"github.com/busbar/busbar/gateway/station"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// pipeline takes batches from the adapters through the rules into the buffer.
// One goroutine, run's, owns the rules' state: events are sent at once, and
// committed together with it, by another one. It never waits for the disk.
type pipeline struct {
	engine   *rules.Engine
	clock    *clock.Clock
	counters map[telemetry.SignalID]bool
	watch    *counter.Watch
	events   *buffer.Chain
	writer   *buffer.Writer
	filter   *deadband.Filter
	kept     []telemetry.Sample
	index    map[string]account.Place // of a device in the accounts; guarded by mu
	table    *buffer.Table
	log      *slog.Logger

	publisher  *publish.Publisher // nil: there is no broker
	values     *publish.Values    // nil: they aren't published
	edge       *edgenode.Node     // nil: the gateway is none
	station    *station.Station   // nil: the gateway is none
	operations *operations
	alive      func() // nil: nobody asks
	assetOf    func(device string) string

	interruptions interruptions
	disturbances  disturbances

	wake chan struct{}
	room chan struct{} // closed and replaced when the queue has been taken

	mu          sync.Mutex
	queue       queue
	generations map[string]uint64 // of gateway time, by device, at its last batch

	decided []buffer.Item // events that are to be sent
	later   captures
	saved   time.Time   // when the rules' state was last handed to the disk
	failing atomic.Bool // commits of events

	good, bad, leftOut atomic.Uint64
	raised, cleared    atomic.Uint64
	suppressed         atomic.Uint64                  // alarms that came and went unraised
	uncaptured         atomic.Uint64                  // alarms without the capture that their rule asks for
	active             atomic.Pointer[[]rules.Active] // the alarms, for whoever reports
}

// queue holds batches with their samples side by side.
type queue struct {
	batches []queued
	samples []telemetry.Sample
	slots   []account.Slot
	orders  []order
	errands []errand
	waiting []func(bool) // adapters.Batch.Committed
}

type queued struct {
	received time.Time
	samples  int
	stamp    clock.Stamp
	slot     int // in slots; -1: none
	past     bool

	device        string
	interruptions []adapters.Interruption
	disturbances  []adapters.Disturbances
}

// maxQueued bounds the samples that wait for the rules.
const maxQueued = 100_000

func newPipeline(engine *rules.Engine, c *clock.Clock, counters map[telemetry.SignalID]bool, events *buffer.Chain, writer *buffer.Writer, index map[string]account.Place, log *slog.Logger) *pipeline {
	return &pipeline{
		engine: engine, clock: c, counters: counters, events: events, writer: writer, index: index, log: log,
		operations: newOperations(c), filter: deadband.New(nil), watch: counter.NewWatch(nil), interruptions: interruptions{}, disturbances: disturbances{devices: map[string][]counted{}}, wake: make(chan struct{}, 1), room: make(chan struct{}), generations: map[string]uint64{},
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
	stamp, steady := p.stamp(b, p.queue.samples[start:])
	slotAt := -1
	if place, known := p.index[b.Device]; known && !b.Due.IsZero() {
		slot := account.Slot{
			Device: place.Device, Schedule: place.Schedule, Due: stamp.At - telemetry.Micros(b.Received.Sub(b.Due).Microseconds()), Missed: uint32(b.Missed), Spared: uint32(b.Spared), SparedFor: b.SparedFor, Steady: steady,
		}
		if stamp.Held == clock.Everything {
			slot.Due, slot.SinceBoot = slot.Due-stamp.Began, true
		}
		slotAt = len(p.queue.slots)
		p.queue.slots = append(p.queue.slots, slot)
	}
	p.queue.batches = append(p.queue.batches, queued{b.Received, len(b.Samples), stamp, slotAt, b.Past, b.Device, b.Interruptions, b.Disturbances})
	if b.Committed != nil {
		p.queue.waiting = append(p.queue.waiting, b.Committed)
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
// steady says that it wasn't.
func (p *pipeline) stamp(b adapters.Batch, samples []telemetry.Sample) (stamp clock.Stamp, steady bool) {
	stamp = p.clock.Stamp(b.Received, samples)
	before, seen := p.generations[b.Device]
	if seen && before != stamp.Generation {
		for i := range samples {
			samples[i].Quality |= telemetry.ClockJumped
		}
	}
	p.generations[b.Device] = stamp.Generation
	return stamp, seen && before == stamp.Generation
}

// place makes samples that have been evaluated what they are stored as: those
// that wait for the time count from the boot.
func (p *pipeline) place(stamp clock.Stamp, samples []telemetry.Sample) {
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
		if p.alive != nil {
			p.alive()
		}
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
		samples, stored := taken.samples, taken.samples
		sifted := !p.filter.Idle()
		if sifted {
			stored = p.kept[:0]
		}
		for _, b := range taken.batches {
			batch := samples[:b.samples]
			samples = samples[b.samples:]
			if !b.past {
				p.engine.Update(b.received, batch, p.emit)
				p.watch.Take(batch, b.stamp.At, p.emit)
				p.tellInterruptions(b)
				p.tellDisturbances(b)
				if p.values != nil {
					p.values.Note(batch)
				}
			}
			p.tellMasters(b, batch)
			if sifted {
				begin := len(stored)
				stored = p.sift(stored, b, batch, taken.slots)
				p.tellPlant(b.stamp.At, stored[begin:], b.past)
			} else {
				p.place(b.stamp, batch)
				p.tellPlant(b.stamp.At, batch, b.past)
			}
		}
		if ended {
			p.engine.Close(time.Now(), p.emit)
		}
		if ended && sifted {
			released := p.filter.Flush()
			p.tellPlant(0, released, false)
			stored = append(stored, released...)
		}
		for _, e := range taken.errands {
			stored = append(stored, e.do()...)
			close(e.done)
		}
		for _, o := range taken.orders {
			p.obey(o)
		}
		if len(p.decided) > 0 {
			p.publish()
		}
		p.decided = append(p.decided, p.later.release(time.Now(), ended)...)
		p.hold(ended)
		p.count(taken.samples)
		left := p.engine.Stats()
		p.suppressed.Store(left.Suppressed)
		p.uncaptured.Store(left.Uncaptured + p.later.dropped)
		if p.station != nil {
			taken.waiting = p.station.Await(taken.waiting)
		}
		p.writer.Add(stored, taken.slots, taken.waiting...)
		if sifted {
			p.kept = stored
		}
		if ended {
			return
		}
	}
}

// sift adds those of a batch to what is stored that are worth it. Those that wait
// for the time all are, since the filter goes by it.
func (p *pipeline) sift(stored []telemetry.Sample, b queued, batch []telemetry.Sample, slots []account.Slot) []telemetry.Sample {
	if b.past { // its signals' present goes on between their last values and the next
		begin := len(stored)
		stored = append(stored, batch...)
		p.place(b.stamp, stored[begin:])
		return stored
	}
	if b.stamp.Held != clock.Nothing || b.stamp.Guessed {
		stored = append(stored, p.filter.Flush()...)
		begin := len(stored)
		stored = append(stored, batch...)
		p.place(b.stamp, stored[begin:])
		return stored
	}
	kept, leftOut := p.filter.Keep(batch)
	if b.slot >= 0 {
		slots[b.slot].Suppressed += uint32(leftOut)
	}
	p.leftOut.Add(uint64(leftOut))
	return append(stored, kept...)
}

func (p *pipeline) take(empty queue) queue {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(empty.errands) // which may hold a configuration each
	taken := p.queue
	p.queue = queue{batches: empty.batches[:0], samples: empty.samples[:0], slots: empty.slots[:0], orders: empty.orders[:0], errands: empty.errands[:0], waiting: empty.waiting[:0]}
	if len(taken.samples) >= maxQueued {
		close(p.room)
		p.room = make(chan struct{})
	}
	return taken
}

const (
	// saveEvery bounds how often the rules' state is committed when no event is: it
	// costs a write to flash, and losing it costs the time that a condition has held, or
	// the sags and swells that a meter has counted since it was read for the first time.
	saveEvery = 10 * time.Second

	// countersEvery is the same for the last values of counters, which change all the
	// time. What a gateway that is killed forgets of them is how far they had come, and
	// those of before tell a swapped meter as well.
	countersEvery = 15 * time.Minute
)

// untilDue is how long the rules and their state can wait.
func (p *pipeline) untilDue() time.Duration {
	due := time.Hour
	if p.alive != nil {
		due = aliveEvery
	}
	if at := p.engine.NextDeadline(); !at.IsZero() {
		due = min(due, time.Until(at))
	}
	return max(0, min(due, p.untilSaved(), p.later.due()))
}

// aliveEvery is how often Options.Alive is called at least.
const aliveEvery = time.Second

// untilSaved is how long until the state is to be committed without an event.
func (p *pipeline) untilSaved() time.Duration {
	switch {
	case p.engine.Changed() || p.disturbances.changed:
		return saveEvery - time.Since(p.saved)
	case p.watch.Changed() || p.disturbances.read:
		return countersEvery - time.Since(p.saved)
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

func (p *pipeline) emit(e telemetry.Event) { p.decide(e, false) }

// decide takes an event up. commanded says that it follows from a command, not from
// what was measured.
func (p *pipeline) decide(e telemetry.Event, commanded bool) {
	switch e.Kind {
	case telemetry.AlarmRaised:
		p.raised.Add(1)
		p.log.Warn("alarm raised", "rule", e.Alarm.Rule, "asset", e.Alarm.Asset, "device", e.Alarm.Device, "summary", e.Alarm.Summary)
	case telemetry.AlarmCleared:
		p.cleared.Add(1)
		p.log.Info("alarm cleared", "rule", e.Alarm.Rule, "asset", e.Alarm.Asset, "device", e.Alarm.Device)
	case telemetry.CounterRolledOver:
		p.log.Info("counter rolled over", "device", e.Counter.Device, "signal", e.Counter.Name, "before", e.Counter.Before, "after", e.Counter.After, "modulus", e.Counter.Modulus)
	case telemetry.SupplyInterrupted:
		p.log.Info("meter has noted an interruption of its supply", "device", e.Interruption.Device, "from", e.Time.Time(), "to", e.Interruption.To.Time())
	case telemetry.VoltageSag, telemetry.VoltageSwell:
		p.log.Info("meter has counted disturbances of the voltage", "device", e.Disturbance.Device, "kind", e.Kind, "phase", e.Disturbance.Phase, "count", e.Disturbance.Count, "since", e.Disturbance.Since.Time())
	case telemetry.CounterReset:
		p.log.Warn("counter reset", "device", e.Counter.Device, "signal", e.Counter.Name, "before", e.Counter.Before, "after", e.Counter.After)
	}
	e.Clock = p.clock.Reading(e.Decided)
	if e.Alarm != nil {
		p.withholdIDs(e.Alarm.Inputs)
	}
	if e.Capture != nil {
		for i := range e.Capture.Signals {
			if s := &e.Capture.Signals[i]; !p.isSaved(s.Signal) {
				s.Signal = 0
			}
		}
	}
	if e.Counter != nil && !p.isSaved(e.Counter.Signal) {
		e.Counter.Signal = 0
	}
	item, err := eventItem(e)
	if err != nil {
		p.log.Error("event can't be written", "kind", e.Kind, "error", err)
		return
	}
	if e.Kind == telemetry.AlarmCaptured {
		p.later.add(item)
		return
	}
	p.decided = append(p.decided, item)
	if e.Kind == telemetry.AlarmRaised || e.Kind == telemetry.AlarmCleared {
		p.operations.alarm(e, commanded, p.log)
		p.tellSite(e, item.Payload)
	}
}

// withholdIDs takes the ids from inputs whose signals aren't on disk yet: another
// process may give them to others. Names say which they are.
func (p *pipeline) withholdIDs(inputs []telemetry.Input) {
	for i := range inputs {
		if !p.isSaved(inputs[i].Signal) {
			inputs[i].Signal = 0
		}
	}
}

func (p *pipeline) isSaved(id telemetry.SignalID) bool {
	saved, _ := p.table.Saved()
	return uint32(id) <= saved.Version
}

func eventItem(e telemetry.Event) (buffer.Item, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return buffer.Item{}, fmt.Errorf("encode event: %w", err)
	}
	return buffer.Item{Format: record.FormatEvent, Payload: payload, Count: 1}, nil
}

// hold sends the events that emit gathered, and has them committed together with
// the rules' state; or the state alone if it is time or the end.
func (p *pipeline) hold(ending bool) {
	if due := p.untilSaved(); len(p.decided) == 0 && due > 0 && (!ending || due == time.Hour) {
		return
	}
	p.send()
}

func (p *pipeline) send() error {
	err := p.events.Hold(p.decided, p.state())
	if err != nil {
		p.log.Error("events can't be sent", "count", len(p.decided), "error", err)
	}
	p.decided, p.saved = nil, time.Now()
	return err
}

// tellDisk is told when events can't be committed, and when they can again.
func (p *pipeline) tellDisk(err error) {
	p.failing.Store(err != nil)
	if err != nil {
		p.log.Error("events can't be committed; they are sent, kept in memory and tried again", "error", err)
	} else {
		p.log.Info("events are committed again")
	}
}
