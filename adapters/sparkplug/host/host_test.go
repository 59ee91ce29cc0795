package host

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/telemetry"
)

// began is when tests begin, in whole milliseconds.
var began = time.UnixMilli(1_700_000_000_000)

// plant is a host application and what it is told.
type plant struct {
	t   *testing.T
	h   *Host
	now time.Time
}

func newPlant(t *testing.T) *plant {
	return &plant{t: t, h: New(Config{ID: "busbar", ReorderTimeout: 2 * time.Second}), now: began}
}

// later lets time pass.
func (p *plant) later(d time.Duration) {
	p.now = p.now.Add(d)
	p.h.Tick(p.now)
}

func defined(name string, alias uint64, kind payload.DataType, v payload.Value) payload.Metric {
	return payload.Metric{Name: []byte(name), Alias: alias, HasAlias: alias > 0, Type: kind, Value: v}
}

func double(alias uint64, v float64) payload.Metric {
	return payload.Metric{Alias: alias, HasAlias: true, Value: payload.DoubleValue(v)}
}

func session(n int64) payload.Metric {
	return defined(payload.BdSeq, 0, payload.Int64, payload.IntValue(payload.Int64, n))
}

const noSeq = -1

func encode(seq int, at time.Time, metrics ...payload.Metric) []byte {
	m := payload.Payload{Timestamp: uint64(at.UnixMilli()), HasTimestamp: true, Metrics: metrics}
	if seq != noSeq {
		m.Seq, m.HasSeq = uint64(seq), true
	}
	return m.Append(nil)
}

// send has a message of the node n, or of one of its devices, come.
func (p *plant) send(kind topic.Kind, device string, seq int, metrics ...payload.Metric) {
	p.h.Receive(p.now, topic.Topic{Kind: kind, Group: "plant-a", Node: "n", Device: device}.String(), encode(seq, p.now, metrics...), false)
}

// born has a node with a device be born, and forgets what came of it.
func (p *plant) born() {
	p.send(topic.NBirth, "", 0, session(3), defined(payload.Rebirth, 0, payload.Boolean, payload.BooleanValue(false)), defined("u", 1, payload.Double, payload.DoubleValue(230)))
	p.send(topic.DBirth, "d", 1, defined("x", 2, payload.Double, payload.DoubleValue(1)))
	p.h.Clear()
}

// told is what has come of it all, in words, since it was last asked for.
func (p *plant) told() (list []string) {
	e := p.h.Effects()
	words := func(kind string, r Reading) string {
		s := p.h.Series(r.Series)
		name := strings.Join(slices.DeleteFunc([]string{s.Node, s.Device, s.Metric}, func(s string) bool { return s == "" }), "/")
		if s.Live {
			name += " live"
		}
		text := fmt.Sprintf("%s%s = %s", kind, name, r.Value)
		if r.Quality.WithTime(0) != 0 {
			text += ", " + r.Quality.String()
		}
		return text
	}
	for _, r := range e.Readings {
		list = append(list, words("", r))
	}
	for _, r := range e.Past {
		list = append(list, words("past: ", r))
	}
	for _, n := range e.Rebirths {
		list = append(list, "rebirth of "+n.Group+"/"+n.Name)
	}
	if e.Republish {
		list = append(list, "state")
	}
	p.h.Clear()
	return list
}

