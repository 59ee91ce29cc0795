package modbus

import (
	"context"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// breaker is a device with a point of every sort that can be written. Its signals
// are numbered from 10 in this order.
func breaker(endpoint string) Device {
	d := Device{ID: "bay-1", Endpoint: endpoint, Unit: 1, Live: 1, PollEvery: 20 * time.Millisecond, Timeout: 2 * time.Second}
	five := uint16(5)
	for _, p := range []Point{
		{Name: "Pos", Table: Coil, Address: 3, Type: Bool},
		{Name: "Many", Table: Coil, Address: 9, Type: Bool},
		{Name: "W", Table: Holding, Address: 8, Type: Uint16},
		{Name: "Pct", Table: Holding, Address: 9, Type: Int16, Scale: 0.1},
		{Name: "Wide", Table: Holding, Address: 10, Type: Float32, Order: CDAB},
		{Name: "Bit", Table: Holding, Address: 12, Type: Bool, Bit: 3},
		{Name: "Mask", Table: Holding, Address: 13, Type: Uint16, Mask: 0x0F00},
		{Name: "Low", Table: Holding, Address: 14, Type: Uint8},
		{Name: "Apart", Table: Holding, Address: 15, Type: Uint32, Mask: 0x00FFFF00},
		{Name: "Scaled", Table: Holding, Address: 4, Type: Uint16, Factor: &five},
		{Name: "Shown", Table: Holding, Address: 20, Type: Uint16},
		{Name: "Fixed", Table: Holding, Address: 21, Type: Uint16, Absent: []uint64{0xFFFF}},
	} {
		p.Signal = telemetry.SignalID(10 + len(d.Points))
		d.Points = append(d.Points, p)
	}
	for _, c := range []Control{
		{Point: "Pos"}, {Point: "Many", Method: Multiple}, {Point: "W"}, {Point: "Pct", Method: Multiple}, {Point: "Wide"}, {Point: "Bit"},
		{Point: "Mask", Method: ReadModifyWrite}, {Point: "Low"}, {Point: "Apart", Method: ReadModifyWrite}, {Point: "Scaled"},
		{Point: "Shown", Feedback: "W"}, {Point: "Fixed"},
	} {
		c.Settle = 200 * time.Millisecond
		d.Controls = append(d.Controls, c)
	}
	return d
}

// operate writes a value to a point of a device that is being polled.
func operate(t *testing.T, a *Adapter, d Device, point string, v telemetry.Value) (adapters.Controlled, error) {
	t.Helper()
	return a.Operate(t.Context(), adapters.Control{Device: d.ID, Signal: d.Points[d.point(point)].Signal, Value: v})
}

func polled(t *testing.T, d Device) *Adapter {
	t.Helper()
	a, sink := run(t, d)
	sink.await(t, "a poll", func() bool { return sink.count(d.ID) > 0 })
	for !a.running.Load() {
		runtime.Gosched()
	}
	return a
}

var number = telemetry.FloatValue

// Each sort of point is written by the function that it has, in these bytes and no
// more, and what is beside it in its registers stays.
func TestEachPointIsWrittenByItsFunction(t *testing.T) {
	for _, c := range []struct {
		point    string
		value    telemetry.Value
		old, new string
		pdu      string
	}{
		{"Pos", telemetry.BoolValue(true), "false", "true", "05 0003 ff00"},
		{"Pos", number(0), "true", "false", "05 0003 0000"},
		{"Many", telemetry.IntValue(1), "false", "true", "0f 0009 0001 01 01"},
		{"W", telemetry.IntValue(4711), "2049", "4711", "06 0008 1267"},
		{"Pct", number(-12.3), "230.5", "-12.3", "10 0009 0001 02 ff85"},
		{"Wide", number(0.5), "", "0.5", "10 000a 0002 04 0000 3f00"},
		{"Bit", telemetry.BoolValue(true), "false", "true", "16 000c fff7 0008"},
		{"Mask", telemetry.IntValue(5), "13", "5", "16 000d f0ff 0500"},
		{"Low", telemetry.UintValue(200), "1", "200", "16 000e ff00 00c8"},
		{"Apart", telemetry.UintValue(0x1234), "272", "4660", "10 000f 0002 04 0f12 3401"},
		{"Scaled", number(12300), "10200", "12300", "06 0004 007b"},
	} {
		for _, transport := range []Transport{TCP, RTU, RTUOverTCP} {
			t.Run(fmt.Sprintf("%s %s=%v", transport, c.point, c.value), func(t *testing.T) {
				t.Parallel()
				peer := startActuator(t, transport)
				peer.registers[5], peer.registers[4] = 2, 102 // the factor, and what it is for
				peer.coils[3] = c.old == "true"
				d := breaker(peer.endpoint)
				a := polled(t, d)
				got, err := operate(t, a, d, c.point, c.value)
				if err != nil || got.Outcome != telemetry.ControlDone || got.ReadBack.String() != c.new || c.old != "" && got.Old.String() != c.old {
					t.Errorf("%+v, %v", got, err)
				}
				if w := peer.written(); len(w) != 1 || hex.EncodeToString(w[0]) != strings.ReplaceAll(c.pdu, " ", "") {
					t.Errorf("written % x, expected %s", w, c.pdu)
				}
			})
		}
	}
}

// A device that hasn't got function 22 is written by the whole register, if that was
// asked for, and not at all otherwise.
func TestBitsWithoutFunction22(t *testing.T) {
	peer := startActuator(t, TCP)
	peer.does(func(pdu []byte) (r reaction) {
		if pdu[0] == 22 {
			r.exception = 1
		}
		return r
	})
	d := breaker(peer.endpoint)
	a := polled(t, d)
	if got, err := operate(t, a, d, "Mask", number(7)); err != nil || got.Outcome != telemetry.ControlDone {
		t.Errorf("%+v, %v", got, err)
	}
	if w := peer.written(); len(w) != 2 || hex.EncodeToString(w[1]) != "06000d0701" {
		t.Errorf("written % x", w)
	}
	got, err := operate(t, a, d, "Bit", number(1))
	if got.Outcome != telemetry.ControlFailed || err == nil || !strings.Contains(err.Error(), "illegal function") {
		t.Errorf("%+v, %v", got, err)
	}
	if w := peer.written(); len(w) != 3 {
		t.Errorf("written % x", w)
	}
}

// What comes of a write that goes wrong: it is never sent again, and never called
// done unless the device shows it.
func TestOutcomes(t *testing.T) {
	const failed, unconfirmed, unknown, done = telemetry.ControlFailed, telemetry.ControlUnconfirmed, telemetry.ControlUnknown, telemetry.ControlDone
	cases := []struct {
		name     string
		reaction reaction
		outcome  telemetry.ControlOutcome
		says     string
		back     string // read back
	}{
		{"executed", reaction{}, done, "", "7"},
		{"refused: function", reaction{exception: 1}, failed, "illegal function", "–"},
		{"refused: address", reaction{exception: 2}, failed, "illegal data address", "–"},
		{"refused: value", reaction{exception: 3}, failed, "illegal data value", "–"},
		{"device failure", reaction{exception: 4}, unknown, "server device failure", "2049"},
		{"acknowledged, and goes on", reaction{exception: 5}, unknown, "acknowledge", "2049"},
		{"busy", reaction{exception: 6}, failed, "server device busy", "–"},
		{"no path", reaction{exception: 10}, failed, "gateway path unavailable", "–"},
		{"a gateway's timeout", reaction{exception: 11}, unknown, "gateway target device failed to respond", "2049"},
		{"not executed though it says so", reaction{ignores: true}, unconfirmed, "shows 2049", "2049"},
		{"executed, the answer lost", reaction{silent: true}, done, "", "7"},
		{"not executed, no answer", reaction{silent: true, ignores: true}, unknown, "it may have been executed", "2049"},
		{"executed, the answer late", reaction{late: 700 * time.Millisecond}, done, "", "7"},
		{"an answer to another value", reaction{answer: []byte{6, 0, 8, 0, 9}}, done, "", "7"},
		{"an answer to another value, not executed", reaction{ignores: true, answer: []byte{6, 0, 8, 0, 9}}, unknown, "it may have been executed", "2049"},
		{"executed, the connection lost", reaction{hangsUp: true}, done, "", "7"},
		{"not executed, the connection lost", reaction{hangsUp: true, ignores: true}, unknown, "it may have been executed", "2049"},
	}
	for _, transport := range []Transport{TCP, RTU, RTUOverTCP} {
		for _, c := range cases {
			if transport == RTU && c.reaction.hangsUp {
				continue
			}
			t.Run(string(transport)+" "+c.name, func(t *testing.T) {
				t.Parallel()
				peer := startActuator(t, transport)
				peer.always(c.reaction)
				d := breaker(peer.endpoint)
				d.Timeout = 300 * time.Millisecond
				a := polled(t, d)
				got, err := operate(t, a, d, "W", number(7))
				if got.Outcome != c.outcome || (err == nil) != (c.outcome == done) || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%+v, %v", got, err)
				}
				if got.Old.String() != "2049" || got.ReadBack.String() != c.back {
					t.Errorf("%v before, %v afterwards", got.Old, got.ReadBack)
				}
				if w := peer.written(); len(w) != 1 {
					t.Errorf("it was sent %d times", len(w))
				}
			})
		}
	}
}

