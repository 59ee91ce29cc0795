package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumer names the alarm runner's offsets in the store.
const consumer = "alarm"

// Config says what to read and where to store it.
type Config struct {
	Log    []kgo.Opt // how to reach the brokers
	Topics record.Topics
	Store  *store.Store
	Logger *slog.Logger // nil: slog.Default
}

// Stats counts committed work since the Runner was made, except for Lag.
type Stats struct {
	Events      uint64 // read from the log, whatever became of them
	Duplicates  uint64 // events that came again
	Quarantined map[store.Reason]uint64
	Lag         int64 // events in the log that haven't been read
}

// Runner reads the events topic. It has its own offsets and transactions, and
// doesn't wait for telemetry.
type Runner struct {
	cfg   Config
	mu    sync.Mutex
	stats Stats
}

func New(cfg Config) *Runner {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Runner{cfg: cfg, stats: Stats{Quarantined: map[store.Reason]uint64{}}}
}

// Stats may be called at any time.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Quarantined = maps.Clone(s.Quarantined)
	return s
}

// Run takes events until ctx ends. It tries again whatever fails for a while,
// from the offsets in the store.
func (r *Runner) Run(ctx context.Context) {
	log.Sessions(ctx, r.cfg.Logger.With("consumer", consumer), r.run)
}

// pollLimit bounds the events of one transaction, so that a backlog of them
// reaches the operator as it is read.
const pollLimit = 500

func (r *Runner) run(ctx context.Context, ok func()) error {
	offsets, err := r.cfg.Store.Offsets(ctx, consumer)
	if err != nil {
		return err
	}
	topic := r.cfg.Topics.Events()
	reader, err := log.OpenReader(ctx, r.cfg.Log, []string{topic}, offsets)
	if err != nil {
		return err
	}
	defer reader.Close()
	if offsets[topic] == nil {
		offsets[topic] = map[int32]int64{}
	}
	s := &session{Runner: r, topic: topic, offsets: offsets[topic], ledger: r.cfg.Store.NewLedger()}
	for {
		records, err := reader.Poll(ctx, pollLimit)
		var truncated *log.TruncatedError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &truncated):
			return errors.Join(err, r.skip(ctx, truncated))
		case err != nil:
			return err
		}
		if len(records) > 0 {
			if err := s.take(ctx, records, reader.Lag()); err != nil {
				return err
			}
		}
		ok()
	}
}

func (r *Runner) skip(ctx context.Context, t *log.TruncatedError) error {
	err := r.cfg.Store.Skip(ctx, consumer, store.Quarantined{
		Topic: t.Topic, Partition: t.Partition, Offset: t.Next,
		Reason: store.LogTruncated, Detail: t.Error(), At: telemetry.MicrosOf(time.Now()),
	}, t.Resume)
	if err == nil {
		r.mu.Lock()
		r.stats.Quarantined[store.LogTruncated]++
		r.mu.Unlock()
	}
	return err
}

// session is what one run of the consumer knows, all of it from the database.
type session struct {
	*Runner
	topic   string
	offsets map[int32]int64
	ledger  *store.Ledger
}

// event is a new event of the records in hand, and where it was.
type event struct {
	telemetry.Event
	gateway string
	record  *kgo.Record
}

