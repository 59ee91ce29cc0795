package sparkplug

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/sparkplugpeer"
)

// Metrics of the peer.
type metric = sparkplugpeer.Metric

func rebirths(p *sparkplugpeer.Peer) (n int) {
	for _, e := range p.Events("ncmd") {
		for _, m := range e.Payload.Metrics {
			if m.Name == "Node Control/Rebirth" && m.Value == true {
				n++
			}
		}
	}
	return n
}

func rebirthMetric() metric {
	return metric{Name: "Node Control/Rebirth", Type: "Boolean", Value: false}
}

// Everything that a metric can be, told by an implementation that isn't ours.
func TestValuesOfAPeer(t *testing.T) {
	s := newSite(t)
	s.run(s.device())
	s.has(map[string]string{"ChLiv": "true"})
	p := sparkplugpeer.Node(t, s.broker, "plant-a", "Line 1")
	p.Send("nbirth", "", "",
		rebirthMetric(),
		metric{Name: "i8", Alias: 1, Type: "Int8", Value: -128}, metric{Name: "i16", Alias: 2, Type: "Int16", Value: -32768},
		metric{Name: "i32", Alias: 3, Type: "Int32", Value: -2147483648}, metric{Name: "i64", Alias: 4, Type: "Int64", Value: sparkplugpeer.Long{Text: "-9223372036854775808"}},
		metric{Name: "u8", Alias: 5, Type: "UInt8", Value: 255}, metric{Name: "u16", Alias: 6, Type: "UInt16", Value: 65535},
		metric{Name: "u32", Alias: 7, Type: "UInt32", Value: int64(4294967295)}, metric{Name: "u64", Alias: 8, Type: "UInt64", Value: sparkplugpeer.Long{Text: "18446744073709551615"}},
		metric{Name: "Folder/f", Alias: 9, Type: "Float", Value: 0.5, Properties: map[string]sparkplugpeer.Property{
			"engUnit": {Type: "String", Value: "kWh"}, "Quality": {Type: "Int32", Value: 192}}},
		metric{Name: "d", Alias: 10, Type: "Double", Value: 0.1}, metric{Name: "b", Alias: 11, Type: "Boolean", Value: true},
		metric{Name: "s", Alias: 12, Type: "String", Value: "größer"}, metric{Name: "t", Alias: 13, Type: "Text", Value: "x"},
		metric{Name: "at", Alias: 14, Type: "DateTime", Value: int64(1700000000000)}, metric{Name: "null", Alias: 15, Type: "Double", Value: nil},
		metric{Name: "bytes", Alias: 16, Type: "Bytes", Value: sparkplugpeer.Bytes{Base64: []byte{1, 2}}},
		metric{Name: "set", Alias: 17, Type: "DataSet", Value: map[string]any{"numOfColumns": 2, "types": []string{"Int8", "String"}, "columns": []string{"n", "s"}, "rows": [][]any{{-1, "one"}, {2, "two"}}}},
		metric{Name: "group", Alias: 18, Type: "Template", Value: map[string]any{"isDefinition": false, "templateRef": "Phase", "metrics": []metric{{Name: "V", Type: "Int16", Value: -5}}}},
		metric{Name: "bad", Alias: 19, Type: "Int32", Value: 7, Properties: map[string]sparkplugpeer.Property{"Quality": {Type: "Int32", Value: 0}}},
	)
	s.has(map[string]string{
		"Line_1.Live": "true",
		"Line_1.i8":   "-128", "Line_1.i16": "-32768", "Line_1.i32": "-2147483648", "Line_1.i64": "-9223372036854775808",
		"Line_1.u8": "255", "Line_1.u16": "65535", "Line_1.u32": "4294967295", "Line_1.u64": "18446744073709551615",
		"Line_1.Folder.f": "0.5", "Line_1.d": "0.1", "Line_1.b": "true", "Line_1.s": "größer", "Line_1.t": "x", "Line_1.at": "1700000000000",
		"Line_1.null": "– bad (not implemented)", "Line_1.set_0_n": "-1", "Line_1.set_1_s": "two", "Line_1.group.V": "-5", "Line_1.bad": "– bad (sensor failure)",
	})
	if f, known := s.signal("Line_1.Folder.f"); !known || f.Unit != "kW.h" || f.Kind != telemetry.Gauge {
		t.Errorf("%+v", f)
	}
	if f, known := s.signal("Line_1.b"); !known || f.Kind != telemetry.State {
		t.Errorf("%+v", f)
	}
	if _, known := s.signal("Line_1.bytes"); known {
		t.Error("bytes are a signal")
	}
	if s.registrations > 2 {
		t.Errorf("signals are registered %d times", s.registrations)
	}
	// By alias, without a name; compressed both ways; null; of the past.
	then := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	p.Send("ndata", "", "", metric{Alias: 1, Type: "Int8", Value: -1}, metric{Alias: 10, Type: "Double", Value: nil},
		metric{Alias: 9, Type: "Float", Value: 0.25, IsHistorical: true, Timestamp: then.UnixMilli()})
	s.has(map[string]string{"Line_1.i8": "-1", "Line_1.d": "– bad (not implemented)"})
	p.Send("ndata", "", "GZIP", metric{Alias: 2, Type: "Int16", Value: -2})
	p.Send("ndata", "", "DEFLATE", metric{Alias: 3, Type: "Int32", Value: -3})
	s.has(map[string]string{"Line_1.i16": "-2", "Line_1.i32": "-3", "Line_1.Folder.f": "0.5"})
	if past := s.heard("past Line_1.Folder.f"); !slices.Equal(past, []string{"0.25"}) {
		t.Errorf("of the past: %q", past)
	}
	s.mu.Lock()
	if !slices.ContainsFunc(s.samples, func(v telemetry.Sample) bool {
		return v.Time == telemetry.MicrosOf(then) && v.Quality.TimeQuality() == telemetry.DeviceTime && v.Value == telemetry.FloatValue(0.25)
	}) {
		t.Error("nothing of the past has the time of its source")
	}
	s.mu.Unlock()
	if n := rebirths(p); n != 0 {
		t.Errorf("births were asked for %d times", n)
	}
}

