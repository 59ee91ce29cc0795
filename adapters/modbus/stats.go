package modbus

import (
	"sync/atomic"
	"time"
)

type counter = atomic.Uint64

type deviceCounters struct {
	polls, failed, missed, values counter
	lastAnswer                    atomic.Int64 // µs since 1970, 0 before the first
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
	Missed     uint64    // slots that passed while an earlier read of the endpoint went on
	Values     uint64    // samples that carried a value
	LastAnswer time.Time // zero: never
}

type EndpointStats struct {
	Endpoint   string // host:port
	Reconnects uint64 // connections after the first
}

// Stats may be called at any time, from any goroutine.
func (a *Adapter) Stats() Stats {
	var s Stats
	for _, u := range a.units {
		// A poll counts before it counts as failed, so that read in this order
		// there are never more failed polls than polls.
		failed := u.stats.failed.Load()
		d := DeviceStats{
			Device: u.ID,
			Polls:  u.stats.polls.Load(),
			Failed: failed,
			Missed: u.stats.missed.Load(),
			Values: u.stats.values.Load(),
		}
		if at := u.stats.lastAnswer.Load(); at != 0 {
			d.LastAnswer = time.UnixMicro(at)
		}
		s.Devices = append(s.Devices, d)
	}
	for _, e := range a.endpoints {
		s.Endpoints = append(s.Endpoints, EndpointStats{e.address, max(1, e.connects.Load()) - 1})
	}
	return s
}