func (p *plant) want(want ...string) {
	p.t.Helper()
	if got := p.told(); !slices.Equal(got, want) {
		p.t.Errorf("got\n  %s\nexpected\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// The assertions of the specification about a host application that messages alone
// decide, by their ids. Those about its connection are tested with a broker.
func TestAssertions(t *testing.T) {
	for id, check := range map[string]func(*plant){
		"tck-id-operational-behavior-host-reordering-start": func(p *plant) {
			p.send(topic.DData, "d", 3, double(2, 3))
			p.want()
			if due := p.h.Due(); !due.Equal(began.Add(2 * time.Second)) {
				p.t.Errorf("the timer ends at %v", due)
			}
		},
		"tck-id-operational-behavior-host-reordering-param": func(p *plant) {
			p.h.config.ReorderTimeout = time.Minute
			p.send(topic.DData, "d", 3, double(2, 3))
			p.later(59 * time.Second)
			p.want()
			p.later(time.Second)
			p.want("n/d/x = 3", "rebirth of plant-a/n")
		},
		"tck-id-operational-behavior-host-reordering-rebirth": func(p *plant) {
			p.send(topic.DData, "d", 3, double(2, 3))
			p.later(1999 * time.Millisecond)
			p.want()
			p.later(time.Millisecond)
			p.want("n/d/x = 3", "rebirth of plant-a/n")
		},
		"tck-id-operational-behavior-host-reordering-success": func(p *plant) {
			p.send(topic.DData, "d", 3, double(2, 3))
			p.later(time.Second)
			p.send(topic.DData, "d", 2, double(2, 2))
			p.want("n/d/x = 2", "n/d/x = 3")
			p.later(time.Hour)
			p.want()
			p.send(topic.DData, "d", 4, double(2, 4))
			p.want("n/d/x = 4")
			p.send(topic.DData, "d", 6, double(2, 6))
			p.later(2 * time.Second)
			p.want("n/d/x = 6", "rebirth of plant-a/n")
		},
		"tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline": func(p *plant) {
			p.send(topic.NDeath, "", noSeq, session(3))
			if got := p.told(); !slices.Contains(got, "n live = false") {
				p.t.Errorf("%q", got)
			}
		},
		"tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale": func(p *plant) {
			p.send(topic.NDeath, "", noSeq, session(3))
			if got := p.told(); !slices.Contains(got, "n/u = –, bad (not connected, stale)") {
				p.t.Errorf("%q", got)
			}
		},
		"tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline": func(p *plant) {
			p.send(topic.NDeath, "", noSeq, session(3))
			if got := p.told(); !slices.Contains(got, "n/d live = false") {
				p.t.Errorf("%q", got)
			}
		},
		"tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale": func(p *plant) {
			p.now = p.now.Add(time.Minute)
			p.h.Receive(p.now, "spBv1.0/plant-a/NDEATH/n", encode(noSeq, began, session(3)), false)
			for _, r := range p.h.Effects().Readings {
				if r.Time != telemetry.MicrosOf(p.now) || r.Quality.TimeQuality() != telemetry.GatewayTime {
					p.t.Errorf("%+v isn't at the host's own time", r)
				}
			}
			p.want("n/u = –, bad (not connected, stale)", "n live = false", "n/d/x = –, bad (not connected, stale)", "n/d live = false")
		},
		"tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-offline": func(p *plant) {
			p.send(topic.DDeath, "d", 2)
			p.want("n/d/x = –, bad (not connected, stale)", "n/d live = false")
			p.send(topic.NData, "", 3, double(1, 231))
			p.want("n/u = 231")
		},
		"tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale": func(p *plant) {
			p.h.Receive(p.now.Add(time.Minute), "spBv1.0/plant-a/DDEATH/n/d", encode(2, p.now, session(3)), false)
			for _, r := range p.h.Effects().Readings {
				if r.Time != telemetry.MicrosOf(p.now) || r.Quality.TimeQuality() != telemetry.DeviceTime {
					p.t.Errorf("%+v isn't at the time of the payload", r)
				}
			}
		},
		"tck-id-message-flow-hid-sparkplug-state-message-delivered": func(p *plant) {
			p.h.Receive(p.now, "spBv1.0/STATE/busbar", topic.State{Timestamp: 1}.Payload(), false)
			p.want("state")
			p.h.Receive(p.now, "spBv1.0/STATE/busbar", topic.State{Online: true, Timestamp: 1}.Payload(), false)
			p.h.Receive(p.now, "spBv1.0/STATE/other", topic.State{Timestamp: 1}.Payload(), false)
			p.h.Receive(p.now, "spBv1.0/STATE/busbar", []byte("OFFLINE"), false)
			p.want()
		},
		"tck-id-payloads-ndeath-bdseq": func(p *plant) {
			p.send(topic.NDeath, "", noSeq, session(2)) // of the session before
			p.want()
			p.send(topic.NData, "", 2, double(1, 231))
			p.want("n/u = 231")
		},
		"tck-id-payloads-sequence-num-incrementing": func(p *plant) {
			for i := range 600 {
				seq := (2 + i) % 256
				p.send(topic.NData, "", seq, double(1, float64(i)))
				p.want(fmt.Sprintf("n/u = %d", i))
			}
		},
		"tck-id-topics-nbirth-metric-reqs": func(p *plant) { // what wasn't born is asked for
			p.send(topic.NData, "", 2, double(9, 1))
			p.want("rebirth of plant-a/n")
		},
		"tck-id-payloads-dbirth-order": func(p *plant) {
			p.send(topic.DData, "unborn", 2, double(2, 1))
			p.want("rebirth of plant-a/n")
		},
		"tck-id-operational-behavior-data-publish-nbirth-values": func(p *plant) {
			m := defined("u", 1, payload.Double, payload.Value{})
			m.Null = true
			p.send(topic.NBirth, "", 0, session(3), m)
			p.want("n/u = –, bad (not implemented)")
		},
		"tck-id-message-flow-phid-sparkplug-subscription": func(p *plant) { // kept messages say nothing of now
			p.h.Receive(p.now, "spBv1.0/plant-a/NBIRTH/other", encode(0, p.now, session(0), defined("u", 1, payload.Double, payload.DoubleValue(1))), true)
			p.want()
		},
	} {
		t.Run(id, func(t *testing.T) {
			p := newPlant(t)
			p.born()
			check(p)
		})
	}
}

// What is new is told first, with what it is; births that repeat it add nothing.
func TestBirth(t *testing.T) {
	p := newPlant(t)
	unit := defined("Motor/Power", 5, payload.Float, payload.FloatValue(1.5))
	unit.Properties = payload.AppendProperties(nil, []payload.Property{{Name: []byte("engUnit"), Type: payload.String, Value: payload.StringValue("kW")}})
	birth := func() {
		p.send(topic.NBirth, "", 0, session(0), defined(payload.Rebirth, 0, payload.Boolean, payload.BooleanValue(false)), unit,
			defined("File", 6, payload.File, payload.BytesValue([]byte("x"))))
	}
	birth()
	var found []string
	for _, i := range p.h.Effects().Found {
		found = append(found, fmt.Sprintf("%+v", p.h.Series(i)))
	}
	want := []string{
		"{Group:plant-a Node:n Device: Metric: Type:Boolean Unit: Live:true}",
		"{Group:plant-a Node:n Device: Metric:Motor/Power Type:Float Unit:kW Live:false}",
	}
	if !slices.Equal(found, want) {
		t.Errorf("found %q", found)
	}
	p.want("n live = true", "n/Motor/Power = 1.5")
	birth()
	if n := len(p.h.Effects().Found); n != 0 {
		t.Errorf("%d are found again", n)
	}
	p.want()
	// It comes back as something else, without what it had.
	p.send(topic.NBirth, "", 0, session(0), defined("Motor/Power", 5, payload.Int8, payload.IntValue(payload.Int8, -1)))
	if n := len(p.h.Effects().Found); n != 1 {
		t.Errorf("%d are found", n)
	}
	p.want("n/Motor/Power = -1")
	// And as what it was before, which is known.
	for i := range 100 {
		known := len(p.h.series)
		birth()
		if list := p.h.Effects().Found; len(p.h.series) > known || i == 0 && len(list) != 1 {
			t.Fatalf("%d are known, %d found", len(p.h.series), len(list))
		}
		p.told()
		p.send(topic.NBirth, "", 0, session(0), defined("Motor/Power", 5, payload.Int8, payload.IntValue(payload.Int8, -1)))
		p.want("n/Motor/Power = -1")
	}
	p.send(topic.NBirth, "", 0, session(0))
	p.want("n/Motor/Power = –, bad (not implemented, stale)")
}

// A birth comes again, as one that was asked for: its devices stay what they are if
// theirs come behind it, and are gone if they don't.
func TestDevicesAreAwaited(t *testing.T) {
	p := newPlant(t)
	p.born()
	p.send(topic.NBirth, "", 0, session(3), defined("u", 1, payload.Double, payload.DoubleValue(230)))
	p.send(topic.DBirth, "d", 1, defined("x", 2, payload.Double, payload.DoubleValue(1)))
	p.later(time.Hour)
	if got := p.told(); slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "bad") }) {
		t.Errorf("%q", got)
	}
	p.send(topic.NBirth, "", 0, session(3), defined("u", 1, payload.Double, payload.DoubleValue(232)))
	p.want("n/u = 232")
	p.later(deviceGrace)
	p.want("n/d/x = –, bad (not connected, stale)", "n/d live = false")
}

