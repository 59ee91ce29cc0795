package edgenode

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/busbar/busbar/adapters/sparkplug/edge"
	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/mqttrecord"
)

// The signals of a gateway with one meter.
const (
	clock telemetry.SignalID = iota + 1
	volts
	live
)

// gateway is an edge node that a test feeds.
type gateway struct {
	t    *testing.T
	file string
	o    Options
	*Node
}

func newGateway(t *testing.T, broker, host string) *gateway {
	g := &gateway{t: t, o: Options{
		Config: mqttconn.Config{Broker: "tcp://" + broker, ClientID: "gw"}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Edge: edge.Config{Group: "plant-a", Node: "gw", Own: "gw", PrimaryHost: host, MostWaiting: MostWaiting},
		File: filepath.Join(t.TempDir(), "session"),
	}}
	g.begin()
	return g
}

func (g *gateway) begin() {
	g.Node = New(g.o)
	g.Define([]telemetry.Signal{
		{ID: volts, Device: "meter", Name: "PhV.phsA", Unit: "V", Kind: telemetry.Gauge},
		{ID: live, Device: "meter", Name: telemetry.ChannelLive, Unit: "1", Kind: telemetry.State},
		{ID: clock, Device: "gw", Name: "ClockState", Unit: "1", Kind: telemetry.State},
	})
}

func (g *gateway) take(id telemetry.SignalID, v telemetry.Value) {
	at := telemetry.MicrosOf(time.Now())
	g.Take(at, []telemetry.Sample{{Time: at, Signal: id, Value: v}}, false)
}

func (g *gateway) measures(v float64) { g.take(volts, telemetry.FloatValue(v)) }

func (g *gateway) runs() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { g.Run(ctx); close(ended) }()
	stop = func() { cancel(); <-ended }
	g.t.Cleanup(stop)
	return stop
}

// published are the messages of a kind among packets.
func published(list []packets.ControlPacket, kind topic.Kind) (messages []*packets.PublishPacket) {
	for _, p := range list {
		if m, is := p.(*packets.PublishPacket); is {
			if t, ok := topic.Parse(m.TopicName); ok && t.Kind == kind {
				messages = append(messages, m)
			}
		}
	}
	return messages
}

func connects(list []packets.ControlPacket) (found []*packets.ConnectPacket) {
	for _, p := range list {
		if c, is := p.(*packets.ConnectPacket); is {
			found = append(found, c)
		}
	}
	return found
}

// bdSeq is the one of a message.
func bdSeq(t *testing.T, b []byte) int64 {
	t.Helper()
	var p payload.Payload
	if err := p.Decode(b); err != nil {
		t.Fatal(err)
	}
	for _, m := range p.Metrics {
		if v, err := m.Value.Scalar(payload.Int64); string(m.Name) == "bdSeq" && err == nil && m.Type == payload.Int64 {
			return int64(v.Bits())
		}
	}
	t.Fatal("no bdSeq")
	return 0
}

