package host

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/telemetry"
)

// What waits of all nodes together is bounded, and nothing else is kept with it.
func TestMuchWaits(t *testing.T) {
	p := newPlant(t)
	send := func(node, seq int, kind topic.Kind, m payload.Metric) {
		b := encode(seq, p.now, m)
		p.h.Receive(p.now, topic.Topic{Kind: kind, Group: "plant-a", Node: fmt.Sprint(node)}.String(), b, false)
		clear(b) // it is used for others
	}
	big := double(1, 2)
	big.Properties = make([]byte, maxHeld/4)
	for node := range 100 {
		send(node, 0, topic.NBirth, defined("u", 1, payload.Double, payload.DoubleValue(1)))
		p.h.Clear()
		for seq := 2; seq <= 4; seq++ {
			send(node, seq, topic.NData, big)
		}
		if p.h.held > maxHeldTogether {
			t.Fatalf("%d bytes are held", p.h.held)
		}
	}
	p.want("99/u = 2", "rebirth of plant-a/99")
	p.later(2 * time.Second)
	if got := p.told(); p.h.held != 0 || !slices.Contains(got, "0/u = 2") {
		t.Errorf("%d bytes are held still; %q", p.h.held, got)
	}
	for node := range 10 {
		send(node, 9, topic.NData, big)
	}
	p.h.Lost(p.now)
	if p.h.held != 0 {
		t.Errorf("%d bytes are held of nobody", p.h.held)
	}
}

// What waits is bounded, and what can't be read ends nothing.
func TestHostile(t *testing.T) {
	p := newPlant(t)
	p.born()
	big := defined("u", 1, payload.Double, payload.DoubleValue(2))
	big.Properties = make([]byte, maxHeld/4)
	for i := range 100 {
		p.send(topic.NData, "", 4+i, big)
		if n := p.h.nodes[Node{"plant-a", "n"}]; n.bytes > maxHeld+maxHeld/4+1000 {
			t.Fatalf("%d bytes are held", n.bytes)
		}
	}
	p.h.Clear()
	for _, name := range []string{"", "spBv1.0", "spBv1.0/plant-a/NDATA", "spBv1.0/plant-a/NDATA/n/d", "spBv1.0/plant-a/DDATA/n", "spBv1.0//NDATA/n", "spBv1.0/plant-a/X/n", "spAv1.0/plant-a/NDATA/n"} {
		p.h.Receive(p.now, name, []byte{1}, false)
	}
	p.want()
	p.h.Receive(p.now, "spBv1.0/plant-a/NDATA/n", []byte{0xFF}, false)
	if notes := p.h.Effects().Notes; len(notes) != 1 || notes[0].Err == nil {
		t.Errorf("%+v", notes)
	}
	p.send(topic.NBirth, "", 0, session(0), defined(strings.Repeat("x", 2*longest), 1, payload.Double, payload.DoubleValue(1)))
	p.h.Receive(p.now, "spBv1.0/plant-a/NDATA/"+strings.Repeat("n", longest), []byte{1}, false)
	if n := p.h.nodes[Node{"plant-a", "n"}]; len(n.metrics) != 1 || len(p.h.nodes) != 1 {
		t.Errorf("long names are kept: %d metrics, %d nodes", len(n.metrics), len(p.h.nodes))
	}
	many := make([]payload.Metric, payload.MaxMetrics)
	for i := range many {
		many[i] = payload.Metric{Name: fmt.Appendf(nil, "%d", i), Type: payload.Bytes}
	}
	for i := range 2 * maxDefined / payload.MaxMetrics {
		p.send(topic.DBirth, fmt.Sprint(i), i+1, many...)
	}
	if kept := p.h.defined; kept > maxDefined+payload.MaxMetrics {
		t.Errorf("%d metrics are known", kept)
	}
	p.h.Lost(p.now)
	if p.h.defined != 0 {
		t.Errorf("%d metrics are known of nobody", p.h.defined)
	}
	p.h.Clear()
	for i := range 2 * maxNodes {
		p.h.Receive(p.now, fmt.Sprintf("spBv1.0/plant-a/NDATA/%d", i), nil, false)
	}
	if len(p.h.nodes) != maxNodes || len(p.h.routes) > maxRoutes {
		t.Errorf("%d nodes, %d topics", len(p.h.nodes), len(p.h.routes))
	}
}

// Any bytes under any topic leave the host as it can be used.
func FuzzHost(f *testing.F) {
	f.Add(uint8(0), uint8(0), encode(0, began, session(3), defined("u", 1, payload.Double, payload.DoubleValue(230))))
	f.Add(uint8(3), uint8(1), encode(2, began, defined("x", 2, payload.Int8Array, payload.BytesValue([]byte{1, 2}))))
	f.Add(uint8(1), uint8(200), encode(9, began, double(1, 1)))
	kinds := []topic.Kind{topic.NBirth, topic.NData, topic.NDeath, topic.DBirth, topic.DData, topic.DDeath}
	f.Fuzz(func(t *testing.T, kind, wait uint8, b []byte) {
		p := newPlant(t)
		p.born()
		of := topic.Topic{Kind: kinds[int(kind)%len(kinds)], Group: "plant-a", Node: "n"}
		if of.Kind[0] == 'D' {
			of.Device = "d"
		}
		for range 2 {
			p.h.Receive(p.now, of.String(), b, false)
			p.later(time.Duration(wait) * time.Second)
		}
		for _, r := range append(p.h.Effects().Readings, p.h.Effects().Past...) {
			if (r.Quality.Validity() == telemetry.Bad) != (r.Value.Kind() == telemetry.None) {
				t.Errorf("%+v", r)
			}
			p.h.Series(r.Series)
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	h := New(Config{ID: "busbar", ReorderTimeout: time.Second})
	var born []payload.Metric
	for i := range 10 {
		born = append(born, defined(fmt.Sprint(i), uint64(i+1), payload.Double, payload.DoubleValue(0)))
	}
	h.Receive(began, "spBv1.0/g/NBIRTH/n", encode(0, began, append(born, session(0))...), false)
	messages := make([][]byte, 256)
	for seq := range messages {
		var list []payload.Metric
		for i := range 10 {
			list = append(list, double(uint64(i+1), float64(seq)))
		}
		messages[seq] = encode(seq, began, list...)
	}
	seq := 0
	b.ReportAllocs()
	for b.Loop() {
		seq = (seq + 1) % 256
		h.Receive(began, "spBv1.0/g/NDATA/n", messages[seq], false)
		if len(h.Effects().Readings) > 1000 {
			h.Clear()
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