// Deaths by bdSeq, of a device, of a process that is killed; and births again.
func TestDeathsOfAPeer(t *testing.T) {
	s := newSite(t)
	s.run(s.device())
	s.has(map[string]string{"ChLiv": "true"})
	p := sparkplugpeer.Node(t, s.broker, "plant-a", "n")
	birth := func() {
		p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "u", Alias: 1, Type: "Double", Value: 230})
		p.Send("dbirth", "meter", "", metric{Name: "x", Alias: 2, Type: "Int32", Value: -7})
	}
	birth()
	s.has(map[string]string{"n.u": "230", "n.meter.x": "-7", "n.Live": "true", "n.meter.Live": "true"})
	p.Do(map[string]any{"do": "session", "bdSeq": 9}) // of which there was no birth
	p.Do(map[string]any{"do": "ndeath"})
	p.Send("ddata", "meter", "", metric{Alias: 2, Type: "Int32", Value: -8})
	s.has(map[string]string{"n.meter.x": "-8"})
	if got := s.heard("n.Live"); !slices.Equal(got, []string{"true"}) {
		t.Errorf("the death of another session: %q", got)
	}
	p.Send("ddeath", "meter", "")
	s.has(map[string]string{"n.u": "230", "n.Live": "true", "n.meter.x": "– bad (not connected, stale)", "n.meter.Live": "false"})
	p.Send("ddata", "meter", "", metric{Alias: 2, Type: "Int32", Value: -9})
	p.Await("ncmd", 1)
	if n := rebirths(p); n != 1 {
		t.Errorf("births were asked for %d times", n)
	}
	p.Do(map[string]any{"do": "session", "bdSeq": 0})
	birth()
	s.has(map[string]string{"n.meter.x": "-7", "n.meter.Live": "true"})
	p.Kill()
	s.has(map[string]string{"n.Live": "false", "n.u": "– bad (not connected, stale)", "n.meter.Live": "false", "n.meter.x": "– bad (not connected, stale)"})
}

// Messages that are missing are waited for, and then births are asked for; those that
// come twice count once.
func TestOrderOfAPeer(t *testing.T) {
	s := newSite(t)
	s.run(s.device())
	s.has(map[string]string{"ChLiv": "true"})
	p := sparkplugpeer.Node(t, s.broker, "plant-a", "n")
	p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "u", Alias: 1, Type: "Double", Value: 0})
	s.has(map[string]string{"n.u": "0"})
	send := func(seq int, value float64) {
		p.Do(map[string]any{"do": "seq", "seq": seq})
		p.Send("ndata", "", "", metric{Alias: 1, Type: "Double", Value: value})
	}
	send(3, 3)
	send(2, 2)
	send(1, 1)
	send(1, 1.5)
	s.has(map[string]string{"n.u": "3"})
	send(5, 5)
	p.Await("ncmd", 1)
	s.has(map[string]string{"n.u": "5"})
	p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "u", Alias: 1, Type: "Double", Value: 6})
	s.has(map[string]string{"n.u": "6"})
	if got := s.heard("n.u"); !slices.Equal(got, []string{"0", "1", "2", "3", "5", "6"}) {
		t.Errorf("got %q", got)
	}
}

