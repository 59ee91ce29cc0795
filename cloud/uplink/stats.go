package uplink

import "sync/atomic"

// Stats counts what the uplink has done since it was made.
type Stats struct {
	Records   uint64 // written to the log and acknowledged
	Bytes     uint64 // of requests that were let in
	Refused   uint64 // requests
	Throttled uint64 // requests of gateways that sent too much
}

type counters struct{ records, bytes, refused, throttled atomic.Uint64 }

// Stats may be called at any time.
func (u *Uplink) Stats() Stats {
	return Stats{u.stats.records.Load(), u.stats.bytes.Load(), u.stats.refused.Load(), u.stats.throttled.Load()}
}
