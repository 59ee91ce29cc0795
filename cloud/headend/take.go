package headend

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Consumer names the offsets in the store, and consumerRows how many rows were taken of a
// record that is taken in several transactions.
const (
	Consumer     = "import"
	consumerRows = "import-rows"
)

// Config says what to take and where to store it.
type Config struct {
	Log      []kgo.Opt // how to reach the brokers
	Topics   record.Topics
	Store    *store.Store
	HeadEnds []HeadEnd
	Logger   *slog.Logger // nil: slog.Default
}

// Runner takes what stands in the import topic. One works at a time on a database: what
// another has taken beside it isn't stored.
type Runner struct {
	cfg      Config
	headends map[string]known
	alone    int // records that are yet taken one at a time, as the database has rejected one of several
	rejected rejection
	counters
}

// rejection is why the database rejects a record that was taken alone.
type rejection struct {
	partition int32
	offset    int64
	cause     error
}

// known is a head-end, and why nothing is taken from it; nil if it is.
type known struct {
	HeadEnd
	wrong error
}

func New(cfg Config) *Runner {
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	r := &Runner{cfg: cfg, headends: map[string]known{}}
	for _, h := range cfg.HeadEnds {
		r.headends[h.ID] = known{HeadEnd: h}
	}
	return r
}

// Run takes until ctx ends. It tries again whatever fails for a while, from the offsets in
// the store.
func (r *Runner) Run(ctx context.Context) {
	log.Sessions(ctx, r.cfg.Logger.With("consumer", Consumer), r.run)
}

const (
	pollLimit = 64 // records
	waitFor   = time.Second
	houseKept = 10 * time.Minute
	// mostRows, give or take a record, and mostCorrected bound a transaction: others wait
	// for it.
	mostRows      = 20_000
	mostCorrected = 200 // hours of bundles
	// mostKnown bounds the meters of which the places are kept in memory.
	mostKnown = 200_000
)

func (r *Runner) run(ctx context.Context, ok func()) error {
	for _, h := range r.cfg.HeadEnds {
		err := r.cfg.Store.Write(ctx, func(t *store.Tx) error {
			return t.SaveHeadEnd(store.HeadEnd{ID: h.ID, Zone: h.Zone, Expects: telemetry.Micros(h.Expects.Microseconds())})
		})
		r.headends[h.ID] = known{h, err}
		if errors.Is(err, store.ErrEnrolled) {
			r.cfg.Logger.Error("what a head-end sends is set aside", "headend", h.ID, "error", err)
		} else if err != nil {
			return err
		}
	}
	offsets, err := r.cfg.Store.Offsets(ctx, Consumer)
	if err != nil {
		return err
	}
	ids, err := r.cfg.Store.TopicIDs(ctx, Consumer)
	if err != nil {
		return err
	}
	explain := func(err error) error {
		_, lost := log.Lost(ctx, r.cfg.Store, Consumer, err, ids)
		return errors.Join(err, lost)
	}
	topic := r.cfg.Topics.Import()
	reader, err := log.OpenReader(ctx, r.cfg.Log, []string{topic}, offsets, ids)
	if err != nil {
		return explain(err)
	}
	defer reader.Close()
	ids[topic] = reader.TopicID(topic)
	begun, err := r.cfg.Store.Offsets(ctx, consumerRows)
	if err != nil {
		return err
	}
	s := newSession(r, offsets[topic], begun[topic], ids[topic])
	kept := time.Now()
	for {
		records, err := reader.Poll(ctx, waitFor, pollLimit)
		if err != nil {
			return explain(err)
		}
		if err := r.cfg.Store.Read(ctx, func(t *store.Tx) (err error) {
			s.since, err = t.RawSince()
			return err
		}); err != nil {
			return err
		}
		if err := s.takeAll(ctx, records); err != nil {
			return err
		}
		r.counters.lag.Store(reader.Lag())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		ok()
		if time.Since(kept) > houseKept {
			kept = time.Now()
			if err := r.cfg.Store.Write(ctx, func(t *store.Tx) error { return t.ForgetAside(telemetry.MicrosOf(kept)) }); err != nil {
				return err
			}
		}
	}
}

