package headend

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// batch is what the next transaction stores.
type batch struct {
	rows      int
	next      map[int32]int64 // offsets after what the batch holds
	partly    map[int32]int64 // by partition, as placeIn has it; 0: whole records
	days      map[store.DayKey]*day
	corrected map[hour]map[store.Instant]bool
	intervals map[interval]telemetry.Micros // when the first of them began
	events    []event
	aside     []store.Aside
	refused   int // rows of the record at hand that were set aside
	runs      map[importKey]*run
	counts    store.ImportCounts // of what is of no run
	missing   uint64
}

type hour struct{ bundle, hour int64 }

// interval is how a series is read.
type interval struct {
	store.Place
	width telemetry.Micros
}

// run is what the batch has of an import.
type run struct {
	store.ImportRun
	begins bool
}

// importKey tells apart the imports of a file that is sent again.
type importKey struct {
	id    string
	began telemetry.Micros
}

// event is one that waits for its transaction.
type event struct {
	from  arrival
	row   Row
	point string // that it says, or else that its meter is known to be at
}

// day is the reads of a bundle's day.
type day struct {
	reads   map[store.Instant]*entry
	changed bool
}

// entry is a read as it counts.
type entry struct {
	sample  telemetry.Sample
	version int64
	stored  bool // something of its time is in the database
	changed bool // and it isn't this
	counts  bool // in what was received: it is of an interval, which is expected
}

func newBatch() *batch {
	return &batch{next: map[int32]int64{}, partly: map[int32]int64{}, days: map[store.DayKey]*day{}, corrected: map[hour]map[store.Instant]bool{},
		intervals: map[interval]telemetry.Micros{}, runs: map[importKey]*run{}}
}

// count notes how far an import has come.
func (b *batch) count(a arrival) {
	if a.run.ID == "" {
		return
	}
	r := b.importOf(a)
	r.Line, r.Over = a.run.Line, a.run.Over
}

// importOf is what the batch has of an arrival's import.
func (b *batch) importOf(a arrival) *run {
	key := importKey{a.run.ID, a.run.Began}
	r := b.runs[key]
	if r == nil || a.begins && !r.begins {
		r = &run{a.run, a.begins}
		r.Line, r.Over = 0, 0 // until the whole record is taken
		b.runs[key] = r
	}
	return r
}

// counted is what counts rows of an arrival.
func (b *batch) counted(a arrival) *store.ImportCounts {
	if a.run.ID == "" {
		return &b.counts
	}
	return &b.importOf(a).ImportCounts
}

func (b *batch) setAside(a arrival, at Place, cause string) {
	b.counted(a).Aside++
	b.rows++
	if b.refused++; b.refused > mostTold {
		return
	}
	b.tellAside(a, at, cause)
}

// mostTold bounds the rows set aside of a record that are told one by one.
const mostTold = 200

// sumAside ends a record, of which there may be more than is told.
func (b *batch) sumAside(a arrival) {
	if more := b.refused - mostTold; more > 0 {
		b.tellAside(a, Place{}, fmt.Sprintf("and %d more rows of this record", more))
	}
	b.refused = 0
}

func (b *batch) tellAside(a arrival, at Place, cause string) {
	where := a.where
	if a.run.ID != "" {
		where = a.run.File
	}
	if at.Line > 0 {
		where += fmt.Sprintf(":%d", at.Line)
	}
	if at.Column > 0 {
		where += fmt.Sprintf(":%d", at.Column)
	}
	b.aside = append(b.aside, store.Aside{HeadEnd: a.headend.ID, Run: a.run.ID, Place: where, Cause: cause})
}

