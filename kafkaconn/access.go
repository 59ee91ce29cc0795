package kafkaconn

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Access is what a client is going to do, by topic. A topic may be in both.
type Access struct {
	Write []string
	Read  []string
}

// AccessError says which topics a client can't use as it must, and why.
type AccessError struct {
	Topics []TopicError // in the order of Access: Write, then Read
}

// TopicError is what is wrong with one topic: it is absent, or the client lacks
// rights on it. A client without the right to describe a topic isn't told
// whether it exists.
type TopicError struct {
	Topic  string
	Absent bool
	// The operations that the client's ACL lacks, as Kafka names them: Describe,
	// and Write or Read.
	Missing []string
}

func (e *AccessError) Error() string {
	texts := make([]string, len(e.Topics))
	for i, t := range e.Topics {
		texts[i] = t.Error()
	}
	return "kafka: " + strings.Join(texts, "; ")
}

func (e TopicError) Error() string {
	if e.Absent {
		return fmt.Sprintf("topic %s doesn't exist; busbar-cloud creates its topics when it starts", e.Topic)
	}
	deed := map[string]string{"Describe": "see it", "Write": "write to it", "Read": "read it"}[e.Missing[0]]
	return fmt.Sprintf("topic %s: this login may not %s; its ACL needs %s", e.Topic, deed, strings.Join(e.Missing, " and "))
}

// CheckAccess is Check, and then asks the brokers whether the client may do what
// access says, without writing or reading anything. What is wrong with topics is
// an *AccessError; every other error is one of the connection, as Check names
// it. ctx bounds how long it waits. A broker too old to answer (before Kafka
// 2.3) is taken to allow what it shows.
func CheckAccess(ctx context.Context, client *kgo.Client, access Access) error {
	if err := Check(ctx, client); err != nil {
		return err
	}
	request := kmsg.NewPtrMetadataRequest()
	request.IncludeTopicAuthorizedOperations = true
	for _, topic := range distinct(access.Write, access.Read) {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		request.Topics = append(request.Topics, t)
	}
	var answer *kmsg.MetadataResponse
	err := within(ctx, func() (err error) {
		answer, err = request.RequestWith(ctx, client)
		return err
	})
	if err != nil {
		return named(err, client)
	}
	found := map[string]kmsg.MetadataResponseTopic{}
	for _, t := range answer.Topics {
		if t.Topic != nil {
			found[*t.Topic] = t
		}
	}
	var wrong AccessError
	for i, topics := range [][]string{access.Write, access.Read} {
		right := []kmsg.ACLOperation{kmsg.ACLOperationWrite, kmsg.ACLOperationRead}[i]
		for _, topic := range topics {
			problem, err := judge(found[topic], topic, right)
			if err != nil {
				return fmt.Errorf("kafka: topic %s: %w", topic, err)
			}
			if problem != nil {
				wrong.Topics = append(wrong.Topics, *problem)
			}
		}
	}
	if len(wrong.Topics) > 0 {
		return &wrong
	}
	return nil
}

// unasked is what brokers answer that don't say which operations are allowed.
const unasked = math.MinInt32

// judge says what keeps the client from using topic as t describes it; an error
// is one that has nothing to do with its rights.
func judge(t kmsg.MetadataResponseTopic, topic string, right kmsg.ACLOperation) (*TopicError, error) {
	name := map[kmsg.ACLOperation]string{kmsg.ACLOperationWrite: "Write", kmsg.ACLOperationRead: "Read"}[right]
	switch err := kerr.ErrorForCode(t.ErrorCode); {
	case t.Topic == nil:
		return nil, errors.New("the broker says nothing about it")
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return &TopicError{Topic: topic, Missing: []string{"Describe", name}}, nil
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return &TopicError{Topic: topic, Absent: true}, nil
	case errors.Is(err, kerr.LeaderNotAvailable):
		// Some partition is without a leader; the rights are told all the same.
	case err != nil:
		return nil, err
	}
	if t.AuthorizedOperations == unasked || t.AuthorizedOperations&(1<<right) != 0 {
		return nil, nil
	}
	return &TopicError{Topic: topic, Missing: []string{name}}, nil
}

func distinct(lists ...[]string) (all []string) {
	seen := map[string]bool{}
	for _, list := range lists {
		for _, s := range list {
			if !seen[s] {
				seen[s] = true
				all = append(all, s)
			}
		}
	}
	return all
}
