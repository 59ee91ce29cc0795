package modbus

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/adapters"
)

type counter = atomic.Uint64

type deviceCounters struct {
	polls, failed, timeouts, missed, late, values, delivered counter
	lastAnswer                                               atomic.Int64 // µs since 1970, 0 before the first
}

// Stats is what the adapter has done since it was made, in configured order. A device
// that was changed goes on counting.
type Stats struct {
	Devices   []adapters.DeviceStats
	Endpoints []EndpointStats
}

type EndpointStats struct {
	Endpoint   string // host:port, or the serial port's path
	Reconnects uint64 // connections after the first
	// Busy is how long exchanges went on, with the silences before them; Used is the
	// part of the time that this took lately, over a minute or so.
	Busy    time.Duration
	Used    float64
	Waiting int // devices and commands whose turn has come, besides the one that has it
}

// Stats may be called at any time, from any goroutine.
func (a *Adapter) Stats() Stats {
	a.mu.Lock()
	units, buses := a.units, a.buses
	a.mu.Unlock()
	var s Stats
	for _, u := range units {
		// A poll counts before it counts as failed, so that read in this order
		// there are never more failed polls than polls.
		timeouts := u.stats.timeouts.Load()
		failed := u.stats.failed.Load()
		d := adapters.DeviceStats{
			Device: u.ID,
			Polls:  u.stats.polls.Load(),
			Failed: failed, Timeouts: timeouts,
			Missed: u.stats.missed.Load(),
			Late:   u.stats.late.Load(),
			Values: u.stats.values.Load(), Delivered: u.stats.delivered.Load(),
		}
		if at := u.stats.lastAnswer.Load(); at != 0 {
			d.LastAnswer = time.UnixMicro(at)
		}
		s.Devices = append(s.Devices, d)
	}
	for _, b := range buses {
		s.Endpoints = append(s.Endpoints, EndpointStats{
			Endpoint:   b.endpoint.Address,
			Reconnects: max(1, b.stats.connects.Load()) - 1,
			Busy:       time.Duration(b.stats.busy.Load()),
			Used:       b.stats.use.now(time.Now()),
			Waiting:    int(b.stats.waiting.Load() + b.stats.commands.Load()),
		})
	}
	return s
}

// busCounters is what is counted of a bus.
type busCounters struct {
	connects counter
	busy     atomic.Int64 // ns in exchanges, with the silences before them
	use      use
	waiting  atomic.Int64 // units that are due, besides the one that is served
	commands atomic.Int64 // that wait or are carried out
}

// spent counts an exchange.
func (c *busCounters) spent(from, to time.Time) {
	c.busy.Add(int64(to.Sub(from)))
	c.use.spent(from, to)
}

// use is the part of the time that something was in use: a mean in which the past
// loses weight by e in each usedOver.
type use struct {
	mu        sync.Mutex
	began, at time.Time
	part      float64
}

const usedOver = 30 * time.Second

func (u *use) spent(from, to time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.began.IsZero() {
		u.began, u.at = from, from
	}
	if passed := to.Sub(u.at); passed > 0 {
		weight := fading(passed)
		u.part = u.part*weight + float64(to.Sub(from))/float64(passed)*(1-weight)
		u.at = to
	}
}

func (u *use) now(t time.Time) float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !t.After(u.began) || u.began.IsZero() {
		return 0
	}
	return u.part * fading(t.Sub(u.at)) / (1 - fading(t.Sub(u.began)))
}

func fading(passed time.Duration) float64 { return math.Exp(-float64(passed) / float64(usedOver)) }