// The assertions about an edge node's connection, by their ids (those of the TCK's
// SessionEstablishment and SessionTermination).
func TestAssertionsOfTheConnection(t *testing.T) {
	b := mqttrecord.Start(t)
	g := newGateway(t, b.Address, "")
	g.measures(230)
	g.take(live, telemetry.BoolValue(true))
	stop := g.runs()
	b.Await("the device is born", func(list []packets.ControlPacket) bool { return len(published(list, topic.DBirth)) == 1 })
	g.measures(231)
	b.Await("it tells data", func(list []packets.ControlPacket) bool { return len(published(list, topic.DData)) == 1 })
	b.Break()
	b.Await("the next session", func(list []packets.ControlPacket) bool { return len(published(list, topic.NBirth)) == 2 })
	stop()
	list := b.Await("it says goodbye", func(list []packets.ControlPacket) bool {
		_, ended := list[len(list)-1].(*packets.DisconnectPacket)
		return ended
	})
	// Another process goes on counting.
	g.begin()
	g.runs()
	all := b.Await("the session after that", func(list []packets.ControlPacket) bool { return len(published(list, topic.NBirth)) == 3 })
	connect, second, third := connects(all)[0], connects(all)[1], connects(all)[2]
	nbirth, dbirth, ddata := published(list, topic.NBirth)[0], published(list, topic.DBirth)[0], published(list, topic.DData)[0]
	ndeath := published(list, topic.NDeath)
	subscribe, early := list[1].(*packets.SubscribePacket)
	unkept := func(m *packets.PublishPacket) bool { return m.Qos == 0 && !m.Retain }
	for id, holds := range map[string]bool{
		"tck-id-message-flow-edge-node-birth-publish-connect":                    early && list[0] == packets.ControlPacket(connect),
		"tck-id-message-flow-edge-node-ncmd-subscribe":                           early && slices.Contains(subscribe.Topics, "spBv1.0/plant-a/NCMD/gw") && !slices.Contains(subscribe.Qoss, 0),
		"tck-id-message-flow-device-dcmd-subscribe":                              early && slices.Contains(subscribe.Topics, "spBv1.0/plant-a/DCMD/gw/+"),
		"tck-id-message-flow-edge-node-birth-publish-will-message":               connect.WillFlag,
		"tck-id-message-flow-edge-node-birth-publish-will-message-topic":         connect.WillTopic == "spBv1.0/plant-a/NDEATH/gw",
		"tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq": bdSeq(t, connect.WillMessage) == 0 && bdSeq(t, second.WillMessage) == 1 && bdSeq(t, third.WillMessage) == 2,
		"tck-id-message-flow-edge-node-birth-publish-will-message-qos":           connect.WillQos == 1,
		"tck-id-payloads-ndeath-will-message-qos":                                connect.WillQos == 1,
		"tck-id-message-flow-edge-node-birth-publish-will-message-will-retained": !connect.WillRetain,
		"tck-id-payloads-ndeath-will-message-retain":                             !connect.WillRetain,
		"tck-id-principles-persistence-clean-session-311":                        connect.CleanSession,
		"tck-id-message-flow-edge-node-birth-publish-nbirth-topic":               nbirth.TopicName == "spBv1.0/plant-a/NBIRTH/gw",
		"tck-id-message-flow-edge-node-birth-publish-nbirth-payload-bdSeq":       bdSeq(t, nbirth.Payload) == bdSeq(t, connect.WillMessage),
		"tck-id-message-flow-edge-node-birth-publish-nbirth-qos":                 unkept(nbirth),
		"tck-id-topics-nbirth-mqtt":                                              unkept(nbirth),
		"tck-id-payloads-nbirth-bdseq-repeat":                                    bdSeq(t, published(list, topic.NBirth)[1].Payload) == bdSeq(t, second.WillMessage),
		"tck-id-topics-nbirth-bdseq-increment":                                   bdSeq(t, published(all, topic.NBirth)[2].Payload) == 2,
		"tck-id-message-flow-device-birth-publish-dbirth-topic":                  dbirth.TopicName == "spBv1.0/plant-a/DBIRTH/gw/meter",
		"tck-id-topics-dbirth-mqtt":                                              unkept(dbirth),
		"tck-id-topics-ddata-mqtt":                                               unkept(ddata) && ddata.TopicName == "spBv1.0/plant-a/DDATA/gw/meter",
		"tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath":    len(ndeath) == 1 && bdSeq(t, ndeath[0].Payload) == 1 && !ndeath[0].Retain,
		"tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt311":       len(ndeath) == 1 && list[len(list)-2] == packets.ControlPacket(ndeath[0]),
		"tck-id-operational-behavior-edge-node-intentional-disconnect-packet":    len(ndeath) == 1,
	} {
		if !holds {
			t.Errorf("%s: %v", id, all)
		}
	}
}

// The assertions about a primary host, as far as they are about the connection.
func TestThePrimaryHost(t *testing.T) {
	b := mqttrecord.Start(t)
	g := newGateway(t, b.Address, "scada")
	g.measures(230)
	g.take(live, telemetry.BoolValue(true))
	g.runs()
	await.True(t, "it is connected", func() bool { return g.Stats().Connected })
	says := func(online bool, at int64) {
		b.Send(topic.OfHost("scada"), topic.State{Online: online, Timestamp: at}.Payload(), true)
	}
	says(false, 10)
	says(true, 9)
	says(true, 11)
	list := b.Await("it is born", func(list []packets.ControlPacket) bool { return len(published(list, topic.DBirth)) == 1 })
	subscribe := list[1].(*packets.SubscribePacket)
	if !slices.Contains(subscribe.Topics, "spBv1.0/STATE/scada") || len(published(list, topic.NBirth)) != 1 {
		t.Errorf("tck-id-message-flow-edge-node-birth-publish-phid-wait: %v", list)
	}
	says(false, 10) // of before
	g.measures(231)
	b.Await("it goes on", func(list []packets.ControlPacket) bool { return len(published(list, topic.DData)) == 1 })
	says(false, 12)
	list = b.Await("it leaves", func(list []packets.ControlPacket) bool { return len(connects(list)) == 2 })
	at := slices.IndexFunc(list, func(p packets.ControlPacket) bool { _, is := p.(*packets.DisconnectPacket); return is })
	if death := published(list[:at+1], topic.NDeath); at < 0 || len(death) != 1 || bdSeq(t, death[0].Payload) != 0 {
		t.Errorf("tck-id-message-flow-edge-node-birth-publish-phid-offline: %v", list)
	}
	g.measures(232)
	g.measures(233)
	await.True(t, "it is connected again", func() bool { return g.Stats().Connected })
	if s := g.Stats(); s.Online || s.Waiting == 0 {
		t.Errorf("%+v", s)
	}
	says(true, 13)
	list = b.Await("it tells what it has kept", func(list []packets.ControlPacket) bool { return len(published(list, topic.DData)) == 2 })
	var p payload.Payload
	if err := p.Decode(published(list, topic.DData)[1].Payload); err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, m := range p.Metrics {
		if v, err := m.Value.Scalar(payload.Double); err == nil && m.Historical {
			kept = append(kept, v.String())
		}
	}
	if !slices.Equal(kept, []string{"230", "231", "232"}) { // 233 is in the birth, the first two may have been lost
		t.Errorf("%q were kept", kept)
	}
}

