package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// wire is one direction of a simulated line: each character takes its time.
type wire struct {
	line Line
	mu   sync.Mutex
	free time.Time // when the last character will have gone
	on   []character
	news chan struct{} // holds one
}

type character struct {
	value   byte
	arrives time.Time
}

func newWire(l Line) *wire { return &wire{line: l, news: make(chan struct{}, 1)} }

func (w *wire) write(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); w.free.Before(now) {
		w.free = now
	}
	began := w.free
	for i, c := range b {
		w.free = began.Add(w.line.Takes(i + 1))
		w.on = append(w.on, character{c, w.free})
	}
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// read waits for a character until the deadline; none: for ever.
func (w *wire) read(b []byte, deadline time.Time, closed <-chan struct{}) (n int, err error) {
	for {
		now := time.Now()
		if !deadline.IsZero() && !now.Before(deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		w.mu.Lock()
		for n < len(b) && n < len(w.on) && !w.on[n].arrives.After(now) {
			b[n] = w.on[n].value
			n++
		}
		w.on = w.on[n:]
		wake := deadline
		if len(w.on) > 0 && (wake.IsZero() || w.on[0].arrives.Before(wake)) {
			wake = w.on[0].arrives
		}
		w.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		var timer <-chan time.Time
		if !wake.IsZero() {
			timer = time.After(time.Until(wake))
		}
		select {
		case <-closed:
			return 0, io.ErrClosedPipe
		case <-w.news:
		case <-timer:
		}
	}
}

// simPort is the master's end of a simulated line.
type simPort struct {
	there, back *wire
	deadline    time.Time
	closed      chan struct{}
	once        sync.Once
	onWrite     func([]byte)
}

func (p *simPort) Read(b []byte) (int, error) { return p.back.read(b, p.deadline, p.closed) }

func (p *simPort) Write(b []byte) (int, error) {
	if p.onWrite != nil {
		p.onWrite(b)
	}
	p.there.write(b)
	return len(b), nil
}

func (p *simPort) SetDeadline(t time.Time) error     { p.deadline = t; return nil }
func (p *simPort) SetReadDeadline(t time.Time) error { p.deadline = t; return nil }
func (p *simPort) Close() error                      { p.once.Do(func() { close(p.closed) }); return nil }

// simLine is a line whose units all answer with answer, which may take its time
// and answer nothing.
func simLine(l Line, slaves *sync.WaitGroup, answer func(request []byte) []byte) *simPort {
	p := &simPort{there: newWire(l), back: newWire(l), closed: make(chan struct{})}
	slaves.Go(func() {
		for {
			var request [8]byte
			for n := 0; n < len(request); {
				k, err := p.there.read(request[n:], time.Time{}, p.closed)
				if err != nil {
					return
				}
				n += k
			}
			time.Sleep(l.silence())
			if b := answer(request[:]); b != nil {
				p.back.write(b)
			}
		}
	})
	return p
}

// 32 units of 60 registers on a line of 9,600 baud with 11 bits a character, two
// of them dead: every other one is read in each of its 10 s, with time to spare.
func TestDeadUnitsOnASlowLine(t *testing.T) {
	const every, span = 10 * time.Second, 10 * time.Minute
	dead := func(unit byte) bool { return unit == 8 || unit == 21 }
	var devices []Device
	for unit := byte(1); unit <= 32; unit++ {
		d := Device{ID: fmt.Sprint("d", unit), Endpoint: "rtu:///dev/ttyS0?baud=9600&parity=E", Unit: unit, PollEvery: every, Live: telemetry.SignalID(unit) * 100}
		for i := range 30 {
			d.Points = append(d.Points, Point{Signal: d.Live + 1 + telemetry.SignalID(i), Name: fmt.Sprint("A", i), Table: Input, Address: uint16(2 * i), Type: Uint32})
		}
		devices = append(devices, d)
	}
	synctest.Test(t, func(t *testing.T) {
		var slaves sync.WaitGroup
		a, err := New(Config{Devices: devices, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		a.opener.serial = func(_ string, l Line) (port, error) {
			return simLine(l, &slaves, func(request []byte) []byte {
				time.Sleep(5*time.Millisecond + rand.N(20*time.Millisecond))
				if dead(request[0]) {
					return nil
				}
				return rtuAnswerTo(request)
			}), nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), span)
		defer cancel()
		sink := newRecorder()
		if err := a.Run(ctx, sink); err != nil {
			t.Fatal(err)
		}
		slaves.Wait()
		s := a.Stats()
		for i, d := range s.Devices {
			batches := sink.from(d.Device, 0)
			if dead(byte(i + 1)) {
				missed, spared := everySlot(t, batches, every)
				if d.Values != 0 || d.Timeouts != d.Polls || d.Polls > uint64(span/MaxBackOff)+4 || missed != 0 || spared == 0 {
					t.Errorf("%+v, %d slots missed, %d spared", d, missed, spared)
				}
				continue
			}
			if d.Polls < uint64(span/every)-1 || d.Missed != 0 || d.Late != 0 || d.Failed != 0 || d.Values != 30*d.Polls {
				t.Errorf("%+v", d)
			}
			if missed, spared := everySlot(t, batches, every); missed+spared != 0 {
				t.Errorf("%s: %d slots missed, %d spared", d.Device, missed, spared)
			}
			unit := byte(i + 1)
			want := telemetry.UintValue(uint64(registerOf(unit, 4, 58))<<16 | uint64(registerOf(unit, 4, 59)))
			for _, b := range batches {
				if b.Samples[29].Value != want || b.Samples[29].Quality != 0 {
					t.Fatalf("%+v", b.Samples[29])
				}
			}
		}
		used := float64(s.Endpoints[0].Busy) / float64(span)
		// 133 characters and two silences a unit, 15 ms to think about it: 0.175 s.
		if used < 0.50 || used > 0.68 {
			t.Errorf("the line is used to %.0f %%", 100*used)
		}
		t.Logf("line used to %.1f %%", 100*used)
	})
}

// A poll that doesn't fit its line: everything that is left out is counted.
func TestOverloadedLineCountsWhatItMisses(t *testing.T) {
	const every = time.Second
	var devices []Device
	for unit := byte(1); unit <= 10; unit++ {
		d := Device{ID: fmt.Sprint("d", unit), Endpoint: "rtu:///dev/ttyS0?baud=9600", Unit: unit, PollEvery: every, Live: telemetry.SignalID(unit) * 100}
		for i := range 60 {
			d.Points = append(d.Points, Point{Signal: d.Live + 1 + telemetry.SignalID(i), Table: Holding, Address: uint16(i), Type: Uint16})
		}
		devices = append(devices, d)
	}
	synctest.Test(t, func(t *testing.T) {
		var slaves sync.WaitGroup
		a, err := New(Config{Devices: devices, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		a.opener.serial = func(_ string, l Line) (port, error) { return simLine(l, &slaves, rtuAnswerTo), nil }
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		sink := newRecorder()
		if err := a.Run(ctx, sink); err != nil {
			t.Fatal(err)
		}
		slaves.Wait()
		s := a.Stats()
		for _, d := range s.Devices {
			missed, spared := everySlot(t, sink.from(d.Device, 0), every)
			if total := int(d.Polls) + missed; missed == 0 || spared != 0 || total < 297 || total > 301 || d.Failed != 0 {
				t.Errorf("%+v: %d slots missed, %d spared", d, missed, spared)
			}
			if d.Polls < 150 {
				t.Errorf("%s was read %d times, expected a tenth of what the line carries", d.Device, d.Polls)
			}
		}
		if used := float64(s.Endpoints[0].Busy) / float64(5*time.Minute); used < 0.95 || used > 1 || math.Abs(s.Endpoints[0].Used-used) > 0.02 {
			t.Errorf("the line is used to %.1f %%, lately %.1f %%", 100*used, 100*s.Endpoints[0].Used)
		}
	})
}

// A unit that answers in order, but when it likes, is never given credit for an
// answer to an earlier request, though all ask for as much.
func TestNoAnswerIsTakenForAnother(t *testing.T) {
	const timeout = 100 * time.Millisecond
	for _, c := range []struct {
		table   Table
		count   uint16
		refuses bool // whatever it is tested with
	}{
		{Holding, 10, false}, {Holding, 2, false}, {Holding, 1, false}, {Coil, 8, false}, {Coil, 60, false}, {Input, 125, false},
		{Holding, 10, true}, {Input, 1, true}, {Discrete, 60, true},
	} {
		t.Run(fmt.Sprint(c.table, c.count, c.refuses), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// One for the unit, and one for who asks.
				random, pauses := rand.New(rand.NewPCG(uint64(c.count), 1)), rand.New(rand.NewPCG(uint64(c.count), 2))
				upTo := func(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
				var slaves sync.WaitGroup
				e := Endpoint{RTU, "/dev/ttyS0", Line{Baud: 115200, Parity: Even, StopBits: 1}}
				asked := 0
				var p *simPort
				open := func(string, Line) (port, error) {
					answered := 0
					p = simLine(e.Line, &slaves, func(asks []byte) []byte {
						answered++ // each request once, in order
						if random.IntN(4) > 0 {
							time.Sleep(upTo(random, timeout/2))
						} else {
							time.Sleep(upTo(random, timeout*5/2))
						}
						if r := (request{table: c.table, count: c.count}); c.refuses && (asks[1] != r.function() || binary.BigEndian.Uint16(asks[4:]) != c.count) {
							return rtuRefusal(asks, 2)
						}
						pdu := pduTo(asks)
						for i := 2; i+1 < len(pdu); i += 2 {
							binary.BigEndian.PutUint16(pdu[i:], uint16(answered))
						}
						if len(pdu) == 3 {
							pdu[2] = byte(answered)
						}
						return withCRC(asks[0], pdu)
					})
					p.onWrite = func([]byte) { asked++ }
					return p, nil
				}
				ctx, cancel := context.WithCancel(t.Context())
				l := newLink(ctx, e, opener{serial: open}, new(busCounters))
				m := &meter{Device: Device{Unit: 1, Timeout: timeout}}
				answered, refused := 0, 0
				for range 1000 {
					data, err := l.read(ctx, m, request{table: c.table, first: 7, count: c.count})
					if err != nil {
						refused++
					} else {
						answered++
						got, want := uint16(data[0]), uint16(asked)&0xFF
						if len(data) > 1 {
							got, want = binary.BigEndian.Uint16(data), uint16(asked)
						}
						if got != want {
							t.Fatalf("request %d was given the answer to %d", want, got)
						}
					}
					time.Sleep(upTo(pauses, 2*timeout))
				}
				if answered < 500 || refused < 50 {
					t.Errorf("%d answered, %d not", answered, refused)
				}
				t.Logf("%d answered, %d not", answered, refused)
				l.close()
				cancel()
				slaves.Wait()
			})
		})
	}
}

// What is the same at two places is suspected of being one answer twice, but not for
// ever, and no oftener than something unasked for was heard.
func TestEqualAnswersAreSuspectedAFewTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slaves sync.WaitGroup
		asked, noise := 0, 0
		e := Endpoint{RTU, "/dev/ttyS0", Line{Baud: 115200, Parity: Even, StopBits: 1}}
		open := func(string, Line) (port, error) {
			p := simLine(e.Line, &slaves, func(request []byte) []byte {
				pdu := append([]byte{request[1], 2 * request[5]}, make([]byte, 2*request[5])...)
				return append(withCRC(request[0], pdu), bytes.Repeat([]byte{0xFF}, noise)...)
			})
			p.onWrite = func([]byte) { asked++ }
			return p, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		l := newLink(ctx, e, opener{serial: open}, new(busCounters))
		m := &meter{Device: Device{Unit: 1, Timeout: time.Second}}
		poll := func(n int) int {
			before := asked
			for range n {
				for _, first := range []uint16{0, 100} {
					if _, err := l.read(ctx, m, request{table: Holding, first: first, count: 10}); err != nil {
						t.Fatal(err)
					}
				}
			}
			return asked - before
		}
		if n := poll(50); n != 100+2*2*maxSuspicion { // of the two, and of the two the other way round
			t.Errorf("%d requests in 50 polls of two, with a test and a second one when suspected", n)
		}
		noise = 2 // as of a transmitter that is switched off
		if n := poll(50); n != 100 {
			t.Errorf("%d requests in 50 polls of two with some noise after each answer", n)
		}
		noise = minRTU
		if n := poll(50); n < 250 {
			t.Errorf("%d requests in 50 polls of two while the unit sends more than it is asked for", n)
		}
		l.close()
		cancel()
		slaves.Wait()
	})
}

