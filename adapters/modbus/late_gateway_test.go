package modbus

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

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

// The same of a gateway that just falls silent, which is known for one by its units.
func TestALateAnswerBehindASilentGateway(t *testing.T) {
	p := startPeer(t)
	var mu sync.Mutex
	line := map[byte][][]byte{} // what each unit has answered, in order
	late := false
	p.misbehave(func(c net.Conn, request []byte) error {
		mu.Lock()
		defer mu.Unlock()
		unit, own := request[6], pduTo(request[6:])
		line[unit] = append(line[unit], own)
		if late && unit == 1 {
			late = false
			return nil
		}
		for len(line[unit]) > 0 {
			next := line[unit][0]
			line[unit] = line[unit][1:]
			if len(next) == len(own) && next[0] == own[0] {
				return write(c, frame(request, next))
			}
		}
		return nil
	})
	var devices []Device
	for unit := byte(1); unit <= 2; unit++ {
		d := words(5, 300, 600)
		d.ID, d.Unit, d.Endpoint, d.Live = fmt.Sprint("d", unit), unit, p.endpoint(), telemetry.SignalID(unit)*100
		d.PollEvery, d.Timeout = 50*time.Millisecond, time.Second
		for i := range d.Points {
			d.Points[i].Signal += d.Live
		}
		devices = append(devices, d)
	}
	_, sink := run(t, devices...)
	right := func(from int) func() bool {
		return func() bool {
			n := 0
			for _, b := range sink.from("d1", from) {
				good := 0
				for i, s := range b.Samples[:3] {
					if s.Quality.Validity() != telemetry.Good {
						continue
					}
					if good++; s.Value != telemetry.UintValue(uint64(registerOf(1, 3, int(devices[0].Points[i].Address)))) {
						t.Fatalf("%v at %d", s.Value, devices[0].Points[i].Address)
					}
				}
				if good == 3 {
					n++
				}
			}
			return n >= 4
		}
	}
	sink.await(t, "good data", right(0))
	mu.Lock()
	late = true
	mu.Unlock()
	n := sink.count("d1")
	sink.await(t, "the silence", func() bool { return countBad(sink.from("d1", n), telemetry.Timeout) > 0 })
	sink.await(t, "good data again", right(sink.count("d1")))
	right(0)()
}
