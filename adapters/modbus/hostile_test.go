package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// Each misbehaviour is shown for a while between two stretches of good answers.
// Whatever is delivered must be the right value or bad with the right reason, a
// device on another endpoint must not notice, and good data must come back.
func TestMisbehaviour(t *testing.T) {
	changed := func(change func(b []byte) []byte) fault {
		return func(c net.Conn, request []byte) error { return write(c, change(poison(request))) }
	}
	set := func(at int, value byte) fault {
		return changed(func(b []byte) []byte { b[at] = value; return b })
	}
	cases := []struct {
		name    string
		fault   fault
		timeout time.Duration // 0: longer than the test
		reason  telemetry.Reason
		// allowed: bad samples may come, and needn't; otherwise they must.
		allowed bool
		// kept: the connection survives, or may.
		kept, either bool
	}{
		{name: "silent", timeout: 60 * time.Millisecond, reason: telemetry.Timeout, either: true,
			fault: func(net.Conn, []byte) error { return nil }},
		{name: "late", timeout: 60 * time.Millisecond, reason: telemetry.Timeout, kept: true,
			fault: func(c net.Conn, request []byte) error {
				time.Sleep(90 * time.Millisecond)
				return write(c, poison(request))
			}},
		{name: "later than it is waited for", timeout: 60 * time.Millisecond, reason: telemetry.Timeout, either: true,
			fault: func(c net.Conn, request []byte) error {
				time.Sleep(500 * time.Millisecond)
				return write(c, poison(request))
			}},
		{name: "drip", timeout: 100 * time.Millisecond, reason: telemetry.Timeout,
			fault: func(c net.Conn, request []byte) error {
				for _, b := range poison(request) {
					if err := write(c, []byte{b}); err != nil {
						return err
					}
					time.Sleep(80 * time.Millisecond)
				}
				return nil
			}},
		{name: "previous transaction", fault: changed(previous), timeout: 60 * time.Millisecond, reason: telemetry.Timeout, kept: true},
		{name: "next transaction", reason: telemetry.Malformed,
			fault: changed(func(b []byte) []byte { binary.BigEndian.PutUint16(b, binary.BigEndian.Uint16(b)+1); return b })},
		{name: "previous answer first", reason: telemetry.NoReason, allowed: true, kept: true,
			fault: func(c net.Conn, request []byte) error {
				return write(c, append(previous(poison(request)), answerTo(request)...))
			}},
		{name: "previous answer first, in single bytes", reason: telemetry.NoReason, allowed: true, kept: true,
			fault: func(c net.Conn, request []byte) error {
				for _, b := range append(previous(poison(request)), answerTo(request)...) {
					if err := write(c, []byte{b}); err != nil {
						return err
					}
				}
				return nil
			}},
		{name: "previous answer of a wrong length first", reason: telemetry.Malformed,
			fault: func(c net.Conn, request []byte) error {
				old := previous(poison(request))
				old[4] = 0x7F
				return write(c, append(old, answerTo(request)...))
			}},
		{name: "garbage after the answer", reason: telemetry.NoReason, allowed: true,
			fault: func(c net.Conn, request []byte) error {
				return write(c, append(answerTo(request), "garbage"...))
			}},
		{name: "wrong protocol", fault: set(3, 1), reason: telemetry.Malformed},
		{name: "wrong unit", fault: set(6, 2), reason: telemetry.Malformed},
		{name: "wrong function", fault: set(7, 6), reason: telemetry.Malformed},
		{name: "length field too long", fault: set(4, 0xFF), reason: telemetry.Malformed},
		{name: "length field too short", fault: set(5, 3), reason: telemetry.Malformed},
		{name: "byte count too short", fault: set(8, 0), reason: telemetry.Malformed},
		{name: "fewer registers", reason: telemetry.Malformed,
			fault: func(c net.Conn, request []byte) error {
				return write(c, frame(request, []byte{request[7], 0}))
			}},
		{name: "one register more", reason: telemetry.Malformed,
			fault: func(c net.Conn, request []byte) error {
				more := bytes.Clone(request)
				more[11]++
				return write(c, poison(more))
			}},
		{name: "garbage", reason: telemetry.Malformed,
			fault: func(c net.Conn, _ []byte) error { return write(c, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }},
		{name: "partial, then closed", reason: telemetry.Malformed,
			fault: func(c net.Conn, request []byte) error {
				b := poison(request)
				if err := write(c, b[:len(b)-1]); err != nil {
					return err
				}
				return errHangUp
			}},
		{name: "closed", reason: telemetry.NotConnected,
			fault: func(net.Conn, []byte) error { return errHangUp }},
		{name: "reset", reason: telemetry.NotConnected,
			fault: func(c net.Conn, _ []byte) error {
				if err := c.(*net.TCPConn).SetLinger(0); err != nil {
					return err
				}
				return errHangUp
			}},
		{name: "exception", reason: telemetry.Refused, kept: true,
			fault: func(c net.Conn, request []byte) error { return write(c, refusal(request, 2)) }},
		{name: "gateway's exception for a silent unit", reason: telemetry.Timeout, kept: true,
			fault: func(c net.Conn, request []byte) error { return write(c, refusal(request, 11)) }},
		{name: "answer twice in one segment", reason: telemetry.NoReason, allowed: true, kept: true,
			fault: func(c net.Conn, request []byte) error { return write(c, append(answerTo(request), poison(request)...)) }},
		{name: "answer twice in two segments", reason: telemetry.NoReason, allowed: true, kept: true,
			fault: func(c net.Conn, request []byte) error {
				if err := write(c, answerTo(request)); err != nil {
					return err
				}
				return write(c, poison(request))
			}},
		{name: "split in single bytes", reason: telemetry.NoReason, allowed: true, kept: true,
			fault: func(c net.Conn, request []byte) error {
				for _, b := range answerTo(request) {
					if err := write(c, []byte{b}); err != nil {
						return err
					}
				}
				return nil
			}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bad, other := startPeer(t), startPeer(t)
			victim, bystander := twoRequests("victim", bad, 1, 10), twoRequests("bystander", other, 3, 20)
			if c.timeout != 0 {
				victim.Timeout = c.timeout
			}
			_, sink := run(t, victim, bystander)
			sink.await(t, "good data", func() bool { return good(sink.from("victim", 0), 3) && good(sink.from("bystander", 0), 3) })
			connections := bad.connections()

			bad.misbehave(c.fault)
			n, before := sink.count("victim"), sink.count("bystander")
			sink.await(t, "the misbehaviour", func() bool {
				met := sink.from("victim", n)
				return (c.allowed && len(met) > 8 || countBad(met, c.reason) >= 6) && len(sink.from("bystander", before)) > 4
			})
			if kept := bad.connections() == connections; kept != c.kept && !c.either {
				t.Errorf("connection kept: %v", kept)
			}

			bad.misbehave(nil)
			recovering := sink.count("victim")
			sink.await(t, "good data again", func() bool {
				return good(sink.from("victim", recovering), 4)
			})
			checkSamples(t, sink.from("victim", 0), 10, wantTwoRequests(1, 10), c.reason)
			checkSamples(t, sink.from("bystander", 0), 20, wantTwoRequests(3, 20), telemetry.NoReason)
		})
	}
}

