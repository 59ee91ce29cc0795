package headend

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// counters are what Stats shows.
type counters struct {
	fresh, same, corrected, older, aside atomic.Int64
	lag                                  atomic.Int64
}

// Stats counts since the Runner was made.
type Stats struct {
	store.ImportCounts
	Lag int64 // records in the topic that haven't been taken
}

// Stats may be called at any time.
func (r *Runner) Stats() Stats {
	c := &r.counters
	return Stats{store.ImportCounts{Fresh: c.fresh.Load(), Same: c.same.Load(), Corrected: c.corrected.Load(), Older: c.older.Load(), Aside: c.aside.Load()}, c.lag.Load()}
}

// flush commits the batch. When it fails nothing of the batch is stored and the session is
// over.
func (s *session) flush(ctx context.Context) error {
	if len(s.next) == 0 {
		return nil
	}
	chunks, received, err := s.chunks()
	if err != nil {
		return err
	}
	latest, err := s.latest(ctx)
	if err != nil {
		return err
	}
	now := telemetry.MicrosOf(time.Now())
	var told store.ImportCounts
	err = s.cfg.Store.Write(ctx, func(t *store.Tx) error {
		if err := s.advance(t); err != nil {
			return err
		}
		if err := s.writeReads(t, chunks, received, latest); err != nil {
			return err
		}
		told, err = s.writeEvents(t, now)
		if err != nil {
			return err
		}
		return s.writeRuns(t, now)
	})
	if err != nil {
		return err
	}
	maps.Copy(s.offsets, s.next)
	maps.Copy(s.begun, s.partly)
	total := s.counts
	for _, r := range s.runs {
		total.Add(r.ImportCounts)
	}
	total.Add(told)
	c := &s.Runner.counters
	c.fresh.Add(total.Fresh)
	c.same.Add(total.Same)
	c.corrected.Add(total.Corrected)
	c.older.Add(total.Older)
	c.aside.Add(total.Aside)
	if n := len(s.aside); n > 0 {
		s.cfg.Logger.Warn("rows set aside", "count", n, "headend", s.aside[0].HeadEnd, "at", s.aside[0].Place, "cause", s.aside[0].Cause)
	}
	s.batch = newBatch()
	return nil
}

