package modbus

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

func onLine(id string, p *linePeer, unit uint8, base telemetry.SignalID) Device {
	return twoRequestsAt(id, p.endpoint, unit, base)
}

// What else than misbehaving devices may be on a line, where nothing tells an answer
// from another but what it is an answer to.
func TestDisturbedLine(t *testing.T) {
	send := func(frames ...func(request []byte) []byte) lineFault {
		return func(w io.Writer, request []byte) error {
			var all []byte
			for _, f := range frames {
				all = append(all, f(request)...)
			}
			_, err := w.Write(all)
			return err
		}
	}
	just := func(b ...byte) func([]byte) []byte { return func([]byte) []byte { return b } }
	echo := func(request []byte) []byte { return request }
	// poisoned has a right checksum and something else wrong.
	poisoned := func(change func(b []byte) []byte) func([]byte) []byte {
		return func(request []byte) []byte {
			b := rtuPoison(request)
			b = change(b[:len(b)-2])
			return withCRC(b[0], b[1:])
		}
	}
	short := 60 * time.Millisecond
	const none, timeout, malformed = telemetry.NoReason, telemetry.Timeout, telemetry.Malformed
	cases := []struct {
		name    string
		fault   lineFault
		timeout time.Duration // 0: longer than the test
		reason  telemetry.Reason
		allowed bool // bad samples may come, and needn't
	}{
		{name: "size too small for what follows", timeout: short, reason: timeout, fault: send(poisoned(func(b []byte) []byte { b[2] = 0; return b }))},
		{name: "flipped bit", reason: malformed,
			fault: send(func(r []byte) []byte { b := rtuAnswerTo(r); b[4] ^= 8; return b })},
		{name: "exception with a wrong checksum", reason: malformed,
			fault: send(func(r []byte) []byte { b := rtuRefusal(r, 2); b[4] ^= 1; return b })},
		{name: "more garbage than a frame has", reason: malformed, fault: send(just(bytes.Repeat([]byte{0x55}, 2000)...))},
		{name: "noise", timeout: short, reason: timeout, fault: send(just(0))},
		{name: "the start of an answer before the answer", reason: none, allowed: true,
			fault: send(func(r []byte) []byte { return rtuPoison(r)[:4] }, rtuAnswerTo)},
		{name: "noise after the answer", reason: none, allowed: true, fault: send(rtuAnswerTo, just(0xFF, 1, 3))},
		{name: "noise, then a slow answer", reason: none, allowed: true,
			fault: func(w io.Writer, r []byte) error {
				w.Write([]byte{0xFF})
				time.Sleep(150 * time.Millisecond)
				_, err := w.Write(rtuAnswerTo(r))
				return err
			}},
		{name: "echo, then the answer", reason: none, allowed: true, fault: send(echo, rtuAnswerTo)},
		{name: "echo, then a slow answer", reason: none, allowed: true,
			fault: func(w io.Writer, r []byte) error {
				w.Write(r)
				time.Sleep(150 * time.Millisecond)
				_, err := w.Write(rtuAnswerTo(r))
				return err
			}},
		{name: "echo alone", timeout: short, reason: timeout, fault: send(echo)},
		{name: "answers of other units first", reason: none, allowed: true,
			fault: send(poisoned(func(b []byte) []byte { b[0] = 9; return b }), rtuAnswerTo)},
	}
	for _, transport := range []Transport{RTU, RTUOverTCP} {
		for _, c := range cases {
			t.Run(string(transport)+" "+c.name, func(t *testing.T) {
				t.Parallel()
				bad, other := startLinePeer(t, transport), startLinePeer(t, transport)
				victim, bystander := onLine("victim", bad, 1, 10), onLine("bystander", other, 3, 20)
				reason := c.reason
				if c.timeout != 0 {
					victim.Timeout = c.timeout
				}
				_, sink := run(t, victim, bystander)
				sink.await(t, "good data", func() bool { return good(sink.from("victim", 0), 3) && good(sink.from("bystander", 0), 3) })

				bad.misbehave(c.fault)
				n, before := sink.count("victim"), sink.count("bystander")
				sink.await(t, "the misbehaviour", func() bool {
					met := sink.from("victim", n)
					return (c.allowed && len(met) > 8 || countBad(met, reason) >= 6) && len(sink.from("bystander", before)) > 4
				})

				bad.misbehave(nil)
				recovering := sink.count("victim")
				sink.await(t, "good data again", func() bool { return good(sink.from("victim", recovering), 4) })
				checkSamples(t, sink.from("victim", 0), 10, wantTwoRequests(1, 10), reason)
				checkSamples(t, sink.from("bystander", 0), 20, wantTwoRequests(3, 20), telemetry.NoReason)
			})
		}
	}
}

