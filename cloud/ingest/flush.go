package ingest

import (
	"context"
	"time"

	"github.com/busbar/busbar/cloud/identity"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// flush commits the batch. When it fails nothing of the batch is stored and the
// session is over.
func (s *session) flush(ctx context.Context) error {
	if s.batch.empty() && s.through.IsZero() {
		return nil
	}
	data, err := s.batch.encode(&s.encoder, s.newest, telemetry.MicrosOf(time.Now()))
	if err != nil {
		return err
	}
	started := time.Now()
	if err := s.cfg.Store.Write(ctx, func(t *store.Tx) error { return s.write(t, data) }); err != nil {
		return err
	}
	took := time.Since(started)
	s.ledger.Confirm()
	identity.Report(s.cfg.Logger, s.keys.Confirm())
	for topic, partitions := range s.batch.next {
		if s.offsets[topic] == nil {
			s.offsets[topic] = map[int32]int64{}
		}
		for p, next := range partitions {
			s.offsets[topic][p] = next
		}
	}
	if !s.batch.empty() {
		s.report(took)
	}
	s.through = time.Time{}
	s.announce()
	s.batch.reset()
	if cap(s.samples) > mostSpare {
		s.samples = nil
	}
	s.committed()
	return nil
}

func (s *session) write(t *store.Tx, data encoded) error {
	if s.batch.retakes() || len(s.batch.unparked) > 0 || !s.through.IsZero() {
		// These follow from what this consumer knows, and move no offset.
		if err := t.Hold(Consumer, s.share, s.offsets); err != nil {
			return err
		}
	}
	now := telemetry.MicrosOf(time.Now())
	for _, e := range s.batch.retaken {
		if err := t.EndQuarantine(e.id, e.state, now); err != nil {
			return err
		}
	}
	for topic, partitions := range s.batch.next {
		for p, next := range partitions {
			from, ok := s.offsets[topic][p]
			if !ok {
				from = store.NoOffset
			}
			if err := t.Advance(Consumer, store.Partition{Topic: topic, TopicID: s.topicIDs[topic], Number: p}, from, next); err != nil {
				return err
			}
		}
	}
	if err := s.keys.Save(t); err != nil {
		return err
	}
	for _, b := range s.batch.births {
		if err := t.SaveBirth(b); err != nil {
			return err
		}
	}
	if err := t.SaveLedger(s.ledger); err != nil {
		return err
	}
	for _, c := range data.chunks {
		if err := t.AddChunk(c); err != nil {
			return err
		}
	}
	for _, r := range data.received {
		if err := t.AddReceived(r); err != nil {
			return err
		}
	}
	for bundle, block := range data.latest {
		if err := t.SaveLatest(bundle, block); err != nil {
			return err
		}
	}
	for _, p := range s.batch.parked {
		if err := t.Park(p); err != nil {
			return err
		}
	}
	for _, id := range s.batch.unparked {
		if err := t.Unpark(id); err != nil {
			return err
		}
	}
	for _, q := range s.batch.quarantined {
		if err := t.Quarantine(q); err != nil {
			return err
		}
	}
	for _, r := range s.batch.refused {
		if err := t.CountRefused(*r); err != nil {
			return err
		}
	}
	if !s.through.IsZero() {
		return t.SaveProgress(Consumer, s.share, telemetry.MicrosOf(s.through))
	}
	return nil
}

func (s *session) report(took time.Duration) {
	b := s.batch
	s.stats.update(func(st *Stats) {
		st.Records += b.stats.Records
		st.Births += b.stats.Births
		st.Samples += b.stats.Samples
		st.Duplicates += b.stats.Duplicates
		st.Parked += b.stats.Parked
		st.Unparked += b.stats.Unparked
		st.Merged += b.stats.Merged
		st.LeftOut += b.stats.LeftOut
		st.Retaken += b.stats.Retaken
		st.Gone += b.stats.Gone
		for _, q := range b.quarantined {
			if q.ID == 0 {
				st.Quarantined[q.Reason]++
			}
		}
		for at, more := range b.taken {
			taken := st.Partitions[at]
			taken.add(more.Records, more.Bytes)
			st.Partitions[at] = taken
		}
		st.Flushes++
		st.FlushTime += took
		st.LongestTime = max(st.LongestTime, took)
	})
	if n := len(b.quarantined); n > 0 {
		q := b.quarantined[0]
		s.cfg.Logger.Warn("records quarantined", "count", n, "topic", q.Topic, "partition", q.Partition, "offset", q.Offset,
			"reason", string(q.Reason), "detail", q.Detail)
	}
}

func (s *session) announce() {
	s.changed = s.changed[:0]
	for bundle := range s.batch.newest {
		s.changed = s.newest[bundle].take(s.changed)
	}
	if s.cfg.OnLatest != nil && len(s.changed) > 0 {
		s.cfg.OnLatest(s.changed)
	}
}
