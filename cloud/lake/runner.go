// Package lake writes the samples in the log to a table of Apache Iceberg, each once: the
// files of samples, the sequence numbers received and the offsets read are one commit.
package lake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/identity"
	"github.com/busbar/busbar/cloud/lake/iceberg"
	"github.com/busbar/busbar/cloud/lake/object"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// RunnerConfig says what to read and where to write it.
type RunnerConfig struct {
	Log    []kgo.Opt // how to reach the brokers
	Topics record.Topics
	Keys   *store.Store // which keys write in which gateway's name; only read
	Files  object.Store
	Spool  string       // the directory of what isn't committed yet; "": the system's for temporary files
	Logger *slog.Logger // nil: slog.Default

	CommitEvery time.Duration // the longest that a sample waits for its commit; 0: 5 minutes
	CommitBytes int64         // of files that a commit doesn't wait for more; 0: 256 MiB
	MaxRows     int           // that are in memory, and of a row group; 0: 500,000
	ParkFor     time.Duration // how long a record waits for its signal table; 0: a minute
}

// Runner is the table's one writer. Another one that begins later fences it.
type Runner struct {
	cfg RunnerConfig

	mu    sync.Mutex
	stats Stats
}

// Stats counts since the Runner was made; what isn't committed counts too.
type Stats struct {
	Records    uint64            // read, whatever became of them
	Samples    uint64            // committed
	Duplicates uint64            // records that came again
	Overlaps   uint64            // records some of whose numbers had come
	Nameless   uint64            // records that were written without what their table says
	Parked     int               // records that wait for their signal table now
	Refused    map[string]uint64 // records that weren't taken, by reason
	Gaps       uint64            // parts of the log that couldn't be read
	Commits    uint64
	Files      uint64
	Bytes      uint64        // of the files
	CommitTime time.Duration // spent in commits
	Lag        int64         // records in the log that haven't been read
	Waiting    int           // samples that aren't committed yet
	Version    int64         // of the table
	Committed  time.Time     // when the table's newest snapshot was made
	Since      time.Time     // when the first was read of what isn't committed; zero: there is nothing
	Current    time.Time     // when the log could last be read
}

// NewRunner is a Runner that does nothing yet.
func NewRunner(cfg RunnerConfig) *Runner {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.CommitEvery = cmp.Or(cfg.CommitEvery, 5*time.Minute)
	cfg.CommitBytes = cmp.Or(cfg.CommitBytes, 256<<20)
	cfg.MaxRows = cmp.Or(cfg.MaxRows, 500_000)
	cfg.ParkFor = cmp.Or(cfg.ParkFor, time.Minute)
	return &Runner{cfg: cfg, stats: Stats{Refused: map[string]uint64{}}}
}

// Stats may be called at any time.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Refused = maps.Clone(s.Refused)
	return s
}

func (r *Runner) count(f func(*Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.stats)
}

// Run writes until ctx ends, and then commits what it has read. It tries again whatever fails
// for a while, from the table's newest snapshot. The error is iceberg.ErrFenced if another
// writer has committed: there is one at a time; or says why the last commit failed.
func (r *Runner) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var last error
	log.Sessions(ctx, r.cfg.Logger.With("consumer", "lake"), func(ctx context.Context, ok func()) error {
		err := r.session(ctx, ok)
		switch {
		case errors.Is(err, iceberg.ErrFenced):
			last = err
			cancel()
		case ctx.Err() != nil && errors.Is(err, errCommit):
			last = err
			r.cfg.Logger.Error("what was read last isn't known to be committed; the next process goes on from the table", "error", err)
		}
		return err
	})
	return last
}

// errCommit says that it isn't known whether a commit took place. Only a new session knows.
var errCommit = errors.New("commit")

const (
	pollLimit  = 64 // records
	lookEvery  = time.Second
	lastCommit = 30 * time.Second // for what was read before the end
)

// session is what the Runner knows between two failures. All of it follows from the table
// and the log.
type session struct {
	*Runner
	table   *iceberg.Table
	state   state
	offsets log.Offsets // of what was read, and is committed next
	keys    *identity.Keys
	signals map[tableKey]map[telemetry.SignalID]*series
	parked  []parked
	held    int       // bytes
	looked  time.Time // when what is parked was looked through
	spool   *spool
	decoder telemetry.Decoder
	samples []telemetry.Sample
	minutes map[telemetry.Micros]bool
	moved   bool // there is something to commit
	ok      func()
}

