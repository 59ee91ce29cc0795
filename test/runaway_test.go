package test

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/kafka"
)

// A gateway that has far more to send than its quota allows is made to wait, and
// everything that it had committed comes to the log.
func TestRunawayGatewayIsThrottledAndLosesNothing(t *testing.T) {
	t.Parallel()
	const (
		id      = "runaway-gw1"
		records = 80
		size    = 50_000
		quota   = 250_000 // bytes a second
	)
	cluster, prefix := kafka.Shared(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	edge := must(cluster.Gateway(ctx, prefix, id))(t)
	cloud := must(cluster.Cloud(ctx, prefix))(t)
	if err := cluster.Quota(ctx, id, quota); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "127.0.0.1:9", "")
	s.edit(t, "gateway.yaml", "gateway: {id: north-gw1,", "gateway: {id: "+id+",")
	s.onKafka(t, edge.SCRAM(), kafkaconn.Config{})
	epoch, committed := fill(t, filepath.Join(s.dir, "buffer"), id, records, size)
	gateway := s.gateway(t)
	gateway.awaitLog("the log's quota holds this gateway back")

	topics := record.TopicsOf(prefix)
	reader := connect(t, cloud.SCRAM(), kgo.ConsumeTopics(topics.Telemetry(), topics.Backfill()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for len(committed) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d of %d records didn't come: %v", len(committed), records, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var headers []record.Header
			for _, h := range r.Headers {
				headers = append(headers, record.Header{Key: h.Key, Value: h.Value})
			}
			came, err := record.ParseHeaders(headers, r.Value)
			if err != nil {
				t.Fatal(err)
			}
			if payload, ok := committed[came.First]; ok && came.Epoch == epoch && payload == string(came.Payload) {
				delete(committed, came.First)
			}
		})
	}
}

// fill commits records of telemetry to a buffer as a gateway that couldn't send
// for a while has it, and gives their payloads by first sequence number.
func fill(t *testing.T, dir, gateway string, records, size int) (record.Epoch, map[uint64]string) {
	t.Helper()
	b, err := buffer.Open(buffer.Options{Dir: dir, Gateway: gateway, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	noise := rand.NewChaCha8([32]byte{1})
	committed := map[uint64]string{}
	for i := range records {
		payload := make([]byte, size)
		noise.Read(payload)
		if err := b.Telemetry.Commit([]buffer.Item{{Format: record.FormatBlock, Payload: payload, Count: 10}}, nil); err != nil {
			t.Fatal(err)
		}
		committed[uint64(i)*10] = string(payload)
	}
	return b.Epoch(), committed
}
