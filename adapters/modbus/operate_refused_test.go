package modbus

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// Nothing is written that the registers can't hold as it is, or to a device that
// isn't read rightly first.
func TestNothingIsWritten(t *testing.T) {
	peer := startActuator(t, TCP)
	peer.registers[21] = 0xFFFF
	d := breaker(peer.endpoint)
	d.Identity = []Register{{Holding, 30, 0x1E01}}
	far := Point{Signal: 40, Name: "Far", Table: Holding, Address: 1000, Type: Uint16}
	d.Points = append(d.Points, far, Point{Signal: 41, Name: "Tap", Table: Holding, Address: 22, Type: Uint16, Absent: []uint64{0x8000}})
	d.Controls = append(d.Controls, Control{Point: "Far"}, Control{Point: "Tap"})
	a := polled(t, d)
	for _, c := range []struct {
		point string
		value telemetry.Value
		says  string
	}{
		{"W", number(1.5), "1.5 can't be held exactly, the nearest is 2"},
		{"W", number(70000), "beyond what 16 bits hold"},
		{"W", number(-1), "beyond what 16 bits hold"},
		{"Pct", number(12.34), "12.34 can't be held exactly, the nearest is 12.3"},
		{"Pos", number(2), "neither 0 nor 1"},
		{"Bit", number(2), "neither 0 nor 1"},
		{"Mask", number(16), "beyond what 4 bits hold"},
		{"W", telemetry.TextValue("7"), "is no number"},
		{"W", telemetry.Value{}, "is no number"},
		{"Wide", number(1e300), "beyond what a float32 holds"},
		{"Fixed", number(1), "has no value (not implemented)"},
		{"Far", number(1), "illegal data address"},
		{"Tap", number(0x8000), "32768 is what stands for no value here"},
	} {
		got, err := operate(t, a, d, c.point, c.value)
		if got.Outcome != telemetry.ControlFailed || err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "of meter bay-1 at 127.0.0.1:") {
			t.Errorf("%s=%v: %+v, %v", c.point, c.value, got, err)
		}
	}
	if _, err := a.Operate(t.Context(), adapters.Control{Device: "bay-2", Signal: 10, Value: number(1)}); err == nil {
		t.Error("a device that isn't there is operated")
	}
	if _, err := a.Operate(t.Context(), adapters.Control{Device: d.ID, Signal: 1, Value: number(1)}); err == nil {
		t.Error("a signal is operated that isn't listed")
	}
	// The device is exchanged while the connection stays.
	peer.mu.Lock()
	peer.registers[30]++
	peer.mu.Unlock()
	if got, err := operate(t, a, d, "W", number(7)); got.Outcome != telemetry.ControlFailed || err == nil || !strings.Contains(err.Error(), "another device") {
		t.Errorf("%+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := a.Operate(ctx, adapters.Control{Device: d.ID, Signal: 12, Value: number(7)}); got.Outcome != telemetry.ControlFailed || err == nil {
		t.Errorf("%+v, %v", got, err)
	}
	if w := peer.written(); len(w) != 0 {
		t.Errorf("written % x", w)
	}
}

// A device that was recognised on one connection isn't written to on another, which may
// lead to another device.
func TestNothingIsWrittenOnAnotherConnection(t *testing.T) {
	peer := startActuator(t, TCP)
	d := breaker(peer.endpoint)
	d.Identity, d.PollEvery = []Register{{Holding, 30, 0x1E01}}, time.Hour
	a := polled(t, d)
	reads := 0
	peer.mu.Lock()
	peer.onRead = func() {
		if reads++; reads == 2 {
			peer.registers[30]++
			peer.drops = true
		}
	}
	peer.mu.Unlock()
	got, err := operate(t, a, d, "W", number(7))
	if w := peer.written(); len(w) != 0 || got.Outcome != telemetry.ControlFailed || err == nil || !strings.Contains(err.Error(), "the connection was closed before the write") {
		t.Errorf("%+v, %v, written % x", got, err, w)
	}
}

// An adapter that doesn't run operates nothing: nobody else's polls would be in step.
func TestNothingIsOperatedBeforeItRuns(t *testing.T) {
	peer := startActuator(t, TCP)
	d := breaker(peer.endpoint)
	a, err := New(Config{Devices: []Device{d}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := operate(t, a, d, "W", number(7)); got.Outcome != telemetry.ControlFailed || err == nil || len(peer.written()) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Nothing is written for who has gone before it began, also if the device was read
// for it already.
func TestWhoAskedWentBeforeItBegan(t *testing.T) {
	peer := startActuator(t, TCP)
	d := breaker(peer.endpoint)
	d.PollEvery = time.Hour // whatever is read is read for this
	a := polled(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	peer.mu.Lock()
	peer.onRead = cancel
	peer.mu.Unlock()
	got, err := a.Operate(ctx, adapters.Control{Device: d.ID, Signal: 12, Value: number(7)})
	if got.Outcome != telemetry.ControlFailed || err == nil || got.Old.String() != "2049" || len(peer.written()) > 0 {
		t.Errorf("%+v, %v, % x", got, err, peer.written())
	}
}

// A command that comes to a bus behind a change of its device writes nothing where the
// device was before.
func TestNothingIsWrittenToWhatADeviceWasBefore(t *testing.T) {
	peer := startActuator(t, TCP)
	d := breaker(peer.endpoint)
	a := polled(t, d)
	moved := d
	moved.Points = slices.Clone(d.Points)
	moved.Points[d.point("W")].Address = 30
	var got adapters.Controlled
	var failed, selected error
	if err := a.Change([]Device{moved}, func() {
		got, failed = operate(t, a, d, "W", number(7))
		_, selected = a.Select(t.Context(), adapters.Control{Device: d.ID, Signal: 12, Value: number(7)})
	}); err != nil {
		t.Fatal(err)
	}
	if got.Outcome != telemetry.ControlFailed || failed == nil || !strings.Contains(failed.Error(), "configured otherwise") || len(peer.written()) > 0 {
		t.Errorf("%+v, %v, % x", got, failed, peer.written())
	}
	if selected == nil {
		t.Error("it was selected")
	}
	if got, err := operate(t, a, moved, "W", number(7)); err != nil || got.Outcome != telemetry.ControlDone || len(peer.written()) != 1 || hex.EncodeToString(peer.written()[0]) != "06001e0007" {
		t.Errorf("%+v, %v, % x", got, err, peer.written())
	}
}

// Who may decide is asked when its turn has come, after all that is read for it.
func TestWhatIsNotPermittedAnyMoreIsNotWritten(t *testing.T) {
	peer := startActuator(t, TCP)
	d := breaker(peer.endpoint)
	d.PollEvery = time.Hour
	a := polled(t, d)
	late := errors.New("it is too late")
	var asked atomic.Bool
	peer.mu.Lock()
	peer.onRead = func() { asked.Store(true) }
	peer.mu.Unlock()
	got, err := a.Operate(t.Context(), adapters.Control{Device: d.ID, Signal: 12, Value: number(7), Permitted: func() error {
		if !asked.Load() {
			t.Error("asked before the device was read")
		}
		return late
	}})
	if got.Outcome != telemetry.ControlFailed || !errors.Is(err, late) || len(peer.written()) > 0 {
		t.Errorf("%+v, %v, % x", got, err, peer.written())
	}
}