// Headers of a record. Other records have the head-end's id as their key, and no run.
const (
	headHeadEnd = "headend"
	headRun     = "run"    // the import's id: the value is as this package writes it, whatever the head-end's format
	headFile    = "file"   // its name
	headBy      = "by"     // who imports it
	headBegan   = "began"  // when that began, in µs since 1970
	headLine    = "line"   // up to which line of the file the record goes
	headBegins  = "begins" // it is the first one
	headEnds    = "ends"   // it is the last one
)

// arrival is a record's origin.
type arrival struct {
	headend HeadEnd
	format  Format
	run     store.ImportRun // ID is "" of what isn't imported from a file
	begins  bool
	where   string           // in the log
	written telemetry.Micros // into the log: as of when its rows speak
}

func (r *Runner) arrival(rec *kgo.Record, now telemetry.Micros) (a arrival, err error) {
	of := map[string]string{}
	for _, h := range rec.Headers {
		of[h.Key] = string(h.Value)
	}
	a.written = min(telemetry.MicrosOf(rec.Timestamp), now)
	a.where = fmt.Sprintf("%s/%d@%d", rec.Topic, rec.Partition, rec.Offset)
	id, named := of[headHeadEnd]
	if !named {
		id = string(rec.Key)
	}
	from, is := r.headends[id]
	if !is {
		a.headend.ID = short(id)
		return a, fmt.Errorf("head-end %q isn't in the cloud's configuration", short(id))
	}
	if a.headend = from.HeadEnd; from.wrong != nil {
		return a, from.wrong
	}
	a.format = a.headend.Format
	if of[headRun] == "" {
		return a, nil
	}
	a.format = Format{own: true}
	if len(of[headRun]) > longestText {
		return a, fmt.Errorf("header %s %q, expected at most %d bytes", headRun, short(of[headRun]), longestText)
	}
	a.run = store.ImportRun{ID: of[headRun], HeadEnd: id, File: of[headFile], By: of[headBy]}
	if a.run.Line, err = strconv.ParseInt(of[headLine], 10, 64); err != nil {
		return a, fmt.Errorf("header %s %q, expected a number", headLine, short(of[headLine]))
	}
	began, err := strconv.ParseInt(of[headBegan], 10, 64)
	if err != nil {
		return a, fmt.Errorf("header %s %q, expected a number", headBegan, short(of[headBegan]))
	}
	a.run.Began = telemetry.Micros(began)
	_, a.begins = of[headBegins]
	if _, ends := of[headEnds]; ends {
		a.run.Over = now
	}
	return a, nil
}

// session is what one run of the consumer knows. All of it follows from the database at the
// session's offsets, so it is dropped when a transaction fails.
type session struct {
	*Runner
	topicID string
	offsets map[int32]int64
	begun   map[int32]int64 // as placeIn has it
	bound   int             // mostCorrected
	meters  map[meterKey]*meter
	newest  map[int64][]telemetry.Sample // by bundle, by series
	since   telemetry.Micros             // from which on samples are kept
	packer  *store.Packer
	encoder telemetry.Encoder
	*batch
}

type meterKey struct{ headend, id string }

// meter is what is known of one.
type meter struct {
	point  string // that rows have told last, of since
	since  telemetry.Micros
	places map[signalKey]store.Place
	reads  map[interval]telemetry.Micros // when the first one began that is known
}

// stayed is how much later a meter has to be told to be where it was for that to be kept.
const stayed = telemetry.Micros(24 * 3600 * 1e6)

// moved reports whether that a meter is at a point says something new.
func (m *meter) moved(point string, since telemetry.Micros) bool {
	if m.point == point {
		return since > m.since+stayed
	}
	return since >= m.since
}