// It is stopped in the midst of much that waits: that is told, and then that it ends.
func TestItEndsWithABacklog(t *testing.T) {
	b := mqttrecord.Start(t)
	g := newGateway(t, b.Address, "")
	g.take(live, telemetry.BoolValue(true))
	const values = 20_000
	for i := range values {
		g.measures(float64(i))
	}
	ctx, stop := context.WithCancel(t.Context())
	asked := 0
	g.Node.o.Now = func() time.Time {
		if asked++; asked == 3 { // for the will, for the first messages, and for those behind them
			stop()
		}
		return time.Now()
	}
	g.Run(ctx)
	list := b.Await("it says goodbye", func(list []packets.ControlPacket) bool {
		_, ended := list[len(list)-1].(*packets.DisconnectPacket)
		return ended
	})
	if death := published(list, topic.NDeath); len(death) != 1 || list[len(list)-2] != packets.ControlPacket(death[0]) {
		t.Errorf("%d deaths", len(death))
	}
	told := 0
	for _, m := range published(list, topic.DData) {
		var p payload.Payload
		if err := p.Decode(m.Payload); err != nil {
			t.Fatal(err)
		}
		told += len(p.Metrics)
	}
	if told != values-1 { // one is in the birth
		t.Errorf("%d values are told", told)
	}
}

// That values are given up is said once of each connection, and why.
func TestWhatIsGivenUpIsSaid(t *testing.T) {
	var lines logged
	b := mqttrecord.Start(t)
	g := newGateway(t, b.Address, "")
	g.o.Edge.MostWaiting, g.o.Log = 100, slog.New(slog.NewTextHandler(&lines, nil))
	g.begin()
	flood := func() {
		for i := range 1000 {
			g.measures(float64(i))
		}
	}
	said := func(tooMany, otherType int) {
		t.Helper()
		if text := lines.String(); strings.Count(text, "too many values") != tooMany || strings.Count(text, "something else") != otherType {
			t.Errorf("expected %d and %d: %s", tooMany, otherType, text)
		}
	}
	g.take(live, telemetry.BoolValue(true))
	g.take(volts, telemetry.IntValue(1))
	g.take(volts, telemetry.IntValue(2))
	g.measures(3)
	stop := g.runs()
	b.Await("its birth", func(list []packets.ControlPacket) bool { return len(published(list, topic.DBirth)) == 1 })
	await.True(t, "nothing waits", func() bool { return g.Stats().Waiting == 0 })
	stop()
	said(0, 1)
	if s := g.Stats(); s.Dropped != 2 {
		t.Errorf("%+v", s)
	}
	flood()
	said(1, 1)
	stop = g.runs()
	b.Await("its next birth", func(list []packets.ControlPacket) bool { return len(published(list, topic.DBirth)) == 2 })
	await.True(t, "nothing waits", func() bool { return g.Stats().Waiting == 0 })
	stop()
	flood()
	said(2, 1)
}

// logged are lines of a log.
type logged struct {
	mu sync.Mutex
	strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.String()
}

// A session's number is written down before the broker can know it.
func TestTheNumberIsWrittenFirst(t *testing.T) {
	g := newGateway(t, "127.0.0.1:1", "") // where nobody listens
	g.runs()
	await.True(t, "it is written", func() bool { text, _ := os.ReadFile(g.o.File); return string(text) == "0\n" })
}

// Without a file to count in, it publishes all the same, and with a broken one.
func TestTheNumberIsLost(t *testing.T) {
	b := mqttrecord.Start(t)
	g := newGateway(t, b.Address, "")
	if err := os.WriteFile(g.o.File, []byte("many"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.runs()
	list := b.Await("it is born", func(list []packets.ControlPacket) bool { return len(published(list, topic.NBirth)) == 1 })
	if n := bdSeq(t, published(list, topic.NBirth)[0].Payload); n != 0 {
		t.Errorf("the session has the number %d", n)
	}
}

// Taking costs the same whether or not there is a broker.
func BenchmarkTake(b *testing.B) {
	n := New(Options{Edge: edge.Config{Group: "g", Node: "n", Own: "gw", MostWaiting: MostWaiting}, Log: slog.New(slog.DiscardHandler)})
	var signals []telemetry.Signal
	samples := make([]telemetry.Sample, 100)
	for i := range samples {
		signals = append(signals, telemetry.Signal{ID: telemetry.SignalID(i + 1), Device: "meter", Name: "x"})
		samples[i].Signal = telemetry.SignalID(i + 1)
	}
	n.Define(signals)
	round := 0
	b.ReportAllocs()
	for b.Loop() {
		round++
		for i := range samples {
			samples[i].Time, samples[i].Value = telemetry.Micros(round), telemetry.IntValue(int64(round))
		}
		n.Take(telemetry.Micros(round), samples, false)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(samples)), "ns/sample")
}
