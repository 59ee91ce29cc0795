package ntp

import (
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/chrony"
)

// ask asks a server until it answers at all.
func ask(t *testing.T, address string) (Measurement, error) {
	t.Helper()
	began := time.Now()
	c := New(Options{SinceBoot: func() telemetry.Micros { return telemetry.Micros(time.Since(began).Microseconds()) }, Log: quiet})
	for deadline := began.Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		m, err := c.ask(t.Context(), address)
		if err == nil || plain(err) != "nothing listens there" || time.Now().After(deadline) {
			m.Began -= telemetry.MicrosOf(began)
			return m, err
		}
	}
}

// A server that others wrote is understood, and says what this machine's clock says.
func TestChrony(t *testing.T) {
	m, err := ask(t, chrony.Start(t, "local stratum 8"))
	if err != nil {
		t.Fatal(err)
	}
	if off := (time.Duration(m.Began) * time.Microsecond).Abs(); off > m.MaxError+20*time.Millisecond {
		t.Errorf("off by %v, within %v", off, m.MaxError)
	}
	if m.Stratum != 8 {
		t.Errorf("stratum %d", m.Stratum)
	}
}

func TestChronyThatKnowsNoTime(t *testing.T) {
	if m, err := ask(t, chrony.Start(t, "")); err == nil || plain(err) != "it isn't synchronised itself" {
		t.Errorf("%+v, %v", m, err)
	}
}
