package mqtt

import (
	"time"

	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// Message is what is published to a topic.
type Message struct{ Topic, Payload string }

// Decoded is the last value of a signal.
type Decoded struct {
	Sample telemetry.Sample
	Unit   string // as the device describes it; "": it doesn't
}

// Decode is what messages that come one after the other say of the signals of a device, by
// name.
func (d Device) Decode(messages []Message) map[string]Decoded {
	r := newReader(d)
	at := time.Now()
	for _, m := range messages {
		r.take(mqttconn.Received{Topic: m.Topic, Payload: []byte(m.Payload), At: at})
	}
	values := map[string]Decoded{}
	for _, p := range r.points {
		if !p.told {
			continue
		}
		of := Decoded{Sample: p.last}
		if r.away(p) {
			of.Sample = p.lack(at, session.Bad(telemetry.NotConnected))
		}
		if p.found != nil {
			of.Unit = p.found.Unit
		}
		values[p.name] = of
	}
	return values
}
