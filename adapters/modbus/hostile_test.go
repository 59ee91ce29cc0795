package modbus

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

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
