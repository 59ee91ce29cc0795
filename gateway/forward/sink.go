package forward

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry/record"
)

// Sink takes messages to one topic of the log, in the order in which they are
// produced. It serves one lane.
type Sink interface {
	// Produce hands a message over. Done is called once, on any goroutine: without
	// an error when every in-sync replica of the log has the message. Only Close
	// gives a message up: it may have been written all the same, and nothing can
	// go on in order behind it.
	Produce(m record.Message, done func(error))
	// Check asks whether messages would be taken, and says in plain words why not.
	Check(ctx context.Context) error
	// Close fails what is under way.
	Close()
}

// Kafka is the sink of a topic that client, made with ClientOptions, reaches.
func Kafka(client *kgo.Client, topic string) Sink { return kafkaSink{client, topic} }

type kafkaSink struct {
	client *kgo.Client
	topic  string
}

func (k kafkaSink) Produce(m record.Message, done func(error)) {
	r := &kgo.Record{Topic: k.topic, Key: m.Key, Value: m.Value, Headers: make([]kgo.RecordHeader, len(m.Headers))}
	for i, h := range m.Headers {
		r.Headers[i] = kgo.RecordHeader(h)
	}
	k.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) { done(err) })
}

func (k kafkaSink) Check(ctx context.Context) error {
	return kafkaconn.CheckAccess(ctx, k.client, kafkaconn.Access{Write: []string{k.topic}})
}

func (k kafkaSink) Close() { k.client.Close() }