// previous makes a frame one of the transaction before.
func previous(b []byte) []byte {
	binary.BigEndian.PutUint16(b, binary.BigEndian.Uint16(b)-1)
	return b
}

func countBad(batches []adapters.Batch, reason telemetry.Reason) (n int) {
	for _, b := range batches {
		for _, s := range b.Samples {
			if s.Quality.Validity() == telemetry.Bad && s.Quality.Reason() == reason {
				n++
			}
		}
	}
	return n
}

// good reports whether the last n batches have nothing bad.
func good(batches []adapters.Batch, n int) bool {
	return len(batches) >= n && !slices.ContainsFunc(batches[len(batches)-n:], func(b adapters.Batch) bool {
		return slices.ContainsFunc(b.Samples, func(s telemetry.Sample) bool { return s.Quality.Validity() != telemetry.Good })
	})
}

// checkSamples wants every point once in each batch, in configured order, with
// its value or bad for the given reason; NoReason: never bad.
func checkSamples(t *testing.T, batches []adapters.Batch, liveSignal telemetry.SignalID, want map[telemetry.SignalID]telemetry.Value, reason telemetry.Reason) {
	t.Helper()
	for _, b := range batches {
		if len(b.Samples) < len(want) || len(b.Samples) > len(want)+1 {
			t.Fatalf("%d samples in a batch", len(b.Samples))
		}
		for i, s := range b.Samples {
			if i == len(want) {
				if s.Signal != liveSignal || s.Value.Kind() != telemetry.Bool || s.Quality != 0 {
					t.Fatalf("%+v is not a live signal", s)
				}
				continue
			}
			if s.Signal != liveSignal+1+telemetry.SignalID(i) {
				t.Fatalf("signal %d at %d", s.Signal, i)
			}
			if s.Quality == telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, reason) && reason != telemetry.NoReason {
				if s.Value.Kind() != telemetry.None {
					t.Fatalf("%v and quality %v", s.Value, s.Quality)
				}
			} else if s.Quality != 0 || s.Value != want[s.Signal] {
				t.Fatalf("signal %d: %v, quality %v; expected %v", s.Signal, s.Value, s.Quality, want[s.Signal])
			}
			if s.Time > telemetry.MicrosOf(b.Received) {
				t.Fatalf("sample of %v in a batch received at %v", s.Time.Time(), b.Received.UTC())
			}
		}
	}
}

