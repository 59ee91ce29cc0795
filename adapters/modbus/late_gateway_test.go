package modbus

import (
	"net"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// A serial gateway that stopped waiting for a unit, and takes its late answer for that
// to the next request, as nothing on a line tells it from that: no value is another's.
func TestALateAnswerBehindAGateway(t *testing.T) {
	p := startPeer(t)
	var line [][]byte // what the unit has answered, in order
	late := false
	asked := 0
	p.misbehave(func(c net.Conn, request []byte) error {
		asked++
		own := pduTo(request[6:])
		line = append(line, own)
		if late {
			late = false
			return write(c, refusal(request, 11))
		}
		for len(line) > 0 {
			next := line[0]
			line = line[1:]
			if len(next) == len(own) && next[0] == own[0] {
				return write(c, frame(request, next))
			}
		}
		return nil
	})
	d := words(5, 300, 600)
	r, poll := readerOf(t, p, d)
	check := func(good int) {
		t.Helper()
		poll()
		for i, s := range r.samples {
			if want := telemetry.UintValue(uint64(registerOf(0, 3, int(d.Points[i].Address)))); s.Quality.Validity() == telemetry.Good && s.Value != want {
				t.Errorf("%v at %d, expected %v", s.Value, d.Points[i].Address, want)
			}
		}
		if r.good != good {
			t.Errorf("%d good, expected %d", r.good, good)
		}
	}
	check(3)
	late = true
	check(0)
	check(3)
	asked = 0
	if check(3); asked != 3 {
		t.Errorf("%d requests of a device that answers in time", asked)
	}
}
