package log

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/busbar/busbar/cloud/store"
)

// Offsets is the next offset to read, by topic and partition.
type Offsets map[string]map[int32]int64

// TruncatedError says that the log doesn't give the next record to read: it was
// deleted by retention, the log lost its end, or it stands in a batch that
// decompresses beyond bounds. The caller records the gap and
// opens a new Reader at Resume. Records may then come again that were read
// before, so it must know duplicates by their identity.
type TruncatedError struct {
	Topic     string
	Partition int32
	Next      int64 // the offset that was wanted
	Resume    int64 // where the log can be read again
	Oversized bool  // a batch decompresses beyond bounds
}

func (e *TruncatedError) Error() string {
	if e.Oversized {
		return fmt.Sprintf("log: %s/%d: a batch before offset %d decompresses beyond bounds and isn't read", e.Topic, e.Partition, e.Resume)
	}
	return fmt.Sprintf("log: %s/%d: offset %d is not in the log, which can be read from %d", e.Topic, e.Partition, e.Next, e.Resume)
}

// RecreatedError says that a topic was deleted and another made under its name:
// offsets in the old one mean nothing in the new one. The caller records that
// and opens a new Reader without them.
type RecreatedError struct {
	Topic    string
	Was, Now string // ids
}

func (e *RecreatedError) Error() string {
	return fmt.Sprintf("log: topic %s was deleted and made anew: its id was %s and is %s", e.Topic, e.Was, e.Now)
}

const (
	discoverEvery = 30 * time.Second // to look for partitions that were added
	askTimeout    = 10 * time.Second // for what the brokers are asked beside fetching
)

// Reader reads every partition of its topics, or a share of them. It belongs to no consumer group:
// the offsets live beside the results in the consumer's database and are
// committed with them. A Reader belongs to one goroutine; Lag may be called
// from any.
type Reader struct {
	client     *kgo.Client
	topics     []string
	share      store.Share
	start      Offsets
	ids        map[string]string // of topics
	assigned   map[string]map[int32]bool
	until      Offsets // for ReadTo; nil: there is no end
	discovered time.Time
	fetched    atomic.Int64 // when a broker last answered, in ns of Unix time

	mu       sync.Mutex
	position Offsets // next offset to hand out
	end      Offsets // high watermarks as last seen
	mark     mark
	through  time.Time
}

// mark is how far the log went at an instant.
type mark struct {
	at  time.Time
	end Offsets
}

// OpenReader connects with opts and reads from the offsets in next; a partition
// without one is read from its start. Ids are those of the topics that the
// offsets are about, as far as they are known; if one has changed, the error is
// *RecreatedError. It fails if a topic doesn't exist.
func OpenReader(ctx context.Context, opts []kgo.Opt, topics []string, next Offsets, ids map[string]string) (*Reader, error) {
	return OpenShare(ctx, opts, topics, store.Share{}, next, ids)
}

