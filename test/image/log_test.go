package image

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/kafka"
)

// arrivals is what the log has of each of a gateway's processes: their telemetry, what those
// after them say that they had committed, and what became of versions.
type arrivals struct {
	t               *testing.T
	client          *kgo.Client
	seen            map[record.Identity]bool
	came, committed map[string]uint64 // values, by epoch
	updates         []telemetry.Event
}

func readLog(t *testing.T, cluster *kafka.Cluster) *arrivals {
	t.Helper()
	topics := record.TopicsOf("busbar")
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers()...), kgo.ConsumeTopics(topics.Telemetry(), topics.Backfill(), topics.Events()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &arrivals{t: t, client: client, seen: map[record.Identity]bool{}, came: map[string]uint64{}, committed: map[string]uint64{}}
}

// read takes in what has come meanwhile.
func (a *arrivals) read() {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 500*time.Millisecond)
	defer cancel()
	a.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
		var headers []record.Header
		for _, h := range r.Headers {
			headers = append(headers, record.Header(h))
		}
		rec, err := record.ParseHeaders(headers, r.Value)
		if err != nil {
			a.t.Fatal(err)
		}
		if a.seen[rec.Identity] {
			return
		}
		a.seen[rec.Identity] = true
		if rec.Stream == record.Telemetry {
			a.came[rec.Epoch.String()] += rec.Count()
			return
		}
		var e telemetry.Event
		if err := json.Unmarshal(rec.Payload, &e); err != nil {
			a.t.Fatal(err)
		}
		if e.Update != nil {
			a.updates = append(a.updates, e)
		}
		if e.Kind == telemetry.GatewayStarted {
			for _, c := range e.Lifecycle.Committed {
				if c.Stream == string(record.Telemetry) {
					a.committed[c.Epoch] = c.Count
				}
			}
		}
	})
}

// awaitSamples waits until samples come of a process that had none here before.
func (a *arrivals) awaitSamples() {
	a.t.Helper()
	processes := len(a.came)
	await.Within(a.t, starting, "samples of this start come", func() bool { a.read(); return len(a.came) > processes })
}

// awaitAll waits until all that so many processes had committed when they ended has come, each
// sample once.
func (a *arrivals) awaitAll(processes int) {
	a.t.Helper()
	await.Within(a.t, starting, "everything that was committed has come", func() bool {
		a.read()
		if len(a.committed) < processes {
			return false
		}
		for epoch, count := range a.committed {
			if a.came[epoch] != count {
				return false
			}
		}
		return true
	})
	a.t.Logf("committed before the ends of processes: %v", a.committed)
}

// awaitUpdate waits for what became of a version.
func (a *arrivals) awaitUpdate(kind telemetry.EventKind, version string) (u telemetry.Update) {
	a.t.Helper()
	await.Within(a.t, starting, fmt.Sprintf("%s of version %s comes to the log", kind, version), func() bool {
		a.read()
		for _, e := range a.updates {
			if e.Kind == kind && e.Update.Version == version {
				u = *e.Update
				return true
			}
		}
		return false
	})
	return u
}
