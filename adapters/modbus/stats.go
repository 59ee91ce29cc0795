package modbus

import (
	"sync/atomic"
	"time"
)

type counter = atomic.Uint64

type deviceCounters struct {
	polls, failed, timeouts, missed, late, values counter
	lastAnswer                                    atomic.Int64 // µs since 1970, 0 before the first
}

// Stats is what the adapter has done since it was made, in configured order.
type Stats struct {
	Devices   []DeviceStats
	Endpoints []EndpointStats
}

type DeviceStats struct {
	Device     string
	Polls      uint64
	Failed     uint64    // polls without any answer
	Timeouts   uint64    // of these, because none came in time
	Missed     uint64    // slots that passed while an earlier read of the endpoint went on
	Late       uint64    // polls that were answered after the next slot had come
	Values     uint64    // samples that carried a value
	LastAnswer time.Time // zero: never
}

type EndpointStats struct {
	Endpoint   string // host:port, or the serial port's path
	Reconnects uint64 // connections after the first
	// Busy is how long exchanges went on, with the silences before them. It tells
	// by how much it grows how far the endpoint is used.
	Busy    time.Duration
	Waiting int // devices and commands whose turn has come, besides the one that has it
}

// Stats may be called at any time, from any goroutine.
func (a *Adapter) Stats() Stats {
	var s Stats
	for _, u := range a.units {
		// A poll counts before it counts as failed, so that read in this order
		// there are never more failed polls than polls.
		timeouts := u.stats.timeouts.Load()
		failed := u.stats.failed.Load()
		d := DeviceStats{
			Device: u.ID,
			Polls:  u.stats.polls.Load(),
			Failed: failed, Timeouts: timeouts,
			Missed: u.stats.missed.Load(),
			Late:   u.stats.late.Load(),
			Values: u.stats.values.Load(),
		}
		if at := u.stats.lastAnswer.Load(); at != 0 {
			d.LastAnswer = time.UnixMicro(at)
		}
		s.Devices = append(s.Devices, d)
	}
	for _, b := range a.buses {
		s.Endpoints = append(s.Endpoints, EndpointStats{
			Endpoint:   b.endpoint.Address,
			Reconnects: max(1, b.stats.connects.Load()) - 1,
			Busy:       time.Duration(b.stats.busy.Load()),
			Waiting:    int(b.stats.waiting.Load() + b.stats.commands.Load()),
		})
	}
	return s
}
