package forward

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry/record"
)

// commitSized commits records with the numbers from up to and without to, with
// payloads of so many bytes.
func commitSized(t *testing.T, chain *buffer.Chain, from, to uint64, bytes int) {
	t.Helper()
	var items []buffer.Item
	for n := from; n < to; n++ {
		payload := make([]byte, bytes)
		binary.BigEndian.PutUint64(payload, n)
		items = append(items, buffer.Item{Format: record.FormatBlock, Payload: payload, Count: 10})
	}
	if err := chain.Commit(items, nil); err != nil {
		t.Fatal(err)
	}
}

// limit bounds the batches that the broker takes in a topic.
func (r *rig) limit(topic, bytes string) {
	r.Helper()
	altered, err := kadm.NewClient(r.client()).AlterTopicConfigs(r.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &bytes}}, topic)
	if err != nil || altered[0].Err != nil {
		r.Fatal(err, altered)
	}
}

// firstSeen are the numbers of a topic in the order in which each came first.
func (r *rig) firstSeen(topic string, want int) []uint64 {
	r.Helper()
	order, _ := r.consume(topic, want)
	var first []uint64
	seen := map[uint64]bool{}
	for _, n := range order {
		if !seen[n] {
			first = append(first, n)
		}
		seen[n] = true
	}
	return first
}

// A broker that takes less at a time than a lane sends gets it in smaller parts.
func TestBrokerThatTakesLittleAtATime(t *testing.T) {
	r := newRig(t, 0)
	commitSized(t, r.buffer.Telemetry, 0, 200, 4000)
	r.limit(topics.Backfill(), "10000")
	parts := newSplit(r.buffer.Telemetry, time.Hour)
	r.lanes.Backfill.share.(*backfill).split = parts
	r.run(r.lanes.Backfill)
	r.drained()
	if order := r.firstSeen(topics.Backfill(), 200); !slices.IsSorted(order) {
		t.Errorf("out of order: %v", order)
	}
	if n := r.lanes.Backfill.Stats().Failures; n == 0 || n > 10 {
		t.Errorf("%d refusals until the lane knew how much the broker takes", n)
	}
}

// A record that the log takes in no way holds nothing up, stays in the buffer, and
// comes when the log takes it.
func TestRecordTooLargeForTheBroker(t *testing.T) {
	for _, lane := range []string{Events, Telemetry, Backfill} {
		t.Run(lane, func(t *testing.T) {
			r := newRig(t, 0)
			topic, chain := "busbar."+lane, r.buffer.Telemetry
			if lane == Events {
				chain = r.buffer.Events
			}
			sending := map[string]*Lane{Events: r.lanes.Events, Telemetry: r.lanes.Telemetry, Backfill: r.lanes.Backfill}[lane]
			if lane == Backfill {
				commitSized(t, chain, 0, 10, 1000)
				commitSized(t, chain, 10, 11, 50_000)
				commitSized(t, chain, 11, 20, 1000)
				parts := r.lanes.Telemetry.share.(fresh).split
				*parts = *newSplit(chain, time.Hour)
			}
			for _, some := range []string{topic, topics.Backfill()} {
				r.limit(some, "20000")
			}
			r.run(r.lanes.All()...)
			if lane != Backfill {
				commitSized(t, chain, 0, 10, 1000)
				commitSized(t, chain, 10, 11, 50_000)
				commitSized(t, chain, 11, 20, 1000)
			}
			waits := sending
			if lane == Telemetry {
				waits = r.lanes.Backfill
			}
			r.await("all others", func() bool { return chain.Stats().Waiting == 1 && waits.Stats().TooLarge == 1 })
			if lane == Telemetry {
				r.commit(20, 21)
				r.await("what comes behind it", func() bool { return chain.Stats().Waiting == 1 && sending.share.drained() })
			}
			for _, some := range []string{topic, topics.Backfill()} {
				r.limit(some, "1000000")
			}
			waits.sizes.mu.Lock()
			for p := range waits.sizes.records {
				waits.sizes.records[p] = time.Now() // that is, the ten minutes are over
			}
			waits.sizes.mu.Unlock()
			r.drained()
			if down := waits.Stats().Link.Spent[Down]; down > 0 {
				t.Errorf("the link was down for %v", down)
			}
		})
	}
}

// A topic that is deleted and made anew is written to again, whether or not that
// was noticed before.
func TestTopicMadeAnew(t *testing.T) {
	for name, noticed := range map[string]bool{"noticed": true, "at once": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 0)
			r.run(r.lanes.Telemetry, r.lanes.Backfill)
			r.commit(0, 10)
			r.drained()
			if err := r.cluster.DeleteTopic(topics.Telemetry()); err != nil {
				t.Fatal(err)
			}
			if noticed {
				r.commit(10, 11)
				r.await("the topic to be missed", func() bool { return r.lanes.Telemetry.Stats().Link.State == Down })
				if cause := r.lanes.Telemetry.Stats().Link.Cause; !strings.Contains(cause, "doesn't exist") {
					t.Errorf("cause %q", cause)
				}
			}
			if err := r.cluster.CreateTopic(topics.Telemetry(), 3, nil); err != nil {
				t.Fatal(err)
			}
			r.commit(11, 20)
			r.drained()
			r.await("the link to be up", func() bool { return r.lanes.Telemetry.Stats().Link.State == Up })
		})
	}
}

// Whatever a broker answers that has forgotten a producer, or doesn't know whether
// it has the records: all come, in their order.
func TestBrokerThatForgets(t *testing.T) {
	for _, answer := range []*kerr.Error{kerr.UnknownProducerID, kerr.OutOfOrderSequenceNumber, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping,
		kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.KafkaStorageError, kerr.UnknownServerError, kerr.PolicyViolation, kerr.InvalidRecord} {
		t.Run(answer.Message, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 300)
			var requests atomic.Int32
			r.answer(topics.Backfill(), func() *kerr.Error {
				if n := requests.Add(1); n == 2 || n == 5 || n == 6 {
					return answer
				}
				return nil
			})
			r.run(r.lanes.Backfill)
			r.drained()
			if requests.Load() < 7 {
				t.Fatalf("%d requests: the test tests nothing", requests.Load())
			}
			// What is refused for good the client gives up at once, and something that is
			// behind it may be on its way before the lane knows.
			refused := answer == kerr.PolicyViolation || answer == kerr.InvalidRecord || answer == kerr.UnknownServerError
			if first := r.firstSeen(topics.Backfill(), 300); !slices.IsSorted(first) && !refused {
				t.Errorf("out of order: %v", first)
			}
		})
	}
}

// answer answers produce requests to a topic with what says so, nil for the
// broker's own answer.
func (r *rig) answer(topic string, what func() *kerr.Error) {
	r.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		if len(produce.Topics) == 0 || r.topicOf(produce) != topic {
			return nil, nil, false
		}
		refusal := what()
		if refusal == nil {
			return nil, nil, false
		}
		response := produce.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range produce.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, partition := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = partition.Partition, refusal.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			response.Topics = append(response.Topics, rt)
		}
		return response, nil, true
	})
}
