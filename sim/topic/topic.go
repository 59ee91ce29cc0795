// Package topic writes what a simulation brings forth to a Kafka topic, a record
// of JSON for each line that a file would have.
package topic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/kafkaconn"
)

// The topics under the prefix of a connection. What really happened is for the judge
// alone: nothing that is judged may read it.
const (
	Truth    = ".truth"
	Evidence = ".sim-evidence"
)

// Name is a topic under the prefix of a connection.
func Name(c kafkaconn.Config, suffix string) string {
	if c.TopicPrefix == "" {
		return "busbar" + suffix
	}
	return c.TopicPrefix + suffix
}

// Writer writes to one topic, in order. It is safe for concurrent use.
type Writer struct {
	client *kgo.Client
	topic  string

	mu  sync.Mutex
	err error
}

// Open connects, and creates the topic with one partition if it is missing. dir is
// where files that c names are relative to.
func Open(ctx context.Context, c kafkaconn.Config, dir, topic string) (*Writer, error) {
	options, err := c.Options(dir)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(options, kgo.DefaultProduceTopic(topic), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(20*time.Millisecond), kgo.RecordDeliveryTimeout(time.Minute), kgo.MaxBufferedBytes(64<<20), kgo.ProducerBatchMaxBytes(16<<20))...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := kafkaconn.Check(ctx, client); err != nil {
		client.Close()
		return nil, err
	}
	// An outage of a million service points is one record.
	largest := "16777216"
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, -1, map[string]*string{"max.message.bytes": &largest}, topic); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		client.Close()
		return nil, fmt.Errorf("kafka: create topic %s: %w", topic, err)
	}
	return &Writer{client: client, topic: topic}, nil
}

// Write is v as JSON. The error may be that of an earlier record.
func (w *Writer) Write(v any) error {
	w.mu.Lock()
	err := w.err
	w.mu.Unlock()
	if err != nil {
		return err
	}
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.client.Produce(context.Background(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
		if err != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.err = errors.Join(w.err, fmt.Errorf("kafka: write to %s: %w", w.topic, err))
		}
	})
	return nil
}

// Close waits until everything is written.
func (w *Writer) Close() error {
	err := w.client.Flush(context.Background()) // which the delivery timeout ends
	w.client.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(err, w.err)
}
