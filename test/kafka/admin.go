package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/busbar/busbar/telemetry/record"
)

const (
	askAgain   = 200 * time.Millisecond
	askTimeout = 5 * time.Second
)

// ask asks with a fresh client: an old one may keep what it learnt before a
// broker came or went.
func (c *Cluster) ask(ctx context.Context, question func(context.Context, *kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...))
	if err != nil {
		return err
	}
	defer client.Close()
	return question(ctx, kadm.NewClient(client))
}

// until asks again until the answer is true. When ctx ends, what was wrong last
// is the error.
func (c *Cluster) until(ctx context.Context, what string, question func(context.Context, *kadm.Client) error) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, askTimeout)
		err := c.ask(attempt, question)
		cancel()
		if err == nil {
			return nil
		}
		for _, b := range c.brokers {
			if failure := b.failure(); failure != nil {
				return failure
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (last: %w)", what, context.Cause(ctx), err)
		case <-time.After(askAgain):
		}
	}
}

// await waits until every broker has joined.
func (c *Cluster) await(ctx context.Context) error {
	return c.until(ctx, "wait for the brokers", func(ctx context.Context, admin *kadm.Client) error {
		list, err := admin.ListBrokers(ctx)
		if err == nil && len(list) < len(c.brokers) {
			err = fmt.Errorf("%d of %d brokers have joined", len(list), len(c.brokers))
		}
		return err
	})
}

// AwaitInSync waits until every partition of topics has a leader and all of its
// replicas in sync; of all topics, if none is named.
func (c *Cluster) AwaitInSync(ctx context.Context, topics ...string) error {
	err := c.until(ctx, "wait for replicas", func(ctx context.Context, admin *kadm.Client) error {
		list, err := admin.ListTopicsWithInternal(ctx, topics...)
		if err != nil {
			return err
		}
		for _, topic := range list.Sorted() {
			if topic.Err != nil {
				return fmt.Errorf("topic %s: %w", topic.Topic, topic.Err)
			}
			for _, p := range topic.Partitions.Sorted() {
				if p.Err != nil || len(p.ISR) < len(p.Replicas) {
					return fmt.Errorf("%s/%d: %d of %d replicas in sync: %w", p.Topic, p.Partition, len(p.ISR), len(p.Replicas), p.Err)
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	return nil
}

// Leader is the number of the broker that leads a partition.
func (c *Cluster) Leader(ctx context.Context, topic string, partition int32) (n int, err error) {
	err = c.ask(ctx, func(ctx context.Context, admin *kadm.Client) error {
		list, err := admin.ListTopics(ctx, topic)
		if err != nil {
			return err
		}
		p, ok := list[topic].Partitions[partition]
		if !ok {
			return errors.Join(errors.New("there is no such partition"), list[topic].Err)
		}
		n = int(p.Leader)
		return p.Err
	})
	if err != nil {
		return 0, fmt.Errorf("kafka: leader of %s/%d: %w", topic, partition, err)
	}
	return n, nil
}

// Controller is the number of the broker whose controller leads the quorum.
func (c *Cluster) Controller(ctx context.Context) (n int, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	request := kmsg.NewPtrDescribeQuorumRequest()
	request.Topics = []kmsg.DescribeQuorumRequestTopic{{
		Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}},
	}}
	answer, err := request.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err == nil && (len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1) {
		err = errors.New("the broker doesn't say")
	}
	if err == nil {
		err = kerr.ErrorForCode(answer.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		return 0, fmt.Errorf("kafka: leader of the quorum: %w", err)
	}
	return int(answer.Topics[0].Partitions[0].LeaderID), nil
}

// CreateTopics creates Busbar's topics under prefix as docs/kafka.md describes
// them, and returns when they can be used. Topics that exist are left alone.
func (c *Cluster) CreateTopics(ctx context.Context, prefix string) error {
	names := record.TopicsOf(prefix)
	replicas, inSync := int16(c.brokers[0].Replicas), strconv.Itoa(c.brokers[0].InSync)
	days := func(n int) string { return strconv.FormatInt((time.Duration(n) * 24 * time.Hour).Milliseconds(), 10) }
	topics := []struct {
		name       string
		partitions int32
		key, value string
	}{
		{names.Telemetry(), 4, "retention.ms", days(7)},
		{names.Backfill(), 4, "retention.ms", days(7)},
		{names.Events(), 1, "retention.ms", days(30)},
		{names.Births(), 1, "cleanup.policy", "compact"},
		{names.Commands(), 1, "retention.ms", days(1)},
	}
	created := make([]string, len(topics))
	err := c.ask(ctx, func(ctx context.Context, admin *kadm.Client) error {
		for i, t := range topics {
			created[i] = t.name
			settings := map[string]*string{"min.insync.replicas": &inSync, t.key: &t.value}
			_, err := admin.CreateTopic(ctx, t.partitions, replicas, settings, t.name)
			if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
				return fmt.Errorf("create topic %s: %w", t.name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	return c.AwaitInSync(ctx, created...)
}

// Quota bounds what a user may write to each broker, in bytes a second; 0 takes
// the bound away. A user who writes more is made to wait, not refused.
func (c *Cluster) Quota(ctx context.Context, user string, producerBytesPerSecond float64) error {
	op := kadm.AlterClientQuotaOp{Key: "producer_byte_rate", Value: producerBytesPerSecond, Remove: producerBytesPerSecond == 0}
	err := c.ask(ctx, func(ctx context.Context, admin *kadm.Client) error {
		altered, err := admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
			Entity: kadm.ClientQuotaEntity{{Type: "user", Name: &user}}, Ops: []kadm.AlterClientQuotaOp{op},
		}})
		for _, a := range altered {
			err = errors.Join(err, a.Err)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("kafka: quota of %s: %w", user, err)
	}
	return nil
}
