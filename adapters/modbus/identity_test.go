package modbus

import (
	"net"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// Another device's registers are never taken for values, nor those of one that
// was put in its place while it was silent.
func TestAnotherDeviceIsNotRead(t *testing.T) {
	p := startPeer(t)
	d := words(5, 6)
	d.Identity = []Register{{Holding, 100, registerOf(0, 3, 100)}, {Input, 7, registerOf(0, 4, 7)}}
	r, poll := readerOf(t, p, d)
	poll()
	if r.good != 2 {
		t.Fatalf("%d good", r.good)
	}
	other := func(c net.Conn, request []byte) error {
		b := answerTo(request)
		b[len(b)-1]++
		return write(c, b)
	}
	p.misbehave(func(net.Conn, []byte) error { return errHangUp })
	poll()
	if r.good != 0 || r.answered {
		t.Fatalf("%d good of a device that is away", r.good)
	}
	for _, fault := range []fault{other, func(c net.Conn, request []byte) error { return write(c, refusal(request, 2)) }} {
		p.misbehave(fault)
		poll()
		for _, s := range r.samples {
			if s.Quality.Reason() != telemetry.WrongDevice || !r.answered {
				t.Errorf("%v, answered: %v", s.Quality, r.answered)
			}
		}
	}
	p.misbehave(nil)
	poll()
	if r.good != 2 {
		t.Errorf("%d good", r.good)
	}
}

// A device that was put in another's place between two polls isn't read either,
// though no request failed.
func TestADeviceSwappedBetweenPollsIsNotRead(t *testing.T) {
	p := startPeer(t)
	d := words(5, 6)
	d.Identity = []Register{{Holding, 100, registerOf(0, 3, 100)}}
	r, poll := readerOf(t, p, d)
	poll()
	p.disconnect()
	p.misbehave(func(c net.Conn, request []byte) error {
		b := answerTo(request)
		b[len(b)-1]++
		return write(c, b)
	})
	for range 2 {
		poll()
		for _, s := range r.samples {
			if s.Quality.Reason() != telemetry.WrongDevice {
				t.Fatalf("%v, %v", s.Value, s.Quality)
			}
		}
	}
	p.misbehave(nil)
	p.disconnect()
	poll()
	if r.good != 2 {
		t.Errorf("%d good", r.good)
	}
	// Behind a gateway the connection stays; it takes a while.
	p.misbehave(func(c net.Conn, request []byte) error {
		b := answerTo(request)
		b[len(b)-1]++
		return write(c, b)
	})
	r.ended = r.ended.Add(-longestTrust)
	if poll(); r.good != 0 || r.samples[0].Quality.Reason() != telemetry.WrongDevice {
		t.Errorf("%v after a long time", r.samples[0])
	}
	p.misbehave(nil)
	// One that closes the connection after each answer is read all the same.
	p.misbehave(func(c net.Conn, request []byte) error {
		if err := write(c, answerTo(request)); err != nil {
			return err
		}
		return errHangUp
	})
	for range 3 {
		poll()
	}
	if r.good != 2 {
		t.Errorf("%d good of a device that closes each connection", r.good)
	}
}
