package edge

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/telemetry"
)

var began = time.UnixMilli(1_700_000_000_000)

// plant is an edge node and the messages that it has published.
type plant struct {
	t   *testing.T
	e   *Edge
	now time.Time
	all []Message
}

// The signals of a node gw with two devices.
const (
	clock telemetry.SignalID = iota + 1
	u1
	live1
	u2
	live2
)

func signals() []telemetry.Signal {
	return []telemetry.Signal{
		{ID: u1, Device: "m1", Name: "PhV.phsA", Unit: "V", Kind: telemetry.Gauge}, {ID: live1, Device: "m1", Name: telemetry.ChannelLive, Unit: "1", Kind: telemetry.State},
		{ID: u2, Device: "m2", Name: "Pos", Unit: "1", Kind: telemetry.State}, {ID: live2, Device: "m2", Name: telemetry.ChannelLive, Unit: "1", Kind: telemetry.State},
		{ID: clock, Device: "gw", Name: "ClockState", Unit: "1", Kind: telemetry.State},
	}
}

func newPlant(t *testing.T, host string) *plant {
	p := &plant{t: t, now: began, e: New(Config{Group: "g", Node: "gw", Own: "gw", PrimaryHost: host, MostWaiting: 1000})}
	p.e.Define(signals())
	return p
}

func (p *plant) take(id telemetry.SignalID, v telemetry.Value) {
	p.now = p.now.Add(time.Millisecond)
	p.e.Take(telemetry.MicrosOf(p.now), []telemetry.Sample{{Time: telemetry.MicrosOf(p.now), Signal: id, Value: v}}, false)
}

func (p *plant) volts(v float64)                         { p.take(u1, telemetry.FloatValue(v)) }
func (p *plant) lives(id telemetry.SignalID, alive bool) { p.take(id, telemetry.BoolValue(alive)) }
func (p *plant) command(metrics ...payload.Metric) {
	p.now = p.now.Add(RebirthPause)
	p.e.Receive("spBv1.0/g/NCMD/gw", payload.Payload{Metrics: metrics}.Append(nil))
}
func (p *plant) state(host string, online bool, t int64) bool {
	return p.e.Receive(topic.OfHost(host), topic.State{Online: online, Timestamp: t}.Payload())
}

func rebirth() payload.Metric {
	return payload.Metric{Name: []byte(payload.Rebirth), Type: payload.Boolean, Value: payload.BooleanValue(true)}
}

// read is a message as it can be compared, with what is wrong with it by the rules that
// are the same for all.
func (p *plant) read(m Message) string {
	p.t.Helper()
	t, ok := topic.Parse(m.Topic)
	var d payload.Payload
	if err := d.Decode(m.Payload.Append(nil)); err != nil || !ok {
		p.t.Fatalf("%q: %v", m.Topic, err)
	}
	birth := t.Kind == topic.NBirth || t.Kind == topic.DBirth
	text := strings.TrimSpace(fmt.Sprintf("%s %s", t.Kind, t.Device))
	if d.HasSeq {
		text += fmt.Sprintf(" #%d", d.Seq)
	}
	for _, metric := range d.Metrics {
		name := string(metric.Name)
		if !birth && t.Kind != topic.NDeath {
			name = fmt.Sprintf("@%d", metric.Alias)
		}
		kind := metric.Type
		if kind == payload.Unknown {
			kind = metric.Value.Natural()
		}
		value := "null"
		if v, err := metric.Value.Scalar(kind); err == nil && !metric.Null {
			value = v.String()
		}
		if metric.Historical {
			value += " past"
		}
		if list, _ := payload.Properties(nil, metric.Properties); len(list) > 0 {
			for _, q := range list {
				v, _ := q.Value.Scalar(q.Type)
				value += fmt.Sprintf(" %s=%s", q.Name, v)
			}
		}
		if !metric.HasTimestamp {
			p.t.Errorf("%s: %s has no time", text, name)
		}
		text += " " + name + "=" + value
	}
	return text
}

func (p *plant) next() (list []string) {
	for {
		messages := p.e.Next(p.now, p.now, 1)
		for _, m := range messages {
			p.all = append(p.all, m)
			list = append(list, p.read(m))
		}
		if len(messages) == 0 {
			return list
		}
	}
}

