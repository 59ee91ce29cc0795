package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

// expectation is what a device has to do again that did it before.
type expectation struct {
	device  string
	signals []string // that had values, and are still configured
	polls   uint64   // that must bring values
	before  uint64   // that had brought some
}

const (
	// enoughPolls is how many polls have to bring values, if the wait is long enough.
	enoughPolls = 3
	// watchEvery is how often it is looked whether they did.
	watchEvery = 200 * time.Millisecond
	// firstPoll is how long the first poll of a device is waited for.
	firstPoll = 12 * time.Second
	// mostCauses bounds the devices that are named.
	mostCauses = 20
)

// expected is what the devices have to do again that have delivered values in their
// last poll and are still configured. Who is the same and isn't due within the wait
// has nothing to do.
func (g *Gateway) expected(ctx context.Context, p *pending, wait time.Duration) []expectation {
	changed := map[string]bool{}
	for _, c := range p.changes {
		if device, is := strings.CutPrefix(c.What, "device "); is {
			changed[device] = true
		}
	}
	before := map[string]bool{}
	for _, d := range p.was.config.Devices {
		before[d.ID] = true
	}
	var mu sync.Mutex
	var list []expectation
	var asking sync.WaitGroup
	for _, d := range p.to.config.Devices {
		var polls uint64 // of a device that says by itself what changes, its values are enough
		if !d.ByChange() {
			polls = uint64(min(max(0, wait/time.Duration(d.PollEvery)-1), enoughPolls)) // the first may be due after a whole period
			if changed[d.ID] {
				polls = max(polls, 1)
			}
		}
		if !before[d.ID] || polls == 0 && !(d.ByChange() && changed[d.ID]) {
			continue
		}
		asking.Go(func() {
			e := expectation{device: d.ID, polls: polls}
			good := false
			for name, q := range g.lastPoll(ctx, d.ID).Quality {
				if q.Validity() == telemetry.Bad {
					continue
				}
				good = true
				if slices.ContainsFunc(d.Signals, func(s gatewayconfig.Signal) bool { return s.Name == name }) {
					e.signals = append(e.signals, name)
				}
			}
			if good {
				slices.Sort(e.signals)
				mu.Lock()
				defer mu.Unlock()
				list = append(list, e)
			}
		})
	}
	asking.Wait()
	slices.SortFunc(list, func(a, b expectation) int { return strings.Compare(a.device, b.device) })
	return list
}

// lastPoll is what a device's last poll brought. It waits for the first one of a device
// that has only just been configured as it is.
func (g *Gateway) lastPoll(ctx context.Context, device string) (last adapters.Last) {
	ctx, cancel := context.WithTimeout(ctx, firstPoll)
	defer cancel()
	for {
		if last = g.field.last(ctx, device); last.Polled {
			return last
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(watchEvery):
		}
	}
}

// watch returns when all that is expected has come and was committed, or says after a
// while who has failed and why. It returns nil if ctx ends.
func (g *Gateway) watch(ctx context.Context, expected []expectation, wait time.Duration) (causes []string) {
	polls := g.deliveries()
	for i := range expected {
		expected[i].before = polls[expected[i].device]
	}
	committed, read := g.buffer.Telemetry.Stats().Committed, g.pipeline.read()
	limit := time.NewTimer(wait)
	defer limit.Stop()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-limit.C:
			return g.failures(ctx, expected)
		case <-ticker.C:
		}
		polls = g.deliveries()
		expected = slices.DeleteFunc(expected, func(e expectation) bool {
			return polls[e.device]-e.before >= e.polls && len(e.missing(g.field.last(ctx, e.device).Quality)) == 0
		})
		if len(expected) > 0 {
			continue
		}
		failing := g.pipeline.failing.Load() || g.pipeline.writer.Failing()
		if !failing && (g.buffer.Telemetry.Stats().Committed > committed || g.pipeline.read() == read) {
			return nil
		}
		g.pipeline.writer.Hurry()
	}
}

// deliveries is how many polls have brought values, by device.
func (g *Gateway) deliveries() map[string]uint64 {
	polls := map[string]uint64{}
	for _, d := range g.field.stats() {
		polls[d.Device] = d.Delivered
	}
	return polls
}

// read is how many samples went to the buffer.
func (p *pipeline) read() uint64 { return p.good.Load() + p.bad.Load() - p.leftOut.Load() }

// missing are the signals without a value.
func (e expectation) missing(now map[string]telemetry.Quality) []string {
	return slices.DeleteFunc(slices.Clone(e.signals), func(name string) bool {
		q, read := now[name]
		return read && q.Validity() != telemetry.Bad
	})
}

// failures says who hasn't done what was expected.
func (g *Gateway) failures(ctx context.Context, expected []expectation) (causes []string) {
	if len(expected) == 0 {
		return []string{"the buffer can't be written"}
	}
	polls := g.deliveries()
	for i, e := range expected {
		if i == mostCauses {
			return append(causes, fmt.Sprintf("and %d more", len(expected)-i))
		}
		last := g.field.last(ctx, e.device)
		missing := e.missing(last.Quality)
		cause := ""
		switch {
		case last.Cause != nil:
			cause = fmt.Sprintf("device %s doesn't answer: %v", e.device, last.Cause)
		case !last.Polled:
			cause = fmt.Sprintf("device %s couldn't be asked", e.device)
		case len(missing) > 0:
			cause = fmt.Sprintf("device %s: %s was good and is %s", e.device, missing[0], last.Quality[missing[0]])
			if n := len(missing) - 1; n > 0 {
				cause += fmt.Sprintf(", as are %d more", n)
			}
		default:
			cause = fmt.Sprintf("device %s delivered in %d polls, expected %d", e.device, polls[e.device]-e.before, e.polls)
		}
		causes = append(causes, cause)
	}
	return causes
}

// silentNew says which of the devices that came haven't delivered yet.
func (g *Gateway) silentNew(ctx context.Context, p *pending) (notes []string) {
	ctx, cancel := context.WithTimeout(ctx, firstPoll)
	defer cancel()
	for _, c := range p.changes {
		device, is := strings.CutPrefix(c.What, "device ")
		if !is || c.Key != "" || c.To != "added" {
			continue
		}
		last := g.field.last(ctx, device)
		switch {
		case len(notes) == mostCauses:
			return notes
		case last.Cause != nil:
			notes = append(notes, fmt.Sprintf("device %s is new and doesn't answer: %v", device, last.Cause))
		case !last.Polled:
			notes = append(notes, fmt.Sprintf("device %s is new and hasn't been read yet", device))
		}
	}
	return notes
}