type tableKey struct {
	gateway string
	table   uint64
}

func (r *Runner) session(ending context.Context, ok func()) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ending))
	defer cancel()
	defer context.AfterFunc(ending, func() { time.AfterFunc(lastCommit, cancel) })()
	table, err := iceberg.Open(ctx, r.cfg.Files, Definition())
	if err != nil {
		return err
	}
	st, err := readState(ctx, r.cfg.Files, table)
	if err != nil {
		return err
	}
	s := &session{Runner: r, table: table, state: st, offsets: cloneOffsets(st.Offsets), keys: identity.NewKeys(r.cfg.Keys),
		signals: map[tableKey]map[telemetry.SignalID]*series{}, spool: newSpool(r.cfg.Spool), minutes: map[telemetry.Micros]bool{}, ok: ok}
	defer s.spool.close()
	s.say()
	births, err := s.readBirths(ending)
	if err != nil {
		return err
	}
	defer births.Close()
	topics := []string{r.cfg.Topics.Telemetry(), r.cfg.Topics.Backfill()}
	reader, err := log.OpenReader(ending, r.cfg.Log, topics, st.Offsets, st.TopicIDs)
	if err != nil {
		return s.lost(ctx, err)
	}
	defer reader.Close()
	for _, topic := range topics {
		s.state.TopicIDs[topic] = reader.TopicID(topic)
	}
	return s.read(ctx, ending, reader, births)
}

// readBirths takes all signal tables that the log has, and returns the reader of those to come.
func (s *session) readBirths(ctx context.Context) (*log.Reader, error) {
	topic := s.cfg.Topics.Births()
	spans, err := log.Spans(ctx, s.cfg.Log, []string{topic}, time.Time{}, time.Time{})
	if err != nil {
		return nil, err
	}
	until := log.Offsets{topic: {}}
	for p, span := range spans[topic] {
		if until[topic][p] = span.End; span.Begin == span.End {
			delete(until[topic], p)
		}
	}
	begin, err := log.OpenReader(ctx, s.cfg.Log, []string{topic}, nil, nil)
	if err != nil {
		return nil, err
	}
	err = begin.ReadTo(ctx, until, pollLimit, func(records []*kgo.Record) error { return s.takeBirths(ctx, records) })
	begin.Close()
	if err != nil {
		return nil, err
	}
	return log.OpenReader(ctx, s.cfg.Log, []string{topic}, until, nil)
}

func (s *session) read(ctx, ending context.Context, reader, births *log.Reader) error {
	due := time.Now().Add(s.cfg.CommitEvery)
	for {
		if ending.Err() != nil {
			if err := s.commit(ctx); err != nil {
				return err
			}
			return ending.Err()
		}
		records, err := reader.Poll(ending, min(time.Until(due), lookEvery), pollLimit)
		if err != nil {
			if ending.Err() != nil {
				continue
			}
			return s.lost(ctx, err)
		}
		// After the records: what they need was written before them.
		named, err := births.Poll(ending, 0, pollLimit)
		if err == nil {
			err = s.takeBirths(ctx, named)
		}
		for _, r := range records {
			if err == nil {
				err = s.take(ctx, r)
			}
			if err == nil && len(s.spool.days) >= mostDays {
				if err := s.commit(ctx); err != nil {
					return err
				}
			}
		}
		if err == nil && len(s.parked) > 0 && (len(named) > 0 || time.Since(s.looked) >= s.cfg.ParkFor/4) {
			err = s.unpark()
		}
		if err == nil && (time.Now().After(due) || s.spool.bytes() >= s.cfg.CommitBytes || len(s.spool.days) >= mostDays) {
			if err := s.commit(ctx); err != nil {
				return err
			}
			due = time.Now().Add(s.cfg.CommitEvery)
		}
		if err != nil {
			if ending.Err() != nil {
				continue
			}
			return err
		}
		s.count(func(st *Stats) {
			st.Lag, st.Current, st.Parked = reader.Lag(), reader.Fetched(), len(s.parked)
			st.Waiting = len(s.spool.rows)
			for _, f := range s.spool.files {
				st.Waiting += int(f.rows)
			}
		})
		if s.moved {
			s.waits()
		}
	}
}

// waits notes that there is something to commit.
func (s *session) waits() {
	s.count(func(st *Stats) {
		if st.Since.IsZero() {
			st.Since = time.Now()
		}
	})
}

