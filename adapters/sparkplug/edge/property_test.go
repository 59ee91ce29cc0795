package edge

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/telemetry"
)

// Whatever happens, in whatever order: messages are numbered without a gap, nothing is
// told of a device that isn't born, each value arrives, at its own time, though the last
// messages before a connection is lost don't, and in the end nothing waits.
func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := New(Config{Group: "g", Node: "gw", Own: "gw", MostWaiting: 100_000})
		e.Define(signals())
		now, bdSeq, online := began, uint64(0), false
		next, born := -1, map[string]bool{}
		took, told := map[telemetry.Micros]bool{}, map[telemetry.Micros]bool{}
		var underway [][]telemetry.Micros // what messages of the session tell, that aren't sure to arrive
		arrived := func(messages int) {
			for _, m := range underway[:messages] {
				for _, at := range m {
					told[at] = true
				}
			}
			underway = underway[messages:]
		}
		publish := func() {
			for _, m := range e.Next(now, now, 3) {
				var tells []telemetry.Micros
				of, _ := topic.Parse(m.Topic)
				var d payload.Payload
				if err := d.Decode(m.Payload.Append(nil)); err != nil {
					t.Fatal(err)
				}
				switch of.Kind {
				case topic.NBirth:
					next, born = 0, map[string]bool{"": true}
				case topic.DBirth:
					born[of.Device] = true
				case topic.DDeath, topic.DData, topic.NData:
					if !born[of.Device] {
						t.Fatalf("%s of what isn't born", m.Topic)
					}
				}
				if d.Seq != uint64(next) {
					t.Fatalf("%s has the number %d, expected %d", m.Topic, d.Seq, next)
				}
				next = (next + 1) % 256
				if of.Kind == topic.DDeath {
					delete(born, of.Device)
				}
				for _, m := range d.Metrics {
					if m.HasAlias && m.Alias < droppedAlias && !m.Null {
						tells = append(tells, telemetry.Micros(m.Timestamp*1000))
					}
				}
				underway = append(underway, tells)
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Millisecond)
			at := telemetry.MicrosOf(now)
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0:
				if online {
					arrived(rapid.IntRange(0, len(underway)).Draw(t, "arrived"))
					underway = nil
					e.Lost(now)
				} else {
					e.Connected(bdSeq)
					bdSeq++
				}
				online = !online
			case 1:
				e.Receive("spBv1.0/g/NCMD/gw", payload.Payload{Metrics: []payload.Metric{rebirth()}}.Append(nil))
			case 2:
				id := rapid.SampledFrom([]telemetry.SignalID{live1, live2}).Draw(t, "live")
				e.Take(at, []telemetry.Sample{{Time: at, Signal: id, Value: telemetry.BoolValue(rapid.Bool().Draw(t, "alive"))}}, false)
			case 3:
				publish()
			default:
				id := rapid.SampledFrom([]telemetry.SignalID{u1, clock}).Draw(t, "signal")
				took[at] = true
				e.Take(at, []telemetry.Sample{{Time: at, Signal: id, Value: telemetry.IntValue(int64(at))}}, rapid.Bool().Draw(t, "past"))
			}
		}
		if !online {
			e.Connected(bdSeq)
		}
		for range 100 {
			now = now.Add(RebirthPause)
			publish()
		}
		if e.Waiting() != 0 || len(e.Next(now, now, 1)) > 0 {
			t.Fatalf("%d wait", e.Waiting())
		}
		arrived(len(underway))
		for at := range took {
			if !told[at] {
				t.Fatalf("what was at %v isn't told", at.Time())
			}
		}
	})
}

// A command's bytes can be anything.
func FuzzReceive(f *testing.F) {
	f.Add("spBv1.0/g/NCMD/gw", payload.Payload{Metrics: []payload.Metric{rebirth()}}.Append(nil))
	f.Add("spBv1.0/STATE/scada", topic.State{Online: true, Timestamp: 1}.Payload())
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		p := newPlant(t, "scada")
		p.e.Connected(0)
		p.e.Receive(name, b)
		p.e.Next(p.now, p.now, 1)
	})
}
