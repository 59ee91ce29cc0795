package ingest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/busbar/busbar/cloud/identity"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// batch is what the next transaction stores.
type batch struct {
	next        map[string]map[int32]int64 // offsets after what the batch holds
	taken       map[Partition]Taken
	chunks      map[chunkKey]*[]telemetry.Sample
	spare       []*[]telemetry.Sample
	spareCap    int            // samples that spare has room for
	held        int            // bytes of payloads
	newest      map[int64]bool // bundles whose newest samples have changed
	births      []record.Birth
	parked      []store.Parked
	unparked    []int64
	quarantined []store.Quarantined
	retaken     []ending
	refused     map[refusedKey]*store.Refused
	stats       Stats
}

// ending is what became of a record that stood in the quarantine.
type ending struct {
	id    int64
	state store.QuarantineState
}

type (
	chunkKey   struct{ bundle, minute int64 }
	refusedKey struct {
		gateway string
		reason  store.Reason
	}
)

func newBatch() *batch {
	return &batch{next: map[string]map[int32]int64{}, taken: map[Partition]Taken{}, chunks: map[chunkKey]*[]telemetry.Sample{}, newest: map[int64]bool{}, refused: map[refusedKey]*store.Refused{}}
}

func (b *batch) empty() bool { return len(b.next) == 0 && len(b.unparked) == 0 && !b.retakes() }

// retakes reports whether the batch ends the quarantine of a record, or prolongs it.
func (b *batch) retakes() bool {
	return len(b.retaken) > 0 || slices.ContainsFunc(b.quarantined, func(q store.Quarantined) bool { return q.ID != 0 })
}

const (
	mostHeld   = 16 << 20 // bytes of payloads that a transaction waits for, give or take a record
	mostChunks = 1 << 14  // that it waits for, give or take a record
	mostSpare  = 1 << 19  // samples that memory is kept for between transactions
)

// full reports whether the batch shouldn't wait for more.
func (b *batch) full(maxSamples int) bool {
	return b.stats.Samples >= uint64(maxSamples) || b.held >= mostHeld || len(b.chunks) >= mostChunks
}

// reset empties the batch and keeps some of its memory.
func (b *batch) reset() {
	for _, samples := range b.chunks {
		if room := cap(*samples); b.spareCap+room <= mostSpare {
			*samples = (*samples)[:0]
			b.spare = append(b.spare, samples)
			b.spareCap += room
		}
	}
	b.held = 0
	clear(b.chunks)
	clear(b.next)
	clear(b.taken)
	clear(b.newest)
	clear(b.refused)
	b.births, b.parked, b.unparked, b.quarantined, b.retaken, b.stats = nil, nil, nil, nil, nil, Stats{}
}

// done notes that a record was dealt with: the offset of one that was read on, or the
// end of its quarantine unless it was set aside again.
func (b *batch) done(a arrival) {
	if a.aside == 0 {
		if b.next[a.Topic] == nil {
			b.next[a.Topic] = map[int32]int64{}
		}
		b.next[a.Topic][a.Partition] = a.Offset + 1
		at := Partition{a.Topic, a.Partition}
		taken := b.taken[at]
		taken.add(1, uint64(len(a.Value)))
		b.taken[at] = taken
		return
	}
	if n := len(b.quarantined); n == 0 || b.quarantined[n-1].ID != a.aside {
		b.retaken = append(b.retaken, ending{a.aside, store.Taken})
		b.stats.Retaken++
	}
}

func (b *batch) park(p store.Parked) {
	// A copy: the record shares its memory with all that were fetched beside it.
	p.Record.Payload = bytes.Clone(p.Record.Payload)
	b.parked = append(b.parked, p)
	b.held += len(p.Record.Payload)
	b.stats.Parked++
}

func (b *batch) quarantine(q store.Quarantined) {
	b.quarantined = append(b.quarantined, q)
	b.held += len(q.Payload)
}

// refuse counts a record, whose signature is worth nothing, for those who are
// alarmed.
func (b *batch) refuse(why identity.Refusal, now telemetry.Micros) {
	key := refusedKey{why.Gateway, why.Reason}
	if b.refused[key] == nil {
		b.refused[key] = &store.Refused{Gateway: why.Gateway, Reason: why.Reason}
	}
	count := b.refused[key]
	count.Records++
	count.Last, count.Detail = now, why.Detail
}

