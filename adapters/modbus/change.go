package modbus

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// Change makes the adapter read other devices from now on, also while Run goes on.
// Who stays as it was keeps its schedule, what was learnt of it and its connection,
// and misses no slot. Who has changed begins anew: in its next slot, if its period
// is the same and short. A bus starts with its first unit and ends after its last;
// one whose line has other settings ends and starts.
//
// swap is called once, when those who go or change have delivered their last
// batch, before they and those who come deliver the next. Change waits for polls
// that are under way on their buses, and for swap. On an error, which is that of
// New, or that the adapter has stopped, nothing has changed and swap isn't called.
func (a *Adapter) Change(devices []Device, swap func()) error {
	if err := check(devices); err != nil {
		return err
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	if a.ctx != nil && a.ctx.Err() != nil {
		return errStopped
	}
	l := a.arrange(devices)
	if a.ctx == nil {
		for _, b := range l.buses {
			b.units = l.units[b]
		}
		a.show(l)
		swap()
		return nil
	}
	a.retire(l)
	swap()
	start := time.Now()
	var joining sync.WaitGroup
	for i, b := range l.buses {
		units := l.units[b]
		some := false
		for j, u := range units {
			if l.fresh[u] {
				u.due = l.firstDue(u, start, u.phase(i, len(l.buses), j, len(units)))
				some = true
			}
		}
		switch {
		case b.stop == nil:
			b.units = units
			a.start(b)
		case some:
			joining.Go(func() { b.change(units) })
		}
	}
	joining.Wait()
	a.show(l)
	return nil
}

func (a *Adapter) show(l arrangement) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.buses, a.units = l.buses, l.all
}

// retire takes out everyone who doesn't stay, and returns when they have delivered
// their last batch.
func (a *Adapter) retire(l arrangement) {
	staying := map[*bus][]*unit{}
	for b, units := range l.units {
		for _, u := range units {
			if !l.fresh[u] {
				staying[b] = append(staying[b], u)
			}
		}
	}
	before := map[*bus]int{}
	for _, u := range a.units {
		before[u.bus]++
	}
	var leaving sync.WaitGroup
	for _, b := range a.buses {
		switch _, stays := l.units[b]; {
		case !stays:
			b.stop()
			leaving.Go(func() { <-b.ended })
		case len(staying[b]) < before[b]:
			leaving.Go(func() { b.change(staying[b]) })
		}
	}
	leaving.Wait()
}

// arrangement is who is read through what.
type arrangement struct {
	buses    []*bus
	units    map[*bus][]*unit
	all      []*unit         // as configured
	fresh    map[*unit]bool  // those who aren't polled yet
	replaced map[*unit]*unit // by those that have changed
}

// arrange keeps the buses and units that are the same as before.
func (a *Adapter) arrange(devices []Device) arrangement {
	l := arrangement{units: map[*bus][]*unit{}, fresh: map[*unit]bool{}, replaced: map[*unit]*unit{}}
	buses, units := map[string]*bus{}, map[string]*unit{}
	for _, b := range a.buses {
		buses[b.endpoint.Address] = b
	}
	for _, u := range a.units {
		units[u.ID] = u
	}
	for _, d := range devices {
		e, _ := ParseEndpoint(d.Endpoint)
		b := buses[e.Address]
		if b == nil || b.endpoint != e {
			b = newBus(e)
			buses[e.Address] = b
		}
		if l.units[b] == nil {
			l.buses = append(l.buses, b)
		}
		u := units[d.ID]
		if u == nil || u.bus != b || !d.same(u.Device) {
			was := u
			u = newUnit(newMeter(d, e), a.log)
			u.bus = b
			l.fresh[u] = true
			if was != nil {
				u.stats = was.stats
				l.replaced[u] = was
			}
		}
		l.units[b] = append(l.units[b], u)
		l.all = append(l.all, u)
	}
	return l
}

// same reports whether two devices are the same, at endpoints that are the same.
func (d Device) same(other Device) bool {
	a, b := d.filled(), other.filled()
	a.Endpoint, b.Endpoint = "", "" // there is more than one way to write it
	return reflect.DeepEqual(a, b)
}

// firstDue is when a unit is polled that begins, or begins anew: on the grid that it
// had, if that is soon enough for somebody who waits to see whether it answers, and
// else within a second.
func (l arrangement) firstDue(u *unit, now time.Time, phase time.Duration) time.Time {
	was := l.replaced[u]
	switch {
	case was == nil:
		return now.Add(phase)
	case was.PollEvery != u.PollEvery || u.PollEvery > startSpread:
		return now.Add(phase / (startSpread / time.Second))
	}
	due := now.Add(was.due.Sub(now) % u.PollEvery)
	if due.Before(now) {
		due = due.Add(u.PollEvery)
	}
	return due
}

// change gives the bus other units, unless it ends.
func (b *bus) change(units []*unit) {
	_ = b.between(context.Background(), func() {
		b.units, b.silent = units, 0
		for _, u := range units {
			if u.silent > 0 {
				b.silent++
			}
		}
		b.link.pause = longestPause(units)
	})
}

func longestPause(units []*unit) (pause time.Duration) {
	for _, u := range units {
		pause = max(pause, u.PauseAfterConnect)
	}
	return pause
}

// Last says what a device's last poll brought; nothing, if the device isn't polled. It
// waits for a poll that is under way on its bus.
func (a *Adapter) Last(ctx context.Context, device string) (last adapters.Last) {
	u := a.unit(device)
	if u == nil || !a.running.Load() {
		return adapters.Last{}
	}
	_ = u.bus.between(ctx, func() {
		if u.liveSent.IsZero() {
			return
		}
		last.Polled, last.Quality = true, map[string]telemetry.Quality{}
		for i, s := range u.samples {
			last.Quality[u.Points[i].Name] = s.Quality
		}
		if !u.answered {
			_, last.Cause = u.silence()
		}
	})
	return last
}
