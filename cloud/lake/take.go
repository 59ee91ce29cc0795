package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Why a record isn't taken, beside the reasons of signatures.
const (
	badHeaders   = "bad-headers"
	corruptBlock = "corrupt-block"
	corruptBirth = "corrupt-birth"
)

// take takes a record. The error is the database's that knows the keys, or of the spool.
func (s *session) take(ctx context.Context, r *kgo.Record) error {
	s.count(func(st *Stats) { st.Records++ })
	rec, err := record.ParseHeaders(log.Headers(r), r.Value)
	if err != nil && !errors.Is(err, record.ErrSeal) {
		s.refuse(r, badHeaders, err)
		s.move(r.Topic, r.Partition, r.Offset+1)
		return nil
	}
	refusal, err := s.keys.Record(ctx, rec, err)
	if err != nil {
		return err
	}
	thinned := rec.Format == record.FormatThinned
	switch {
	case refusal != nil:
		s.refuse(r, string(refusal.Reason), refusal.Detail)
	case rec.Stream != record.Telemetry || rec.Format != record.FormatBlock && !thinned || rec.Last > math.MaxInt64:
		s.refuse(r, badHeaders, fmt.Errorf("record %s of format %q is no telemetry", rec.Identity, rec.Format))
	default:
		if err := s.add(r, rec, true); err != nil {
			return err
		}
	}
	s.move(r.Topic, r.Partition, r.Offset+1)
	return nil
}

// add adds the samples of a record that its gateway has written, if they weren't received. It
// parks the record if it may and its signals aren't all known.
func (s *session) add(r *kgo.Record, rec record.Record, park bool) error {
	epoch := rec.Epoch.String()
	numbers := store.Interval{First: rec.First, Last: rec.Last}
	thinned := rec.Format == record.FormatThinned
	if s.state.has(rec.Gateway, epoch, numbers, thinned) {
		s.count(func(st *Stats) { st.Duplicates++ })
		return nil
	}
	table, samples, err := s.decoder.Block(rec.Payload, s.samples)
	if err != nil {
		s.refuse(r, corruptBlock, err)
		return nil
	}
	s.samples = samples
	switch {
	case uint64(len(samples)) != rec.Count() && !thinned:
		s.refuse(r, corruptBlock, fmt.Errorf("record %s holds %d samples", rec.Identity, len(samples)))
		return nil
	case !s.fewMinutes(samples):
		s.refuse(r, corruptBlock, fmt.Errorf("record %s is spread over more than %d minutes", rec.Identity, record.MaxMinutes))
		return nil
	}
	key := tableKey{rec.Gateway, table.Table}
	known := s.signals[key]
	if !s.names(known, samples) {
		if park && s.park(r, rec) {
			return nil
		}
		s.count(func(st *Stats) { st.Nameless++ })
	}
	from := &source{epoch, rec.First, rec.Last, s.state.Received[rec.Gateway][epoch].Overlaps(numbers)}
	if from.overlap {
		s.count(func(st *Stats) { st.Overlaps++ })
	}
	s.spool.add(from, samples, func(id telemetry.SignalID) *series {
		if of := known[id]; of != nil {
			return of
		}
		nameless := namelessKey{key, id}
		of := s.spool.nameless[nameless]
		if of == nil {
			of = &series{gateway: rec.Gateway, table: record.Epoch(table.Table).String(), signal: telemetry.Signal{ID: id}}
			s.spool.nameless[nameless] = of
		}
		return of
	})
	s.state.receive(rec.Gateway, epoch, numbers, thinned)
	if len(s.spool.rows) >= s.cfg.MaxRows {
		return s.spool.flush()
	}
	return nil
}

func (s *session) names(known map[telemetry.SignalID]*series, samples []telemetry.Sample) bool {
	for i, sample := range samples {
		if i > 0 && sample.Signal == samples[i-1].Signal {
			continue
		}
		if of := known[sample.Signal]; of == nil || of.signal.Name == "" {
			return false
		}
	}
	return true
}

