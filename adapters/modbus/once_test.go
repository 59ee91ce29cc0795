package modbus

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

func readOnce(t *testing.T, ctx context.Context, log *slog.Logger, d Device) ([]telemetry.Sample, error) {
	t.Helper()
	a, err := New(Config{Devices: []Device{d}, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	return a.ReadOnce(ctx, d.ID)
}

func TestReadOnce(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	t.Run("good", func(t *testing.T) {
		p := startPeer(t)
		samples, err := readOnce(t, t.Context(), quiet, twoRequests("d", p, 1, 10))
		if err != nil {
			t.Fatal(err)
		}
		checkSamples(t, []adapters.Batch{{Samples: samples, Received: time.Now()}}, 10, wantTwoRequests(1, 10), telemetry.NoReason)
	})
	t.Run("one request refused", func(t *testing.T) {
		p := startPeer(t)
		p.misbehave(func(c net.Conn, request []byte) error {
			if request[7] == 3 {
				return write(c, refusal(request, 2))
			}
			return write(c, answerTo(request))
		})
		var log strings.Builder
		samples, err := readOnce(t, t.Context(), slog.New(slog.NewTextHandler(&log, nil)), twoRequests("d", p, 1, 10))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"bad (refused by device)", "good", "bad (refused by device)"} {
			if got := samples[i].Quality.String(); got != want {
				t.Errorf("%d: %s, expected %s", i, got, want)
			}
		}
		if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `unit=1 request="holding 16+1" error="modbus: exception '2' (illegal data address)`) {
			t.Errorf("logged %s", got)
		}
	})
	t.Run("silent", func(t *testing.T) {
		p := startPeer(t)
		p.misbehave(func(net.Conn, []byte) error { return nil })
		d := twoRequests("feeder-1", p, 1, 10)
		d.Timeout = 30 * time.Millisecond
		_, err := readOnce(t, t.Context(), quiet, d)
		want := "modbus: read holding 16+3 of meter feeder-1 at " + p.listener.Addr().String() + ": no answer within 30ms, 0 bytes of one"
		if err == nil || err.Error() != want {
			t.Errorf("%v\nexpected %s", err, want)
		}
	})
	t.Run("refused connection", func(t *testing.T) {
		p := startPeer(t)
		p.listener.Close()
		_, err := readOnce(t, t.Context(), quiet, twoRequests("feeder-1", p, 1, 10))
		if err == nil || !strings.HasPrefix(err.Error(), "modbus: read holding 16+3 of meter feeder-1 at 127.0.0.1:") || !strings.Contains(err.Error(), "connection refused") {
			t.Error(err)
		}
	})
	t.Run("ended context", func(t *testing.T) {
		p := startPeer(t)
		ctx, cancel := context.WithCancel(t.Context())
		p.misbehave(func(net.Conn, []byte) error { cancel(); return nil })
		_, err := readOnce(t, ctx, quiet, twoRequests("d", p, 1, 10)) // whose timeout is 5 s
		if err == nil || !strings.HasSuffix(err.Error(), context.Canceled.Error()) {
			t.Error(err)
		}
	})
	t.Run("unknown device", func(t *testing.T) {
		a, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.ReadOnce(t.Context(), "x"); err == nil || err.Error() != `modbus: no device "x"` {
			t.Error(err)
		}
	})
}

func TestNothingIsLeftBehind(t *testing.T) {
	p, silent := startPeer(t), startPeer(t)
	silent.misbehave(func(net.Conn, []byte) error { return nil })
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	a, err := New(Config{Logger: slog.New(slog.DiscardHandler), Devices: []Device{twoRequests("d", p, 1, 10), twoRequests("e", silent, 1, 20)}})
	if err != nil {
		t.Fatal(err)
	}
	sink := newRecorder()
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, sink) }()
	sink.await(t, "polls", func() bool { return sink.count("d") > 5 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for limit := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		p.mu.Lock()
		silent.mu.Lock()
		open := len(p.open) + len(silent.open)
		silent.mu.Unlock()
		p.mu.Unlock()
		if open == 0 && runtime.NumGoroutine() <= before {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d connections open, %d goroutines, %d before", open, runtime.NumGoroutine(), before)
		}
	}
}
