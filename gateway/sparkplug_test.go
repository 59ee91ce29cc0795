package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/mosquitto"
	"github.com/busbar/busbar/test/mqttrecord"
	"github.com/busbar/busbar/test/sparkplugpeer"
)

// An edge node's metrics become signals that rules know and the log gets, and the gateway
// publishes them, with its other devices, as an edge node itself; over a restart, and
// without hearing itself.
func TestSparkplugInAndOut(t *testing.T) {
	broker := mosquitto.New(t, "")
	broker.Start()
	b := newBench(t)
	address := "tcp://" + broker.Address
	b.source = strings.Replace(b.source, "rules:", fmt.Sprintf(`
  - id: plant
    sparkplug: {broker: %q, host_id: busbar}
rules:
  - {name: pump-hot, on: {device: plant}, when: line.pump.Temp > 90, summary: hot}`, address), 1) +
		fmt.Sprintf("serve: {sparkplug: {broker: %q, group: plant-a}}\n", address)
	b.config = b.parse(b.source)
	observer := sparkplugpeer.Node(t, broker, "observers", "o")
	observer.Do(map[string]any{"do": "subscribe", "topic": "spBv1.0/plant-a/#"})
	observer.Await("subscribed", 1)
	published := func(device string, metric func(sparkplugpeer.Metric) bool) {
		t.Helper()
		for limit := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			for _, e := range observer.Events("message") {
				if strings.HasPrefix(e.Topic, "spBv1.0/plant-a/D") && strings.HasSuffix(e.Topic, "/gw/"+device) && slices.ContainsFunc(e.Payload.Metrics, metric) {
					return
				}
			}
			if time.Now().After(limit) {
				t.Fatalf("nothing of it was published of %s: %+v", device, observer.Events("message"))
			}
		}
	}
	metric := sparkplugpeer.Metric{Name: "Temp", Alias: 1, Type: "Double", Value: 20.5, Properties: map[string]sparkplugpeer.Property{"engUnit": {Type: "String", Value: "°C"}}}
	node := sparkplugpeer.Node(t, broker, "plant-b", "line")
	birth := func() {
		node.Send("nbirth", "", "", sparkplugpeer.Metric{Name: "Node Control/Rebirth", Type: "Boolean", Value: false})
		node.Send("dbirth", "pump", "", metric)
	}
	b.source = strings.Replace(b.source, "line.pump.Temp", "plant_b.line.pump.Temp", 1)
	b.config = b.parse(b.source)
	for round := range 2 {
		stop := b.run()
		s := source{b.gateway, time.Now()}
		for limit := time.Now().Add(time.Minute); s.Report().Sparkplug == nil || !s.Report().Sparkplug.Online || !slices.ContainsFunc(s.Report().Devices, hears("plant")); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("%+v, %+v", s.Report().Sparkplug, s.Report().Devices)
			}
		}
		birth()
		published("plant", func(m sparkplugpeer.Metric) bool { return m.Name == "plant_b.line.pump.Temp" && m.Value == 20.5 })
		value := 91.5 + float64(round)
		node.Send("ddata", "pump", "", sparkplugpeer.Metric{Alias: 1, Type: "Double", Value: value})
		published("plant", func(m sparkplugpeer.Metric) bool { return m.Value == value })
		published("meter", func(m sparkplugpeer.Metric) bool { return m.Name == "PhV.phsA" && m.Value == 230.0 })
		node.Send("ddata", "pump", "", sparkplugpeer.Metric{Alias: 1, Type: "Double", Value: 20.0})
		l := b.read(func(l log) bool {
			return len(l.of(telemetry.AlarmRaised)) > round && len(l.of(telemetry.AlarmCleared)) > round && slices.ContainsFunc(l.points, func(p telemetry.Sample) bool { return p.Value == telemetry.FloatValue(value) })
		})
		for _, birth := range l.births {
			for _, signal := range birth.Signals {
				if signal.Name == "plant_b.line.pump.Temp" && (signal.Unit != "Cel" || signal.Kind != telemetry.Gauge) {
					t.Errorf("%+v", signal)
				}
				if strings.Contains(signal.Name, "plant_a") {
					t.Errorf("the gateway hears itself: %s", signal.Name)
				}
			}
		}
		stop()
	}
	for _, e := range observer.Events("message") {
		if strings.HasPrefix(e.Topic, "spBv1.0/plant-a/NDEATH/gw") {
			return
		}
	}
	t.Error("the gateway has left without a word")
}