// at is where a meter is since an instant.
type at struct {
	point string
	since telemetry.Micros
}

type signalKey struct {
	name, unit string
	kind       telemetry.Kind
}

// placeIn is what is kept of a record of which some rows were taken.
func placeIn(offset int64, rows int) int64 { return offset*mostInRecord + int64(rows) }

// mostInRecord is more than there are rows in a record.
const mostInRecord = 1 << 20

// done is how many rows of a record were taken before.
func (s *session) done(rec *kgo.Record) int {
	at, is := s.begun[rec.Partition]
	if next, known := s.offsets[rec.Partition]; !is || !known || next != rec.Offset || at/mostInRecord != rec.Offset {
		return 0
	}
	return int(at % mostInRecord)
}

func newSession(r *Runner, offsets, begun map[int32]int64, topicID string) *session {
	if begun == nil {
		begun = map[int32]int64{}
	}
	if offsets == nil {
		offsets = map[int32]int64{}
	}
	return &session{Runner: r, topicID: topicID, offsets: offsets, begun: begun, bound: mostCorrected, meters: map[meterKey]*meter{}, newest: map[int64][]telemetry.Sample{},
		packer: r.cfg.Store.NewPacker(), batch: newBatch()}
}

// takeAll takes and commits records. If the database rejects what is in them, they come one
// at a time in the sessions that follow, and one that is rejected then is set aside, so that
// it doesn't stop the others.
func (s *session) takeAll(ctx context.Context, records []*kgo.Record) error {
	for _, rec := range records {
		alone := s.alone > 0
		err := s.take(ctx, rec)
		if err == nil && alone {
			err = s.flush(ctx)
		}
		if store.Rejected(err) {
			if alone {
				s.rejected = rejection{rec.Partition, rec.Offset, err}
			}
			s.alone = pollLimit
		}
		if err != nil {
			return err
		}
		s.alone = max(s.alone-1, 0)
	}
	err := s.flush(ctx)
	if store.Rejected(err) {
		s.alone = pollLimit
	}
	return err
}

// take adds a record to the batch, and commits that when it is full.
func (s *session) take(ctx context.Context, rec *kgo.Record) error {
	if len(s.meters) > mostKnown {
		if err := s.flush(ctx); err != nil {
			return err
		}
		clear(s.meters)
		clear(s.newest)
	}
	now := telemetry.MicrosOf(time.Now())
	a, err := s.arrival(rec, now)
	if was := s.rejected; err == nil && was.cause != nil && was.partition == rec.Partition && was.offset == rec.Offset {
		s.rejected = rejection{}
		err = fmt.Errorf("the database rejects this record: %w", was.cause)
	}
	done := s.done(rec)
	var rows []Row
	if err != nil {
		s.setAside(a, Place{}, err.Error())
	} else if rows, err = s.decode(a, rec.Value, now, done > 0); err != nil {
		return err
	}
	if err := s.know(ctx, a.headend.ID, rows); err != nil {
		return err
	}
	if err := s.load(ctx, a.headend.ID, rows); err != nil {
		return err
	}
	if done > 0 {
		a.begins = false
	}
	for i, row := range rows {
		if i < done {
			continue
		}
		switch {
		case row.Read != nil:
			s.judge(a, row)
		case row.Event != nil:
			s.events = append(s.events, event{a, row, row.Event.Point})
		}
		s.rows++
		if taken := i + 1; len(s.corrected) >= s.bound && taken < min(len(rows), mostInRecord) {
			s.next[rec.Partition], s.partly[rec.Partition] = rec.Offset, placeIn(rec.Offset, taken)
			s.sumAside(a)
			if err := s.flush(ctx); err != nil {
				return err
			}
			a.begins = false
			if err := s.load(ctx, a.headend.ID, rows[taken:]); err != nil {
				return err
			}
		}
	}
	s.next[rec.Partition], s.partly[rec.Partition] = rec.Offset+1, 0
	s.sumAside(a)
	s.count(a)
	if s.rows >= mostRows || len(s.corrected) >= s.bound {
		return s.flush(ctx)
	}
	return nil
}

