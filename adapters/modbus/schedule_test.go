package modbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// pipeNet is a network of pipes inside a synctest bubble, where time is exact.
type pipeNet struct {
	start time.Time
	// answer runs for each request; false: no answer.
	answer func(unit byte) bool
	// reply makes the answer, if it isn't the right one.
	reply func(request []byte) []byte
	// refuse makes dialling fail.
	refuse atomic.Bool

	peers sync.WaitGroup
	mu    sync.Mutex
	dials []time.Duration
	asked map[string][]time.Duration // by address and unit
}

func (n *pipeNet) dial(_ context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials = append(n.dials, time.Since(n.start))
	n.mu.Unlock()
	if n.refuse.Load() {
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	n.peers.Go(func() {
		defer far.Close()
		for {
			var request [12]byte
			if _, err := io.ReadFull(far, request[:]); err != nil {
				return
			}
			key := fmt.Sprintf("%s/%d", address, request[6])
			n.mu.Lock()
			n.asked[key] = append(n.asked[key], time.Since(n.start))
			n.mu.Unlock()
			if n.answer != nil && !n.answer(request[6]) {
				continue
			}
			reply := answerTo
			if n.reply != nil {
				reply = n.reply
			}
			if write(far, reply(request[:])) != nil {
				return
			}
		}
	})
	return near, nil
}

func (n *pipeNet) requests(addressAndUnit string) []time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.asked[addressAndUnit])
}

func (n *pipeNet) dialled() []time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dials)
}

// inBubble runs the adapter on pipes for a while and returns what it delivered.
// A goroutine that outlives Run fails the test.
func inBubble(t *testing.T, n *pipeNet, during func(*Adapter, *recorder), devices ...Device) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n.start, n.asked = time.Now(), map[string][]time.Duration{}
		a, err := New(Config{Devices: devices, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		a.opener.dial = n.dial
		sink := newRecorder()
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx, sink) }()
		during(a, sink)
		stopping := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if d := time.Since(stopping); d != 0 {
			t.Errorf("Run took %v to end", d)
		}
		n.peers.Wait()
	})
}

// pass lets time go by and everything happen that is due.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func device(id, endpoint string, unit uint8, base telemetry.SignalID, every time.Duration) Device {
	return Device{ID: id, Endpoint: "tcp://" + endpoint, Unit: unit, Live: base, PollEvery: every,
		Points: []Point{{Signal: base + 1, Name: "A", Table: Holding, Type: Uint16}}}
}

func seconds(s ...float64) []time.Duration {
	var d []time.Duration
	for _, v := range s {
		d = append(d, time.Duration(v*float64(time.Second)))
	}
	return d
}

func expect(t *testing.T, what string, got, want []time.Duration) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s at %v, expected %v", what, got, want)
	}
}

func TestGridKeepsItsPhase(t *testing.T) {
	n := &pipeNet{answer: func(byte) bool { time.Sleep(300 * time.Millisecond); return true }}
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		pass(5500 * time.Millisecond)
		expect(t, "asked", n.requests("m:502/1"), seconds(0, 1, 2, 3, 4, 5))
		for i, b := range sink.from("d", 0) {
			sent := n.start.Add(time.Duration(i) * time.Second)
			if got, want := b.Samples[0].Time, telemetry.MicrosOf(sent.Add(150*time.Millisecond)); got != want {
				t.Errorf("sample %d has time %v, expected the middle of the exchange, %v", i, got.Time(), want.Time())
			}
			if !b.Received.Equal(sent.Add(300 * time.Millisecond)) {
				t.Errorf("batch %d received at %v", i, b.Received)
			}
		}
		if s := a.Stats().Devices[0]; s.Polls != 6 || s.Missed != 0 || s.Values != 6 {
			t.Errorf("%+v", s)
		}
	}, device("d", "m", 1, 1, time.Second))
}

func TestStartsAreSpread(t *testing.T) {
	for n, moments := range map[int]int{100: 1, 200: 2, 600: 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			peers := &pipeNet{}
			var devices []Device
			for i := range n {
				devices = append(devices, device(fmt.Sprint("d", i), fmt.Sprint("m", i), 1, telemetry.SignalID(10*i), time.Second))
			}
			devices = append(devices, device("slow", "last", 1, telemetry.SignalID(10*n), time.Hour))
			inBubble(t, peers, func(*Adapter, *recorder) {
				pass(10 * time.Second)
				for i := range n {
					phase := time.Duration(i*moments/(n+1)) * time.Second / time.Duration(moments)
					expect(t, fmt.Sprint("d", i), peers.requests(fmt.Sprintf("m%d:502/1", i))[:2], []time.Duration{phase, time.Second + phase})
				}
				if len(peers.requests("last:502/1")) != 1 {
					t.Error("a device with a long period waited longer than startSpread for its first poll")
				}
			}, devices...)
		})
	}
}

