package edgenode

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/mosquitto"
	"github.com/busbar/busbar/test/sparkplugpeer"
)

// observer is npm's sparkplug-client, which reads what the gateway publishes.
func observer(t *testing.T, b *mosquitto.Broker) *sparkplugpeer.Peer {
	p := sparkplugpeer.Node(t, b, "observers", "o")
	p.Do(map[string]any{"do": "subscribe", "topic": "spBv1.0/plant-a/#"})
	p.Await("subscribed", 1)
	return p
}

// heard are the messages that the peer has got, in words.
func heard(p *sparkplugpeer.Peer) (list []string) {
	for _, e := range p.Events("message") {
		text := strings.TrimPrefix(e.Topic, "spBv1.0/plant-a/")
		for _, m := range e.Payload.Metrics {
			if m.Name == "Node Info/Values Dropped" {
				continue
			}
			text += fmt.Sprintf(" %s%v=%v", m.Name, plain(m.Alias), plain(m.Value))
			if m.IsHistorical {
				text += " past"
			}
		}
		list = append(list, text)
	}
	return list
}

// plain is a number, whatever JavaScript had to make of it; "" for none.
func plain(v any) any {
	switch v := v.(type) {
	case nil:
		return ""
	case map[string]any:
		return v["long"]
	}
	return v
}

// whole is a number without a fraction, as JavaScript has told it.
func whole(v any) string {
	if f, is := plain(v).(float64); is {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(plain(v))
}

func (g *gateway) hears(p *sparkplugpeer.Peer, want ...string) {
	g.t.Helper()
	var got []string
	defer func() {
		if g.t.Failed() {
			g.t.Logf("heard\n  %s", strings.Join(got, "\n  "))
		}
	}()
	await.True(g.t, strings.Join(want, ", "), func() bool {
		got = heard(p)
		return len(got) >= len(want) && slices.Equal(got[len(got)-len(want):], want)
	})
}

// An implementation that isn't ours reads the births, the data by alias, a death, and gets
// births again when it asks for them.
func TestAPeerListens(t *testing.T) {
	b := mosquitto.New(t, "")
	b.Start()
	p := observer(t, b)
	g := newGateway(t, b.Address, "")
	g.measures(230.5)
	g.take(live, telemetry.BoolValue(true))
	g.take(clock, telemetry.IntValue(2))
	stop := g.runs()
	births := []string{"NBIRTH/gw bdSeq=0 Node Control/Rebirth=false ClockState1=2", "DBIRTH/gw/meter PhV.phsA2=230.5"}
	g.hears(p, births...)
	g.measures(-1)
	g.hears(p, "DDATA/gw/meter 2=-1")
	if m := p.Events("message"); m[1].Payload.Metrics[0].Datatype != 10 || m[2].Payload.Metrics[0].Datatype != 0 {
		t.Errorf("the types of a birth and of data: %+v", m)
	}
	p.Do(map[string]any{"do": "publish", "topic": "spBv1.0/plant-a/NCMD/gw", "payload": sparkplugpeer.Payload{
		Timestamp: time.Now().UnixMilli(), Metrics: []sparkplugpeer.Metric{{Name: "Node Control/Rebirth", Type: "Boolean", Value: true}},
	}})
	g.hears(p, births[0], "DBIRTH/gw/meter PhV.phsA2=-1")
	g.take(live, telemetry.BoolValue(false))
	g.hears(p, "DDEATH/gw/meter")
	stop()
	g.hears(p, "NDEATH/gw bdSeq=0")
}

// The broker is killed: what was measured meanwhile, and what may have been lost with it,
// is told when it is back, each value at its own time and none left out.
func TestNothingIsLostWithTheBroker(t *testing.T) {
	b := mosquitto.New(t, "")
	b.Start()
	p := observer(t, b)
	g := newGateway(t, b.Address, "")
	g.take(live, telemetry.BoolValue(true))
	g.runs()
	await.True(t, "it is online", func() bool { return g.Stats().Online })
	// What was measured, and what is heard of it, with its time in ms.
	type reading struct{ at, value string }
	measured := map[reading]bool{}
	measure := func(n int) {
		for range n {
			at, value := time.Now(), len(measured)+1
			g.Take(telemetry.MicrosOf(at), []telemetry.Sample{{Time: telemetry.MicrosOf(at), Signal: volts, Value: telemetry.FloatValue(float64(value))}}, false)
			measured[reading{fmt.Sprint(at.UnixMilli()), fmt.Sprint(value)}] = true
		}
	}
	heard := func() map[reading]bool {
		heard := map[reading]bool{}
		for _, e := range p.Events("message") {
			for _, m := range e.Payload.Metrics {
				if (m.Name == "PhV.phsA" || fmt.Sprint(plain(m.Alias)) == fmt.Sprint(volts)) && m.Value != nil {
					heard[reading{whole(m.Timestamp), whole(m.Value)}] = true
				}
			}
		}
		return heard
	}
	all := func() bool { return maps.Equal(heard(), measured) }
	for range 3 {
		measure(500)
		await.True(t, "it is heard", all)
		measure(200) // underway as the broker dies
		b.Kill()
		measure(500)
		await.True(t, "the loss is noticed", func() bool { return !g.Stats().Connected })
		measure(500)
		b.Start()
		p.Do(map[string]any{"do": "subscribe", "topic": "spBv1.0/plant-a/#"})
		await.True(t, "what waited is told", func() bool { s := g.Stats(); return s.Online && s.Waiting == 0 })
		await.True(t, "everything is heard", all)
	}
	if s := g.Stats(); s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}