func (b *batch) chunk(key chunkKey) *[]telemetry.Sample {
	samples := b.chunks[key]
	if samples == nil {
		if n := len(b.spare); n > 0 {
			samples, b.spare = b.spare[n-1], b.spare[:n-1]
			b.spareCap -= cap(*samples)
		} else {
			samples = new([]telemetry.Sample)
		}
		b.chunks[key] = samples
	}
	return samples
}

// encoded is a batch's samples as the store keeps them.
type encoded struct {
	chunks   []store.Chunk
	latest   map[int64][]byte
	received []store.Received
}

// LateAfter is by how much a sample's time lies before the instant at which it
// is stored if it counts as late, in µs: twice the longest time that a gateway
// may leave between two commits. What waits for the log, or for its signal
// table, is late by it, and so is what a device stamped in the past.
const LateAfter = 2 * 60 * 1_000_000

type quarterKey struct{ bundle, quarter int64 }

// encode makes what is stored at the instant now.
func (b *batch) encode(enc *telemetry.Encoder, newest newestSamples, now telemetry.Micros) (encoded, error) {
	out := encoded{latest: make(map[int64][]byte, len(b.newest))}
	received := map[quarterKey]int{} // indexes of out.received
	keys := make([]chunkKey, 0, len(b.chunks))
	for key := range b.chunks {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(x, y chunkKey) int {
		return cmp.Or(cmp.Compare(x.minute, y.minute), cmp.Compare(x.bundle, y.bundle))
	})
	for _, key := range keys {
		samples := *b.chunks[key]
		for len(samples) > 0 {
			n := min(len(samples), telemetry.MaxBlockSamples)
			c := store.Chunk{Bundle: key.bundle, Minute: key.minute, First: samples[0].Time, Last: samples[0].Time, Samples: n}
			late, estimates := 0, 0
			for _, s := range samples[:n] {
				c.First, c.Last = min(c.First, s.Time), max(c.Last, s.Time)
				if s.Time < now-LateAfter {
					late++
				}
				if s.Quality.Has(telemetry.Estimated) {
					estimates++
				}
			}
			quarter := quarterKey{key.bundle, store.QuarterNumber(samples[0].Time)}
			at, ok := received[quarter]
			if !ok {
				at = len(out.received)
				received[quarter] = at
				out.received = append(out.received, store.Received{Quarter: quarter.quarter, Bundle: key.bundle})
			}
			out.received[at].Samples += n
			out.received[at].Late += late
			out.received[at].Estimates += estimates
			var err error
			if c.Block, err = enc.AppendBlock(nil, telemetry.TableRef{}, samples[:n]); err != nil {
				return encoded{}, fmt.Errorf("ingest: encode a chunk of bundle %d: %w", key.bundle, err)
			}
			out.chunks = append(out.chunks, c)
			samples = samples[n:]
		}
	}
	for bundle := range b.newest {
		block, err := enc.AppendBlock(nil, telemetry.TableRef{}, newest[bundle].samples)
		if err != nil {
			return encoded{}, fmt.Errorf("ingest: encode the newest samples of bundle %d: %w", bundle, err)
		}
		out.latest[bundle] = block
	}
	return out, nil
}

// newestSamples is the newest sample of each series, by bundle.
type newestSamples map[int64]*newestOfBundle

type newestOfBundle struct {
	samples []telemetry.Sample // by series
	changed []bool             // since the last commit
}

// update takes s if it isn't older than what is known of its series. A known
// sample from the future doesn't stand in the way: its clock was wrong.
func (n *newestOfBundle) update(s telemetry.Sample, now telemetry.Micros) bool {
	at, found := slices.BinarySearchFunc(n.samples, s.Signal, func(k telemetry.Sample, id telemetry.SignalID) int { return cmp.Compare(k.Signal, id) })
	if !found {
		n.samples = slices.Insert(n.samples, at, s)
		n.changed = slices.Insert(n.changed, at, true)
		return true
	}
	if known := n.samples[at].Time; s.Time < known && known <= now {
		return false
	}
	n.samples[at], n.changed[at] = s, true
	return true
}

// take returns the samples that have changed since it was called last.
func (n *newestOfBundle) take(to []telemetry.Sample) []telemetry.Sample {
	for i, changed := range n.changed {
		if changed {
			to = append(to, n.samples[i])
			n.changed[i] = false
		}
	}
	return to
}
