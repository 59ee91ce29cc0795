package gateway

import (
	"testing"
	"time"

	simulated "github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// A device is read by command, between its polls, and what it answers is an event. One that
// doesn't answer is told to be silent, which says something else than that nobody asked it.
func TestADeviceIsReadByCommand(t *testing.T) {
	b := newBench(t)
	b.obey()
	b.createCommands()
	b.meter.set(231)
	stop := b.run()
	defer stop()
	epoch := b.epoch(1)
	read := func(device string) record.Command {
		return record.Command{Gateway: "gw", Epoch: epoch, Kind: record.Read, Device: device}
	}
	b.send(message(t, read("meter"), cloudKey), message(t, read("nothing"), cloudKey))
	find := func(l log, device string) (a telemetry.CommandAnswer) {
		for _, of := range answers(l) {
			if of.Device == device {
				a = of
			}
		}
		return a
	}
	l := b.read(func(l log) bool { return len(answers(l)) == 2 })
	a := find(l, "meter")
	if a.Kind != "read" || a.Result != telemetry.CommandDone || a.Cause != "" || a.Asset != "feeder-1" || len(a.Read) != 3 ||
		a.Read[0].Name != "PhV.phsA" || a.Read[0].Value == nil || *a.Read[0].Value != 231 || a.Read[0].Quality != "good" || a.Read[0].Unit != "V" {
		t.Errorf("%+v", a)
	}
	if a := find(l, "nothing"); a.Result != telemetry.CommandRefused || a.Cause != "unknown-device" {
		t.Errorf("%+v", a)
	}

	b.bus.Misbehave(1, simulated.Misbehaviour{Kind: simulated.Silent})
	b.send(message(t, read("meter"), cloudKey))
	l = b.read(func(l log) bool { return len(answers(l)) == 3 })
	if a := find(l, "meter"); a.Result != telemetry.CommandDone || a.Cause != telemetry.NoAnswer || len(a.Read) != 0 {
		t.Errorf("%+v", a)
	}
	// Its turn doesn't come before the command expires: nobody knows whether it would answer.
	late := read("meter")
	late.Issued = telemetry.MicrosOf(time.Now().Add(-59500 * time.Millisecond))
	b.send(message(t, late, cloudKey))
	l = b.read(func(l log) bool { return len(answers(l)) == 4 })
	if a := find(l, "meter"); a.Result != telemetry.CommandRefused || a.Cause != "late" && a.Cause != "expired" {
		t.Errorf("%+v", a)
	}
}
