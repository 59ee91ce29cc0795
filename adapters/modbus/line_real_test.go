package modbus_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/telemetry"
)

// As TestDeadUnitsOnASlowLine, in real time and over a pseudo terminal: 30 units of 60
// registers, which think for 15 ms, and two that are dead, on a line of 9,600 baud.
// Every living one is read in each of its 10 s, as often as it takes to see that.
func TestDeadUnitsOnAPacedLine(t *testing.T) {
	t.Parallel()
	const every, times = 10 * time.Second, 3
	dead := []byte{8, 21}
	witnesses, units := map[byte]*witness{}, map[byte]devices.Unit{}
	for unit := byte(1); unit <= 32; unit++ {
		witnesses[unit] = &witness{unit: unit}
		units[unit] = witnesses[unit]
	}
	bus := devices.NewBus(units, 1)
	pty, err := devices.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	var all []modbus.Device
	for unit := byte(1); unit <= 32; unit++ {
		if slices.Contains(dead, unit) {
			bus.Misbehave(unit, devices.Misbehaviour{Kind: devices.Silent})
		} else {
			bus.Misbehave(unit, devices.Misbehaviour{Kind: devices.Late, Time: 15 * time.Millisecond})
		}
		d := modbus.Device{ID: fmt.Sprint("unit-", unit), Endpoint: "rtu://" + pty.Path() + "?baud=9600&parity=N", Unit: unit, PollEvery: every, Live: telemetry.SignalID(unit) * 100}
		for i := range uint16(15) {
			d.Points = append(d.Points, modbus.Point{
				Signal: d.Live + 1 + telemetry.SignalID(i), Name: fmt.Sprint("A", i), Table: modbus.Input, Address: 4 * i, Type: modbus.Uint64,
			})
		}
		all = append(all, d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		line := modbus.Line{Baud: 9600, Parity: modbus.NoParity, StopBits: 1}
		if err := bus.ServeLine(ctx, pty, devices.LineConfig{Line: line, Paced: true}); err != nil {
			t.Error(err)
		}
	})
	a, err := modbus.New(modbus.Config{Devices: all, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	sink := &polls{of: map[string][]adapters.Batch{}, news: make(chan struct{}, 1)}
	began := time.Now()
	running.Go(func() {
		if err := a.Run(ctx, sink); err != nil {
			t.Error(err)
		}
	})
	living := func(yield func(int, modbus.Device) bool) {
		for i, d := range all {
			if !slices.Contains(dead, d.Unit) && !yield(i, d) {
				return
			}
		}
	}
	for _, d := range living {
		sink.await(t, "polls of "+d.ID, d.ID, 0, func(b []adapters.Batch) bool { return len(b) >= times })
	}
	stats := a.Stats()
	t.Logf("line used to %.0f %%", 100*stats.Endpoints[0].Busy.Seconds()/time.Since(began).Seconds())
	for i, d := range living {
		if s := stats.Devices[i]; s.Missed != 0 || s.Failed != 0 || s.Values != 15*s.Polls {
			t.Errorf("%+v", s)
		}
		batches := sink.from(d.ID, 0)
		for n, b := range batches[1:] {
			if gap := b.Due.Sub(batches[n].Due); gap.Round(time.Millisecond) != every {
				t.Errorf("%s was read, and again the slot %v later", d.ID, gap)
			}
		}
		checkWitness(t, witnesses[d.Unit], d, batches)
	}
	for _, unit := range dead {
		s := stats.Devices[unit-1]
		if state, _ := bus.State(unit); s.Values != 0 || s.Timeouts == 0 || s.Timeouts != s.Polls || state.Requests == 0 {
			t.Errorf("%+v, asked %d times", s, state.Requests)
		}
	}
}