// load reads what is known of the days that rows are of.
func (s *session) load(ctx context.Context, headend string, rows []Row) error {
	var keys []store.DayKey
	for _, row := range rows {
		if row.Read == nil {
			continue
		}
		key := store.DayKey{Day: store.DayOf(row.Read.At), Bundle: s.place(headend, row.Read).Bundle}
		if s.days[key] == nil {
			s.days[key] = &day{reads: map[store.Instant]*entry{}}
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return s.cfg.Store.ReadDays(ctx, keys, func(key store.DayKey, of store.DayReads) {
		d := s.days[key]
		for _, sample := range of.Reads {
			d.reads[store.Instant{Signal: sample.Signal, Time: sample.Time}] = &entry{sample: sample, stored: true}
		}
		for _, v := range of.Versions {
			if e := d.reads[store.Instant{Signal: v.Signal, Time: v.Time}]; e != nil {
				e.version = int64(v.Value.Bits())
			}
		}
	})
}

func (s *session) place(headend string, r *Read) store.Place {
	return s.meters[meterKey{headend, r.Meter}].places[signalKey{r.Signal, r.Unit, r.Kind}]
}

// judge decides whether a read counts: of two of one time that of the higher version, then
// what was edited before what was read before what was estimated. One of the same version
// and status as what is known says the same, or is set aside: nobody can tell which is right.
// So what counts in the end doesn't depend on the order in which reads come.
func (s *session) judge(a arrival, row Row) {
	r := row.Read
	m := s.meters[meterKey{a.headend.ID, r.Meter}]
	of := s.place(a.headend.ID, r)
	sample := r.sample(of)
	d := s.days[store.DayKey{Day: store.DayOf(r.At), Bundle: of.Bundle}]
	at := store.Instant{Signal: of.Series, Time: r.At}
	known := d.reads[at]
	counts := s.counted(a)
	if known == nil && r.At < s.since {
		s.setAside(a, row.Place, fmt.Sprintf("%s is older than samples are kept", r.At.Time().Format(time.RFC3339)))
		return
	}
	if known == nil {
		counts.Fresh++
		d.reads[at] = &entry{sample: sample, version: r.Version, changed: true, counts: r.Interval != 0}
		d.changed = true
		if r.Interval != 0 {
			s.noteInterval(m, of, r)
		}
		return
	}
	switch order := cmp.Or(cmp.Compare(r.Version, known.version), cmp.Compare(rank(sample.Quality), rank(known.sample.Quality))); {
	case order < 0:
		counts.Older++
	case order == 0 && sample.Value == known.sample.Value:
		counts.Same++
	case order == 0:
		s.setAside(a, row.Place, fmt.Sprintf("%s of meter %s at %s is %s, and was %s before in version %d, %s: expected a higher version, or another quality",
			r.Signal, r.Meter, r.At.Time().Format(time.RFC3339), sample.Value, known.sample.Value, known.version, r.Status))
	case sample.Value == known.sample.Value && sample.Quality == known.sample.Quality:
		counts.Same++ // but for its version, by which later ones are judged
		known.version, d.changed = r.Version, true
	default:
		counts.Corrected++
		known.sample, known.version, known.changed, d.changed = sample, r.Version, true, true
		if known.stored {
			h := hour{of.Bundle, store.HourOf(r.At)}
			if s.corrected[h] == nil {
				s.corrected[h] = map[store.Instant]bool{}
			}
			s.corrected[h][at] = true
		}
	}
}

// noteInterval notes that a series is read by intervals of a width.
func (s *session) noteInterval(m *meter, of store.Place, r *Read) {
	key := interval{of, r.Interval}
	if first, is := m.reads[key]; is && first <= r.At {
		return
	}
	m.reads[key] = r.At
	s.intervals[key] = r.At
}

// chunks are the samples that weren't stored, and how many of each quarter-hour are the
// first of their interval.
func (s *session) chunks() (chunks []store.Chunk, received []store.Received, err error) {
	type minute struct{ minute, bundle int64 }
	samples := map[minute][]telemetry.Sample{}
	first := map[minute]int{}
	for key, d := range s.days {
		if !d.changed {
			continue
		}
		for _, e := range d.reads {
			if !e.changed {
				continue
			}
			at := minute{store.MinuteOf(e.sample.Time), key.Bundle}
			samples[at] = append(samples[at], e.sample)
			if !e.stored && e.counts {
				first[at]++
			}
		}
	}
	keys := make([]minute, 0, len(samples))
	for key := range samples {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b minute) int {
		return cmp.Or(cmp.Compare(a.minute, b.minute), cmp.Compare(a.bundle, b.bundle))
	})
	for _, key := range keys {
		of := samples[key]
		slices.SortFunc(of, bySeries)
		c := store.Chunk{Bundle: key.bundle, Minute: key.minute, First: of[0].Time, Last: of[0].Time, Samples: len(of)}
		for _, sample := range of {
			c.First, c.Last = min(c.First, sample.Time), max(c.Last, sample.Time)
		}
		if c.Block, err = s.encoder.AppendBlock(nil, telemetry.TableRef{}, of); err != nil {
			return nil, nil, fmt.Errorf("headend: encode reads: %w", err)
		}
		chunks = append(chunks, c)
		if n := first[key]; n > 0 {
			received = append(received, store.Received{Quarter: store.QuarterNumber(of[0].Time), Bundle: key.bundle, Samples: n})
		}
	}
	return chunks, received, nil
}

func bySeries(a, b telemetry.Sample) int {
	return cmp.Or(cmp.Compare(a.Signal, b.Signal), cmp.Compare(a.Time, b.Time))
}

// asStored is a day as the store keeps it.
func (d *day) asStored() (of store.DayReads) {
	for _, e := range d.reads {
		of.Reads = append(of.Reads, e.sample)
		if e.version != 0 {
			v := e.sample
			v.Value = telemetry.IntValue(e.version)
			of.Versions = append(of.Versions, v)
		}
	}
	slices.SortFunc(of.Reads, bySeries)
	slices.SortFunc(of.Versions, bySeries)
	return of
}