// A line on which somebody talks without a pause carries nothing, and is usable
// again as soon as it is quiet.
func TestBabblingLine(t *testing.T) {
	for _, transport := range []Transport{RTU, RTUOverTCP} {
		t.Run(string(transport), func(t *testing.T) {
			p := startLinePeer(t, transport)
			d := onLine("d", p, 1, 10)
			d.Timeout = 100 * time.Millisecond
			_, sink := run(t, d)
			sink.await(t, "good data", func() bool { return good(sink.from("d", 0), 3) })
			quiet := make(chan struct{})
			p.misbehave(func(w io.Writer, _ []byte) error {
				for {
					select {
					case <-quiet:
						return nil
					case <-time.After(200 * time.Microsecond):
						if _, err := w.Write([]byte{1, 3, 0x55}); err != nil {
							return err
						}
					}
				}
			})
			// A loaded machine makes pauses in it, and then it is just no answer.
			sink.await(t, "the babble", func() bool {
				met := sink.from("d", 0)
				return countBad(met, telemetry.Malformed)+countBad(met, telemetry.Timeout) >= 3
			})
			p.misbehave(nil)
			close(quiet)
			n := sink.count("d")
			sink.await(t, "good data again", func() bool { return good(sink.from("d", n), 3) })
			for _, b := range sink.from("d", 0) {
				for _, s := range b.Samples[:3] {
					if s.Quality == 0 && s.Value != wantTwoRequests(1, 10)[s.Signal] {
						t.Fatalf("%+v", s)
					}
				}
			}
		})
	}
}

// pausedPort has the rest of a frame only when it is looked for again, as after a pause
// of this machine.
type pausedPort struct {
	parts [][]byte // nil: nothing, and the time is up
}

func (p *pausedPort) Read(b []byte) (int, error) {
	part := p.parts[0]
	p.parts = p.parts[1:]
	if part == nil {
		return 0, os.ErrDeadlineExceeded
	}
	return copy(b, part), nil
}

func (p *pausedPort) Write(b []byte) (int, error)     { return len(b), nil }
func (p *pausedPort) SetDeadline(time.Time) error     { return nil }
func (p *pausedPort) SetReadDeadline(time.Time) error { return nil }
func (p *pausedPort) Close() error                    { return nil }

// A frame that stops because this machine did isn't one that broke off.
func TestFrameOverAPauseOfThisMachine(t *testing.T) {
	frame := withCRC(1, []byte{3, 4, 1, 2, 3, 4})
	for _, c := range []struct {
		name  string
		parts [][]byte // the first is what is on the line before
		good  bool
	}{
		{"the rest is there", [][]byte{nil, frame[:4], nil, frame[4:]}, true},
		{"in three parts", [][]byte{nil, frame[:4], nil, frame[4:6], nil, frame[6:]}, true},
		{"the rest isn't there", [][]byte{nil, frame[:4], nil, nil}, false},
	} {
		paused := &pausedPort{c.parts}
		l := newLink(t.Context(), Endpoint{RTU, "/dev/ttyS0", Line{Baud: 9600, StopBits: 1}},
			opener{serial: func(string, Line) (port, error) { return paused, nil }}, new(busCounters))
		data, err := l.read(t.Context(), &meter{Device: Device{Unit: 1, Timeout: time.Minute}}, request{table: Holding, count: 2})
		if good := err == nil && bytes.Equal(data, []byte{1, 2, 3, 4}); good != c.good || len(paused.parts) > 0 {
			t.Errorf("%s: % x, %v; %d parts left", c.name, data, err, len(paused.parts))
		}
		if !c.good && reasonOf(err) != telemetry.Malformed {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A second copy that comes together with the answer is heard as well.
func TestACopyTogetherWithTheAnswerIsHeard(t *testing.T) {
	answer := withCRC(1, []byte{3, 4, 1, 2, 3, 4})
	l := newLink(t.Context(), Endpoint{RTUOverTCP, "h:1", Line{}}, opener{}, new(busCounters))
	l.port, l.watch = &tape{plays: append(bytes.Clone(answer), answer...), piece: 100}, func() bool { return true }
	m := &meter{Device: Device{Unit: 1, Timeout: time.Millisecond}}
	if _, err := l.read(t.Context(), m, request{table: Holding, count: 2}); err != nil || l.strays != 0 {
		t.Fatalf("%v, %d heard", err, l.strays)
	}
	if _, err := l.read(t.Context(), m, request{table: Holding, first: 5, count: 2}); err == nil || l.strays != 1 {
		t.Errorf("%v, %d heard", err, l.strays)
	}
}
