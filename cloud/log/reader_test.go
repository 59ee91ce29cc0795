package log

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry/record"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func cluster(t *testing.T, partitions int32, topics ...string) (*kfake.Cluster, []kgo.Opt) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
}

func client(t *testing.T, opts []kgo.Opt, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts[:len(opts):len(opts)], more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func produce(t *testing.T, opts []kgo.Opt, topic string, partition int32, values ...string) {
	t.Helper()
	c := client(t, opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, v := range values {
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, opts []kgo.Opt, next Offsets, topics ...string) *Reader {
	t.Helper()
	r, err := OpenReader(t.Context(), opts, topics, next, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// read polls until n records have come and returns them as topic/partition@offset.
func read(t *testing.T, r *Reader, n int) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := map[string]string{}
	for len(got) < n {
		records, err := r.Poll(ctx, time.Second, 2)
		if err != nil {
			t.Fatal(err)
		}
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records: %v", len(got), n, got)
		}
		if len(records) > 2 {
			t.Fatalf("%d records, at most 2 were asked for", len(records))
		}
		for _, rec := range records {
			got[fmt.Sprintf("%s/%d@%d", rec.Topic, rec.Partition, rec.Offset)] = string(rec.Value)
		}
	}
	return got
}

func TestReaderBeginsWhereItIsTold(t *testing.T) {
	_, opts := cluster(t, 2, "a", "b")
	produce(t, opts, "a", 0, "a00", "a01", "a02")
	produce(t, opts, "a", 1, "a10", "a11")
	produce(t, opts, "b", 1, "b10")
	r := open(t, opts, Offsets{"a": {0: 2}}, "a", "b")
	got := read(t, r, 4)
	want := map[string]string{"a/0@2": "a02", "a/1@0": "a10", "a/1@1": "a11", "b/1@0": "b10"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if lag := r.Lag(); lag != 0 {
		t.Errorf("lag %d at the end", lag)
	}
	if records, err := r.Poll(t.Context(), 50*time.Millisecond, 2); len(records) != 0 || err != nil {
		t.Errorf("with nothing to read: %v, %v", records, err)
	}
}

func TestReaderFindsNewPartitions(t *testing.T) {
	_, opts := cluster(t, 1, "a")
	opts = append(opts, kgo.MetadataMinAge(10*time.Millisecond)) // the client's cache, shorter than discoverEvery
	r := open(t, opts, nil, "a")
	if _, err := kadm.NewClient(client(t, opts)).UpdatePartitions(t.Context(), 2, "a"); err != nil {
		t.Fatal(err)
	}
	produce(t, opts, "a", 1, "x")
	r.discovered = time.Time{}
	if got := read(t, r, 1); got["a/1@0"] != "x" {
		t.Errorf("read %v", got)
	}
}

func TestReaderReportsATruncatedLog(t *testing.T) {
	cases := []struct {
		name         string
		next, resume int64
	}{
		{"deleted by retention", 1, 3},
		{"beyond the end", 9, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			k, opts := cluster(t, 1, "a")
			produce(t, opts, "a", 0, "0", "1", "2", "3")
			if err := k.DeleteRecords("a", 0, 3); err != nil {
				t.Fatal(err)
			}
			r := open(t, opts, Offsets{"a": {0: c.next}}, "a")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := r.Poll(ctx, 10*time.Second, 10)
			var truncated *TruncatedError
			if !errors.As(err, &truncated) {
				t.Fatalf("error %v", err)
			}
			if want := (TruncatedError{"a", 0, c.next, c.resume, false}); *truncated != want {
				t.Errorf("%+v, want %+v", *truncated, want)
			}
		})
	}
}

func TestReaderNoticesThatNoBrokerAnswers(t *testing.T) {
	k, opts := cluster(t, 1, "a")
	r := open(t, append(opts, kgo.MetadataMinAge(10*time.Millisecond), kgo.RequestRetries(0)), nil, "a")
	produce(t, opts, "a", 0, "x")
	read(t, r, 1)
	k.Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		r.discovered = time.Time{}
		if _, err := r.Poll(t.Context(), 10*time.Millisecond, 1); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no error")
		}
	}
}

func TestReaderNoticesATopicMadeAnew(t *testing.T) {
	for _, running := range []bool{false, true} {
		_, opts := cluster(t, 1, "a")
		opts = append(opts, kgo.MetadataMinAge(10*time.Millisecond))
		produce(t, opts, "a", 0, "x", "y")
		r := open(t, opts, nil, "a")
		read(t, r, 2)
		was := r.TopicID("a")
		admin := kadm.NewClient(client(t, opts))
		if _, err := admin.DeleteTopics(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "a"); err != nil {
			t.Fatal(err)
		}
		var err error
		if running {
			for deadline := time.Now().Add(20 * time.Second); err == nil && time.Now().Before(deadline); {
				r.discovered = time.Time{}
				if _, err = r.Poll(t.Context(), 10*time.Millisecond, 1); errors.Is(err, kerr.UnknownTopicOrPartition) {
					err = nil // what the client learnt between the deletion and the creation
				}
			}
		} else {
			_, err = OpenReader(t.Context(), opts, []string{"a"}, Offsets{"a": {0: 2}}, map[string]string{"a": was})
		}
		var recreated *RecreatedError
		if !errors.As(err, &recreated) || recreated.Topic != "a" || recreated.Was != was || recreated.Now == was || recreated.Now == "" {
			t.Errorf("running %v: %v", running, err)
		}
	}
}

func TestReaderKnowsWhenABrokerAnswered(t *testing.T) {
	k, opts := cluster(t, 1, "a")
	r := open(t, append(opts, kgo.RequestRetries(0)), nil, "a")
	begin := time.Now()
	for deadline := begin.Add(20 * time.Second); !r.Fetched().After(begin); {
		if _, err := r.Poll(t.Context(), 10*time.Millisecond, 1); err != nil || time.Now().After(deadline) {
			t.Fatalf("nothing was fetched: %v", err)
		}
	}
	k.Close()
	last := r.Fetched()
	r.Poll(t.Context(), 600*time.Millisecond, 1) // longer than a fetch waits
	if now := r.Fetched(); now.After(last.Add(500 * time.Millisecond)) {
		t.Errorf("fetched %v after the broker was closed", now.Sub(last))
	}
}

func TestReaderNamesAMissingTopic(t *testing.T) {
	_, opts := cluster(t, 1, "a")
	_, err := OpenReader(t.Context(), opts, []string{"a", "nowhere"}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("error %v", err)
	}
}

func TestEnsureTopicsCreatesAndNeverAlters(t *testing.T) {
	_, opts := cluster(t, 3, "busbar.events")
	topics := Topics(record.TopicsOf(""), 5, 1, 1)
	c := client(t, opts)
	for range 2 {
		if err := EnsureTopics(t.Context(), c, topics); err != nil {
			t.Fatal(err)
		}
	}
	admin := kadm.NewClient(c)
	details, err := admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]int{"busbar.telemetry": 5, "busbar.backfill": 5, "busbar.events": 3, "busbar.births": 1, "busbar.commands": 1} {
		if n := len(details[topic].Partitions); n != want {
			t.Errorf("%s has %d partitions, want %d", topic, n, want)
		}
	}
	configs, err := admin.DescribeTopicConfigs(t.Context(), "busbar.telemetry", "busbar.backfill", "busbar.events", "busbar.births")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, topic := range configs {
		for _, entry := range topic.Configs {
			got[topic.Name+" "+entry.Key] = entry.MaybeValue()
		}
	}
	for key, want := range map[string]string{
		"busbar.telemetry retention.ms":        "604800000",
		"busbar.backfill retention.ms":         "604800000",
		"busbar.telemetry min.insync.replicas": "1",
		"busbar.births cleanup.policy":         "compact",
		"busbar.telemetry cleanup.policy":      "delete",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if not, err := NotCompacted(t.Context(), c, topics); len(not) != 0 || err != nil {
		t.Errorf("not compacted: %v, %v", not, err)
	}
	if not, err := NotCompacted(t.Context(), c, []Topic{{Name: "busbar.events", Compacted: true}}); len(not) != 1 || not[0] != "busbar.events" || err != nil {
		t.Errorf("not compacted: %v, %v", not, err)
	}
	if got["busbar.events retention.ms"] == "2592000000" {
		t.Error("the settings of an existing topic were altered")
	}
}
