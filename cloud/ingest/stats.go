package ingest

import (
	"maps"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/store"
)

// Stats counts since the Runner was made. It counts what has been committed,
// except for Lags, Lag, Backlog, Through and Current.
type Stats struct {
	Records     uint64 // blocks read from the log, whatever became of them
	Births      uint64 // parts of signal tables
	Samples     uint64 // stored
	Duplicates  uint64 // records that came again
	Parked      uint64 // records whose births hadn't come
	Unparked    uint64 // parked records that were stored since
	Merged      uint64 // records of which some samples may have been stored before
	LeftOut     uint64 // samples of these that were
	Quarantined map[store.Reason]uint64
	Retaken     uint64 // records that were taken out of the quarantine
	Gone        uint64 // records in the quarantine that the log didn't have any more
	Flushes     uint64
	FlushTime   time.Duration // spent in transactions, in total
	LongestTime time.Duration // the longest of them
	Partitions  map[Partition]Taken
	Lags        map[Partition]int64 // records of each partition that is read that haven't been read
	Lag         int64               // records of current telemetry and births in the log that haven't been read
	Backlog     int64               // records of backfill in the log that haven't been read
	// Through is an instant up to which all current telemetry in the log is committed.
	Through time.Time
	// Current is when the log could last be read and all that was read had been
	// committed.
	Current time.Time
}

// Partition is one of a topic's.
type Partition struct {
	Topic  string
	Number int32
}

// Taken is what was read of a partition, whatever became of it.
type Taken struct {
	Records uint64
	Bytes   uint64 // of their values
}

func (t *Taken) add(records, bytes uint64) {
	t.Records += records
	t.Bytes += bytes
}

type counters struct {
	mu sync.Mutex
	Stats
}

func (c *counters) update(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.Stats)
}

func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.Stats
	s.Quarantined = maps.Clone(s.Quarantined)
	s.Partitions, s.Lags = maps.Clone(s.Partitions), maps.Clone(s.Lags)
	return s
}
