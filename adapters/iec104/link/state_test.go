package link

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/apdu"
)

// now is the beginning of each test.
var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return now.Add(d) }

func u(f apdu.Function) apdu.Frame { return apdu.Frame{Format: apdu.U, Function: f} }

func i(send, receive uint16) apdu.Frame {
	return apdu.Frame{Format: apdu.I, Send: send, Receive: receive, ASDU: []byte{1}}
}

func ack(receive uint16) apdu.Frame { return apdu.Frame{Format: apdu.S, Receive: receive} }

// told is what a state sends.
func told(t testing.TB, s *State) (frames []apdu.Frame) {
	t.Helper()
	r := apdu.NewReader(bytes.NewReader(bytes.Clone(s.Output())))
	for {
		f, err := r.Next()
		if err == io.EOF {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		f.ASDU = bytes.Clone(f.ASDU)
		frames = append(frames, f)
	}
}

// says fails unless a state sends exactly these.
func says(t testing.TB, s *State, want ...apdu.Frame) {
	t.Helper()
	got := told(t, s)
	if len(got) != len(want) {
		t.Fatalf("%v, expected %v", got, want)
	}
	for n, f := range got {
		if f.String() != want[n].String() {
			t.Fatalf("%v, expected %v", got, want)
		}
	}
}

func started(t testing.TB, c Config, role Role) *State {
	t.Helper()
	s := New(c, role, now)
	if role == Controlled {
		s.Receive(u(apdu.StartAct), now)
	} else {
		s.Start(now)
		s.Receive(u(apdu.StartCon), now)
	}
	told(t, s)
	if !s.IsStarted() {
		t.Fatal("not started")
	}
	return s
}

// receive fails if a frame is refused.
func receive(t testing.TB, s *State, at time.Time, frames ...apdu.Frame) (e Event) {
	t.Helper()
	for _, f := range frames {
		var err error
		if e, err = s.Receive(f, at); err != nil {
			t.Fatalf("%v: %v", f, err)
		}
	}
	return e
}

func TestStartAndStop(t *testing.T) {
	master, station := New(Default, Controlling, now), New(Default, Controlled, now)
	if master.CanSend() || station.CanSend() {
		t.Fatal("it may send before it is started")
	}
	master.Start(now)
	master.Start(now)
	says(t, master, u(apdu.StartAct))
	if e := receive(t, station, now, u(apdu.StartAct)); e != Started {
		t.Fatal(e)
	}
	says(t, station, u(apdu.StartCon))
	if e := receive(t, master, now, u(apdu.StartCon)); e != Started || !master.CanSend() || !station.CanSend() {
		t.Fatal(e)
	}
	if err := station.Send([]byte{1}, now); err != nil {
		t.Fatal(err)
	}
	told(t, station)
	receive(t, master, now, i(0, 0))
	station.Send([]byte{1}, now)
	told(t, station)
	// What came is acknowledged first; what is on its way is taken, and awaited.
	master.Stop(now)
	says(t, master, ack(1), u(apdu.StopAct))
	receive(t, station, now, ack(1))
	if e := receive(t, station, now, u(apdu.StopAct)); e != Nothing || station.CanSend() {
		t.Fatal("it is stopped, with something that isn't acknowledged")
	}
	says(t, station)
	if e := receive(t, master, now, i(1, 0)); e != Data {
		t.Fatal(e)
	}
	master.Tick(after(Default.T2))
	says(t, master, ack(2))
	if e := receive(t, station, now, ack(2)); e != Stopped {
		t.Fatal(e)
	}
	says(t, station, u(apdu.StopCon))
	if e := receive(t, master, now, u(apdu.StopCon)); e != Stopped || master.CanSend() {
		t.Fatal(e)
	}
	if _, err := master.Receive(i(2, 0), now); !errors.Is(err, ErrNotStarted) {
		t.Fatal(err)
	}
	master.Start(now)
	receive(t, station, now, told(t, master)...)
	receive(t, master, now, told(t, station)...)
	if !master.CanSend() || !station.CanSend() {
		t.Fatal("it doesn't start again")
	}
}

func TestWindows(t *testing.T) {
	c := Config{T1: 15 * time.Second, T2: 10 * time.Second, T3: 20 * time.Second, K: 3, W: 2}
	s := started(t, c, Controlled)
	for range 3 {
		if err := s.Send([]byte{1}, now); err != nil {
			t.Fatal(err)
		}
	}
	if s.CanSend() || s.Send([]byte{1}, now) == nil {
		t.Fatal("more than k are on their way")
	}
	says(t, s, i(0, 0), i(1, 0), i(2, 0))
	receive(t, s, now, ack(2))
	if !s.CanSend() || s.Unacknowledged() != 1 {
		t.Fatal(s.Unacknowledged())
	}
	receive(t, s, now, i(0, 3))
	says(t, s)
	receive(t, s, now, i(1, 3)) // w have come
	says(t, s, ack(2))
	receive(t, s, now, i(2, 3))
	if s.Tick(after(c.T2 - 1)); len(told(t, s)) > 0 {
		t.Fatal("acknowledged before t2")
	}
	if at := s.Deadline(); !at.Equal(after(c.T2)) {
		t.Fatal(at)
	}
	s.Tick(after(c.T2))
	says(t, s, ack(3))
	receive(t, s, after(c.T2), i(3, 3))
	s.Send([]byte{1}, after(c.T2)) // which acknowledges as well
	says(t, s, i(3, 4))
	s.Tick(after(2 * c.T2))
	says(t, s)
}

func TestTimers(t *testing.T) {
	s := started(t, Default, Controlling)
	if at := s.Deadline(); !at.Equal(after(Default.T3)) {
		t.Fatal(at)
	}
	s.Tick(after(Default.T3))
	s.Tick(after(Default.T3 + time.Second))
	says(t, s, u(apdu.TestAct))
	if err := s.Tick(after(Default.T3 + Default.T1)); !errors.Is(err, ErrT1) {
		t.Fatal(err)
	}
	receive(t, s, after(Default.T3), u(apdu.TestCon))
	if err := s.Tick(after(Default.T3 + Default.T1)); err != nil {
		t.Fatal(err)
	}
	receive(t, s, after(30*time.Second), u(apdu.TestAct))
	says(t, s, u(apdu.TestCon))

	s.Send([]byte{1}, after(30*time.Second))
	s.Send([]byte{1}, after(40*time.Second))
	receive(t, s, after(41*time.Second), ack(1))
	if err := s.Tick(after(54 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := s.Tick(after(55 * time.Second)); !errors.Is(err, ErrT1) {
		t.Fatal(err)
	}
	s.Postpone(10 * time.Second)
	if err := s.Tick(after(64 * time.Second)); err != nil {
		t.Fatal(err)
	}

	unanswered := New(Default, Controlling, now)
	unanswered.Start(now)
	if err := unanswered.Tick(after(Default.T1)); !errors.Is(err, ErrT1) {
		t.Fatal(err)
	}
}

func TestWhatEndsIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		role  Role
		frame apdu.Frame
		want  error
	}{
		{"a frame is missing", Controlling, i(1, 0), ErrSequence},
		{"a frame comes again", Controlling, i(32767, 0), ErrSequence},
		{"the future is acknowledged", Controlling, i(0, 1), ErrAcknowledge},
		{"the future is acknowledged alone", Controlled, ack(1), ErrAcknowledge},
		{"the past is acknowledged", Controlled, ack(32767), ErrAcknowledge},
		{"a master starts a master", Controlling, u(apdu.StartAct), ErrRole},
		{"a master stops a master", Controlling, u(apdu.StopAct), ErrRole},
	} {
		s := started(t, Default, c.role)
		if e, err := s.Receive(c.frame, now); !errors.Is(err, c.want) || e != Nothing {
			t.Errorf("%s: %v, %v, expected %v", c.name, e, err, c.want)
		}
	}
	for _, role := range []Role{Controlling, Controlled} {
		if _, err := New(Default, role, now).Receive(i(0, 0), now); !errors.Is(err, ErrNotStarted) {
			t.Error(err)
		}
	}
	s := New(Default, Controlling, now)
	for range 5000 {
		if e := receive(t, s, now, u(apdu.StartCon)); e != Nothing || s.IsStarted() {
			t.Fatal("started by a confirmation that nobody has asked for")
		}
	}
	if s.Ignored != 5000 || len(s.Output()) > 0 {
		t.Error(s.Ignored)
	}
}

// Both ends send 100,000 frames, through three wraps of the numbers, in any order that
// their windows allow. Each arrives once, in order.
func TestWraps(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c := Default
	c.K, c.W = 12, 8
	ends := [2]*State{New(c, Controlling, now), New(c, Controlled, now)}
	var sent, got [2]uint32
	at := now
	deliver := func(from int) {
		for _, f := range told(t, ends[from]) {
			e, err := ends[1-from].Receive(f, at)
			if err != nil {
				t.Fatalf("after %d and %d: %v", got[0], got[1], err)
			}
			if e != Data {
				continue
			}
			if n := uint32(f.ASDU[0]) | uint32(f.ASDU[1])<<8 | uint32(f.ASDU[2])<<16; n != got[1-from] {
				t.Fatalf("%d came, expected %d", n, got[1-from])
			}
			got[1-from]++
		}
	}
	ends[0].Start(at)
	deliver(0)
	deliver(1)
	const frames = 100_000
	for got[0] < frames || got[1] < frames {
		at = at.Add(10 * time.Millisecond)
		end := random.IntN(2)
		for n := random.IntN(c.K + 1); n > 0 && ends[end].CanSend() && sent[end] < frames; n-- {
			if err := ends[end].Send([]byte{byte(sent[end]), byte(sent[end] >> 8), byte(sent[end] >> 16)}, at); err != nil {
				t.Fatal(err)
			}
			sent[end]++
		}
		if random.IntN(3) > 0 {
			deliver(end)
		}
		for _, s := range ends {
			if d := s.Deadline(); !d.After(at) {
				if err := s.Tick(at); err != nil {
					t.Fatalf("after %d and %d: %v", got[0], got[1], err)
				}
			}
		}
		if sent[0] == frames && sent[1] == frames {
			at = at.Add(c.T2)
			for n, s := range ends {
				s.Postpone(c.T2)
				s.Tick(at)
				deliver(n)
			}
		}
	}
	for n, s := range ends {
		if s.Unacknowledged() > c.W {
			t.Errorf("end %d: %d aren't acknowledged", n, s.Unacknowledged())
		}
	}
}

// Whatever frames come, there is an answer or an error, and never more than k of ours on
// their way.
func FuzzState(f *testing.F) {
	f.Add([]byte{0x07, 0, 1, 2, 3}, true)
	f.Fuzz(func(t *testing.T, script []byte, controlled bool) {
		role := Controlling
		if controlled {
			role = Controlled
		}
		s := New(Default, role, now)
		at := now
		for n, b := range script {
			at = at.Add(time.Duration(b) * time.Second / 16)
			var err error
			switch n % 4 {
			case 0:
				_, err = s.Receive(u([]apdu.Function{apdu.StartAct, apdu.StartCon, apdu.StopAct, apdu.StopCon, apdu.TestAct, apdu.TestCon}[b%6]), at)
			case 1:
				_, err = s.Receive(i(uint16(b&3), uint16(b>>6)), at)
			case 2:
				if s.CanSend() {
					err = s.Send([]byte{b}, at)
				} else {
					s.Start(at)
				}
			case 3:
				err = s.Tick(at)
			}
			if s.Unacknowledged() > Default.K {
				t.Fatalf("%d on their way", s.Unacknowledged())
			}
			told(t, s)
			if err != nil {
				return
			}
			if d := s.Deadline(); d.IsZero() {
				t.Fatal("nothing is awaited, for ever")
			}
		}
	})
}
