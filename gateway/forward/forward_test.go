package forward

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

const topic = "busbar.telemetry"

type bench struct {
	cluster *kfake.Cluster
	buffer  *buffer.Buffer
	sender  *Sender
}

func newBench(t *testing.T) bench {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topic, "busbar.births"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b, err := buffer.Open(buffer.Options{Dir: t.TempDir(), Gateway: "gw", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return bench{cluster, b, NewSender(client(t, cluster), b.Telemetry, topic, quiet)}
}

func client(t *testing.T, cluster *kfake.Cluster, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	options := append(ClientOptions(), kgo.SeedBrokers(cluster.ListenAddrs()...))
	c, err := kgo.NewClient(append(options, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (b bench) commit(t *testing.T, from, to uint64) {
	t.Helper()
	for n := from; n < to; n++ {
		item := buffer.Item{Format: record.FormatBlock, Payload: binary.BigEndian.AppendUint64(nil, n), Count: 10}
		if err := b.buffer.Telemetry.Commit([]buffer.Item{item}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs the sender until the test ends or stop is called.
func (b bench) run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.sender.Run(ctx, func(context.Context) error { return nil })
	}()
	stop = func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Error("the sender didn't stop")
		}
	}
	t.Cleanup(stop)
	return stop
}

func (b bench) drain(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if !b.sender.Drained(ctx) {
		t.Fatalf("not drained: %+v, %+v", b.buffer.Telemetry.Stats(), b.sender.Stats())
	}
}

// consume reads the log until it has given want distinct records.
func (b bench) consume(t *testing.T, want int) (order []uint64, records []record.Record) {
	t.Helper()
	c := client(t, b.cluster, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	distinct := map[uint64]bool{}
	for len(distinct) < want {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records are in the log", len(distinct), want)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Key) != "gw" {
				t.Errorf("record key %q, want the gateway", r.Key)
			}
			parsed, err := record.ParseHeaders(headers(r), r.Value)
			if err != nil {
				t.Fatal(err)
			}
			n := binary.BigEndian.Uint64(r.Value)
			distinct[n] = true
			order = append(order, n)
			records = append(records, parsed)
		})
	}
	return order, records
}

var signingKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

func headers(r *kgo.Record) (list []record.Header) {
	for _, h := range r.Headers {
		list = append(list, record.Header(h))
	}
	return list
}

// What is added to a record before it is sent arrives with it, and what can't be
// prepared is tried again.
func TestRecordsArriveAsPrepared(t *testing.T) {
	b := newBench(t)
	b.commit(t, 0, 20)
	failures := 2
	b.sender.Prepare = func(r *record.Record) (bool, error) {
		if r.First == 100 && failures > 0 {
			failures--
			return false, errors.New("not yet")
		}
		r.Sign(signingKey)
		return true, nil
	}
	b.run(t)
	b.drain(t)
	order, records := b.consume(t, 20)
	if !slices.IsSorted(order) || failures > 0 {
		t.Errorf("order %v, and %d failures are left", order, failures)
	}
	for _, r := range records {
		if !r.Verify(signingKey.Public().(ed25519.PublicKey)) {
			t.Errorf("record %s came without what was added", r.Identity)
		}
	}
}

func TestRecordsArriveInOrderWithTheirIdentity(t *testing.T) {
	b := newBench(t)
	b.commit(t, 0, 200)
	b.run(t)
	b.commit(t, 200, 300)
	b.drain(t)
	order, records := b.consume(t, 300)
	if !slices.IsSorted(order) || len(order) != 300 {
		t.Errorf("%d records, sorted %v", len(order), slices.IsSorted(order))
	}
	for i, r := range records {
		if r.Epoch != b.buffer.Epoch() || r.Stream != record.Telemetry || r.First != uint64(i)*10 || r.Last != uint64(i)*10+9 {
			t.Fatalf("record %d is %s", i, r.Identity)
		}
	}
}

func TestNothingIsReleasedBeforeTheAcknowledgement(t *testing.T) {
	b := newBench(t)
	b.commit(t, 0, 5)
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	b.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		asked <- struct{}{}
		b.cluster.SleepControl(func() { <-answer })
		return nil, nil, false
	})
	b.run(t)
	<-asked
	if released := b.buffer.Telemetry.Released(); released != 0 {
		t.Errorf("position %d was released while the broker had acknowledged nothing", released)
	}
	close(answer)
	b.drain(t)
}

