package forward

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/kafkaconn/kafkatest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

var topics = record.TopicsOf("")

// rig is a broker, a buffer, and the lanes between them.
type rig struct {
	*testing.T
	cluster *kfake.Cluster
	buffer  *buffer.Buffer
	lanes   Lanes

	mu      sync.Mutex
	changes []telemetry.Link // as reported
}

// newRig makes a rig whose telemetry chain already holds so many records.
func newRig(t *testing.T, backlog uint64, adapt ...func(*LanesOptions)) *rig {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topics.Telemetry(), topics.Backfill(), topics.Events(), topics.Births()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b, err := buffer.Open(buffer.Options{Dir: t.TempDir(), Gateway: "gw", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	r := &rig{T: t, cluster: cluster, buffer: b}
	r.commit(0, backlog)
	options := LanesOptions{
		Events:      r.options(Events, b.Events, topics.Events()),
		Telemetry:   r.options(Telemetry, b.Telemetry, topics.Telemetry()),
		Backfill:    r.options(Backfill, b.Telemetry, topics.Backfill()),
		CommitEvery: time.Second,
	}
	for _, f := range adapt {
		f(&options)
	}
	r.lanes = NewLanes(options)
	return r
}

func (r *rig) options(lane string, chain *buffer.Chain, topic string) Options {
	link := NewLink(lane, func(c telemetry.Link, _ time.Time) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changes = append(r.changes, c)
		return nil
	}, quiet)
	return Options{Chain: chain, Link: link, Log: quiet, Sink: Kafka(r.client(ClientOptions(link)...), topic, "gw")}
}

func (r *rig) client(options ...kgo.Opt) *kgo.Client {
	r.Helper()
	c, err := kgo.NewClient(append(options, kgo.SeedBrokers(r.cluster.ListenAddrs()...))...)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(c.Close)
	return c
}

// commit commits records with the numbers from up to and without to, ten
// samples each.
func (r *rig) commit(from, to uint64) {
	r.Helper()
	commit(r.T, r.buffer.Telemetry, from, to)
}

func commit(t *testing.T, chain *buffer.Chain, from, to uint64) {
	t.Helper()
	for n := from; n < to; n++ {
		item := buffer.Item{Format: record.FormatBlock, Payload: binary.BigEndian.AppendUint64(nil, n), Count: 10}
		if err := chain.Commit([]buffer.Item{item}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs lanes until the test ends or stop is called.
func (r *rig) run(lanes ...*Lane) (stop func()) {
	return r.runAfter(nil, lanes...)
}

func (r *rig) runAfter(before func(context.Context) error, lanes ...*Lane) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, l := range lanes {
		running.Go(func() { l.Run(ctx, before) })
	}
	stop = func() {
		cancel()
		ended := make(chan struct{})
		go func() { running.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			r.Error("a lane didn't stop")
		}
	}
	r.Cleanup(stop)
	return stop
}

func (r *rig) await(what string, condition func() bool) {
	r.Helper()
	for deadline := time.Now().Add(40 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("waited too long for %s: telemetry %+v, lanes %+v %+v %+v", what, r.buffer.Telemetry.Stats(),
				r.lanes.Events.Stats(), r.lanes.Telemetry.Stats(), r.lanes.Backfill.Stats())
		}
	}
}

func (r *rig) drained() {
	r.Helper()
	r.await("everything to be acknowledged", func() bool {
		return r.buffer.Telemetry.Stats().Waiting+r.buffer.Events.Stats().Waiting == 0
	})
}

// consume reads a topic until it has given want distinct records.
func (r *rig) consume(topic string, want int) (order []uint64, records []record.Record) {
	r.Helper()
	c := r.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
	defer cancel()
	distinct := map[uint64]bool{}
	for len(distinct) < want {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			r.Fatalf("%d of %d records are in the log", len(distinct), want)
		}
		fetches.EachRecord(func(k *kgo.Record) {
			if string(k.Key) != "gw" {
				r.Errorf("record key %q, want the gateway", k.Key)
			}
			var headers []record.Header
			for _, h := range k.Headers {
				headers = append(headers, record.Header{Key: h.Key, Value: h.Value})
			}
			parsed, err := record.ParseHeaders(headers, k.Value)
			if err != nil {
				r.Fatal(err)
			}
			n := binary.BigEndian.Uint64(k.Value)
			distinct[n] = true
			order = append(order, n)
			records = append(records, parsed)
		})
	}
	return order, records
}

// refuse answers produce requests to a topic with an error as long as when says so.
func (r *rig) refuse(topic string, when func() bool) {
	r.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		if r.topicOf(produce) != topic || !when() {
			return nil, nil, false
		}
		return kafkatest.Refusal(produce, kerr.TopicAuthorizationFailed), nil, true
	})
}

// topicOf is the topic that a request of one lane's client writes to.
func (r *rig) topicOf(produce *kmsg.ProduceRequest) string {
	if name := produce.Topics[0].Topic; name != "" {
		return name
	}
	return r.cluster.TopicIDInfo(produce.Topics[0].TopicID).Topic
}

