package publisher

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/mosquitto"
)

// Meters publish what they measure, each something else, and their will.
func TestMetersPublish(t *testing.T) {
	b := mosquitto.New(t, "")
	b.Start()
	w := b.Watch("meters")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	c := Config{
		Connection: mqttconn.Config{Broker: "tcp://" + b.Address, ClientID: "sim"},
		Meters:     Meters{Count: 2, Every: 50 * time.Millisecond, Load: loaded(t), RatedPower: 20_000, Speed: 600, Seed: 1},
	}
	go func() { ended <- c.Run(ctx, slog.New(slog.DiscardHandler)) }()
	has := func(topic, payload string) bool {
		for _, m := range w.Messages() {
			if m.Topic == topic && (payload == "" || m.Payload == payload) {
				return true
			}
		}
		return false
	}
	await.True(t, "both meters", func() bool {
		return has(meterTopic("meter-1"), "") && has(meterTopic("meter-2"), "") && has(statusTopic, "online")
	})
	stop()
	<-ended
	await.True(t, "the will", func() bool { return has(statusTopic, "offline") })
	last := map[string]float64{}
	for _, m := range w.Messages() {
		if m.Topic == statusTopic {
			continue
		}
		var got struct {
			Time                   time.Time
			Power, Energy, Voltage float64
			State                  string
		}
		if err := json.Unmarshal([]byte(m.Payload), &got); err != nil || time.Since(got.Time) > time.Hour || got.Power <= 0 || got.Voltage < 200 || got.State != "running" {
			t.Errorf("%s: %v", m.Payload, err)
		}
		last[m.Topic] = got.Power
	}
	if last[meterTopic("meter-1")] == last[meterTopic("meter-2")] {
		t.Errorf("both show %v", last)
	}
}