// lost commits what was read, and that the log has lost something if cause says so; the next
// session then reads on behind it.
func (s *session) lost(ctx context.Context, cause error) error {
	var truncated *log.TruncatedError
	var recreated *log.RecreatedError
	gap := Gap{At: time.Now().UTC(), Detail: cause.Error()}
	switch {
	case errors.As(cause, &truncated):
		gap.Topic, gap.Partition, gap.From, gap.To = truncated.Topic, truncated.Partition, max(0, truncated.Next), truncated.Resume
		if err := s.drainParked(ctx); err != nil {
			return errors.Join(cause, err)
		}
		s.move(gap.Topic, gap.Partition, gap.To)
	case errors.As(cause, &recreated):
		gap.Topic = recreated.Topic
		if err := s.drainParked(ctx); err != nil {
			return errors.Join(cause, err)
		}
		delete(s.offsets, gap.Topic)
		delete(s.state.TopicIDs, gap.Topic)
		s.moved = true
	default:
		return errors.Join(cause, s.commit(ctx))
	}
	s.state.Gaps = append(s.state.Gaps, gap)
	s.state.Gaps = s.state.Gaps[max(0, len(s.state.Gaps)-mostGaps):]
	s.count(func(st *Stats) { st.Gaps++ })
	s.cfg.Logger.Error("a part of the log is not in the lake", "topic", gap.Topic, "partition", gap.Partition, "from", gap.From, "to", gap.To, "detail", gap.Detail)
	return errors.Join(cause, s.commit(ctx))
}

func (s *session) move(topic string, partition int32, next int64) {
	if s.offsets[topic] == nil {
		s.offsets[topic] = map[int32]int64{}
	}
	s.offsets[topic][partition] = next
	s.moved = true
}

// commit makes what was read a snapshot. Of records that are parked the offsets stay: they are
// read again if this process ends, and those behind them are then known by their numbers.
func (s *session) commit(ctx context.Context) error {
	if !s.moved {
		return nil
	}
	s.waits()
	if err := s.append(ctx); err != nil {
		return fmt.Errorf("%w: %w", errCommit, err)
	}
	return nil
}

func (s *session) append(ctx context.Context) error {
	began := time.Now()
	if err := s.spool.flush(); err != nil {
		return err
	}
	files, err := s.spool.deliver(ctx, s.cfg.Files, s.table)
	if err != nil {
		return err
	}
	offsets := cloneOffsets(s.offsets)
	for _, p := range s.parked {
		offsets[p.topic][p.partition] = min(offsets[p.topic][p.partition], p.offset)
	}
	properties, err := s.state.at(offsets).write(ctx, s.cfg.Files, s.table)
	if err != nil {
		return err
	}
	s.moved = false // whatever happens now, this session doesn't append it again
	if err := s.table.Append(ctx, files, properties); err != nil {
		return err
	}
	if err := s.table.Tidy(ctx); err != nil {
		s.cfg.Logger.Warn("the commit is made, but what is obsolete isn't all deleted", "version", s.table.Version(), "error", err)
	}
	s.spool.close()
	took := time.Since(began)
	var rows, bytes int64
	for _, f := range files {
		rows += f.Records
		bytes += f.Bytes
	}
	s.count(func(st *Stats) {
		st.Commits++
		st.CommitTime += took
		st.Samples += uint64(rows)
		st.Files += uint64(len(files))
		st.Bytes += uint64(bytes)
	})
	s.say()
	s.ok()
	s.cfg.Logger.Debug("committed", "version", s.table.Version(), "samples", rows, "files", len(files), "bytes", bytes, "took", took)
	return nil
}

func (s *session) say() {
	_, at := s.table.Summary()
	s.count(func(st *Stats) {
		if st.Version != s.table.Version() {
			st.Since = time.Time{}
		}
		st.Version, st.Committed = s.table.Version(), at
	})
}

// refuse counts a record that isn't taken. It says the first of a reason and every thousandth.
func (s *session) refuse(r *kgo.Record, reason string, cause any) {
	var n uint64
	s.count(func(st *Stats) {
		st.Refused[reason]++
		n = st.Refused[reason]
	})
	if n == 1 || n%1000 == 0 {
		s.cfg.Logger.Warn("a record isn't taken", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "reason", reason, "detail", fmt.Sprint(cause), "count", n)
	}
}
