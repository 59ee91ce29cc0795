package modbus

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// BenchmarkChange is what finding out takes that one of a thousand devices of 50 points
// has changed.
func BenchmarkChange(b *testing.B) {
	var devices []Device
	for i := range 1000 {
		d := Device{ID: fmt.Sprint("d", i), Endpoint: fmt.Sprintf("tcp://10.0.%d.%d", i/250, i%250), PollEvery: time.Second, Live: telemetry.SignalID(100*i + 99)}
		for p := range 50 {
			d.Points = append(d.Points, Point{Signal: telemetry.SignalID(100*i + p), Name: fmt.Sprint("P", p), Table: Input, Address: uint16(2 * p), Type: Float32})
		}
		devices = append(devices, d)
	}
	a, err := New(Config{Devices: devices, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	for n := 0; b.Loop(); n++ {
		next := with(devices, 500, func(d *Device) { d.Points[0].Address = uint16(1000 + n%2) })
		if err := a.Change(next, func() {}); err != nil {
			b.Fatal(err)
		}
	}
}