// fewMinutes says whether a block is of few enough minutes, and so of few days.
func (s *session) fewMinutes(samples []telemetry.Sample) bool {
	clear(s.minutes)
	for _, sample := range samples {
		s.minutes[sample.Time/60_000_000] = true
	}
	return len(s.minutes) <= record.MaxMinutes
}

// parked is a record that waits for its signal table.
type parked struct {
	topic     string
	partition int32
	offset    int64
	record    record.Record
	since     time.Time
}

// Records that wait are held in memory: at most so many, and of so many bytes.
const (
	mostParked      = 10_000
	mostParkedBytes = 32 << 20
)

func (s *session) park(r *kgo.Record, rec record.Record) bool {
	if len(s.parked) >= mostParked || s.held+len(rec.Payload) > mostParkedBytes {
		return false
	}
	// A copy: the record shares its memory with all that were fetched beside it.
	rec.Payload = bytes.Clone(rec.Payload)
	s.parked = append(s.parked, parked{r.Topic, r.Partition, r.Offset, rec, time.Now()})
	s.held += len(rec.Payload)
	return true
}

// unpark adds the records that waited and whose tables have come, and, without names, those
// that have waited for long enough: a table that never comes is to hold up nothing. It stops
// when a commit is due.
func (s *session) unpark() error {
	s.looked = time.Now()
	waiting := s.parked
	s.parked, s.held = nil, 0
	for i, p := range waiting {
		before := len(s.parked)
		r := &kgo.Record{Topic: p.topic, Partition: p.partition, Offset: p.offset}
		if err := s.add(r, p.record, time.Since(p.since) < s.cfg.ParkFor); err != nil {
			s.parkAgain(waiting[i:])
			return err
		}
		if len(s.parked) > before {
			s.parked[before] = p // it has waited since then
		} else {
			s.moved = true
		}
		if len(s.spool.days) >= mostDays {
			s.looked = time.Time{}
			s.parkAgain(waiting[i+1:])
			return nil
		}
	}
	return nil
}

func (s *session) parkAgain(list []parked) {
	s.parked = append(s.parked, list...)
	for _, p := range list {
		s.held += len(p.record.Payload)
	}
}

// drainParked adds all that waits, as the log can't be relied on to give it again.
func (s *session) drainParked(ctx context.Context) error {
	waiting := s.parked
	s.parked, s.held = nil, 0
	for i, p := range waiting {
		r := &kgo.Record{Topic: p.topic, Partition: p.partition, Offset: p.offset}
		err := s.add(r, p.record, false)
		if err == nil {
			s.moved = true
			if len(s.spool.days) >= mostDays {
				s.parkAgain(waiting[i+1:])
				err = s.commit(ctx)
				s.parked, s.held = nil, 0
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeBirths learns what signals are called.
func (s *session) takeBirths(ctx context.Context, records []*kgo.Record) error {
	for _, r := range records {
		if r.Value == nil {
			continue
		}
		b, err := record.ParseBirth(r.Key, r.Value)
		if err != nil {
			s.refuse(r, corruptBirth, err)
			continue
		}
		refusal, err := s.keys.Birth(ctx, b.Gateway, log.Headers(r), r.Key, r.Value)
		if err != nil {
			return err
		}
		if refusal != nil {
			s.refuse(r, string(refusal.Reason), refusal.Detail)
			continue
		}
		key := tableKey{b.Gateway, b.TableID()}
		if s.signals[key] == nil {
			s.signals[key] = map[telemetry.SignalID]*series{}
		}
		for _, signal := range b.Signals {
			signal.States, signal.Flags = nil, nil
			if of := s.signals[key][signal.ID]; of == nil || of.signal.Name == "" { // an id never means anything else
				s.signals[key][signal.ID] = &series{gateway: b.Gateway, table: b.Table, signal: signal}
			}
		}
	}
	return nil
}