// OpenShare is OpenReader of a share of the partitions.
func OpenShare(ctx context.Context, opts []kgo.Opt, topics []string, share store.Share, next Offsets, ids map[string]string) (*Reader, error) {
	r := &Reader{topics: topics, share: share, start: next, ids: map[string]string{}, assigned: map[string]map[int32]bool{}, position: Offsets{}, end: Offsets{}}
	maps.Copy(r.ids, ids)
	// With no reset allowed, an offset that isn't in the log is an error here
	// and not a silent jump.
	client, err := kgo.NewClient(append(opts[:len(opts):len(opts)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.WithDecompressor(decompressor),
		kgo.WithHooks(onFetch(func() { r.fetched.Store(time.Now().UnixNano()) })))...)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	r.client = client
	if err := r.discover(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return r, nil
}

func (r *Reader) Close() { r.client.Close() }

// onFetch is called when a broker has answered a fetch, with records or without.
type onFetch func()

func (f onFetch) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err == nil && key == int16(kmsg.Fetch) {
		f()
	}
}

// Fetched is when a broker last answered a fetch; the zero Time if none has. A
// log that can be read is fetched from about twice a second, if only to hear
// that there is nothing new. It may be called from any goroutine.
func (r *Reader) Fetched() time.Time {
	if ns := r.fetched.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// TopicID is what Kafka calls a topic, empty if the brokers give topics no ids.
func (r *Reader) TopicID(topic string) string { return r.ids[topic] }

func (r *Reader) discover(ctx context.Context) error {
	r.discovered = time.Now()
	topics, err := kadm.NewClient(r.client).ListTopics(ctx, r.topics...)
	if err != nil {
		return fmt.Errorf("log: list partitions: %w", err)
	}
	added := map[string]map[int32]kgo.Offset{}
	for _, topic := range r.topics {
		detail := topics[topic]
		if detail.Err != nil {
			return fmt.Errorf("log: topic %s: %w", topic, detail.Err)
		}
		if detail.ID != (kadm.TopicID{}) {
			now := detail.ID.String()
			if was := r.ids[topic]; was != "" && was != now {
				return &RecreatedError{topic, was, now}
			}
			r.ids[topic] = now
		}
		for p := range detail.Partitions {
			if r.assigned[topic][p] || !r.share.Has(p) {
				continue
			}
			from := kgo.NewOffset().AtStart()
			if next, ok := r.start[topic][p]; ok {
				from = kgo.NewOffset().At(next)
				r.note(r.position, topic, p, next)
			}
			put(added, topic, p, from)
			put(r.assigned, topic, p, true)
		}
	}
	if len(added) > 0 {
		r.client.AddConsumePartitions(added)
	}
	return nil
}

// Poll waits for records, at most as long as wait, and returns at most limit of
// them, in order within each partition. Without a positive wait it returns what
// has been fetched already. It returns none when ctx ends first.
// After an error the Reader is of no more use; *TruncatedError is one of them.
func (r *Reader) Poll(ctx context.Context, wait time.Duration, limit int) ([]*kgo.Record, error) {
	if time.Since(r.discovered) >= discoverEvery {
		// This is also what notices that no broker answers: fetching waits for
		// one in silence.
		discoverCtx, cancel := context.WithTimeout(ctx, askTimeout)
		err := r.discover(discoverCtx)
		cancel()
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
	var fetches kgo.Fetches
	if wait > 0 {
		pollCtx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		fetches = r.client.PollRecords(pollCtx, limit)
	} else {
		fetches = r.client.PollRecords(nil, limit) // without a context the client doesn't wait
	}
	for _, f := range fetches.Errors() {
		if errors.Is(f.Err, context.DeadlineExceeded) || errors.Is(f.Err, context.Canceled) {
			continue
		}
		return nil, r.explain(f)
	}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if p.Err != nil {
			return // it says nothing of the partition
		}
		r.note(r.end, p.Topic, p.Partition, p.HighWatermark)
		if n := len(p.Records); n > 0 {
			r.note(r.position, p.Topic, p.Partition, p.Records[n-1].Offset+1)
		} else if r.wanted(p.Topic, p.Partition) < p.LogStartOffset {
			r.note(r.position, p.Topic, p.Partition, p.LogStartOffset) // all before has expired
		}
	})
	r.advance()
	return r.within(fetches.Records()), nil
}

// advance moves through to the mark, once all that the log had then has been handed
// out, and makes the next one.
func (r *Reader) advance() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for topic, partitions := range r.mark.end {
		for p, end := range partitions {
			if r.position[topic][p] < end {
				return
			}
		}
	}
	r.through = r.mark.at
	r.mark = mark{at: r.Fetched(), end: Offsets{}}
	for topic, partitions := range r.end {
		r.mark.end[topic] = maps.Clone(partitions)
	}
}

// Through is an instant up to which Poll has returned all that was in the log, as far
// as the brokers have said; the zero Time before there is one. It stands still while
// the log can't be read, and while the reader lags behind. It may be called from any
// goroutine.
func (r *Reader) Through() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.through
}

func (r *Reader) explain(f kgo.FetchError) error {
	var loss *kgo.ErrDataLoss
	if errors.As(f.Err, &loss) {
		return &TruncatedError{Topic: f.Topic, Partition: f.Partition, Next: loss.ConsumedTo, Resume: loss.ResetTo}
	}
	var large *kgo.ErrDecompressTooLarge
	if errors.As(f.Err, &large) {
		return &TruncatedError{Topic: f.Topic, Partition: f.Partition, Next: r.wanted(f.Topic, f.Partition), Resume: large.NextOffset, Oversized: true}
	}
	if !errors.Is(f.Err, kerr.OffsetOutOfRange) {
		return fmt.Errorf("log: read %s/%d: %w", f.Topic, f.Partition, f.Err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	starts, err := kadm.NewClient(r.client).ListStartOffsets(ctx, f.Topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("log: find the start of %s/%d: %w", f.Topic, f.Partition, err)
	}
	first, _ := starts.Lookup(f.Topic, f.Partition)
	r.mu.Lock()
	defer r.mu.Unlock()
	return &TruncatedError{Topic: f.Topic, Partition: f.Partition, Next: r.position[f.Topic][f.Partition], Resume: first.Offset}
}

// wanted is the offset of a partition that comes next, store.NoOffset if it is read
// from its start and nothing has come.
func (r *Reader) wanted(topic string, partition int32) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if next, ok := r.position[topic][partition]; ok {
		return next
	}
	return store.NoOffset
}

// Lags calls each with every partition that is read, and how many records it holds beyond
// those that Poll returned, as far as the brokers have said. It is for the Reader's
// goroutine.
func (r *Reader) Lags(each func(topic string, partition int32, lag int64)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for topic, partitions := range r.assigned {
		for p := range partitions {
			each(topic, p, max(0, r.end[topic][p]-r.position[topic][p]))
		}
	}
}

// Lag is how many records the log holds beyond those that Poll returned, as far
// as the brokers have said.
func (r *Reader) Lag() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lag int64
	for topic, partitions := range r.end {
		for p, end := range partitions {
			lag += max(0, end-r.position[topic][p])
		}
	}
	return lag
}

func (r *Reader) note(o Offsets, topic string, partition int32, offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	put(o, topic, partition, offset)
}

func put[V any](m map[string]map[int32]V, topic string, partition int32, v V) {
	if m[topic] == nil {
		m[topic] = map[int32]V{}
	}
	m[topic][partition] = v
}