// everySlot checks that the batches account for every slot of a device's grid,
// and counts those that weren't used.
func everySlot(t *testing.T, batches []adapters.Batch, every time.Duration) (missed, spared int) {
	t.Helper()
	for i, b := range batches {
		missed += b.Missed
		spared += b.Spared
		if late := b.Received.Sub(b.Due); late < 0 {
			t.Errorf("batch %d was received %v before it was due", i, -late)
		}
		if (b.Spared > 0) != (b.SparedFor != telemetry.NoReason) {
			t.Errorf("batch %d: %d slots spared for %v", i, b.Spared, b.SparedFor)
		}
		if i > 0 && b.Due.Sub(batches[i-1].Due) != time.Duration(b.Missed+b.Spared+1)*every {
			t.Errorf("%v passed until batch %d, with %d slots missed and %d spared", b.Due.Sub(batches[i-1].Due), i, b.Missed, b.Spared)
		}
	}
	return missed, spared
}

// The second poll takes 3.5 s: the slots at 2 and 3 s pass, that at 4 s is late
// but still good, and the grid stays.
func TestMissedSlotsAreSkipped(t *testing.T) {
	var polls atomic.Int32
	n := &pipeNet{answer: func(byte) bool {
		if polls.Add(1) == 2 {
			time.Sleep(3500 * time.Millisecond)
		}
		return true
	}}
	d := device("d", "m", 1, 1, time.Second)
	d.Timeout = 5 * time.Second
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		pass(7500 * time.Millisecond)
		expect(t, "asked", n.requests("m:502/1"), seconds(0, 1, 4.5, 5, 6, 7))
		if missed, spared := everySlot(t, sink.from("d", 0), time.Second); missed != 2 || spared != 0 {
			t.Errorf("%d slots missed, %d spared", missed, spared)
		}
		if s := a.Stats().Devices[0]; s.Missed != 2 || s.Polls != 6 {
			t.Errorf("%+v", s)
		}
	}, d)
}

func TestDeadUnitsDontStarveTheOthers(t *testing.T) {
	dead := func(unit byte) bool { return unit == 7 || unit == 20 }
	n := &pipeNet{answer: func(unit byte) bool { time.Sleep(10 * time.Millisecond); return !dead(unit) }}
	var devices []Device
	for unit := range byte(32) {
		devices = append(devices, device(fmt.Sprint("d", unit), "bus", unit, telemetry.SignalID(10*int(unit)), 5*time.Second))
	}
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		pass(10 * time.Minute)
		for i, s := range a.Stats().Devices {
			attempts := n.requests(fmt.Sprintf("bus:502/%d", i))
			if !dead(byte(i)) {
				if s.Polls != 120 || s.Missed != 0 || s.Failed != 0 {
					t.Errorf("unit %d: %+v", i, s)
				}
				if got := live(sink.from(s.Device, 0), telemetry.SignalID(10*i)); slices.Contains(got, false) {
					t.Errorf("unit %d: live %v", i, got)
				}
				continue
			}
			var gaps []time.Duration
			for j := range 6 {
				gaps = append(gaps, (attempts[j+1] - attempts[j]).Round(3*time.Second/2))
			}
			expect(t, "attempts", gaps[:2], seconds(4.5, 10.5)) // rounded to 1.5 s
			expect(t, "attempts", gaps[2:], seconds(19.5, 30, 30, 30))
			if s.Missed != 0 || s.Values != 0 || s.Failed != s.Polls || !s.LastAnswer.IsZero() {
				t.Errorf("unit %d: %+v", i, s)
			}
		}
	}, devices...)
}