// A record that the broker refuses holds back everything behind it, and is
// sent again with it.
func TestRefusedRecordIsSentAgainAndNothingIsLost(t *testing.T) {
	b := newBench(t)
	var requests atomic.Int32
	b.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		if n := requests.Add(1); n != 2 && n != 4 {
			return nil, nil, false
		}
		produce := req.(*kmsg.ProduceRequest)
		response := produce.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range produce.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = partition.Partition, kerr.TopicAuthorizationFailed.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			response.Topics = append(response.Topics, rt)
		}
		return response, nil, true
	})
	b.commit(t, 0, 1)
	b.run(t)
	b.drain(t)
	b.commit(t, 1, 300)
	b.drain(t)
	if b.sender.Stats().Failures == 0 {
		t.Fatal("the broker refused nothing: the test tests nothing")
	}
	b.consume(t, 300)
}

func TestStopsWithoutABrokerAndKeepsEverything(t *testing.T) {
	b := newBench(t)
	b.cluster.Close()
	b.commit(t, 0, 5)
	stop := b.run(t)
	b.awaitLink(t, false)
	stop()
	if waiting := b.buffer.Telemetry.Stats().Waiting; waiting != 5 {
		t.Errorf("%d records wait, want all 5", waiting)
	}
}

func (b bench) awaitLink(t *testing.T, linked bool) {
	t.Helper()
	deadline := time.After(stalledAfter + 15*time.Second)
	for b.sender.Stats().Linked != linked {
		select {
		case <-deadline:
			t.Fatalf("linked is still %v", !linked)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A broker that answers and refuses is no link either, and neither is a signal
// table that nobody acknowledges.
func TestRefusalsAreReportedAsNoLink(t *testing.T) {
	t.Run("records", func(t *testing.T) {
		b := newBench(t)
		b.sender.topic = "busbar.absent"
		b.commit(t, 0, 1)
		b.run(t)
		b.awaitLink(t, false)
	})
	t.Run("before sending", func(t *testing.T) {
		b := newBench(t)
		b.commit(t, 0, 1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			b.sender.Run(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			close(ended)
		}()
		b.awaitLink(t, false)
		cancel()
		<-ended
	})
}

func TestBirthsAreSplitAndKeyed(t *testing.T) {
	b := newBench(t)
	birth := record.Birth{Gateway: "gw", Table: "00000000000000ab", Version: 7}
	sign := func(key, value []byte) record.Seal { return record.SignBirth(signingKey, key, value) }
	for i := range record.SignalsPerBirth + 1 {
		birth.Signals = append(birth.Signals, telemetry.Signal{ID: telemetry.SignalID(i + 1), Device: "d", Name: "n"})
	}
	if err := Births(t.Context(), client(t, b.cluster), "busbar.births", birth, sign, quiet); err != nil {
		t.Fatal(err)
	}
	c := client(t, b.cluster, kgo.ConsumeTopics("busbar.births"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var keys []string
	for len(keys) < 2 {
		fetches := c.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			keys = append(keys, string(r.Key))
			if seal, err := record.ParseSeal(headers(r)); err != nil || !seal.VerifyBirth(signingKey.Public().(ed25519.PublicKey), r.Key, r.Value) {
				t.Errorf("birth %s isn't signed: %v", r.Key, err)
			}
		})
	}
	slices.Sort(keys)
	if want := []string{"gw/00000000000000ab/7/0", "gw/00000000000000ab/7/1"}; !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
}