func (p *plant) want(want ...string) {
	p.t.Helper()
	if got := p.next(); !slices.Equal(got, want) {
		p.t.Errorf("got\n  %s\nexpected\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// born has the node and its first device be born.
func (p *plant) born() {
	p.volts(230)
	p.lives(live1, true)
	p.e.Connected(7)
	p.next()
}

// The assertions of the specification about an edge node that messages alone decide, by
// their ids. Those about its connection are tested with a broker.
func TestAssertions(t *testing.T) {
	decoded := func(p *plant, m Message) payload.Payload {
		var d payload.Payload
		if err := d.Decode(m.Payload.Append(nil)); err != nil {
			p.t.Fatal(err)
		}
		return d
	}
	metric := func(d payload.Payload, name string) payload.Metric {
		for _, m := range d.Metrics {
			if string(m.Name) == name {
				return m
			}
		}
		return payload.Metric{}
	}
	is := func(m payload.Metric, v payload.Value) bool { return reflect.DeepEqual(m.Value, v) }
	nbirth := func(p *plant) payload.Payload { return decoded(p, p.all[0]) }
	for id, holds := range map[string]func(*plant) bool{
		"tck-id-topics-nbirth-topic":   func(p *plant) bool { return p.all[0].Topic == "spBv1.0/g/NBIRTH/gw" },
		"tck-id-topics-nbirth-seq-num": func(p *plant) bool { d := nbirth(p); return d.HasSeq && d.Seq == 0 },
		"tck-id-topics-nbirth-timestamp": func(p *plant) bool {
			return nbirth(p).HasTimestamp && nbirth(p).Timestamp >= uint64(began.UnixMilli())
		},
		"tck-id-topics-nbirth-metrics": func(p *plant) bool {
			return !slices.ContainsFunc(nbirth(p).Metrics, func(m payload.Metric) bool {
				return len(m.Name) == 0 || m.Type == payload.Unknown || !m.Null && m.Value.Form() == payload.Absent
			})
		},
		"tck-id-topics-nbirth-bdseq-included": func(p *plant) bool { return metric(nbirth(p), "bdSeq").Type == payload.Int64 },
		"tck-id-payloads-nbirth-bdseq-repeat": func(p *plant) bool { return is(metric(nbirth(p), "bdSeq"), payload.IntValue(payload.Int64, 7)) },
		"tck-id-payloads-ndeath-bdseq": func(p *plant) bool {
			return is(metric(decoded(p, p.e.Will(7, p.now)), "bdSeq"), metric(nbirth(p), "bdSeq").Value)
		},
		"tck-id-topics-ndeath-payload": func(p *plant) bool { return len(decoded(p, p.e.Will(7, p.now)).Metrics) == 1 },
		"tck-id-topics-ndeath-seq":     func(p *plant) bool { return !decoded(p, p.e.Will(7, p.now)).HasSeq },
		"tck-id-topics-ndeath-topic":   func(p *plant) bool { return p.e.Will(7, p.now).Topic == "spBv1.0/g/NDEATH/gw" },
		"tck-id-topics-nbirth-rebirth-metric": func(p *plant) bool {
			m := metric(nbirth(p), payload.Rebirth)
			return m.Type == payload.Boolean && is(m, payload.BooleanValue(false))
		},
		"tck-id-operational-behavior-data-commands-rebirth-name-aliases": func(p *plant) bool { return !metric(nbirth(p), payload.Rebirth).HasAlias },
		"tck-id-payloads-alias-birth-requirement": func(p *plant) bool {
			m := metric(decoded(p, p.all[1]), "PhV.phsA")
			return m.HasAlias && m.Type == payload.Double
		},
		"tck-id-topics-dbirth-topic":                           func(p *plant) bool { return p.all[1].Topic == "spBv1.0/g/DBIRTH/gw/m1" },
		"tck-id-payloads-dbirth-seq-inc":                       func(p *plant) bool { d := decoded(p, p.all[1]); return d.HasSeq && d.Seq == 1 && d.HasTimestamp },
		"tck-id-message-flow-device-birth-publish-nbirth-wait": func(p *plant) bool { return len(p.all) == 2 },
		"tck-id-payloads-alias-data-cmd-requirement": func(p *plant) bool {
			p.volts(231)
			p.next()
			m := decoded(p, p.all[2]).Metrics[0]
			return p.all[2].Topic == "spBv1.0/g/DDATA/gw/m1" && len(m.Name) == 0 && m.HasAlias && m.Type == payload.Unknown
		},
		"tck-id-payloads-alias-uniqueness": func(p *plant) bool {
			p.lives(live2, true)
			p.next()
			seen := map[uint64]bool{}
			for _, m := range p.all {
				for _, m := range decoded(p, m).Metrics {
					if m.HasAlias && seen[m.Alias] {
						return false
					}
					seen[m.Alias] = true
				}
			}
			return len(p.all) == 3
		},
		"tck-id-topics-ddata-seq-num": func(p *plant) bool {
			for i := range 600 {
				p.volts(float64(i))
				p.next()
			}
			for i, m := range p.all {
				if d := decoded(p, m); d.Seq != uint64(i%256) || !d.HasTimestamp {
					return false
				}
			}
			return len(p.all) == 602
		},
		"tck-id-topics-ddata-payload": func(p *plant) bool { // only what has changed
			p.volts(230)
			return len(p.next()) == 0
		},
		"tck-id-topics-ndata-payload": func(p *plant) bool {
			p.take(clock, telemetry.IntValue(2))
			return slices.Equal(p.next(), []string{"NDATA #2 @1=2"})
		},
		"tck-id-operational-behavior-device-ddeath": func(p *plant) bool {
			p.lives(live1, false)
			return slices.Equal(p.next(), []string{"DDEATH m1 #2"})
		},
		"tck-id-operational-behavior-data-commands-rebirth-action-2": func(p *plant) bool {
			p.command(rebirth())
			return slices.Equal(p.next(), []string{"NBIRTH #0 bdSeq=7 Node Control/Rebirth=false Node Info/Values Dropped=0 ClockState=null", "DBIRTH m1 #1 PhV.phsA=230 engUnit=V"})
		},
		"tck-id-operational-behavior-data-commands-rebirth-action-1": func(p *plant) bool { // no data before the births
			p.volts(231)
			p.command(rebirth())
			got := p.next()
			return len(got) == 2 && strings.HasPrefix(got[0], "NBIRTH") && got[1] == "DBIRTH m1 #1 PhV.phsA=231 engUnit=V"
		},
		"tck-id-operational-behavior-data-commands-rebirth-action-3": func(p *plant) bool {
			p.command(rebirth())
			p.next()
			return is(metric(decoded(p, p.all[2]), "bdSeq"), payload.IntValue(payload.Int64, 7))
		},
		"tck-id-operational-behavior-data-publish-dbirth-values": func(p *plant) bool {
			p.lives(live2, true)
			return slices.Equal(p.next(), []string{"DBIRTH m2 #2 Pos=null"})
		},
		"tck-id-operational-behavior-data-publish-dbirth-order": func(p *plant) bool {
			at := telemetry.MicrosOf(p.now)
			p.e.Take(at, []telemetry.Sample{{Time: at + 9000, Signal: u1, Value: telemetry.FloatValue(2)}, {Time: at + 4000, Signal: u1, Value: telemetry.FloatValue(1)}}, false)
			return slices.Equal(p.next(), []string{"DDATA m1 #2 @2=1 @2=2"})
		},
		"tck-id-payloads-propertyset-quality-value-value": func(p *plant) bool {
			at := telemetry.MicrosOf(p.now)
			bad := telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)
			p.e.Take(at, []telemetry.Sample{{Time: at, Signal: u1, Quality: bad}}, false)
			return slices.Equal(p.next(), []string{"DDATA m1 #2 @2=null Quality=0"})
		},
	} {
		t.Run(id, func(t *testing.T) {
			p := newPlant(t, "")
			p.born()
			if !holds(p) {
				t.Errorf("%v", p.all)
			}
		})
	}
}

// The assertions about a primary host (those of the TCK's PrimaryHost).
func TestPrimaryHost(t *testing.T) {
	for id, holds := range map[string]func(*plant) bool{
		"tck-id-message-flow-edge-node-birth-publish-phid-wait":        func(p *plant) bool { return len(p.next()) == 0 },
		"tck-id-message-flow-edge-node-birth-publish-phid-wait-id":     func(p *plant) bool { p.state("other", true, 5); return len(p.next()) == 0 },
		"tck-id-message-flow-edge-node-birth-publish-phid-wait-online": func(p *plant) bool { p.state("scada", false, 5); return len(p.next()) == 0 },
		"tck-id-operational-behavior-edge-node-birth-sequence-wait":    func(p *plant) bool { p.state("scada", true, 5); return len(p.next()) == 2 },
		"tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp": func(p *plant) bool {
			p.state("scada", false, 5)
			p.state("scada", true, 4)
			none := len(p.next()) == 0
			p.state("scada", true, 5)
			return none && len(p.next()) == 2
		},
		"tck-id-operational-behavior-edge-node-termination-host-offline": func(p *plant) bool {
			p.state("scada", true, 5)
			p.next()
			leave := p.state("scada", false, 5)
			_, dies := p.e.Death(p.now)
			p.volts(240)
			return leave && dies && len(p.next()) == 0
		},
		"tck-id-operational-behavior-edge-node-termination-host-offline-timestamp": func(p *plant) bool {
			p.state("scada", true, 5)
			p.next()
			leave := p.state("scada", false, 4)
			p.volts(240)
			return !leave && len(p.next()) == 1
		},
	} {
		t.Run(id, func(t *testing.T) {
			p := newPlant(t, "scada")
			p.volts(230)
			p.lives(live1, true)
			p.e.Connected(0)
			if !holds(p) {
				t.Errorf("%v", p.all)
			}
		})
	}
}

// The signals change: a device that has others is born again, one that is gone dies.
func TestDefine(t *testing.T) {
	p := newPlant(t, "")
	p.born()
	p.lives(live2, true)
	p.next()
	p.e.Define(signals())
	p.want()
	more := append(signals(), telemetry.Signal{ID: 9, Device: "m1", Name: "A", Unit: "A"})
	p.e.Define(more)
	p.want("DBIRTH m1 #3 PhV.phsA=230 engUnit=V A=null engUnit=A")
	p.take(9, telemetry.IntValue(-5)) // not what it was thought to be
	p.want("DBIRTH m1 #4 PhV.phsA=230 engUnit=V A=-5 engUnit=A")
	p.e.Define(slices.DeleteFunc(more, func(s telemetry.Signal) bool { return s.Device == "m2" }))
	p.want("DDEATH m2 #5")
	p.e.Define(slices.DeleteFunc(more, func(s telemetry.Signal) bool { return s.Device == "m2" || s.ID == 9 }))
	p.want("DBIRTH m1 #6 PhV.phsA=230 engUnit=V")
}

// Births are asked for again and again: there is one in a second, and nothing before it.
func TestRebirthsAreLimited(t *testing.T) {
	p := newPlant(t, "")
	p.born()
	p.command(rebirth())
	p.next()
	births := 0
	for range 1000 {
		p.volts(1)
		p.e.Receive("spBv1.0/g/NCMD/gw", payload.Payload{Metrics: []payload.Metric{rebirth()}}.Append(nil))
		for _, line := range p.next() {
			if births == 0 && !strings.HasPrefix(line, "NBIRTH") {
				t.Fatalf("%s comes before the birth", line)
			}
			if strings.HasPrefix(line, "NBIRTH") {
				births++
			}
		}
	}
	if births != 1 {
		t.Errorf("%d births in a second", births)
	}
}

// A device goes before what is known of it could be told.
func TestDeathComesFirst(t *testing.T) {
	p := newPlant(t, "")
	p.lives(live1, true)
	p.e.Connected(0)
	p.next()
	p.take(u1, telemetry.IntValue(5)) // not what its birth has told
	p.lives(live1, false)
	p.want("DBIRTH m1 #2 PhV.phsA=null engUnit=V", "DDATA m1 #3 @2=5 past", "DDEATH m1 #4")

	p = newPlant(t, "")
	p.born()
	p.lives(live1, false)
	p.command(rebirth())
	p.want("NBIRTH #0 bdSeq=7 Node Control/Rebirth=false Node Info/Values Dropped=0 ClockState=null")
}
