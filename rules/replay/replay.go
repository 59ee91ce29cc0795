// Package replay lets rules take samples that were stored, in the time in which they
// were read, to see which alarms they would have raised.
package replay

import (
	"cmp"
	"slices"
	"time"

	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// Sample is one that was stored, with what its signal was called then.
type Sample struct {
	Device, Name string
	telemetry.Sample
}

// Counts are the samples that were replayed, and those that were left out.
type Counts struct {
	Replayed uint64
	From, To telemetry.Micros // of those; 0 if there are none
	// Unknown are of signals that the model doesn't have. Untimed were taken before the
	// gateway knew the time. Estimated were computed when the buffer was thinned.
	Unknown, Untimed, Estimated uint64
}

// Replay is an Engine that takes what was stored.
type Replay struct {
	engine *rules.Engine
	emit   func(telemetry.Event)
	ids    map[string]map[string]telemetry.SignalID // by device and name
	order  map[string]int                           // of devices
	now    time.Time
	sorted []Sample
	run    []telemetry.Sample
	counts Counts
}

// New begins a replay of an Engine of the model that has taken nothing yet.
func New(engine *rules.Engine, m rules.Model, emit func(telemetry.Event)) *Replay {
	r := &Replay{engine: engine, emit: emit, ids: map[string]map[string]telemetry.SignalID{}, order: map[string]int{}}
	for n, signal := range m.Signals {
		if r.ids[signal.Device] == nil {
			r.ids[signal.Device], r.order[signal.Device] = map[string]telemetry.SignalID{}, n
		}
		r.ids[signal.Device][signal.Name] = signal.ID
	}
	return r
}

// Take replays what was committed together. Its samples may come signal by signal: those
// of a device with one time are one exchange with it, received at once. What is
// committed later has to come later.
func (r *Replay) Take(committed []Sample) {
	r.sorted = r.sorted[:0]
	for _, s := range committed {
		id, known := r.ids[s.Device][s.Name]
		switch {
		case !known:
			r.counts.Unknown++
		case s.Quality.TimeQuality() == telemetry.SinceBoot:
			r.counts.Untimed++
		case s.Quality.Has(telemetry.Estimated):
			r.counts.Estimated++
		default:
			s.Signal = id
			r.sorted = append(r.sorted, s)
		}
	}
	slices.SortStableFunc(r.sorted, func(a, b Sample) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(r.order[a.Device], r.order[b.Device]), cmp.Compare(a.Signal, b.Signal))
	})
	for first := 0; first < len(r.sorted); {
		end := first + 1
		for end < len(r.sorted) && r.sorted[end].Time == r.sorted[first].Time && r.sorted[end].Device == r.sorted[first].Device {
			end++
		}
		r.exchange(r.sorted[first:end])
		first = end
	}
}

// exchange replays one exchange, at its time, or if it is older than what was replayed
// before, at once: then it was received later. Where the clock was set, so is the
// replay's.
func (r *Replay) exchange(samples []Sample) {
	at := samples[0].Time
	if now := at.Time(); now.After(r.now) || samples[0].Quality.Has(telemetry.ClockJumped) {
		r.now = now
	}
	r.pass()
	r.run = r.run[:0]
	for _, s := range samples {
		r.run = append(r.run, s.Sample)
	}
	r.engine.Update(r.now, r.run, r.emit)
	if c := &r.counts; c.Replayed == 0 {
		c.From, c.To = at, at
	} else {
		c.From, c.To = min(c.From, at), max(c.To, at)
	}
	r.counts.Replayed += uint64(len(samples))
}

// pass lets the engine do what time alone brings until now.
func (r *Replay) pass() {
	for due := r.engine.NextDeadline(); !due.IsZero() && !due.After(r.now); due = r.engine.NextDeadline() {
		r.engine.Tick(due, r.emit)
	}
}

// Counts are those until now.
func (r *Replay) Counts() Counts { return r.counts }