func TestRecordsArriveInOrderWithTheirIdentity(t *testing.T) {
	r := newRig(t, 200)
	r.run(r.lanes.Telemetry, r.lanes.Backfill)
	r.commit(200, 300)
	r.drained()
	for topic, want := range map[string][2]uint64{topics.Backfill(): {0, 200}, topics.Telemetry(): {200, 300}} {
		order, records := r.consume(topic, int(want[1]-want[0]))
		if !slices.IsSorted(order) || len(order) != int(want[1]-want[0]) || order[0] != want[0] {
			t.Errorf("%s: %d records from %d on, sorted %v", topic, len(order), order[0], slices.IsSorted(order))
		}
		for i, got := range records {
			first := (want[0] + uint64(i)) * 10
			if got.Epoch != r.buffer.Epoch() || got.Stream != record.Telemetry || got.First != first || got.Last != first+9 {
				t.Fatalf("%s: record %d is %s", topic, i, got.Identity)
			}
		}
	}
}

func TestNothingIsReleasedBeforeTheAcknowledgement(t *testing.T) {
	r := newRig(t, 0)
	commit(t, r.buffer.Events, 0, 5)
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		asked <- struct{}{}
		r.cluster.SleepControl(func() { <-answer })
		return nil, nil, false
	})
	r.run(r.lanes.Events)
	<-asked
	if released := r.buffer.Events.Released(); released != 0 {
		t.Errorf("position %d was released while the broker had acknowledged nothing", released)
	}
	close(answer)
	r.drained()
}

// A record that the broker refuses holds back everything behind it, and is
// sent again with it.
func TestRefusedRecordIsSentAgainAndNothingIsLost(t *testing.T) {
	for _, lane := range []string{Telemetry, Backfill} {
		t.Run(lane, func(t *testing.T) {
			backlog := map[string]uint64{Backfill: 300}[lane]
			r := newRig(t, backlog)
			refused := map[string]*Lane{Telemetry: r.lanes.Telemetry, Backfill: r.lanes.Backfill}[lane]
			var requests atomic.Int32
			var until atomic.Uint64 // failures of the lane
			r.refuse("busbar."+lane, func() bool {
				failures := refused.Stats().Failures
				if n := requests.Add(1); n == 2 || n == 4 {
					until.Store(failures + 1)
				}
				// Whoever has no rights has none for what is under way either.
				return failures < until.Load()
			})
			r.run(r.lanes.Telemetry, r.lanes.Backfill)
			if backlog == 0 {
				r.commit(0, 1)
				r.drained()
				r.commit(1, 300)
			}
			r.drained()
			if r.lanes.Telemetry.Stats().Failures+r.lanes.Backfill.Stats().Failures == 0 {
				t.Fatal("the broker refused nothing: the test tests nothing")
			}
			order, _ := r.consume("busbar."+lane, 300)
			seen := map[uint64]bool{}
			for _, n := range order {
				if n > 0 && !seen[n-1] {
					t.Fatalf("record %d is in the log before record %d", n, n-1)
				}
				seen[n] = true
			}
		})
	}
}

func TestStopsWithoutABrokerAndKeepsEverything(t *testing.T) {
	r := newRig(t, 5)
	r.cluster.Close()
	stop := r.run(r.lanes.All()...)
	r.commit(5, 8)
	commit(t, r.buffer.Events, 0, 3)
	r.await("the links to be down", func() bool {
		for _, l := range r.lanes.All() {
			if l.Stats().Link.State != Down {
				return false
			}
		}
		return true
	})
	stop()
	if waiting := r.buffer.Telemetry.Stats().Waiting + r.buffer.Events.Stats().Waiting; waiting != 11 {
		t.Errorf("%d records wait, want all 11", waiting)
	}
}

func TestBirthsAreSplitAndKeyed(t *testing.T) {
	r := newRig(t, 0)
	birth := record.Birth{Gateway: "gw", Table: "00000000000000ab", Version: 7}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	sign := func(logKey, value []byte) record.Seal { return record.SignBirth(key, logKey, value) }
	for i := range record.SignalsPerBirth + 1 {
		birth.Signals = append(birth.Signals, telemetry.Signal{ID: telemetry.SignalID(i + 1), Device: "d", Name: "n"})
	}
	if err := Births(t.Context(), Kafka(r.client(ClientOptions(nil)...), topics.Births(), "gw"), birth, sign, quiet); err != nil {
		t.Fatal(err)
	}
	c := r.client(kgo.ConsumeTopics(topics.Births()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var keys []string
	for len(keys) < 2 {
		fetches := c.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(k *kgo.Record) {
			keys = append(keys, string(k.Key))
			var headers []record.Header
			for _, h := range k.Headers {
				headers = append(headers, record.Header(h))
			}
			if seal, err := record.ParseSeal(headers); err != nil || !seal.VerifyBirth(key.Public().(ed25519.PublicKey), k.Key, k.Value) {
				t.Errorf("birth %s isn't signed: %v", k.Key, err)
			}
		})
	}
	slices.Sort(keys)
	if want := []string{"gw/00000000000000ab/7/0", "gw/00000000000000ab/7/1"}; !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
}
