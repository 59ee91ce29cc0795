package sparkplug

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/mosquitto"
)

// counter is a sink that counts.
type counter struct{ values, lives atomic.Uint64 }

func (c *counter) Known(context.Context, string) ([]adapters.Found, []telemetry.SignalID, error) {
	return nil, nil, nil
}

func (c *counter) Register(_ context.Context, _ string, told []adapters.Found) ([]telemetry.SignalID, error) {
	ids := make([]telemetry.SignalID, len(told))
	for i := range ids {
		ids[i] = live + 1 + telemetry.SignalID(i)
	}
	return ids, nil
}

func (c *counter) Deliver(_ context.Context, b adapters.Batch) error {
	for _, s := range b.Samples {
		if s.Signal == live {
			c.lives.Add(1)
		} else {
			c.values.Add(1)
		}
	}
	return nil
}

func (c *counter) await(b *testing.B, of *atomic.Uint64, n uint64) {
	for limit := time.Now().Add(time.Minute); of.Load() < n; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(limit) {
			b.Fatalf("%d values of %d", of.Load(), n)
		}
	}
}

// Messages of ten metrics each, by alias, through mosquitto. The publisher and the broker
// run beside it.
func BenchmarkHost(b *testing.B) {
	broker := mosquitto.New(b, "max_queued_messages 0")
	broker.Start()
	c := &counter{}
	d := Device{ID: "plant", HostID: "busbar", ReorderTimeout: time.Minute, Live: live, Broker: mqttconn.Config{Broker: "tcp://" + broker.Address, ClientID: "gw"}}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { New([]Device{d}, slog.New(slog.DiscardHandler)).Run(ctx, c); close(ended) }()
	defer func() { cancel(); <-ended }()
	c.await(b, &c.lives, 1)
	conn, err := mqttconn.Dial(ctx, mqttconn.Config{Broker: d.Broker.Broker, ClientID: "edge"}, mqttconn.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	const metrics, together = 10, 500
	message := func(kind string, seq, value int) mqttconn.Message {
		p := payload.Payload{Timestamp: uint64(time.Now().UnixMilli()), HasTimestamp: true, Seq: uint64(seq % 256), HasSeq: true}
		for i := range metrics {
			m := payload.Metric{Alias: uint64(i + 1), HasAlias: true, Value: payload.DoubleValue(float64(value))}
			if kind == "NBIRTH" {
				m.Name, m.Type = fmt.Append(nil, i), payload.Double
			}
			p.Metrics = append(p.Metrics, m)
		}
		return mqttconn.Message{Topic: "spBv1.0/g/" + kind + "/n", Payload: p.Append(nil), AtMostOnce: true}
	}
	publish := func(list []mqttconn.Message) {
		if _, err := conn.Publish(ctx, list); err != nil {
			b.Fatal(err)
		}
	}
	publish([]mqttconn.Message{message("NBIRTH", 0, 0)})
	want := uint64(1 + metrics) // the node's life as well
	c.await(b, &c.values, want)
	seq := 0
	b.ReportAllocs()
	for b.Loop() {
		list := make([]mqttconn.Message, together)
		for i := range list {
			seq++
			list[i] = message("NDATA", seq, seq)
		}
		publish(list)
		want += together * metrics
		c.await(b, &c.values, want)
	}
	b.ReportMetric(float64(b.N*together)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(b.N*together*metrics)/b.Elapsed().Seconds(), "values/s")
}