// composed is a value that has parts, encoded as they are in a field of a metric (6.4.1).
func composed(t *testing.T, field protowire.Number, parts string) payload.Value {
	metric := protowire.AppendString(protowire.AppendTag(nil, field, protowire.BytesType), parts)
	var p payload.Payload
	if err := p.Decode(protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), metric)); err != nil {
		t.Fatal(err)
	}
	return p.Metrics[0].Value
}

// template is an instance of a definition: its metrics are encoded as those of a message.
func template(t *testing.T, of string, metrics ...payload.Metric) payload.Value {
	ref := protowire.AppendString(protowire.AppendTag(nil, 4, protowire.BytesType), of)
	return composed(t, 18, string(payload.Payload{Metrics: metrics}.Append(nil))+string(ref))
}

func TestValues(t *testing.T) {
	quality := func(code int64) []byte {
		return payload.AppendProperties(nil, []payload.Property{{Name: []byte("Quality"), Type: payload.Int32, Value: payload.IntValue(payload.Int32, code)}})
	}
	inner := template(t, "Phase", defined("V", 0, payload.Int16, payload.IntValue(payload.Int16, -5)))
	outer := template(t, "Meter", defined("A", 0, payload.TemplateType, inner), defined("on", 0, payload.Boolean, payload.BooleanValue(true)))
	// Columns a and b, of Int8 and String, with the rows -1, "one" and 2, null.
	table := composed(t, 17, "\x08\x02\x12\x01a\x12\x01b\x18\x01\x18\x0c\x22\x0f\x0a\x06\x08\xff\xff\xff\xff\x0f\x0a\x05\x32\x03one\x22\x06\x0a\x02\x08\x02\x0a\x00")
	for name, c := range map[string]struct {
		born, then payload.Metric
		want       []string
	}{
		"by alias, with the birth's sign": {
			defined("v", 7, payload.Int8, payload.IntValue(payload.Int8, 1)), payload.Metric{Alias: 7, HasAlias: true, Value: payload.IntValue(payload.Int16, 0xFF)}, []string{"n/v = -1"},
		},
		"by name": {
			defined("v", 0, payload.UInt8, payload.IntValue(payload.UInt8, 1)), payload.Metric{Name: []byte("v"), Value: payload.IntValue(payload.UInt8, 255)}, []string{"n/v = 255"},
		},
		"null": {
			defined("v", 7, payload.Double, payload.DoubleValue(1)), payload.Metric{Alias: 7, HasAlias: true, Null: true}, []string{"n/v = –, bad (not implemented)"},
		},
		"historical": {
			defined("v", 7, payload.Double, payload.DoubleValue(1)), payload.Metric{Alias: 7, HasAlias: true, Historical: true, Value: payload.DoubleValue(2)}, []string{"past: n/v = 2"},
		},
		"transient": {
			defined("v", 7, payload.Double, payload.DoubleValue(1)), payload.Metric{Alias: 7, HasAlias: true, Transient: true, Value: payload.DoubleValue(2)}, nil,
		},
		"bad": {
			defined("v", 7, payload.Double, payload.DoubleValue(1)), payload.Metric{Alias: 7, HasAlias: true, Properties: quality(0), Value: payload.DoubleValue(2)}, []string{"n/v = –, bad (sensor failure)"},
		},
		"good": {
			defined("v", 7, payload.Double, payload.DoubleValue(1)), payload.Metric{Alias: 7, HasAlias: true, Properties: quality(192), Value: payload.DoubleValue(2)}, []string{"n/v = 2"},
		},
		"stale": {
			defined("v", 7, payload.Double, payload.DoubleValue(1)), payload.Metric{Alias: 7, HasAlias: true, Properties: quality(500), Value: payload.DoubleValue(2)}, []string{"n/v = 2, uncertain (stale)"},
		},
		"no value that its type has": {
			defined("v", 7, payload.Double, payload.DoubleValue(1)), payload.Metric{Alias: 7, HasAlias: true, Value: payload.StringValue("2")}, []string{"n/v = –, bad (malformed answer)"},
		},
		"another type than was born": {
			defined("v", 7, payload.Double, payload.DoubleValue(1)), payload.Metric{Alias: 7, HasAlias: true, Type: payload.Int8, Value: payload.IntValue(payload.Int8, 2)}, []string{"rebirth of plant-a/n"},
		},
		"an array that grows": {
			defined("v", 7, payload.Int8Array, payload.BytesValue([]byte{1})), payload.Metric{Alias: 7, HasAlias: true, Value: payload.BytesValue([]byte{0xFF, 2})}, []string{"n/v[0] = -1", "n/v[1] = 2"},
		},
		"an array that shrinks": {
			defined("v", 7, payload.Int8Array, payload.BytesValue([]byte{1, 2})), payload.Metric{Alias: 7, HasAlias: true, Value: payload.BytesValue([]byte{3})}, []string{"n/v[0] = 3", "n/v[1] = –, bad (not implemented)"},
		},
		"a template": {
			defined("m", 7, payload.TemplateType, payload.Value{}), payload.Metric{Alias: 7, HasAlias: true, Value: outer}, []string{"n/m/A/V = -5", "n/m/on = true"},
		},
		"a data set": {
			defined("t", 7, payload.DataSetType, payload.Value{}), payload.Metric{Alias: 7, HasAlias: true, Value: table},
			[]string{"n/t[0,a] = -1", "n/t[0,b] = one", "n/t[1,a] = 2", "n/t[1,b] = –, bad (not implemented)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlant(t)
			p.t = t
			p.send(topic.NBirth, "", 0, session(0), c.born)
			p.h.Clear()
			p.send(topic.NData, "", 1, c.then)
			p.want(c.want...)
		})
	}
}