// decode is the rows of a record. What can't be read is set aside, if it wasn't before.
func (s *session) decode(a arrival, value []byte, now telemetry.Micros, again bool) (rows []Row, err error) {
	d := NewDecoder(bytes.NewReader(value), a.format, now)
	for {
		row, err := d.Next()
		var refused *Refusal
		switch {
		case err == io.EOF:
			return rows, nil
		case errors.As(err, &refused):
			if !again {
				s.setAside(a, refused.Place, refused.Cause)
			}
		case err != nil:
			if !again {
				s.setAside(a, Place{}, err.Error())
			}
			return rows, nil
		default:
			rows = append(rows, row)
		}
	}
}

// know finds or makes the series of what is read. That is a transaction of its own: a series
// without samples does no harm.
func (s *session) know(ctx context.Context, headend string, rows []Row) error {
	wanted := map[string][]telemetry.Signal{}
	told := map[string]at{}
	for _, row := range rows {
		id, point := row.meter()
		if id == "" {
			continue
		}
		m := s.meters[meterKey{headend, id}]
		if was, is := told[id]; m == nil && !is {
			told[id] = at{point, row.at()}
		} else if point != "" && (!is || was.point == "" || was.since < row.at()) && (m == nil || m.moved(point, row.at())) {
			told[id] = at{point, row.at()}
		}
		if r := row.Read; r != nil {
			key := signalKey{r.Signal, r.Unit, r.Kind}
			if m == nil || m.places[key] == (store.Place{}) {
				signal := telemetry.Signal{Device: id, Name: r.Signal, Unit: r.Unit, Kind: r.Kind}
				if !slices.ContainsFunc(wanted[id], func(o telemetry.Signal) bool { return o.Name == r.Signal && o.Unit == r.Unit && o.Kind == r.Kind }) {
					wanted[id] = append(wanted[id], signal)
				}
			}
		}
	}
	if len(wanted) == 0 && len(told) == 0 {
		return nil
	}
	found := map[string]*meter{}
	err := s.cfg.Store.Write(ctx, func(t *store.Tx) error {
		clear(found)
		of := func(id string) *meter {
			if found[id] != nil {
				return found[id]
			}
			m := &meter{places: map[signalKey]store.Place{}, reads: map[interval]telemetry.Micros{}}
			if was := s.meters[meterKey{headend, id}]; was != nil {
				*m = *was
			}
			found[id] = m
			return m
		}
		for id, is := range told {
			m := of(id)
			if is.point != "" {
				m.point, m.since = is.point, is.since
				if err := t.SaveMeter(headend, id, is.point, is.since); err != nil {
					return err
				}
			}
		}
		for id, signals := range wanted {
			m := of(id)
			point, err := t.MeterPoint(headend, id)
			if err != nil {
				return err
			}
			for i := range signals {
				signals[i].Asset = point
			}
			places, err := t.SaveSignals(headend, id, signals)
			if err != nil {
				return err
			}
			for i, signal := range signals {
				m.places[signalKey{signal.Name, signal.Unit, signal.Kind}] = places[i]
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, m := range found {
		s.meters[meterKey{headend, id}] = m
	}
	return nil
}

// at is when it was read or told; 0 of one that is missing.
func (r Row) at() telemetry.Micros {
	switch {
	case r.Read != nil:
		return r.Read.At
	case r.Event != nil:
		return r.Event.At
	}
	return 0
}

func (r Row) meter() (id, point string) {
	switch {
	case r.Read != nil:
		return r.Read.Meter, r.Read.Point
	case r.Event != nil:
		return r.Event.Meter, r.Event.Point
	}
	return "", ""
}
