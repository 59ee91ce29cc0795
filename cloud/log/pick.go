package log

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Picker reads single records of the log, at offsets that are known. It belongs to
// one goroutine.
type Picker struct {
	client *kgo.Client
}

// OpenPicker prepares a client with opts; nothing is dialled yet.
func OpenPicker(opts []kgo.Opt) (*Picker, error) {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return &Picker{client}, nil
}

func (p *Picker) Close() { p.client.Close() }

// Begin is where a partition begins, and end is the offset behind its last record.
// Without an error and with both 0, there is no such partition of a topic with this
// id; an empty id stands for any.
func (p *Picker) Begin(ctx context.Context, topic, topicID string, partition int32) (begin, end int64, err error) {
	at, found, err := p.place(ctx, topic, topicID, partition)
	if err != nil || !found {
		return 0, 0, err
	}
	return at.begin, at.end, nil
}

// place is a partition and who leads it.
type place struct {
	topic      string
	id         kadm.TopicID
	partition  int32
	leader     int32
	begin, end int64
}

func (p *Picker) place(ctx context.Context, topic, topicID string, partition int32) (at place, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	admin := kadm.NewClient(p.client)
	topics, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return at, false, fmt.Errorf("log: find %s/%d: %w", topic, partition, err)
	}
	detail := topics[topic]
	part, known := detail.Partitions[partition]
	switch {
	case errors.Is(detail.Err, kerr.UnknownTopicOrPartition), detail.Err == nil && !known, topicID != "" && detail.ID != (kadm.TopicID{}) && detail.ID.String() != topicID:
		return at, false, nil
	case detail.Err != nil:
		return at, false, fmt.Errorf("log: find %s/%d: %w", topic, partition, detail.Err)
	case part.Leader < 0:
		return at, false, fmt.Errorf("log: find %s/%d: no broker leads it", topic, partition)
	}
	at = place{topic: topic, id: detail.ID, partition: partition, leader: part.Leader}
	for offset, list := range map[*int64]func(context.Context, ...string) (kadm.ListedOffsets, error){&at.begin: admin.ListStartOffsets, &at.end: admin.ListEndOffsets} {
		listed, err := list(ctx, topic)
		if err == nil {
			err = listed.Error()
		}
		if err != nil {
			return at, false, fmt.Errorf("log: find the bounds of %s/%d: %w", topic, partition, err)
		}
		one, _ := listed.Lookup(topic, partition)
		*offset = one.Offset
	}
	return at, true, nil
}

const (
	pickBytes = 1 << 20 // asked of a broker at a time; one batch may be larger
	pickWait  = 500     // ms that a broker may take to gather
)

// Pick reads the records at offsets, which ascend, of one partition of the topic with
// this id, or any id if it is empty. It looks at offsets, from the first on, until the
// values found have mostBytes, and returns at how many it has looked. What it found is
// by offset; what of the offsets looked at isn't there, the log doesn't have any more.
func (p *Picker) Pick(ctx context.Context, topic, topicID string, partition int32, offsets []int64, mostBytes int) (found map[int64]*kgo.Record, looked int, err error) {
	found = map[int64]*kgo.Record{}
	at, exists, err := p.place(ctx, topic, topicID, partition)
	if err != nil || !exists {
		return found, len(offsets), err
	}
	for bytes := 0; looked < len(offsets) && bytes < mostBytes; {
		want := offsets[looked]
		if want < at.begin || want >= at.end {
			looked++
			continue
		}
		records, next, err := p.fetch(ctx, at, want)
		switch {
		case errors.Is(err, kerr.OffsetOutOfRange): // the log has just forgotten it
			looked++
			continue
		case err != nil:
			return nil, 0, fmt.Errorf("log: read %s/%d@%d: %w", topic, partition, want, err)
		}
		for _, r := range records {
			if bytes >= mostBytes {
				return found, looked, nil
			}
			for looked < len(offsets) && offsets[looked] < r.Offset {
				looked++
			}
			if looked < len(offsets) && offsets[looked] == r.Offset {
				found[r.Offset] = r
				bytes += len(r.Value)
				looked++
			}
		}
		for looked < len(offsets) && offsets[looked] < next {
			looked++
		}
	}
	return found, looked, nil
}

// fetch reads the batch at an offset and some behind it; next is the offset behind
// them.
func (p *Picker) fetch(ctx context.Context, at place, offset int64) (records []*kgo.Record, next int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes, request.SessionEpoch = pickWait, 1, pickBytes, -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = at.topic, at.id
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = at.partition, offset, pickBytes
	topic.Partitions = append(topic.Partitions, part)
	request.Topics = append(request.Topics, topic)
	answer, err := p.client.Broker(int(at.leader)).RetriableRequest(ctx, request)
	if err != nil {
		return nil, 0, err
	}
	response := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return nil, 0, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return nil, 0, errors.New("the broker answers about something else")
	}
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: offset, Topic: at.topic, Partition: at.partition},
		&response.Topics[0].Partitions[0], decompressor, nil)
	var large *kgo.ErrDecompressTooLarge
	switch {
	case errors.As(fetched.Err, &large):
		return nil, large.NextOffset, nil
	case fetched.Err != nil:
		return nil, 0, fetched.Err
	case next <= offset && len(fetched.Records) == 0:
		return nil, 0, errors.New("the broker gives nothing")
	}
	return fetched.Records, next, nil
}
