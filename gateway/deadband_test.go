package gateway

import (
	"testing"

	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/telemetry"
)

// Rules see every value, the buffer those beyond the deadband, and the account
// adds up.
func TestWhatADeadbandLeavesOutIsCounted(t *testing.T) {
	b := newBench(t)
	b.quarter, b.settle = 500_000, 100_000
	for i := range b.config.Devices[0].Signals {
		s := &b.config.Devices[0].Signals[i]
		s.Deadband = &profile.Deadband{Value: 3}
		s.Fill()
	}
	b.config.Devices[0].Signals[2].Deadband, b.config.Devices[0].Signals[2].SwingingDoor = nil, 0.5
	stop := b.run()
	b.read(func(l log) bool { return len(l.accounts()) >= 2 })
	b.meter.set(0) // an interruption, within the deadband of nothing
	b.read(func(l log) bool { return len(l.of(telemetry.AlarmRaised)) >= 1 })
	b.meter.set(230)
	b.read(func(l log) bool { return len(l.of(telemetry.AlarmCleared)) >= 1 })
	stop()
	l := b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 1 })

	var sum telemetry.DeviceAccount
	for _, a := range l.accounts() {
		d := a.Devices[0]
		if d.Scheduled != d.Read+d.Suppressed+d.Missed {
			t.Errorf("%+v doesn't add up", d)
		}
		sum.Read += d.Read
		sum.Suppressed += d.Suppressed
	}
	values := map[telemetry.SignalID]int{}
	for _, s := range l.points {
		values[s.Signal]++
	}
	answers := uint64(b.meter.answers.Load())
	if read := sum.Read + sum.Suppressed; read > 3*answers || read < 3*(answers-2) {
		t.Errorf("%d values accounted for, the meter gave %d answers of 3", read, answers)
	}
	if sum.Read > 20 || sum.Read < 8 {
		t.Errorf("%d values stored of %d read: %v", sum.Read, sum.Read+sum.Suppressed, values)
	}
}
