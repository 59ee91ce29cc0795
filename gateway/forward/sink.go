package forward

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

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
	// Warm opens the way that the next message takes, or keeps it open.
	Warm(ctx context.Context)
	// Close fails what is under way.
	Close()
}

// Kafka is the sink of a topic that client, made with ClientOptions, reaches. Key
// is that of its messages.
func Kafka(client *kgo.Client, topic, key string) Sink {
	return &kafkaSink{client: client, topic: topic, key: key}
}

type kafkaSink struct {
	client     *kgo.Client
	topic, key string

	partition atomic.Int32 // of the message that was acknowledged last
	id        atomic.Pointer[[16]byte]
}

func (k *kafkaSink) Produce(m record.Message, done func(error)) {
	r := &kgo.Record{Topic: k.topic, Key: m.Key, Value: m.Value, Headers: make([]kgo.RecordHeader, len(m.Headers))}
	for i, h := range m.Headers {
		r.Headers[i] = kgo.RecordHeader(h)
	}
	k.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		switch {
		case err == nil:
			k.partition.Store(r.Partition)
		case errors.Is(err, kerr.MessageTooLarge):
			err = fmt.Errorf("%w: %w", ErrTooLarge, err)
		}
		done(err)
	})
}

// Warm produces nothing at all: only a produce request uses the connection that
// the client keeps for them. Before the first message it gets the producer's id,
// too.
func (k *kafkaSink) Warm(ctx context.Context) {
	leader, _, err := k.client.PartitionLeader(k.topic, k.partition.Load())
	if err != nil || leader < 0 {
		if leader, err = k.firstLeader(ctx); err != nil {
			return
		}
		k.client.ProducerID(ctx)
	}
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, 5000
	k.client.Broker(int(leader)).Request(ctx, request)
}

// firstLeader asks who leads the partition that the first message will go to,
// which the client knows only when it has one.
func (k *kafkaSink) firstLeader(ctx context.Context) (int32, error) {
	t, err := k.describe(ctx)
	if err != nil {
		return 0, err
	}
	partition := partitioner.ForTopic(k.topic).Partition(&kgo.Record{Key: []byte(k.key)}, len(t.Partitions))
	for _, p := range t.Partitions {
		if int(p.Partition) == partition && p.ErrorCode == 0 {
			return p.Leader, nil
		}
	}
	return 0, kerr.LeaderNotAvailable
}

// describe asks the brokers about the topic.
func (k *kafkaSink) describe(ctx context.Context) (kmsg.MetadataResponseTopic, error) {
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(k.topic)
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, k.client)
	if err != nil {
		return topicUnknown, err
	}
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) == 0 {
		return topicUnknown, kerr.UnknownTopicOrPartition
	}
	return answer.Topics[0], nil
}

var topicUnknown kmsg.MetadataResponseTopic

// Check finds as well that the topic has been deleted and made anew, which the
// client by itself never gets over: what is under way fails then, and what comes
// next goes to the new topic.
func (k *kafkaSink) Check(ctx context.Context) error {
	if err := kafkaconn.CheckAccess(ctx, k.client, kafkaconn.Access{Write: []string{k.topic}}); err != nil {
		return err
	}
	if t, err := k.describe(ctx); err == nil {
		if before := k.id.Swap(&t.TopicID); before != nil && *before != t.TopicID {
			k.client.PurgeTopicsFromProducing(k.topic)
		}
	}
	return nil
}

func (k *kafkaSink) Close() { k.client.Close() }
