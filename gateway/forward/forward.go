// Package forward carries committed records from the buffer to the log, in
// order, and releases them when the log has acknowledged them on every in-sync
// replica.
package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry/record"
)

// ClientOptions are what a gateway's producer needs beside its connection:
// acknowledgement by all in-sync replicas, idempotence, retries without end,
// and little memory.
func ClientOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(1 << 20),
		kgo.MaxBufferedBytes(8 << 20),
		kgo.ProducerLinger(0),
		kgo.ProduceRequestTimeout(5 * time.Second),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	}
}

// Sender carries one chain to one topic. Records are sent in the chain's order;
// if one fails, everything behind it is sent again after it.
type Sender struct {
	client *kgo.Client
	chain  *buffer.Chain
	topic  string
	log    *slog.Logger

	// Prepare, if it is set before Run, is called for each record before it is
	// sent, and may change it. One that isn't ready holds up what is behind it.
	Prepare func(*record.Record) (ready bool, err error)

	sent, bytes, failures atomic.Uint64
	progress              atomic.Int64 // Unix ns of the last moment at which nothing waited or something was acknowledged
	unlinked              atomic.Bool
}

// NewSender makes a sender, which closes client when its Run ends. The client
// serves no other chain, so that one stream never waits in another's queue.
func NewSender(client *kgo.Client, chain *buffer.Chain, topic string, log *slog.Logger) *Sender {
	return &Sender{client: client, chain: chain, topic: topic, log: log.With("topic", topic)}
}

// Stats counts what a sender has done since it was made.
type Stats struct {
	Records  uint64 // acknowledged
	Bytes    uint64 // of their payloads
	Failures uint64
	Linked   bool // records are acknowledged, or none has waited longer than 5 s for it
}

func (s *Sender) Stats() Stats {
	return Stats{s.sent.Load(), s.bytes.Load(), s.failures.Load(), !s.unlinked.Load()}
}

const (
	readBytes   = 1 << 20 // read from the chain at a time
	maxInFlight = 64      // records
	retryFirst  = 250 * time.Millisecond
	retryMost   = 15 * time.Second

	stalledAfter = 5 * time.Second
)

// Run sends until ctx ends; what was not acknowledged by then stays in the
// chain. before is called first, and sending begins when it has succeeded.
func (s *Sender) Run(ctx context.Context, before func(context.Context) error) {
	// Closing the client fails what is under way, so that run can return.
	stop := context.AfterFunc(ctx, s.client.Close)
	defer stop()
	s.progress.Store(time.Now().UnixNano())
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx) })
	defer watching.Wait()
	if before(ctx) != nil {
		return
	}
	wait, refusal := retryFirst, ""
	for {
		progressed, err := s.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if progressed {
			wait, refusal = retryFirst, ""
		}
		s.failures.Add(1)
		if text := err.Error(); text != refusal {
			refusal = text
			s.log.Warn("a record was refused; it stays in the buffer and is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, retryMost)
	}
}

// watch reports when records wait longer for their acknowledgement than they
// should, why, and when that is over.
func (s *Sender) watch(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		waiting := s.chain.Stats().Waiting
		if waiting == 0 {
			s.progress.Store(time.Now().UnixNano())
		}
		stalled := time.Since(time.Unix(0, s.progress.Load())) > stalledAfter
		if s.unlinked.Swap(stalled) == stalled {
			continue
		}
		if !stalled {
			s.log.Info("the log acknowledges again", "waiting", waiting)
			continue
		}
		check, cancel := context.WithTimeout(ctx, stalledAfter)
		err := kafkaconn.Check(check, s.client)
		cancel()
		s.log.Warn("the log doesn't acknowledge; records stay in the buffer", "error", err, "waiting", waiting)
	}
}

// run sends from the released position on until a record fails or ctx ends.
func (s *Sender) run(ctx context.Context) (progressed bool, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	w := window{slots: make(chan struct{}, maxInFlight), fail: fail}
	defer func() {
		w.wg.Wait()
		progressed = w.acked > 0
		fail(nil)
	}()
	position := s.chain.Released()
	for {
		if err := s.chain.Wait(ctx, position); err != nil {
			return false, context.Cause(ctx)
		}
		entries, err := s.chain.Read(position, readBytes)
		if err != nil {
			return false, err
		}
		for _, e := range entries {
			if err := s.prepare(ctx, &e.Record); err != nil {
				return false, err
			}
			if !w.take(ctx) {
				return false, context.Cause(ctx)
			}
			s.produce(&w, e)
			position = e.Position
		}
	}
}

// prepareEvery is how often a record that isn't ready is asked for again.
const prepareEvery = time.Second

func (s *Sender) prepare(ctx context.Context, r *record.Record) error {
	for s.Prepare != nil {
		ready, err := s.Prepare(r)
		if err != nil {
			return fmt.Errorf("forward: prepare record %s: %w", r.Identity, err)
		}
		if ready {
			return nil
		}
		s.progress.Store(time.Now().UnixNano())
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(prepareEvery):
		}
	}
	return nil
}

// window is what is under way: at most maxInFlight records, and none begun
// after the first failure.
type window struct {
	slots chan struct{}
	wg    sync.WaitGroup
	fail  context.CancelCauseFunc

	mu     sync.Mutex
	failed bool
	acked  int
}

func (w *window) take(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case w.slots <- struct{}{}:
		w.wg.Add(1)
		return true
	}
}

// done ends a record's stay in the window; ok if it and all before it were
// acknowledged.
func (w *window) done(err error) (ok bool) {
	<-w.slots
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.failed:
	case err != nil:
		w.failed = true
		w.fail(err)
	default:
		w.acked++
		return true
	}
	return false
}

func (s *Sender) produce(w *window, e buffer.Entry) {
	r := &kgo.Record{Topic: s.topic, Key: []byte(e.Record.Gateway), Value: e.Record.Payload}
	for _, h := range e.Record.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	// A record is never cancelled: it may have been written all the same, and
	// the client can't go on in order behind it.
	s.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
		defer w.wg.Done()
		if !w.done(err) {
			return
		}
		s.progress.Store(time.Now().UnixNano())
		s.sent.Add(1)
		s.bytes.Add(uint64(len(e.Record.Payload)))
		if err := s.chain.Release(e.Position); err != nil {
			s.log.Warn("buffer", "error", err)
		}
	})
}

// Drained waits until everything committed so far has been acknowledged, or
// until ctx ends; it reports which.
func (s *Sender) Drained(ctx context.Context) bool {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for s.chain.Stats().Waiting > 0 {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

// Births sends a signal table, and returns when it is acknowledged. It is tried
// again until ctx ends.
func Births(ctx context.Context, client *kgo.Client, topic string, b record.Birth, log *slog.Logger) error {
	var records []*kgo.Record
	for _, part := range record.SplitBirth(b) {
		value, err := json.Marshal(part)
		if err != nil {
			return fmt.Errorf("forward: birth: %w", err)
		}
		records = append(records, &kgo.Record{
			Topic: topic, Key: []byte(part.Key()), Value: value,
			Headers: []kgo.RecordHeader{
				{Key: "gateway", Value: []byte(b.Gateway)},
				{Key: "format", Value: []byte(record.FormatBirth)},
			},
		})
	}
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		err := client.ProduceSync(ctx, records...).FirstErr()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		log.Warn("the log refused the signal table", "topic", topic, "error", err, "retry_in", wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
