package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/busbar/busbar/cloud/identity"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/retake"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/twmb/franz-go/pkg/kgo"
)

// session is what one run of the consumer knows. All of it follows from the
// database at the session's offsets, so it is dropped when a transaction fails.
type session struct {
	*Runner
	share   store.Share
	offsets map[string]map[int32]int64 // of the share, committed
	ledger  *store.Ledger
	keys    *identity.Keys
	tables  map[tableKey]map[telemetry.SignalID]store.Place
	tried   map[tableKey]int // how many signals of it were named when unparkAll looked last
	newest  newestSamples
	batch   *batch

	refused int // records in the quarantine for what their signatures are worth, about

	topicIDs  map[string]string
	committed func()    // called after each transaction
	abreast   bool      // the backfill in hand was read when none lay before it
	through   time.Time // up to when all that was in the log is committed with the batch; zero: others needn't know

	decoder telemetry.Decoder
	encoder telemetry.Encoder
	samples []telemetry.Sample // of the record in hand
	changed []telemetry.Sample // of the batch just committed
	minutes map[int64]bool     // of the record in hand
}

type tableKey struct {
	gateway string
	table   uint64
}

func newSession(r *Runner, offsets map[string]map[int32]int64) *session {
	return &session{Runner: r, offsets: offsets, ledger: r.cfg.Store.NewLedger(), keys: identity.NewKeys(r.cfg.Store), batch: newBatch(),
		tables: map[tableKey]map[telemetry.SignalID]store.Place{}, tried: map[tableKey]int{}, newest: newestSamples{},
		topicIDs: map[string]string{}, committed: func() {}, minutes: map[int64]bool{}}
}

// arrival is a record that was read on, or again: aside is then its row in the
// quarantine, and why it was put there.
type arrival struct {
	*kgo.Record
	aside int64
	was   store.Reason
}

func (s *session) take(ctx context.Context, records []*kgo.Record) error {
	arrivals := make([]arrival, len(records))
	for i, r := range records {
		arrivals[i].Record = r
	}
	return s.takeAll(ctx, arrivals)
}

// retake takes records again. Those that the log has lost are noted as such.
func (s *session) retake(ctx context.Context, again []retake.Again) error {
	var arrivals []arrival
	for _, a := range again {
		if a.Record == nil {
			s.batch.retaken = append(s.batch.retaken, ending{a.Aside.ID, store.Gone})
			s.batch.stats.Gone++
			continue
		}
		arrivals = append(arrivals, arrival{a.Record, a.Aside.ID, a.Aside.Reason})
	}
	return s.takeAll(ctx, arrivals)
}