func TestSilentDeviceBacksOffForItsNeighboursAndReturns(t *testing.T) {
	var answers atomic.Bool
	answers.Store(true)
	n := &pipeNet{answer: func(unit byte) bool { return unit != 1 || answers.Load() }}
	d := device("d", "m", 1, 1, time.Second)
	d.Timeout = 400 * time.Millisecond
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		pass(1500 * time.Millisecond)
		answers.Store(false)
		pass(120 * time.Second)
		answers.Store(true)
		pass(30 * time.Second)
		expect(t, "asked", n.requests("m:502/1")[:12], seconds(0, 1, 2, 3, 5, 9, 17, 33, 63, 93, 123, 124))

		// Of the 119 slots between 3 and 123 s, 6 were used.
		if missed, spared := everySlot(t, sink.from("d", 0), time.Second); missed != 0 || spared != 113 {
			t.Errorf("%d slots missed, %d spared", missed, spared)
		}
		var changes []time.Duration
		for _, b := range sink.from("d", 0) {
			if len(b.Samples) == 2 {
				changes = append(changes, b.Received.Sub(n.start))
			}
		}
		// Said at the first poll, false after two polls without an answer,
		// repeated at the first poll a minute later, true again.
		expect(t, "live signal", changes, seconds(0, 3.4, 63.4, 123))
		if got := live(sink.from("d", 0), 1); !slices.Equal(got, []bool{true, false, false, true}) {
			t.Errorf("live %v", got)
		}
		if s := a.Stats(); s.Endpoints[0].Reconnects != 0 || s.Devices[0].Timeouts != 8 || s.Devices[0].Missed != 0 || s.Devices[1].Missed != 0 || s.Devices[1].Failed != 0 {
			t.Errorf("%+v", s)
		}
	}, d, device("e", "m", 2, 11, time.Second))
}

// Nobody else waits for a device that is alone, so its return is seen at once.
func TestSilentDeviceThatIsAloneKeepsItsPeriod(t *testing.T) {
	n := &pipeNet{answer: func(byte) bool { return false }}
	d := device("d", "m", 1, 1, time.Second)
	d.Timeout = 500 * time.Millisecond
	inBubble(t, n, func(_ *Adapter, sink *recorder) {
		pass(100*time.Second - time.Millisecond)
		if asked := sink.count("d"); asked != 100 {
			t.Errorf("asked %d times in 100 s, expected every second", asked)
		}
	}, d)
}

// Nor for others that are as silent: an endpoint where nothing answers is asked
// without a pause.
func TestSilentEndpointKeepsItsPeriod(t *testing.T) {
	var answers atomic.Bool
	n := &pipeNet{answer: func(byte) bool { return answers.Load() }}
	d, e := device("d", "m", 1, 1, 2*time.Second), device("e", "m", 2, 11, 2*time.Second)
	d.Timeout, e.Timeout = 500*time.Millisecond, 500*time.Millisecond
	inBubble(t, n, func(_ *Adapter, sink *recorder) {
		pass(100*time.Second - time.Millisecond)
		if asked := sink.count("d"); asked != 50 {
			t.Errorf("asked %d times in 100 s, expected every 2 s", asked)
		}
		answers.Store(true)
		pass(2 * time.Second)
		if !good(sink.from("d", 0), 1) || !good(sink.from("e", 0), 1) {
			t.Error("their return wasn't seen at once")
		}
	}, d, e)
}

func TestOneMissedPollDoesNotFlap(t *testing.T) {
	var polls atomic.Int32
	n := &pipeNet{answer: func(byte) bool { return polls.Add(1)%2 == 1 }}
	d := device("d", "m", 1, 1, time.Second)
	d.Timeout = 500 * time.Millisecond
	inBubble(t, n, func(_ *Adapter, sink *recorder) {
		pass(150 * time.Second)
		if got := live(sink.from("d", 0), 1); !slices.Equal(got, []bool{true, true, true}) {
			t.Errorf("live %v, expected it at 0, 60 and 120 s", got)
		}
	}, d)
}

func TestDeadFromTheStart(t *testing.T) {
	n := &pipeNet{answer: func(byte) bool { return false }}
	inBubble(t, n, func(_ *Adapter, sink *recorder) {
		pass(1500 * time.Millisecond)
		if got := live(sink.from("d", 0), 1); !slices.Equal(got, []bool{false}) {
			t.Errorf("live %v", got)
		}
	}, device("d", "m", 1, 1, time.Second))
}

// A refused connection isn't dialled for each unit, and every unit says why it
// has no values.
func TestRefusedConnection(t *testing.T) {
	n := &pipeNet{}
	n.refuse.Store(true)
	var devices []Device
	for unit := range byte(10) {
		devices = append(devices, device(fmt.Sprint("d", unit), "bus", unit, telemetry.SignalID(10*int(unit)), time.Second))
	}
	inBubble(t, n, func(_ *Adapter, sink *recorder) {
		pass(5 * time.Minute)
		if dials := n.dialled(); len(dials) < 250 || len(dials) > 650 {
			t.Errorf("%d dials in 5 minutes: %v", len(dials), dials)
		}
		for i, d := range devices {
			checkSamples(t, sink.from(d.ID, 0), d.Live, map[telemetry.SignalID]telemetry.Value{d.Live + 1: {}}, telemetry.NotConnected)
			if n := sink.count(d.ID); n < 10 {
				t.Errorf("unit %d: %d batches", i, n)
			}
			if got := live(sink.from(d.ID, 0), d.Live); slices.Contains(got, true) || len(got) < 4 {
				t.Errorf("unit %d: live %v", i, got)
			}
		}
		n.refuse.Store(false)
		pass(DefaultTimeout + time.Second)
		for i, d := range devices {
			if !good(sink.from(d.ID, 0), 1) {
				t.Errorf("unit %d isn't back", i)
			}
		}
	}, devices...)
}

