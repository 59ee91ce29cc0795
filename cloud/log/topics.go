package log

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/busbar/busbar/telemetry/record"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topic is a topic that Busbar needs. A zero Partitions, Replicas, MinInSync or
// Retention leaves that to the broker's defaults.
type Topic struct {
	Name       string
	Partitions int32
	Replicas   int16
	MinInSync  int
	Retention  time.Duration
	Compacted  bool
}

// Topics are the topics under names. Telemetry and its backfill get the given
// number of partitions, which later can't be raised without moving gateways
// between partitions; events, births and commands are few and get one each.
func Topics(names record.Topics, partitions int32, replicas int16, minInSync int) []Topic {
	return []Topic{
		{Name: names.Telemetry(), Partitions: partitions, Replicas: replicas, MinInSync: minInSync, Retention: 7 * 24 * time.Hour},
		{Name: names.Backfill(), Partitions: partitions, Replicas: replicas, MinInSync: minInSync, Retention: 7 * 24 * time.Hour},
		{Name: names.Events(), Partitions: 1, Replicas: replicas, MinInSync: minInSync, Retention: 30 * 24 * time.Hour},
		{Name: names.Births(), Partitions: 1, Replicas: replicas, MinInSync: minInSync, Compacted: true},
		{Name: names.Commands(), Partitions: 1, Replicas: replicas, MinInSync: minInSync, Retention: 24 * time.Hour},
	}
}

// MeasurementTopics are those of measurements, with as many partitions as telemetry has.
func MeasurementTopics(names record.Topics, partitions int32, replicas int16, minInSync int) []Topic {
	return []Topic{
		{Name: names.Measurements(), Partitions: partitions, Replicas: replicas, MinInSync: minInSync, Retention: 7 * 24 * time.Hour},
		{Name: names.MeasurementsCursor(), Partitions: 1, Replicas: replicas, MinInSync: minInSync, Compacted: true},
	}
}

// ImportTopic is that of what head-ends have read.
func ImportTopic(names record.Topics, replicas int16, minInSync int) Topic {
	return Topic{Name: names.Import(), Partitions: 1, Replicas: replicas, MinInSync: minInSync, Retention: 30 * 24 * time.Hour}
}

// EvidenceTopics are those of evidence, with as many partitions as telemetry has, kept as
// long as events are.
func EvidenceTopics(names record.Topics, partitions int32, replicas int16, minInSync int) []Topic {
	return []Topic{
		{Name: names.Evidence(), Partitions: partitions, Replicas: replicas, MinInSync: minInSync, Retention: 30 * 24 * time.Hour},
		{Name: names.EvidenceCursor(), Partitions: 1, Replicas: replicas, MinInSync: minInSync, Compacted: true},
	}
}

// EnsureTopics creates the topics that are missing. It never alters one that
// exists, whatever its settings.
func EnsureTopics(ctx context.Context, client *kgo.Client, topics []Topic) error {
	admin := kadm.NewClient(client)
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	existing, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("log: list topics: %w", err)
	}
	for _, t := range topics {
		detail := existing[t.Name]
		if detail.Err == nil {
			continue
		}
		if !errors.Is(detail.Err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("log: look up topic %s: %w", t.Name, detail.Err)
		}
		_, err := admin.CreateTopic(ctx, orDefault(t.Partitions), orDefault(t.Replicas), t.configs(), t.Name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("log: create topic %s: %w", t.Name, err)
		}
	}
	return nil
}

// NotCompacted names the topics that should be compacted and aren't: they forget
// what is older than their retention, however recent the last record of its key.
func NotCompacted(ctx context.Context, client *kgo.Client, topics []Topic) ([]string, error) {
	var ask, not []string
	for _, t := range topics {
		if t.Compacted {
			ask = append(ask, t.Name)
		}
	}
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, ask...)
	if err != nil {
		return nil, fmt.Errorf("log: read the settings of %v: %w", ask, err)
	}
	for _, topic := range configs {
		for _, entry := range topic.Configs {
			if entry.Key == "cleanup.policy" && entry.MaybeValue() != "compact" {
				not = append(not, topic.Name)
			}
		}
	}
	return not, nil
}

func orDefault[N int16 | int32](n N) N {
	if n == 0 {
		return -1
	}
	return n
}

func (t Topic) configs() map[string]*string {
	c := map[string]*string{}
	if t.MinInSync > 0 {
		c["min.insync.replicas"] = kadm.StringPtr(strconv.Itoa(t.MinInSync))
	}
	if t.Retention > 0 {
		c["retention.ms"] = kadm.StringPtr(strconv.FormatInt(t.Retention.Milliseconds(), 10))
	}
	if t.Compacted {
		c["cleanup.policy"] = kadm.StringPtr("compact")
	}
	return c
}

// CountPartitions is how many partitions a topic has.
func CountPartitions(ctx context.Context, client *kgo.Client, topic string) (int, error) {
	topics, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err == nil {
		err = topics[topic].Err
	}
	if err == nil && len(topics[topic].Partitions) == 0 {
		err = errors.New("it has none yet")
	}
	if err != nil {
		return 0, fmt.Errorf("log: count the partitions of %s: %w", topic, err)
	}
	return len(topics[topic].Partitions), nil
}