// Places that always are the same give no credit to others: an answer that comes twice,
// the second time after the next request has gone out, isn't taken for that one's.
func TestASecondCopyIsSuspectedAfterManyEqualAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slaves sync.WaitGroup
		e := Endpoint{RTU, "/dev/ttyS0", Line{Baud: 115200, Parity: Even, StopBits: 1}}
		doubles, differ := false, false
		var before []byte
		open := func(string, Line) (port, error) {
			return simLine(e.Line, &slaves, func(request []byte) []byte {
				pdu := append([]byte{request[1], 2 * request[5]}, make([]byte, 2*request[5])...)
				if request[3] == 200 || differ {
					pdu[3] = request[3]
				}
				answer := withCRC(request[0], pdu)
				copied := before
				if before = answer; doubles && len(copied) == len(answer) {
					return append(slices.Clone(copied), answer...)
				}
				return answer
			}), nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		l := newLink(ctx, e, opener{serial: open}, new(busCounters))
		m := &meter{Device: Device{Unit: 1, Timeout: time.Second}}
		poll := func() {
			for _, first := range []uint16{0, 100, 200} {
				data, err := l.read(ctx, m, request{table: Holding, first: first, count: 10})
				if err != nil {
					continue
				}
				want := byte(0)
				if first == 200 || differ {
					want = byte(first)
				}
				if data[1] != want {
					t.Errorf("%d at %d", data[1], first)
				}
			}
		}
		for range 10 {
			poll()
		}
		doubles = true
		poll()
		doubles = false
		for range 10 {
			poll()
		}
		// What was the same and isn't any more is no longer trusted either.
		differ = true
		poll()
		poll()
		doubles = true
		poll()
		l.close()
		cancel()
		slaves.Wait()
	})
}