// If the device showed the value before, what it shows afterwards proves nothing.
func TestALostAnswerToWhatWasThere(t *testing.T) {
	peer := startActuator(t, TCP)
	peer.always(reaction{silent: true})
	d := breaker(peer.endpoint)
	d.Timeout = 100 * time.Millisecond
	a := polled(t, d)
	if got, err := operate(t, a, d, "W", number(2049)); got.Outcome != telemetry.ControlUnknown || err == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// On a line with an echo, the echo of a write looks as its answer does.
func TestAnEchoIsNoAnswer(t *testing.T) {
	for _, transport := range []Transport{RTU, RTUOverTCP} {
		for _, c := range []struct {
			reaction reaction
			outcome  telemetry.ControlOutcome
		}{
			{reaction{}, telemetry.ControlDone},
			{reaction{silent: true, ignores: true}, telemetry.ControlUnknown},
			{reaction{exception: 3}, telemetry.ControlFailed},
		} {
			peer := startActuator(t, transport)
			peer.echo = true
			peer.always(c.reaction)
			d := breaker(peer.endpoint)
			d.Timeout = 300 * time.Millisecond
			a := polled(t, d)
			for _, point := range []string{"Pos", "W", "Bit", "Wide"} {
				if got, err := operate(t, a, d, point, number(1)); got.Outcome != c.outcome {
					t.Errorf("%s %s %+v: %+v, %v", transport, point, c.reaction, got, err)
				}
			}
		}
	}
}

// A second write of the same bytes doesn't take the late answer to the first for
// its own.
func TestALateAnswerIsNotTheNextOnes(t *testing.T) {
	peer := startActuator(t, RTU)
	d := breaker(peer.endpoint)
	d.Timeout = 200 * time.Millisecond
	a := polled(t, d)
	n := 0
	peer.does(func([]byte) reaction {
		if n++; n == 1 {
			return reaction{ignores: true, late: 600 * time.Millisecond}
		}
		return reaction{ignores: true, silent: true}
	})
	for i := range 2 {
		if got, err := operate(t, a, d, "W", number(7)); got.Outcome != telemetry.ControlUnknown {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
	}
}

// What a point shows is never its value of before with its factor of after.
func TestAFactorThatChangesWhileAPointIsShown(t *testing.T) {
	peer := startActuator(t, TCP)
	peer.registers[4], peer.registers[5] = 1025, 1
	d := breaker(peer.endpoint)
	d.PollEvery = time.Hour
	a := polled(t, d)
	reads := 0
	peer.mu.Lock()
	peer.onRead = func() {
		if reads++; reads == 3 {
			peer.registers[4], peer.registers[5] = 102, 2
		}
	}
	peer.mu.Unlock()
	got, err := operate(t, a, d, "Scaled", number(12300))
	if len(peer.written()) != 0 || got.Outcome != telemetry.ControlFailed || err == nil || !strings.Contains(err.Error(), "the factor of Scaled changed while it was read") {
		t.Errorf("%+v, %v", got, err)
	}
}

// What the feedback shows decides, also if it takes its time.
func TestFeedback(t *testing.T) {
	peer := startActuator(t, TCP)
	d := breaker(peer.endpoint)
	a := polled(t, d)
	got, err := operate(t, a, d, "Shown", number(3))
	if got.Outcome != telemetry.ControlUnconfirmed || got.Old.String() != "2049" || err == nil || !strings.Contains(err.Error(), "shows 2049 after 200ms") {
		t.Errorf("%+v, %v", got, err)
	}
	d = breaker(peer.endpoint)
	for i := range d.Controls {
		d.Controls[i].Settle = time.Minute
	}
	a = polled(t, d)
	peer.does(func([]byte) reaction {
		time.AfterFunc(300*time.Millisecond, func() {
			peer.mu.Lock()
			peer.registers[8] = 3
			peer.mu.Unlock()
		})
		return reaction{}
	})
	if got, err := operate(t, a, d, "Shown", number(3)); err != nil || got.Outcome != telemetry.ControlDone || got.ReadBack.String() != "3" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Select reads and changes nothing.
func TestSelect(t *testing.T) {
	peer := startActuator(t, TCP)
	d := breaker(peer.endpoint)
	a := polled(t, d)
	got, err := a.Select(t.Context(), adapters.Control{Device: d.ID, Signal: 12, Value: number(7)})
	if err != nil || got.Outcome != telemetry.ControlDone || got.Old.String() != "2049" || len(peer.written()) != 0 {
		t.Errorf("%+v, %v, % x", got, err, peer.written())
	}
	if got, err := a.Select(t.Context(), adapters.Control{Device: d.ID, Signal: 12, Value: number(1.5)}); err == nil || got.Outcome != telemetry.ControlFailed || got.Old.String() != "2049" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whoever asks may go; what has begun is told as it ends, and not before.
func TestWhoAsksMayGo(t *testing.T) {
	peer := startActuator(t, TCP)
	d := breaker(peer.endpoint)
	a := polled(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	peer.does(func([]byte) reaction {
		cancel()
		return reaction{late: 300 * time.Millisecond}
	})
	got, err := a.Operate(ctx, adapters.Control{Device: d.ID, Signal: 12, Value: number(7)})
	if err != nil || got.Outcome != telemetry.ControlDone || got.ReadBack.String() != "7" {
		t.Errorf("%+v, %v", got, err)
	}
}

// An adapter that is stopped in the middle of a write says what is known.
func TestStoppedInTheMiddle(t *testing.T) {
	peer := startActuator(t, TCP)
	d := breaker(peer.endpoint)
	a, err := New(Config{Devices: []Device{d}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sink := newRecorder()
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, sink) }()
	sink.await(t, "a poll", func() bool { return sink.count(d.ID) > 0 && a.running.Load() })
	peer.does(func([]byte) reaction {
		cancel()
		return reaction{silent: true}
	})
	got, err := operate(t, a, d, "W", number(7))
	if got.Outcome != telemetry.ControlUnknown || err == nil || !strings.Contains(err.Error(), "may have been executed") {
		t.Errorf("%+v, %v", got, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCheckControl(t *testing.T) {
	d := breaker("tcp://h")
	d.Points = append(d.Points,
		Point{Signal: 40, Name: "In", Table: Input, Type: Uint16},
		Point{Signal: 41, Name: "Text", Table: Holding, Address: 40, Type: String, Length: 2})
	line := d
	line.Endpoint, line.Unit = "rtu:///dev/ttyUSB0", 0
	for _, c := range []struct {
		device  Device
		control Control
		want    string
	}{
		{d, Control{Point: "W"}, ""},
		{d, Control{Point: "None"}, `signal: the device has no signal "None"`},
		{d, Control{Point: "In"}, "signal: In is a value of table input"},
		{d, Control{Point: "Text"}, "signal: Text is text"},
		{d, Control{Point: "W", Feedback: "None"}, `feedback: the device has no signal "None"`},
		{d, Control{Point: "W", Settle: 2 * time.Minute}, "settle: 2m0s, expected 0s to 1m0s"},
		{d, Control{Point: "W", Method: "twice"}, `write: "twice", expected multiple or read-modify-write`},
		{d, Control{Point: "W", Method: ReadModifyWrite}, "write: W is all of its registers"},
		{d, Control{Point: "Bit", Method: Multiple}, "write: Bit is a part of a register"},
		{d, Control{Point: "Apart"}, "write: the bits of Apart lie in several registers"},
		{line, Control{Point: "W"}, "signal: unit 0 of a line is all of its devices"},
	} {
		errs := c.device.CheckControl(c.control)
		if c.want == "" && len(errs) > 0 || c.want != "" && (len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), c.want)) {
			t.Errorf("%+v: %v", c.control, errs)
		}
	}
}
