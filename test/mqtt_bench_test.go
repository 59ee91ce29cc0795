package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/mqttconn"
)

// BenchmarkMQTT runs the real gateway on one core and reports how many messages at QoS 1
// it commits and acknowledges in a second, of those that wait at mosquitto, and what a
// million of them costs it. How many mosquitto sends before the first is acknowledged is
// its own choice.
func BenchmarkMQTT(b *testing.B) {
	for _, inFlight := range []int{20, 1000} {
		b.Run(fmt.Sprintf("inflight=%d", inFlight), func(b *testing.B) { benchMQTT(b, inFlight) })
	}
}

const (
	benchTopics   = 100
	benchMessages = 300_000
)

func benchMQTT(b *testing.B, inFlight int) {
	b.Setenv("GOMAXPROCS", "1")
	s := newMQTTSite(b, fmt.Sprintf("max_queued_messages 0\nmax_inflight_messages %d", inFlight))
	s.broker.Start()
	var signals strings.Builder
	for i := range benchTopics {
		fmt.Fprintf(&signals, "      - {name: Power%d, topic: plant/%d, json: \"$.power\", time: \"$.t\", time_unit: us, unit: W}\n", i, i)
	}
	write(b, s.dir, "gateway.yaml", fmt.Sprintf(mqttYAML, freeAddress(b), s.status, s.broker.Address)+signals.String())
	p := s.gateway(b)
	p.awaitLog("connected")
	p.stop()
	conn, err := mqttconn.Dial(b.Context(), mqttconn.Config{Broker: "tcp://" + s.broker.Address, ClientID: "plant"}, mqttconn.Options{})
	if err != nil {
		b.Fatal(err)
	}
	var batch []mqttconn.Message
	for n := range benchMessages {
		batch = append(batch, mqttconn.Message{
			Topic:   fmt.Sprintf("plant/%d", n%benchTopics),
			Payload: fmt.Appendf(nil, `{"id":"inv-%d","power":%d.%d,"voltage":[230.1,230.9,229.8],"t":%d,"state":"running"}`, n%benchTopics, 4000+n%977, n%10, time.Now().UnixMicro()),
		})
		if len(batch) == 1000 {
			if _, err := conn.Publish(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	conn.Close()
	b.ResetTimer()
	p = s.gateway(b)
	const samples = `busbar_gateway_samples_total{validity="good"}`
	await(b, "the gateway listens", time.Minute, func() bool { return reachable(s.status) })
	before, n0, began := usageOf(b, p.cmd.Process.Pid), metrics(b, s.status)[samples], time.Now()
	var n1 float64
	await(b, "all messages have come", 5*time.Minute, func() bool { n1 = metrics(b, s.status)[samples]; return n1 >= benchMessages })
	took, after := time.Since(began), usageOf(b, p.cmd.Process.Pid)
	b.ReportMetric((n1-n0)/took.Seconds(), "messages/s")
	b.ReportMetric((after.cpu-before.cpu).Seconds()/(n1-n0)*1e6, "cpu-s/1M-messages")
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(after.anonymous)/1e6, "MB-anon")
}
