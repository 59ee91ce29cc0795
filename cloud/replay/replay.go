// Package replay runs the cloud's analytics again, on what the log still has of a time,
// into a store of its own, and says in what that differs from what the cloud's store
// holds. It sends nothing, and changes nothing but its own store.
package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/ingest"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Analytics are what can be run again.
type Analytics string

const (
	All    Analytics = ""
	Alarms Analytics = "alarms" // what follows from events: alarms, and what gateways account for
	Ingest Analytics = "ingest" // samples, and what sums them up
)

// Config says what to run again.
type Config struct {
	Log    []kgo.Opt // how to reach the brokers
	Topics record.Topics
	Live   *store.Store // the cloud's; it is only read
	Shadow *store.Store // a new one
	// From and To bound when the records were written: From belongs to it, To doesn't. A
	// zero From is where the log begins, a zero To is how far the cloud has read it.
	From, To time.Time
	Only     Analytics
	Logger   *slog.Logger // nil: slog.Default
	// Progress is called now and then, from one goroutine at a time; nil: nobody asks.
	Progress func(Progress)
}

// Progress is how far a step has come.
type Progress struct {
	Step     string
	Done, Of int64 // records, or devices
}

// replay is one run.
type replay struct {
	Config
	spans  map[string]map[int32]log.Span
	report *Report
}

// Run fills the shadow from the log and compares. An error says nothing of whether they
// differ.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Progress == nil {
		cfg.Progress = func(Progress) {}
	}
	r := &replay{Config: cfg, report: newReport(cfg)}
	if err := r.findSpans(ctx); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	if err := r.seed(ctx); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	if r.Only != Ingest {
		if err := r.events(ctx); err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
	}
	if r.Only != Alarms {
		if err := r.samples(ctx); err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
	}
	slices.Sort(r.report.Notes)
	r.report.Same = r.report.Count == 0
	return r.report, nil
}

// reading is which topics a consumer reads.
type reading struct {
	consumer string
	topics   []string
}

func (r *replay) readings() (list []reading) {
	if r.Only != Ingest {
		list = append(list, reading{alarm.Consumer, []string{r.Topics.Events()}})
	}
	if r.Only != Alarms {
		list = append(list, reading{ingest.Consumer, []string{r.Topics.Births(), r.Topics.Telemetry(), r.Topics.Backfill()}})
	}
	return list
}

// findSpans finds what to read. It ends where the cloud has come to, at the latest: what
// the cloud hasn't read yet can't be missed in its store.
func (r *replay) findSpans(ctx context.Context) error {
	r.spans = map[string]map[int32]log.Span{}
	for _, reading := range r.readings() {
		committed, err := r.Live.Offsets(ctx, reading.consumer)
		if err != nil {
			return err
		}
		ids, err := r.Live.TopicIDs(ctx, reading.consumer)
		if err != nil {
			return err
		}
		// Offsets of another topic of the same name would mean nothing.
		reader, err := log.OpenReader(ctx, r.Log, reading.topics, nil, ids)
		if err != nil {
			return err
		}
		reader.Close()
		spans, err := log.Spans(ctx, r.Log, reading.topics, r.From, r.To)
		if err != nil {
			return err
		}
		for topic, partitions := range spans {
			for p, s := range partitions {
				if topic == r.Topics.Births() {
					// Signal tables are needed whenever they were written: one that was
					// written again stands behind the blocks that it names.
					s.From, s.To = s.Begin, s.End
				} else if next, ok := committed[topic][p]; !ok {
					s.To = s.From
				} else if next < s.To {
					if !r.To.IsZero() {
						r.report.note("the cloud has read %s/%d up to offset %d only; what was written from there to %d is left out", topic, p, next, s.To)
					}
					s.To = max(s.From, next)
				}
				partitions[p] = s
				if topic != r.Topics.Births() {
					r.report.Spans = append(r.report.Spans, SpanOf{topic, p, s.From, s.To, s.Begin})
				}
			}
			r.spans[topic] = partitions
		}
	}
	slices.SortFunc(r.report.Spans, SpanOf.compare)
	return nil
}

// until is where reading ends, by topic and partition.
func (r *replay) until(topics ...string) log.Offsets {
	until := log.Offsets{}
	for _, topic := range topics {
		until[topic] = map[int32]int64{}
		for p, s := range r.spans[topic] {
			until[topic][p] = s.To
		}
	}
	return until
}

func (r *replay) records(topics ...string) (n int64) {
	for _, topic := range topics {
		for _, s := range r.spans[topic] {
			n += s.To - s.From
		}
	}
	return n
}

// seed gives the shadow what isn't in the log: the gateways' keys, the network, and where
// to begin.
// A key that was revoked before is revoked there; later than that, what it has signed
// may have been taken.
func (r *replay) seed(ctx context.Context) error {
	if err := network.Copy(ctx, r.Live, r.Shadow); err != nil {
		return err
	}
	keys, err := r.Live.GatewayKeys(ctx)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if _, err := r.Shadow.EnrolKey(ctx, k); err != nil {
			return err
		}
		switch {
		case !k.Revoked():
		case !r.From.IsZero() && k.RevokedAt < telemetry.MicrosOf(r.From):
			if err := r.Shadow.RevokeKey(ctx, k.Gateway, k.ID(), k.RevokedBy, k.Reason, k.RevokedAt); err != nil {
				return err
			}
		default:
			r.report.note("key %s of %s was revoked at %s: what it has signed is taken here until the end", k.ID(), k.Gateway, k.RevokedAt.Time().UTC().Format(time.RFC3339))
		}
	}
	return r.Shadow.Write(ctx, func(t *store.Tx) error {
		for _, reading := range r.readings() {
			for _, topic := range reading.topics {
				for _, p := range slices.Sorted(maps.Keys(r.spans[topic])) {
					if err := t.Advance(reading.consumer, store.Partition{Topic: topic, Number: p}, store.NoOffset, r.spans[topic][p].From); err != nil {
						if errors.Is(err, store.ErrFenced) {
							return errors.New("the shadow isn't a new store")
						}
						return err
					}
				}
			}
		}
		return nil
	})
}

// during calls Progress about every second while do works.
func (r *replay) during(step string, of int64, done func() int64, do func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			if err == nil {
				r.Progress(Progress{step, of, of})
			}
			return err
		case <-ticker.C:
			r.Progress(Progress{step, min(done(), of), of})
		}
	}
}

// whole reports whether the log has all that was ever written to topics, and the cloud
// has read no more of it than was read here. Then there is nothing outside.
func (r *replay) whole(ctx context.Context, consumer string, topics ...string) (bool, error) {
	committed, err := r.Live.Offsets(ctx, consumer)
	if err != nil {
		return false, err
	}
	for _, topic := range topics {
		for p, s := range r.spans[topic] {
			if s.From != 0 || committed[topic][p] > s.To {
				return false, nil
			}
		}
	}
	return true, nil
}

// bounds are between which instants the events that were read had to be told of, as far
// as that can be known.
func (r *replay) bounds() (from, to telemetry.Micros) {
	from, to = math.MinInt64, math.MaxInt64
	if !r.From.IsZero() {
		from = telemetry.MicrosOf(r.From)
	}
	if !r.To.IsZero() {
		to = telemetry.MicrosOf(r.To)
	}
	for _, s := range r.spans[r.Topics.Events()] {
		if s.Begin == 0 || s.From > s.Begin {
			continue
		}
		// What was written before is gone.
		first := telemetry.Micros(math.MaxInt64)
		if !s.First.IsZero() {
			first = telemetry.MicrosOf(s.First)
		}
		from = max(from, first)
	}
	return from, to
}