func (s *session) take(ctx context.Context, records []*kgo.Record, lag int64) error {
	next := map[int32]int64{}
	var events []event
	var quarantined []store.Quarantined
	var duplicates uint64
	refuse := func(r *kgo.Record, reason store.Reason, cause error) {
		quarantined = append(quarantined, store.Quarantined{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
			Reason: reason, Detail: cause.Error(), Payload: r.Value, At: telemetry.MicrosOf(time.Now())})
	}
	for _, r := range records {
		next[r.Partition] = r.Offset + 1
		rec, e, reason, err := parse(r)
		if err != nil {
			refuse(r, reason, err)
			continue
		}
		sum := rec.Checksum()
		verdict, err := s.ledger.Judge(ctx, rec.Identity, sum)
		if err != nil {
			return err
		}
		switch verdict {
		case store.New:
			events = append(events, event{e, rec.Gateway, r})
		case store.Duplicate:
			duplicates++
		case store.Conflict:
			refuse(r, store.IdentityConflict, fmt.Errorf("record %s contradicts what was received before", rec.Identity))
		}
		s.ledger.Note(rec.Identity, sum, verdict, telemetry.MicrosOf(r.Timestamp), telemetry.MicrosOf(time.Now()))
	}
	err := s.cfg.Store.Write(ctx, func(t *store.Tx) error {
		for p, n := range next {
			from, ok := s.offsets[p]
			if !ok {
				from = store.NoOffset
			}
			if err := t.Advance(consumer, s.topic, p, from, n); err != nil {
				return err
			}
		}
		if err := t.SaveLedger(s.ledger); err != nil {
			return err
		}
		for _, e := range events {
			err := apply(t, e)
			if errors.Is(err, ErrOtherGateway) {
				refuse(e.record, store.IdentityConflict, fmt.Errorf("alarm %s: %w", e.Alarm.ID, err))
			} else if err != nil {
				return err
			}
		}
		for _, q := range quarantined {
			if err := t.Quarantine(q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.ledger.Confirm()
	maps.Copy(s.offsets, next)
	s.report(uint64(len(records)), duplicates, quarantined, lag)
	return nil
}

func (s *session) report(events, duplicates uint64, quarantined []store.Quarantined, lag int64) {
	s.mu.Lock()
	s.stats.Events += events
	s.stats.Duplicates += duplicates
	for _, q := range quarantined {
		s.stats.Quarantined[q.Reason]++
	}
	s.stats.Lag = lag
	s.mu.Unlock()
	if n := len(quarantined); n > 0 {
		q := quarantined[0]
		s.cfg.Logger.Warn("events quarantined", "count", n, "topic", q.Topic, "partition", q.Partition, "offset", q.Offset,
			"reason", string(q.Reason), "detail", q.Detail)
	}
}

// parse reads an event and checks that it has what its kind needs.
func parse(r *kgo.Record) (record.Record, telemetry.Event, store.Reason, error) {
	headers := make([]record.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = record.Header(h)
	}
	rec, err := record.ParseHeaders(headers, r.Value)
	if err == nil && (rec.Stream != record.Events || rec.Format != record.FormatEvent || rec.Count() != 1 || rec.Last > math.MaxInt64) {
		err = fmt.Errorf("record %s of format %q is no event", rec.Identity, rec.Format)
	}
	if err != nil {
		return rec, telemetry.Event{}, store.BadHeaders, err
	}
	var e telemetry.Event
	if err := json.Unmarshal(r.Value, &e); err != nil {
		return rec, e, store.CorruptEvent, err
	}
	return rec, e, store.CorruptEvent, check(e)
}

func check(e telemetry.Event) error {
	switch e.Kind {
	case telemetry.AlarmRaised, telemetry.AlarmCleared:
		if e.Alarm == nil || e.Alarm.ID == "" {
			return fmt.Errorf("%s names no alarm", e.Kind)
		}
		if e.Decided <= 0 {
			return fmt.Errorf("%s says not when it was decided", e.Kind)
		}
	case telemetry.GatewayStarted, telemetry.GatewayStopped:
		if e.Lifecycle == nil {
			return fmt.Errorf("%s says nothing of what was committed", e.Kind)
		}
		for _, c := range e.Lifecycle.Committed {
			if err := checkSequence(c.Epoch, c.Stream, c.Count); err != nil {
				return fmt.Errorf("%s: %w", e.Kind, err)
			}
		}
	case telemetry.SamplesLost:
		if e.Loss == nil || e.Loss.SeqFirst > e.Loss.SeqLast {
			return fmt.Errorf("%s names no sequence numbers", e.Kind)
		}
		if err := checkSequence(e.Loss.Epoch, e.Loss.Stream, e.Loss.SeqLast); err != nil {
			return fmt.Errorf("%s: %w", e.Kind, err)
		}
	default:
		return fmt.Errorf("unknown kind %q", e.Kind)
	}
	return nil
}

func checkSequence(epoch, stream string, number uint64) error {
	if _, err := record.ParseEpoch(epoch); err != nil {
		return err
	}
	if s := record.Stream(stream); s != record.Events && s != record.Telemetry {
		return fmt.Errorf("unknown stream %q", stream)
	}
	if number > math.MaxInt64 {
		return fmt.Errorf("sequence number %d is too large", number)
	}
	return nil
}

func apply(t *store.Tx, e event) error {
	switch e.Kind {
	case telemetry.AlarmRaised, telemetry.AlarmCleared:
		c := Change{Action: Raised, At: e.Time, Decided: e.Decided, Gateway: e.gateway, Alarm: *e.Alarm}
		if e.Kind == telemetry.AlarmCleared {
			c.Action = Cleared
		}
		_, err := change(t, e.Alarm.ID, c)
		return err
	case telemetry.GatewayStarted, telemetry.GatewayStopped:
		for _, c := range e.Lifecycle.Committed {
			if err := t.Expect(e.gateway, c); err != nil {
				return err
			}
		}
	case telemetry.SamplesLost:
		return t.DeclareLoss(e.gateway, *e.Loss, e.Decided)
	}
	return nil
}