func (s *session) advance(t *store.Tx) error {
	for p, next := range s.next {
		from, ok := s.offsets[p]
		if !ok {
			from = store.NoOffset
		}
		if err := t.Advance(Consumer, store.Partition{Topic: s.cfg.Topics.Import(), TopicID: s.topicID, Number: p}, from, next); err != nil {
			return err
		}
		// What moves within a record keeps others from it, as offsets do.
		at, begun := s.begun[p]
		if !begun {
			at = store.NoOffset
		}
		if err := t.Advance(consumerRows, store.Partition{Topic: s.cfg.Topics.Import(), Number: p}, at, s.partly[p]); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) writeReads(t *store.Tx, chunks []store.Chunk, received []store.Received, latest map[int64][]byte) error {
	for _, c := range chunks {
		if err := t.AddChunk(c); err != nil {
			return err
		}
	}
	for _, r := range received {
		if err := t.AddReceived(r); err != nil {
			return err
		}
	}
	for bundle, block := range latest {
		if err := t.SaveLatest(bundle, block); err != nil {
			return err
		}
	}
	for key, d := range s.days {
		if d.changed {
			if err := t.SaveReadDay(key, d.asStored(), &s.encoder); err != nil {
				return err
			}
		}
	}
	for of, first := range s.intervals {
		if err := t.SaveInterval(of.Place, of.width, first); err != nil {
			return err
		}
	}
	for h, at := range s.corrected {
		if err := s.packer.Correct(t, h.bundle, h.hour, at); err != nil {
			return err
		}
	}
	return nil
}

// latest is the newest sample of each series of the bundles that have a newer one.
func (s *session) latest(ctx context.Context) (map[int64][]byte, error) {
	blocks := map[int64][]byte{}
	changed := map[int64]bool{}
	for key, d := range s.days {
		if !d.changed {
			continue
		}
		have, known := s.newest[key.Bundle]
		if !known {
			var err error
			if have, err = s.cfg.Store.Latest(ctx, key.Bundle); err != nil {
				return nil, err
			}
		}
		for _, e := range d.reads {
			if !e.changed {
				continue
			}
			at, found := slices.BinarySearchFunc(have, e.sample.Signal, func(k telemetry.Sample, id telemetry.SignalID) int { return cmp.Compare(k.Signal, id) })
			switch {
			case !found:
				have = slices.Insert(have, at, e.sample)
			case have[at].Time > e.sample.Time:
				continue
			default:
				have[at] = e.sample
			}
			changed[key.Bundle] = true
		}
		s.newest[key.Bundle] = have
	}
	for bundle := range changed {
		block, err := s.encoder.AppendBlock(nil, telemetry.TableRef{}, s.newest[bundle])
		if err != nil {
			return nil, fmt.Errorf("headend: encode the newest reads of bundle %d: %w", bundle, err)
		}
		blocks[bundle] = block
	}
	return blocks, nil
}

func (s *session) writeRuns(t *store.Tx, now telemetry.Micros) error {
	for _, key := range slices.SortedFunc(maps.Keys(s.runs), func(a, b importKey) int { return cmp.Compare(a.began, b.began) }) {
		r := s.runs[key]
		if err := t.SaveImportRun(r.ImportRun, r.begins); err != nil {
			return err
		}
	}
	for _, a := range s.aside {
		a.At = now
		if err := t.SetAside(a); err != nil {
			return err
		}
	}
	return nil
}

// writeEvents keeps events, those of a meter in their order, and what they say of supply. It
// returns the counts of what is of no run.
func (s *session) writeEvents(t *store.Tx, now telemetry.Micros) (counts store.ImportCounts, err error) {
	slices.SortStableFunc(s.events, func(a, b event) int { return cmp.Compare(a.row.Event.At, b.row.Event.At) })
	known, err := t.HasGrid()
	if err != nil {
		return counts, err
	}
	for _, e := range s.events {
		v := e.row.Event
		if e.point == "" {
			if e.point, err = t.MeterPoint(e.from.headend.ID, v.Meter); err != nil {
				return counts, err
			}
		}
		fresh, err := t.AddMeterEvent(store.MeterEvent{HeadEnd: e.from.headend.ID, Meter: v.Meter, At: v.At, Code: v.Code, Number: v.Number,
			Kind: string(v.Kind), Asset: e.point, Words: v.Words}, now)
		if err != nil {
			return counts, err
		}
		to := &counts
		if e.from.run.ID != "" {
			to = &s.importOf(e.from).ImportCounts
		}
		if !fresh {
			to.Same++
			continue
		}
		to.Fresh++
		if known && e.point != "" {
			if err := noteEvidence(t, e); err != nil {
				return counts, err
			}
		}
	}
	return counts, nil
}

// noteEvidence keeps what an event says of supply: now if it was of now when it was written
// into the log, and else what the meter noted of an interruption that is over, which begins no
// outage.
func noteEvidence(t *store.Tx, e event) error {
	v := e.row.Event
	said := outage.Evidence{Asset: e.point, Arrival: int64(e.from.written), Source: int64(v.At)}
	current := v.At >= e.from.written-telemetry.Micros(e.from.headend.Fresh.Microseconds())
	switch {
	case v.Kind == PowerFail && current:
		said.Kind = outage.LastGasp
	case v.Kind == PowerRestore && current:
		said.Kind = outage.PowerUp
	case v.Kind == PowerRestore, v.Kind == PowerFail:
		look, other := t.LastMeterEvent, PowerFail
		if v.Kind == PowerFail {
			look, other = t.NextMeterEvent, PowerRestore
		}
		kind, at, err := look(e.from.headend.ID, v.Meter, v.At, [2]string{string(PowerFail), string(PowerRestore)})
		if errors.Is(err, sql.ErrNoRows) || err == nil && kind != string(other) {
			return nil
		}
		if err != nil {
			return err
		}
		said.Kind, said.Since, said.Source = outage.Interrupted, int64(min(at, v.At)), int64(max(at, v.At))
	default:
		return nil
	}
	// A head-end says nothing of the meters that it doesn't hear, as a gateway does that
	// polls its own: so none stands behind the meter.
	stands := outage.Evidence{Kind: outage.Meter, Asset: e.point, PoweredBy: "measured", Arrival: said.Arrival, Source: said.Source}
	for _, one := range []outage.Evidence{stands, said} {
		if err := evidence.Note(t, evidence.Observation{Evidence: one, Device: v.Meter, Rule: string(v.Kind), Comment: e.from.headend.ID}); err != nil {
			return err
		}
	}
	return nil
}