func TestDialPause(t *testing.T) {
	for _, c := range []struct {
		failures      int
		timeout, want time.Duration
	}{
		{0, time.Minute, 0}, {1, time.Minute, 0}, {2, time.Minute, 500 * time.Millisecond}, {3, time.Minute, time.Second},
		{4, time.Minute, 2 * time.Second}, {6, time.Minute, 5 * time.Second}, {1 << 30, time.Minute, 5 * time.Second},
		{2, time.Second, 500 * time.Millisecond}, {6, time.Second, time.Second}, {2, 200 * time.Millisecond, 200 * time.Millisecond},
	} {
		for range 50 {
			if got := dialPause(c.failures, c.timeout); got > c.want || got < c.want/2 {
				t.Errorf("after %d failures, with a timeout of %v: %v, expected %v to %v", c.failures, c.timeout, got, c.want/2, c.want)
			}
		}
	}
}

// The rest of a device's requests isn't tried once it is silent.
func TestOneTimeoutAPoll(t *testing.T) {
	n := &pipeNet{answer: func(byte) bool { return false }}
	d := device("d", "m", 1, 1, time.Minute)
	d.Points = append(d.Points, Point{Signal: 3, Name: "B", Table: Input, Type: Uint16}, Point{Signal: 4, Name: "C", Table: Holding, Address: 1000, Type: Uint16})
	inBubble(t, n, func(_ *Adapter, sink *recorder) {
		pass(10 * time.Second)
		if got := len(n.requests("m:502/1")); got != 1 {
			t.Errorf("%d requests", got)
		}
		b := sink.from("d", 0)
		if len(b) != 1 || countBad(b, telemetry.Timeout) != 3 || b[0].Received.Sub(n.start) != DefaultTimeout {
			t.Errorf("%+v", b)
		}
	}, d)
}

// Run ends at once though the device doesn't answer, and delivers nothing about
// the exchange that it broke off.
func TestStopWhileWaiting(t *testing.T) {
	n := &pipeNet{answer: func(byte) bool { return false }}
	d := device("d", "m", 1, 1, time.Minute)
	d.Timeout = time.Hour
	var sink *recorder
	inBubble(t, n, func(_ *Adapter, s *recorder) { sink = s; pass(time.Minute / 2) }, d)
	if sink.count("d") != 0 {
		t.Errorf("%+v", sink.from("d", 0))
	}
}

type blockedSink struct{}

func (blockedSink) Deliver(ctx context.Context, _ adapters.Batch) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestStopWhileSinkBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &pipeNet{start: time.Now(), asked: map[string][]time.Duration{}}
		a, err := New(Config{Devices: []Device{device("d", "m", 1, 1, time.Second)}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		a.opener.dial = n.dial
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := a.Run(ctx, blockedSink{}); err != nil {
			t.Error(err)
		}
		if len(n.requests("m:502/1")) != 1 {
			t.Errorf("asked at %v", n.requests("m:502/1"))
		}
	})
}

// One line a change, whatever the number of polls.
func TestLog(t *testing.T) {
	var answers atomic.Bool
	answers.Store(true)
	n := &pipeNet{answer: func(byte) bool { return answers.Load() }}
	var log strings.Builder
	synctest.Test(t, func(t *testing.T) {
		n.start, n.asked = time.Now(), map[string][]time.Duration{}
		a, err := New(Config{Devices: []Device{device("feeder-1", "10.0.0.11", 1, 1, time.Second)}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		a.opener.dial = n.dial
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		go func() {
			time.Sleep(100 * time.Second)
			answers.Store(false)
			time.Sleep(100 * time.Second)
			answers.Store(true)
		}()
		if err := a.Run(ctx, newRecorder()); err != nil {
			t.Error(err)
		}
	})
	var got []string
	for line := range strings.Lines(log.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), "level=")
		got = append(got, line)
	}
	want := []string{
		`INFO msg="device answers" device=feeder-1 endpoint=10.0.0.11:502 unit=1`,
		`WARN msg="device doesn't answer" device=feeder-1 endpoint=10.0.0.11:502 unit=1 error="no answer within 1s, 0 bytes of one"`,
		`INFO msg="device answers" device=feeder-1 endpoint=10.0.0.11:502 unit=1`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}
