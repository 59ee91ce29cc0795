package sparkplug

import (
	"context"
	"slices"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/adapters/sparkplug/host"
	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/telemetry"
)

// found is the series that edge nodes have told of, and their signals. Their readings
// wait until they have some.
type found struct {
	device Device
	names  names
	series []entry        // by the index of the host
	named  map[string]int // which series has a name now
	// pending are those that are to be registered together, at the latest by registerAt.
	pending    []int
	first      time.Time
	registerAt time.Time // zero: none is

	present, past []host.Reading // with their signals
	waiting       []waiting      // for theirs
}

// entry is a series and its signal.
type entry struct {
	host.Series
	signal telemetry.SignalID // 0: it isn't delivered
	known  bool               // signal has been found out
	last   telemetry.Sample
	told   bool
}

type waiting struct {
	host.Reading
	past bool
}

const (
	// quiet is how long it waits for more births before signals are registered, and
	// longestWait how long at most.
	quiet, longestWait = 500 * time.Millisecond, 3 * time.Second
	// maxWaiting bounds the readings that wait; then signals are registered at once.
	maxWaiting = 100_000
)

func newFound(d Device) *found {
	return &found{device: d, names: names{group: len(d.Groups) != 1, taken: map[string]string{}}, named: map[string]int{}}
}

// add takes up a series that is new, or in the place of another one again.
func (f *found) add(now time.Time, i int, s host.Series) {
	for len(f.series) <= i {
		f.series = append(f.series, entry{known: true})
	}
	if !f.series[i].known { // the last one registered is what it is now
		f.pending = slices.DeleteFunc(f.pending, func(k int) bool { return k == i })
	}
	f.series[i] = entry{Series: s}
	if f.device.follows(s) < 0 {
		f.series[i].known = true
		return
	}
	if len(f.pending) == 0 {
		f.first = now
	}
	f.pending = append(f.pending, i)
	f.registerAt = now.Add(min(quiet, longestWait-now.Sub(f.first)))
}

func (f *found) due(now time.Time) bool { return !f.registerAt.IsZero() && !now.Before(f.registerAt) }

func (f *found) crowded() bool { return len(f.waiting) >= maxWaiting }

// take takes readings, of which those of registered signals are ready.
func (f *found) take(present, past []host.Reading) {
	f.sort(present, false)
	f.sort(past, true)
}

func (f *found) sort(readings []host.Reading, past bool) {
	for _, r := range readings {
		e := &f.series[r.Series]
		if !past {
			e.last, e.told = r.Sample, true
		}
		switch {
		case !e.known:
			f.waiting = append(f.waiting, waiting{r, past})
		case e.signal != 0:
			f.ready(r, past)
		}
	}
}

func (f *found) ready(r host.Reading, past bool) {
	r.Signal = f.series[r.Series].signal
	if past {
		f.past = append(f.past, r)
	} else {
		f.present = append(f.present, r)
	}
}

// register has those that are pending get their ids, and their readings be ready. It
// fails only when ctx ends, or where they can't have any now, and then they wait on.
func (f *found) register(ctx context.Context, s *session.Session) error {
	list := make([]host.Series, len(f.pending))
	for j, i := range f.pending {
		list[j] = f.series[i].Series
	}
	names := f.names.assign(list)
	var told []adapters.Found
	var of []int
	for j, i := range f.pending {
		if names[j] == "" {
			f.series[i].known = true
			continue
		}
		told = append(told, signalOf(list[j], names[j], f.device.follows(list[j])))
		of = append(of, i)
	}
	ids, err := s.Register(ctx, told)
	if err != nil {
		return err
	}
	for j, i := range of {
		if before, had := f.named[told[j].Name]; had { // it meant something else
			f.series[before].signal = 0
		}
		f.named[told[j].Name] = i
		f.series[i].signal, f.series[i].known = ids[j], true
	}
	f.pending, f.registerAt = f.pending[:0], time.Time{}
	for _, w := range f.waiting {
		if f.series[w.Series].signal != 0 {
			f.ready(w.Reading, w.past)
		}
	}
	f.waiting = f.waiting[:0]
	return nil
}

// signalOf is a series as a signal.
func signalOf(s host.Series, name string, follow int) adapters.Found {
	f := adapters.Found{
		Name: name, Follow: follow, Unit: adapters.Unit(s.Unit), Kind: telemetry.Gauge, Encoding: "sparkplug " + s.Type.String() + " " + origin(s),
	}
	switch s.Type {
	case payload.Boolean, payload.String, payload.Text, payload.UUID:
		f.Kind, f.Unit = telemetry.State, "1"
	case payload.DateTime:
		f.Unit = "ms"
	}
	return f
}

// latest is what is known of all signals.
func (f *found) latest(now time.Time) session.Result {
	r := session.Result{Received: now}
	for _, e := range f.series {
		if e.signal != 0 && e.told {
			one := e.last
			one.Signal = e.signal
			r.Samples = append(r.Samples, one)
		}
	}
	return r
}
