package mqtt

import (
	"fmt"
	"testing"

	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// BenchmarkTake is a message on its way from the connection to samples: what each takes
// beside the broker and the disk.
func BenchmarkTake(b *testing.B) {
	for what, c := range map[string]struct {
		payload   string
		selectors []Selector
	}{
		"plain":      {"4210.5", []Selector{{Type: Number}}},
		"json":       {`{"id":"inv-17","power":4210.5,"voltage":[230.1,230.9,229.8],"t":1772366399123456,"state":"running"}`, []Selector{{JSON: "$.power", Type: Number, Time: "$.t", TimeUnit: Microseconds}}},
		"five of it": {`{"id":"inv-17","power":4210.5,"voltage":[230.1,230.9,229.8],"t":1772366399123456,"state":"running"}`, []Selector{{JSON: "$.power", Type: Number}, {JSON: "$.voltage[0]", Type: Number}, {JSON: "$.voltage[1]", Type: Number}, {JSON: "$.voltage[2]", Type: Number}, {JSON: "$.state", States: map[string]int64{"running": 1}}}},
		"influx":     {"pv,inverter=inv-17 power=4210.5,voltage=230.1 1772366399123456789", []Selector{{Format: Influx, Field: "power", Type: Number, TimeUnit: Nanoseconds}}},
	} {
		b.Run(what, func(b *testing.B) {
			d := Device{}
			for topic := range 100 {
				for i, s := range c.selectors {
					s.Scale = 1
					d.Points = append(d.Points, Point{Name: fmt.Sprint(topic, i), Topic: fmt.Sprint("plant/", topic), Selector: s, Signal: telemetry.SignalID(len(d.Points) + 1)})
				}
			}
			r := newReader(d)
			m := mqttconn.Received{Payload: []byte(c.payload), At: now, QoS: 1}
			topics := make([]string, 100)
			for i := range topics {
				topics[i] = fmt.Sprint("plant/", i)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				m.Topic = topics[i%100]
				r.take(m)
				if i++; i%100 == 0 {
					r.delivered()
				}
			}
		})
	}
}
