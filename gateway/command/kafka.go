package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/telemetry/record"
)

// Log reads a gateway's commands from Kafka, with a client of its own and
// without a consumer group: nothing is kept of how far it has read.
type Log struct {
	options []kgo.Opt
	client  *kgo.Client
	gateway string
	from    kgo.Offset // behind what was read last
}

const (
	// lookBack is how far before the present it begins. No command for this process
	// is older than the process, but clocks differ.
	lookBack = record.MaxCommandLife
	// fetchWait is how long a broker waits for commands before it answers that
	// there are none: a longer one costs less while there are none.
	fetchWait = 25 * time.Second
	// fetchBytes bounds what is in memory.
	fetchBytes = 64 << 10
)

// NewLog prepares a client with the options of a connection; nothing is dialled
// yet. While the clock isn't set, it begins with what comes next.
func NewLog(connection []kgo.Opt, topic, gateway string, now Now) (*Log, error) {
	l := &Log{gateway: gateway, from: kgo.NewOffset().AtEnd()}
	if now.Set {
		l.from = after(now.Time.Time().Add(-lookBack))
	}
	l.options = append(connection[:len(connection):len(connection)], kgo.ConsumeTopics(topic),
		kgo.MaxConcurrentFetches(1), kgo.FetchMaxWait(fetchWait), kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes))
	return l, l.open()
}

func after(t time.Time) kgo.Offset { return kgo.NewOffset().AfterMilli(t.UnixMilli()) }

func (l *Log) open() (err error) {
	if l.client, err = kgo.NewClient(append(l.options[:len(l.options):len(l.options)], kgo.ConsumeResetOffset(l.from))...); err != nil {
		return fmt.Errorf("command: Kafka client: %w", err)
	}
	return nil
}

// Receive waits for messages under the gateway's key. While the log is away it
// waits for that. Messages that come with an error count.
func (l *Log) Receive(ctx context.Context) ([]record.Message, error) {
	fetches := l.client.PollRecords(ctx, 100)
	var messages []record.Message
	fetches.EachRecord(func(r *kgo.Record) {
		l.from = after(r.Timestamp.Add(time.Millisecond))
		if string(r.Key) != l.gateway {
			return
		}
		m := record.Message{Key: r.Key, Value: r.Value, Headers: make([]record.Header, len(r.Headers))}
		for i, h := range r.Headers {
			m.Headers[i] = record.Header(h)
		}
		messages = append(messages, m)
	})
	errs := fetches.Errors()
	if len(errs) == 0 {
		return messages, nil
	}
	err := fmt.Errorf("command: read %s: %w", errs[0].Topic, errs[0].Err)
	if errors.Is(err, kerr.UnknownTopicID) {
		// The topic was deleted and made anew, which a client never gets over.
		before := l.client
		if again := l.open(); again != nil {
			l.client = before
			return messages, again
		}
		before.Close()
	}
	return messages, err
}

// Close ends the client.
func (l *Log) Close() { l.client.Close() }