func hears(device string) func(status.Device) bool {
	return func(d status.Device) bool { return d.ID == device && !d.LastAnswer.IsZero() }
}

// told is what a bench's gateway, which is an edge node at a broker, has published of its
// meter.
func told(t *testing.T, list []packets.ControlPacket) (metrics []payload.Metric) {
	t.Helper()
	for _, p := range list {
		m, is := p.(*packets.PublishPacket)
		if !is || m.TopicName != "spBv1.0/plant-a/DBIRTH/gw/meter" && m.TopicName != "spBv1.0/plant-a/DDATA/gw/meter" {
			continue
		}
		var d payload.Payload
		if err := d.Decode(m.Payload); err != nil {
			t.Fatal(err)
		}
		metrics = append(metrics, d.Metrics...)
	}
	return metrics
}

// published has a bench's gateway be an edge node at a broker.
func (b *bench) published(broker *mqttrecord.Broker) {
	b.source += fmt.Sprintf("serve: {sparkplug: {broker: \"tcp://%s\", group: plant-a}}\n", broker.Address)
	b.config = b.parse(b.source)
}

// A time that is a guess makes what is published uncertain, as it does what is stored.
func TestSparkplugOfAGuessedTime(t *testing.T) {
	broker := mqttrecord.Start(t)
	b := newBench(t)
	b.published(broker)
	b.config.Time.MaxHold = configfile.Duration(500 * time.Millisecond)
	b.kernel = &machine{booted: time.Now(), atBoot: day}
	stop := b.run()
	defer stop()
	broker.Await("something is uncertain", func(list []packets.ControlPacket) bool {
		return slices.ContainsFunc(told(t, list), func(m payload.Metric) bool {
			properties, err := payload.Properties(nil, m.Properties)
			if err != nil || len(properties) != 1 {
				return false
			}
			code, err := properties[0].Value.Scalar(payload.Int32)
			return err == nil && code == telemetry.IntValue(500)
		})
	})
}

// What a swinging door still holds when it is taken away, or at the end, is told as it is
// stored.
func TestSparkplugOfASwingingDoor(t *testing.T) {
	for name, ends := range map[string]func(*bench){
		"it is taken away": func(b *bench) {
			g := b.gateway
			to := setting{config: b.parse(b.source)}
			var err error
			if to.devices, err = g.define(to.config); err != nil {
				t.Fatal(err)
			}
			engine, err := g.compile(to)
			if err != nil {
				t.Fatal(err)
			}
			g.exchange(t.Context(), to, engine)
		},
		"the end": func(*bench) {},
	} {
		broker := mqttrecord.Start(t)
		b := newBench(t)
		b.published(broker)
		b.config.Devices[0].Signals[2].SwingingDoor = 0.0001
		stop := b.run()
		volts := float32(200)
		await := func(values int) {
			broker.Await("values are told", func(list []packets.ControlPacket) bool {
				volts += 1. / 128
				b.meter.set(volts)
				return len(told(t, list)) > values
			})
		}
		await(50)
		ends(b)
		await(100)
		committed := samplesOf(stop())
		l := b.read(func(l log) bool { return l.samples >= committed && len(l.births) > 0 })
		list := broker.Await("it says goodbye", func(list []packets.ControlPacket) bool {
			_, ended := list[len(list)-1].(*packets.DisconnectPacket)
			return ended
		})
		i := slices.IndexFunc(l.births[0].Signals, func(s telemetry.Signal) bool { return s.Name == "PhV.phsC" })
		id := l.births[0].Signals[i].ID
		values := map[telemetry.Value]bool{}
		for _, m := range told(t, list) {
			if m.Alias == uint64(id) {
				v, _ := m.Value.Scalar(payload.Double)
				values[v] = true
			}
		}
		for _, s := range l.points {
			if s.Signal == id && !values[s.Value] {
				t.Errorf("%s: %v is stored and wasn't told", name, s.Value)
			}
		}
	}
}