// All 256 numbers and the step to the next round, faster than any of it is stored.
func TestAThousandMessages(t *testing.T) {
	s := newSite(t)
	s.run(s.device())
	s.has(map[string]string{"ChLiv": "true"})
	p := sparkplugpeer.Node(t, s.broker, "plant-a", "n")
	p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "u", Alias: 1, Type: "Int32", Value: 0})
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprint(i))
		if i > 0 {
			p.Send("ndata", "", "", metric{Alias: 1, Type: "Int32", Value: i})
		}
	}
	s.has(map[string]string{"n.u": "999"})
	if got := s.heard("n.u"); !slices.Equal(got, want) {
		t.Errorf("%d of %d values", len(got), len(want))
	}
	if n := rebirths(p); n != 0 {
		t.Errorf("births were asked for %d times", n)
	}
}

// A host application that starts later asks for the births of whom it hears and doesn't
// know; one that comes back does as well.
func TestTheHostStartsLater(t *testing.T) {
	s := newSite(t)
	p := sparkplugpeer.Node(t, s.broker, "plant-a", "n")
	birth := func(value float64) {
		p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "u", Alias: 1, Type: "Double", Value: value})
	}
	birth(1)
	p.Do(map[string]any{"do": "subscribe", "topic": "nothing"}) // is answered when the broker has passed on the birth
	p.Await("subscribed", 1)
	for round := 1; round <= 2; round++ {
		stop := s.run(s.device())
		s.has(map[string]string{"ChLiv": "true"})
		p.Send("ndata", "", "", metric{Alias: 1, Type: "Double", Value: 2})
		p.Await("ncmd", round)
		birth(float64(10 * round))
		s.has(map[string]string{"n.u": fmt.Sprint(10 * round)})
		stop()
	}
}

// The broker is killed: everything is unknown at once; when it is back, so is everything.
func TestTheBrokerIsKilled(t *testing.T) {
	s := newSite(t)
	s.run(s.device())
	s.has(map[string]string{"ChLiv": "true"})
	p := sparkplugpeer.Node(t, s.broker, "plant-a", "n")
	birth := func() {
		p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "u", Alias: 1, Type: "Double", Value: 1})
	}
	birth()
	s.has(map[string]string{"n.u": "1"})
	s.broker.Kill()
	s.has(map[string]string{"ChLiv": "false", "n.u": "– bad (not connected, stale)", "n.Live": "false"})
	s.broker.Start()
	s.has(map[string]string{"ChLiv": "true"})
	p.Await("birth", 2)
	birth()
	s.has(map[string]string{"n.u": "1", "n.Live": "true"})
}

// Only some of it is read, and a metric that becomes something else is another signal.
func TestFollowAndChange(t *testing.T) {
	s := newSite(t)
	d := s.device()
	d.Follow = [][]string{{"n/u*"}}
	s.run(d)
	s.has(map[string]string{"ChLiv": "true"})
	p := sparkplugpeer.Node(t, s.broker, "plant-a", "n")
	p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "u1", Alias: 1, Type: "Double", Value: 1}, metric{Name: "v1", Alias: 2, Type: "Double", Value: 1})
	s.has(map[string]string{"n.u1": "1"})
	p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "u1", Alias: 1, Type: "String", Value: "text"}, metric{Name: "u2", Alias: 3, Type: "Int8", Value: -2})
	s.has(map[string]string{"n.u1": "text", "n.u2": "-2"})
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, f := range s.signals {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "n.Live n.u1 n.u1 n.u2" {
		t.Errorf("signals are %s", got)
	}
}

// A metric that becomes what it was is the signal that it was.
func TestThereAndBackAgain(t *testing.T) {
	s := newSite(t)
	s.run(s.device())
	s.has(map[string]string{"ChLiv": "true"})
	p := sparkplugpeer.Node(t, s.broker, "plant-a", "n")
	for round := range 3 {
		p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "u", Alias: 1, Type: "Double", Value: round})
		s.has(map[string]string{"n.u": fmt.Sprint(round)})
		p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "u", Alias: 1, Type: "String", Value: fmt.Sprint("text ", round)})
		s.has(map[string]string{"n.u": fmt.Sprint("text ", round)})
	}
	// Faster than they are registered: the last is what counts.
	for round := range 3 {
		p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "v", Alias: 1, Type: "Double", Value: round})
		p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "v", Alias: 1, Type: "String", Value: fmt.Sprint("text ", round)})
	}
	p.Send("nbirth", "", "", rebirthMetric(), metric{Name: "v", Alias: 1, Type: "Double", Value: 7})
	s.has(map[string]string{"n.v": "7"})
	p.Send("ndata", "", "", metric{Alias: 1, Type: "Double", Value: 8})
	s.has(map[string]string{"n.v": "8"})
}