// takeAll adds records to the batch and commits it whenever it is full: what a few
// small blocks decode to may be large. Births come first and in a transaction of
// their own, so that the blocks beside them find their series.
func (s *session) takeAll(ctx context.Context, records []arrival) error {
	var births []arrival
	for _, r := range records {
		if r.Topic == s.cfg.Topics.Births() {
			births = append(births, r)
		}
	}
	if len(births) > 0 {
		if err := s.takeBirths(ctx, births); err != nil {
			return err
		}
	}
	for _, r := range records {
		if r.Topic == s.cfg.Topics.Births() {
			continue
		}
		s.batch.stats.Records++
		if err := s.takeBlock(ctx, r); err != nil {
			return err
		}
		s.batch.done(r)
		if s.batch.full(s.cfg.MaxSamples) {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) takeBlock(ctx context.Context, r arrival) error {
	rec, err := record.ParseHeaders(log.Headers(r.Record), r.Value)
	thinned := rec.Format == record.FormatThinned
	if err != nil && !errors.Is(err, record.ErrSeal) {
		s.quarantine(r, claim{gateway: record.KeyGateway(r.Key)}, store.BadHeaders, err)
		return nil
	}
	refusal, err := s.keys.Record(ctx, rec, err)
	if err != nil {
		return err
	}
	of := claim{rec.Gateway, rec.KeyID, refusal == nil}
	switch {
	case refusal != nil:
		s.refuse(r, of, *refusal)
		return nil
	case rec.Stream != record.Telemetry || rec.Format != record.FormatBlock && !thinned || rec.Last > math.MaxInt64:
		s.quarantine(r, of, store.BadHeaders, fmt.Errorf("record %s of format %q is no telemetry", rec.Identity, rec.Format))
		return nil
	}
	sum := rec.Checksum()
	verdict, err := s.ledger.Judge(ctx, rec.Identity, sum, thinned)
	if err != nil {
		return err
	}
	now := telemetry.MicrosOf(time.Now())
	switch verdict {
	case store.Duplicate:
		s.batch.stats.Duplicates++
	case store.Conflict:
		s.quarantine(r, of, store.IdentityConflict, fmt.Errorf("record %s contradicts what was received before", rec.Identity))
	case store.New, store.Merge:
		if verdict == store.Merge {
			// What is stored is looked for in the database.
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
		table, samples, err := s.decoder.Block(rec.Payload, s.samples)
		if err != nil {
			s.quarantine(r, of, store.CorruptBlock, err)
			return nil
		}
		s.samples = samples
		if uint64(len(samples)) != rec.Count() && !thinned {
			s.quarantine(r, of, store.WrongCount, fmt.Errorf("record %s holds %d samples", rec.Identity, len(samples)))
			return nil
		}
		if !s.fewMinutes(samples) {
			s.quarantine(r, of, store.CorruptBlock, fmt.Errorf("record %s is spread over more than %d minutes", rec.Identity, record.MaxMinutes))
			return nil
		}
		asOf := now
		if r.Topic == s.cfg.Topics.Backfill() {
			asOf = math.MaxInt64 // whatever the gateway's clock said, what waited isn't newer
		}
		key := tableKey{rec.Gateway, table.Table}
		var added bool
		if verdict == store.Merge {
			added, err = s.merge(ctx, rec.Identity, 0, key, samples, asOf)
		} else {
			added, err = s.addSamples(ctx, key, samples, asOf)
		}
		if err != nil {
			return err
		}
		if !added {
			s.batch.park(store.Parked{Record: rec, Table: table.Table, At: now, Merge: verdict == store.Merge})
		}
	}
	s.ledger.Note(rec.Identity, sum, thinned, verdict, telemetry.MicrosOf(r.Timestamp), now, s.fresh(r))
	return nil
}

// fresh reports whether a record hasn't waited, in the quarantine or behind others of
// the backfill: its gateway is heard now.
func (s *session) fresh(r arrival) bool {
	return r.aside == 0 && (r.Topic != s.cfg.Topics.Backfill() || s.abreast)
}

// addSamples puts samples, grouped by signal, into their bundles' chunks. Newest
// samples from after now give way to older ones. It adds none and reports false
// if births haven't named all of the signals.
func (s *session) addSamples(ctx context.Context, key tableKey, samples []telemetry.Sample, now telemetry.Micros) (bool, error) {
	table, err := s.table(ctx, key, samples)
	if table == nil || err != nil {
		return false, err
	}
	var place store.Place
	var at chunkKey
	var chunk *[]telemetry.Sample
	var newest *newestOfBundle
	for i, sample := range samples {
		if i == 0 || sample.Signal != samples[i-1].Signal {
			place = table[sample.Signal]
		}
		sample.Signal = place.Series
		if key := (chunkKey{place.Bundle, store.MinuteOf(sample.Time)}); chunk == nil || key != at {
			if newest == nil || key.bundle != at.bundle {
				if newest, err = s.newestOf(ctx, key.bundle); err != nil {
					return false, err
				}
			}
			at, chunk = key, s.batch.chunk(key)
		}
		*chunk = append(*chunk, sample)
		if newest.update(sample, now) {
			s.batch.newest[at.bundle] = true
		}
	}
	s.batch.stats.Samples += uint64(len(samples))
	return true, nil
}

// table finds where the samples' signals are stored; nil if births haven't
// named all of them.
func (s *session) table(ctx context.Context, key tableKey, samples []telemetry.Sample) (map[telemetry.SignalID]store.Place, error) {
	if table := s.tables[key]; names(table, samples) {
		return table, nil
	}
	table, err := s.cfg.Store.SignalTable(ctx, key.gateway, key.table)
	if err != nil {
		return nil, err
	}
	s.tables[key] = table
	if !names(table, samples) {
		return nil, nil
	}
	return table, nil
}

func names(table map[telemetry.SignalID]store.Place, samples []telemetry.Sample) bool {
	for i, sample := range samples {
		if i > 0 && sample.Signal == samples[i-1].Signal {
			continue
		}
		if _, ok := table[sample.Signal]; !ok {
			return false
		}
	}
	return true
}

func (s *session) newestOf(ctx context.Context, bundle int64) (*newestOfBundle, error) {
	if n := s.newest[bundle]; n != nil {
		return n, nil
	}
	samples, err := s.cfg.Store.Latest(ctx, bundle)
	if err != nil {
		return nil, err
	}
	n := &newestOfBundle{samples: samples, changed: make([]bool, len(samples))}
	s.newest[bundle] = n
	return n, nil
}

// claim is what a record says of who wrote it, and whether that is right.
type claim struct {
	gateway string
	key     record.KeyID
	proven  bool
}

func (s *session) quarantine(r arrival, of claim, reason store.Reason, cause error) {
	excerpt := store.MaxQuarantinedBytes
	if !of.proven {
		excerpt = store.MaxRefusedBytes
	}
	s.batch.quarantine(store.Quarantined{ID: r.aside, Consumer: Consumer, Topic: r.Topic, TopicID: s.topicIDs[r.Topic], Partition: r.Partition,
		Offset: r.Offset, Gateway: of.gateway, KeyID: of.key, Reason: reason, Detail: cause.Error(),
		Payload: bytes.Clone(r.Value[:min(len(r.Value), excerpt)]), At: telemetry.MicrosOf(time.Now())})
}

// refuse sets aside a record whose signature is worth nothing, and counts it unless
// it was counted when it came before.
func (s *session) refuse(r arrival, of claim, why identity.Refusal) {
	switch {
	case r.aside != 0:
		s.quarantine(r, of, why.Reason, errors.New(why.Detail))
	case s.refused < store.MostRefused:
		s.refused++
		s.quarantine(r, of, why.Reason, errors.New(why.Detail))
	}
	if r.was != why.Reason {
		s.batch.refuse(why, telemetry.MicrosOf(time.Now()))
	}
}

// fewMinutes says whether a block is of few enough minutes, each of which becomes a
// chunk for each bundle.
func (s *session) fewMinutes(samples []telemetry.Sample) bool {
	clear(s.minutes)
	last := int64(math.MinInt64)
	for _, sample := range samples {
		if at := store.MinuteOf(sample.Time); at != last {
			last = at
			s.minutes[at] = true
			if len(s.minutes) > record.MaxMinutes {
				return false
			}
		}
	}
	return true
}

// takeBirths commits signal tables and adds the records that were parked for them.
func (s *session) takeBirths(ctx context.Context, records []arrival) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	named := map[tableKey]bool{}
	for _, r := range records {
		if r.Value != nil {
			key, taken, err := s.takeBirth(ctx, r)
			if err != nil {
				return err
			}
			if taken {
				named[key] = true
			}
		}
		s.batch.done(r)
		// One part a transaction: writing thousands of series takes as long as
		// others may wait.
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	for key := range named {
		if !s.reads(key.gateway) {
			continue
		}
		if err := s.unpark(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

var partitioner = kgo.StickyKeyPartitioner(nil).ForTopic("")

// reads reports whether a gateway's telemetry is in the share: whose it is knows the
// newest samples.
func (s *session) reads(gateway string) bool {
	return s.share.All() || s.share.Has(int32(partitioner.Partition(&kgo.Record{Key: []byte(gateway)}, s.share.Of)))
}

func (s *session) takeBirth(ctx context.Context, r arrival) (key tableKey, taken bool, err error) {
	b, err := record.ParseBirth(r.Key, r.Value)
	if err != nil {
		s.quarantine(r, claim{gateway: record.KeyGateway(r.Key)}, store.CorruptBirth, err)
		return key, false, nil
	}
	headers := log.Headers(r.Record)
	refusal, err := s.keys.Birth(ctx, b.Gateway, headers, r.Key, r.Value)
	if err != nil {
		return key, false, err
	}
	if refusal != nil {
		seal, _ := record.ParseSeal(headers)
		s.refuse(r, claim{b.Gateway, seal.KeyID, false}, *refusal)
		return key, false, nil
	}
	s.batch.births = append(s.batch.births, b)
	s.batch.stats.Births++
	return tableKey{b.Gateway, b.TableID()}, true, nil
}

// unpark adds the records parked for a table whose signals are all known now.
// The batch is empty when it is called.
func (s *session) unpark(ctx context.Context, key tableKey) error {
	const step = 16 // a record holds at most about 1 MB
	for after := int64(0); ; {
		parked, err := s.cfg.Store.Parked(ctx, key.gateway, key.table, after, step)
		if err != nil || len(parked) == 0 {
			return err
		}
		for _, p := range parked {
			after = p.ID
			_, samples, err := s.decoder.Block(p.Record.Payload, s.samples)
			if err != nil {
				s.cfg.Logger.Error("a parked record can't be read any more", "gateway", key.gateway, "record", p.Record.Identity.String(), "error", err)
				continue
			}
			s.samples = samples
			now := telemetry.MicrosOf(time.Now())
			var added bool
			if p.Merge {
				if err := s.flush(ctx); err != nil {
					return err
				}
				added, err = s.merge(ctx, p.Record.Identity, p.ID, key, samples, now)
			} else {
				added, err = s.addSamples(ctx, key, samples, now)
			}
			if err != nil {
				return err
			}
			if added {
				s.batch.unparked = append(s.batch.unparked, p.ID)
				s.batch.stats.Unparked++
			}
			if s.batch.full(s.cfg.MaxSamples) {
				if err := s.flush(ctx); err != nil {
					return err
				}
			}
		}
	}
}

// unparkAll adds what is parked though its births have come: to a process that died before
// it read the parked records, or to one beside this. Tables of which no more signals are
// named than when it looked last are passed over. The batch is empty when it is called, and
// afterwards.
func (s *session) unparkAll(ctx context.Context) error {
	tables, err := s.cfg.Store.ParkedTables(ctx)
	if err != nil {
		return err
	}
	for gateway, ids := range tables {
		if !s.reads(gateway) {
			continue
		}
		for id, named := range ids {
			key := tableKey{gateway, id}
			if s.tried[key] == named {
				continue
			}
			if err := s.unpark(ctx, key); err != nil {
				return err
			}
			s.tried[key] = named
		}
	}
	return s.flush(ctx)
}

// keepHouse does what isn't urgent.
func (s *session) keepHouse(ctx context.Context) error {
	clear(s.tried)
	err := s.unparkAll(ctx)
	if err != nil {
		return err
	}
	now := telemetry.MicrosOf(time.Now())
	if s.refused, err = s.cfg.Store.CountRefusedAside(ctx, Consumer); err != nil {
		return err
	}
	for n := int64(forgetStep); n == forgetStep; {
		if n, err = s.cfg.Store.ForgetQuarantined(ctx, now-store.QuarantineKept, forgetStep); err != nil {
			return err
		}
	}
	for n := int64(forgetStep); n == forgetStep; {
		if n, err = s.cfg.Store.ForgetIdentities(ctx, now-store.IdentitiesKept, forgetStep); err != nil {
			return err
		}
	}
	return nil
}