// A device that takes one client only must never see a second one.
func TestUnitsShareOneConnection(t *testing.T) {
	p := startPeer(t)
	var devices []Device
	for unit := range uint8(4) {
		devices = append(devices, twoRequests(string('a'+rune(unit)), p, unit+1, telemetry.SignalID(unit+1)*10))
	}
	a, sink := run(t, devices...)
	sink.await(t, "polls", func() bool {
		return !slices.ContainsFunc(devices, func(d Device) bool { return sink.count(d.ID) < 10 })
	})
	for _, d := range devices {
		checkSamples(t, sink.from(d.ID, 0), d.Live, wantTwoRequests(d.Unit, d.Live), telemetry.NoReason)
	}
	if n := p.connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if s := a.Stats(); len(s.Endpoints) != 1 || s.Endpoints[0].Reconnects != 0 {
		t.Errorf("%+v", s.Endpoints)
	}
}

// A second connection is closed at once while the first is open, as many meters
// do. After a silence the adapter must get in again.
func TestOneClientOnly(t *testing.T) {
	p := startPeer(t)
	p.misbehave(func(c net.Conn, request []byte) error {
		p.mu.Lock()
		alone := len(p.open) == 1
		p.mu.Unlock()
		if !alone {
			return errHangUp
		}
		return write(c, answerTo(request))
	})
	only := p.fault
	d, e := twoRequests("d", p, 1, 10), twoRequests("e", p, 2, 20)
	d.Timeout, e.Timeout = 200*time.Millisecond, 200*time.Millisecond
	_, sink := run(t, d, e)
	sink.await(t, "good data", func() bool { return good(sink.from("d", 0), 3) && good(sink.from("e", 0), 3) })
	p.misbehave(func(net.Conn, []byte) error { return nil })
	sink.await(t, "silence", func() bool { return countBad(sink.from("d", 0), telemetry.Timeout) > 0 })
	p.misbehave(only)
	n := sink.count("d")
	sink.await(t, "good data again", func() bool {
		return good(sink.from("d", n), 1)
	})
}

// A connection that the device closed between two polls costs no sample.
func TestClosedWhileIdle(t *testing.T) {
	p := startPeer(t)
	a, sink := run(t, twoRequests("d", p, 1, 10))
	for i := range 5 {
		p.disconnect()
		n := sink.count("d")
		sink.await(t, "polls", func() bool { return sink.count("d") > n+2 })
		if n := a.Stats().Endpoints[0].Reconnects; i > 0 && n == 0 {
			t.Error("no reconnect counted")
		}
	}
	checkSamples(t, sink.from("d", 0), 10, wantTwoRequests(1, 10), telemetry.NoReason)
}

// A request that is refused doesn't take the device's other requests with it.
func TestOneRequestRefused(t *testing.T) {
	p := startPeer(t)
	p.misbehave(func(c net.Conn, request []byte) error {
		if request[7] == 3 {
			return write(c, refusal(request, 2))
		}
		return write(c, answerTo(request))
	})
	a, sink := run(t, twoRequests("d", p, 1, 10))
	sink.await(t, "polls", func() bool { return sink.count("d") >= 5 })
	batches := sink.from("d", 0)
	for _, b := range batches {
		for i, want := range []telemetry.Reason{telemetry.Refused, telemetry.NoReason, telemetry.Refused} {
			if got := b.Samples[i].Quality.Reason(); got != want {
				t.Fatalf("sample %d: %q, expected %q", i, got, want)
			}
		}
	}
	checkSamples(t, batches, 10, wantTwoRequests(1, 10), telemetry.Refused)
	if got := live(batches, 10); len(got) != 1 || !got[0] {
		t.Errorf("live %v", got)
	}
	if s := a.Stats().Devices[0]; s.Failed != 0 || s.Values == 0 || s.Values > s.Polls || s.LastAnswer.IsZero() {
		t.Errorf("%+v", s)
	}
	if n := p.connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A device that refuses everything is alive, and the log says once what it
// refuses.
func TestEverythingRefused(t *testing.T) {
	p := startPeer(t)
	p.misbehave(func(c net.Conn, request []byte) error { return write(c, refusal(request, 2)) })
	var log strings.Builder
	a, err := New(Config{Devices: []Device{twoRequests("d", p, 1, 10)}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sink, ended := newRecorder(), make(chan error, 1)
	go func() { ended <- a.Run(ctx, sink) }()
	sink.await(t, "refusals", func() bool { return sink.count("d") >= 5 })
	p.misbehave(nil)
	n := sink.count("d")
	sink.await(t, "values", func() bool { return good(sink.from("d", n), 1) })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := live(sink.from("d", 0), 10); !slices.Equal(got, []bool{true}) {
		t.Errorf("live %v", got)
	}
	if s := a.Stats().Devices[0]; s.Failed != 0 {
		t.Errorf("%+v", s)
	}
	for text, want := range map[string]int{
		"device answers": 1, "doesn't answer": 0,
		`"request fails"`: 3, `request="holding 18+1" error="modbus: exception '2'`: 1, `"request succeeds again"`: 3,
	} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%s: %d times in the log, expected %d", text, got, want)
		}
	}
}