// A unit that says nothing to what it hasn't got answers no tests. It is read all the
// same, though two places hold the same.
func TestAUnitThatAnswersNoTests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slaves sync.WaitGroup
		e := Endpoint{RTU, "/dev/ttyS0", Line{Baud: 115200, Parity: Even, StopBits: 1}}
		open := func(string, Line) (port, error) {
			return simLine(e.Line, &slaves, func(request []byte) []byte {
				if request[1] != 3 || request[5] != 1 {
					return nil
				}
				return withCRC(request[0], []byte{3, 2, 0, 0})
			}), nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		l := newLink(ctx, e, opener{serial: open}, new(busCounters))
		m := &meter{Device: Device{Unit: 1, Timeout: time.Second}}
		last := time.Now()
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(time.Second) {
			for _, first := range []uint16{0, 7, 9} {
				if _, err := l.read(ctx, m, request{table: Holding, first: first, count: 1}); err != nil {
					last = time.Now()
					break
				}
			}
		}
		if since := time.Since(last); since < 40*time.Second {
			t.Errorf("the last failure was %v ago", since)
		}
		l.close()
		cancel()
		slaves.Wait()
	})
}

func TestSampleTimeOfASlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slaves sync.WaitGroup
		start := time.Now()
		d := Device{ID: "d", Endpoint: "rtu:///dev/ttyS0?baud=1200", Unit: 1, Live: 1, PollEvery: time.Minute, Timeout: 500 * time.Millisecond}
		for i := range 125 {
			d.Points = append(d.Points, Point{Signal: telemetry.SignalID(i + 2), Table: Holding, Address: uint16(i), Type: Uint16})
		}
		a, err := New(Config{Devices: []Device{d}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		a.opener.serial = func(_ string, l Line) (port, error) {
			return simLine(l, &slaves, func(r []byte) []byte { time.Sleep(300 * time.Millisecond); return rtuAnswerTo(r) }), nil
		}
		// The answer alone takes 2.3 s, more than the timeout.
		samples, err := a.ReadOnce(t.Context(), "d")
		if err != nil {
			t.Fatal(err)
		}
		slaves.Wait()
		line := Line{Baud: 1200, Parity: Even, StopBits: 1}
		asked := start.Add(line.silence() + line.Takes(8))
		at := samples[0].Time.Time()
		if at.Before(asked.Add(150*time.Millisecond)) || at.After(asked.Add(200*time.Millisecond)) {
			t.Errorf("taken %v after the request had gone out, expected half of the 300 ms that the device takes", at.Sub(asked))
		}
		if slices.ContainsFunc(samples, func(s telemetry.Sample) bool { return s.Time != samples[0].Time || s.Quality != 0 }) {
			t.Error("not all of one request, or bad")
		}
	})
}
