package modbus

import (
	"math"
	"testing"
	"time"
)

// 60 registers at 9,600 baud, 8E1: 8 and 125 characters of 11 bits and two
// silences of 3.5 characters are 160.4 ms.
func TestDemand(t *testing.T) {
	d := words(upTo(60)...)
	d.Endpoint, d.PollEvery = "rtu:///dev/ttyUSB0?baud=9600", 10*time.Second
	got := d.Demand()
	if math.Abs(got.Busy-0.01604) > 0.0001 || got.Requests != 0.1 || got.Registers != 6 {
		t.Errorf("%+v", got)
	}
	d = words(0, 100, 300)
	d.Endpoint, d.PollEvery = "tcp://h", 500*time.Millisecond
	if got := d.Demand(); got != (Demand{Requests: 6, Registers: 6}) {
		t.Errorf("%+v", got)
	}
}