// A value has the time of its metric, else that of its message, and that of the gateway if
// neither can be right.
func TestTimes(t *testing.T) {
	ms := func(d time.Duration) uint64 { return uint64(began.Add(d).UnixMilli()) }
	for _, c := range []struct {
		metric, message uint64
		want            time.Duration // after began
		clock           telemetry.TimeQuality
	}{
		{ms(-time.Hour), ms(-time.Minute), -time.Hour, telemetry.DeviceTime},
		{0, ms(-time.Minute), -time.Minute, telemetry.DeviceTime},
		{ms(48 * time.Hour), ms(0), 0, telemetry.GatewayTime},
		{1234, ms(-time.Minute), 0, telemetry.GatewayTime},
	} {
		p := newPlant(t)
		p.send(topic.NBirth, "", 0, session(0), defined("v", 7, payload.Double, payload.DoubleValue(1)))
		p.h.Clear()
		m := double(7, 2)
		m.Timestamp, m.HasTimestamp = c.metric, c.metric != 0
		p.h.Receive(began, "spBv1.0/plant-a/NDATA/n", encode(1, time.UnixMilli(int64(c.message)), m), false)
		r := p.h.Effects().Readings
		if len(r) != 1 || r[0].Time != telemetry.MicrosOf(began.Add(c.want)) || r[0].Quality.TimeQuality() != c.clock {
			t.Errorf("%+v: %+v", c, r)
		}
	}
}

// The connection to the broker is lost: nothing is known any more, until those that were
// known have been asked and have answered.
func TestTheBrokerIsLost(t *testing.T) {
	p := newPlant(t)
	p.born()
	p.h.Lost(p.now)
	p.want("n/u = –, bad (not connected, stale)", "n live = false", "n/d/x = –, bad (not connected, stale)", "n/d live = false")
	p.later(time.Minute)
	p.h.Connected(p.now)
	p.want("rebirth of plant-a/n")
	p.send(topic.NBirth, "", 0, session(3), defined("u", 1, payload.Double, payload.DoubleValue(230)))
	p.want("n live = true", "n/u = 230")
}

// What the gateway publishes itself isn't heard.
func TestOurOwn(t *testing.T) {
	p := newPlant(t)
	p.h = New(Config{ID: "busbar", Own: Node{"plant-a", "n"}})
	p.send(topic.NBirth, "", 0, session(0), defined("u", 1, payload.Double, payload.DoubleValue(230)))
	p.want()
}
