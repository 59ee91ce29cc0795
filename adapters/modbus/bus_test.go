package modbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar/busbar/telemetry"
)

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// scattered gives a device so many points that each needs a request.
func scattered(d Device, requests int) Device {
	d.Points = nil
	for i := range requests {
		d.Points = append(d.Points, Point{Signal: d.Live + 1 + telemetry.SignalID(i), Name: fmt.Sprint("A", i), Table: Holding, Address: uint16(200 * i), Type: Uint16})
	}
	return d
}

// The bus is fully used; whoever asks by hand waits for one exchange and their own.
func TestCommandsGoFirst(t *testing.T) {
	n := &pipeNet{answer: func(byte) bool { time.Sleep(100 * time.Millisecond); return true }}
	var devices []Device
	for unit := range byte(20) {
		devices = append(devices, scattered(device(fmt.Sprint("d", unit), "bus", unit, telemetry.SignalID(100*int(unit)), time.Second), 3))
	}
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		for _, ahead := range []int{5020, 333, 1} {
			pass(millis(ahead))
			began := time.Now()
			samples, err := a.ReadOnce(context.Background(), "d7")
			if took := time.Since(began); err != nil || took > 400*time.Millisecond {
				t.Errorf("took %v, %v", took, err)
			}
			if len(samples) != 3 || samples[2].Value != telemetry.UintValue(uint64(registerOf(7, 3, 400))) {
				t.Errorf("%+v", samples)
			}
		}
		if len(n.dialled()) != 1 {
			t.Errorf("%d connections", len(n.dialled()))
		}
		if s := a.Stats().Endpoints[0]; s.Waiting == 0 || s.Busy < 5*time.Second {
			t.Errorf("%+v", s)
		}
		for i := range 20 {
			everySlot(t, sink.from(fmt.Sprint("d", i), 0), time.Second)
		}
	}, devices...)
}

// Several commands at once are carried out one by one, and one whose asker has
// gone isn't at all.
func TestCommandsQueue(t *testing.T) {
	n := &pipeNet{answer: func(byte) bool { time.Sleep(100 * time.Millisecond); return true }}
	inBubble(t, n, func(a *Adapter, _ *recorder) {
		pass(millis(50)) // in the middle of the first poll
		results := make(chan error, 3)
		gone, cancel := context.WithCancel(context.Background())
		for _, ctx := range []context.Context{context.Background(), context.Background(), gone} {
			go func() {
				_, err := a.ReadOnce(ctx, "d")
				results <- err
			}()
		}
		synctest.Wait()
		if w := a.Stats().Endpoints[0].Waiting; w != 3 {
			t.Errorf("%d commands wait", w)
		}
		cancel()
		pass(time.Second)
		close(results)
		failed := 0
		for err := range results {
			if errors.Is(err, context.Canceled) {
				failed++
			} else if err != nil {
				t.Error(err)
			}
		}
		if failed != 1 {
			t.Errorf("%d were given up", failed)
		}
		if asked := len(n.requests("bus:502/1")); asked != 3 {
			t.Errorf("asked %d times, expected a poll and two commands", asked)
		}
	}, device("d", "bus", 1, 1, time.Minute))
}

func TestCommandAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &pipeNet{start: time.Now(), asked: map[string][]time.Duration{}}
		a, err := New(Config{Devices: []Device{device("d", "m", 1, 1, time.Second)}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		a.opener.dial = n.dial
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := a.Run(ctx, newRecorder()); err != nil {
			t.Fatal(err)
		}
		if _, err := a.ReadOnce(t.Context(), "d"); !errors.Is(err, errStopped) {
			t.Error(err)
		}
	})
}

// A meter that takes one client can be read by hand while it is polled.
func TestReadOnceSharesTheConnection(t *testing.T) {
	p := startPeer(t)
	a, sink := run(t, twoRequests("d", p, 1, 10))
	sink.await(t, "polls", func() bool { return sink.count("d") > 2 })
	for range 20 {
		if samples, err := a.ReadOnce(t.Context(), "d"); err != nil || len(samples) != 3 || samples[0].Quality != 0 {
			t.Errorf("%+v, %v", samples, err)
		}
	}
	if n := p.connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	checkSamples(t, sink.from("d", 0), 10, wantTwoRequests(1, 10), telemetry.NoReason)
}

// A device with a second's period keeps it beside one whose poll alone takes four:
// the more urgent goes between the requests of the other.
func TestLongPollLetsUrgentOnesGo(t *testing.T) {
	n := &pipeNet{answer: func(byte) bool { time.Sleep(100 * time.Millisecond); return true }}
	slow := scattered(device("slow", "bus", 1, 1000, 10*time.Second), 40)
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		pass(time.Minute)
		s := a.Stats()
		for i, polls := range []uint64{6, 60, 60} {
			if d := s.Devices[i]; d.Polls < polls-1 || d.Missed != 0 || d.Late != 0 || d.Failed != 0 {
				t.Errorf("%+v", d)
			}
		}
		for _, b := range sink.from("slow", 0) {
			if len(b.Samples) < 40 || b.Samples[39].Value != telemetry.UintValue(uint64(registerOf(1, 3, 200*39))) {
				t.Fatalf("%+v", b)
			}
			if d := b.Received.Sub(b.Due); d > 6*time.Second {
				t.Errorf("a poll of 40 requests took %v", d)
			}
		}
	}, slow, device("fast-1", "bus", 2, 1, time.Second), device("fast-2", "bus", 3, 11, time.Second))
}

// After an interruption, most meters of a line are silent at once. The others are
// read as before once that is known, and all are found when they return.
func TestManyDeadUnitsDontStarveTheOthers(t *testing.T) {
	const every = 10 * time.Second
	var out atomic.Bool
	dead := func(unit byte) bool { return out.Load() && unit%8 != 0 }
	n := &pipeNet{answer: func(unit byte) bool { time.Sleep(100 * time.Millisecond); return !dead(unit) }}
	var devices []Device
	for unit := range byte(32) {
		devices = append(devices, device(fmt.Sprint("d", unit), "bus", unit, telemetry.SignalID(10*int(unit)), every))
	}
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		pass(time.Minute)
		out.Store(true)
		pass(2 * time.Minute)
		before := a.Stats().Devices
		pass(10 * time.Minute)
		for i, after := range a.Stats().Devices {
			if dead(byte(i)) {
				if after.Polls-before[i].Polls > 21 {
					t.Errorf("unit %d was asked %d times in 10 minutes", i, after.Polls-before[i].Polls)
				}
			} else if after.Polls-before[i].Polls < 59 || after.Missed != before[i].Missed || after.Late != before[i].Late {
				t.Errorf("unit %d: %+v, before %+v", i, after, before[i])
			}
		}
		out.Store(false)
		pass(MaxBackOff + every)
		for _, d := range devices {
			everySlot(t, sink.from(d.ID, 0), every)
			if !good(sink.from(d.ID, 0), 1) {
				t.Errorf("%s isn't back", d.ID)
			}
		}
	}, devices...)
}

// A busy device is asked again within its
// slot, and the others go in the meantime.
func TestBusyDeviceIsAskedAgain(t *testing.T) {
	var refusals atomic.Int32
	n := &pipeNet{}
	n.reply = func(request []byte) []byte {
		if request[6] == 1 && refusals.Add(-1) >= 0 {
			return refusal(request, 6)
		}
		return answerTo(request)
	}
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		pass(1500 * time.Millisecond)
		refusals.Store(3)
		pass(time.Second) // its slot is at 2 s
		expect(t, "asked", n.requests("bus:502/1")[2:], []time.Duration{millis(2000), millis(2050), millis(2150), millis(2350)})
		expect(t, "the other", n.requests("bus:502/2")[20:24], []time.Duration{millis(2050), millis(2150), millis(2250), millis(2350)})
		checkSamples(t, sink.from("busy", 0), 1, map[telemetry.SignalID]telemetry.Value{2: telemetry.UintValue(uint64(registerOf(1, 3, 0)))}, telemetry.NoReason)

		refusals.Store(1 << 20)
		pass(5 * time.Second)
		refusals.Store(0)
		pass(2 * time.Second)
		last := sink.from("busy", 3)
		if got := countBad(last, telemetry.Refused); got != 5 {
			t.Errorf("%d samples refused, expected those of 5 polls", got)
		}
		if s := a.Stats().Devices; s[0].Missed != 0 || s[0].Failed != 0 || s[1].Missed != 0 || s[1].Late != 0 {
			t.Errorf("%+v", s)
		}
		if got := live(sink.from("busy", 0), 1); slices.Contains(got, false) {
			t.Error("a busy device is said not to live")
		}
	}, device("busy", "bus", 1, 1, time.Second), device("other", "bus", 2, 11, 100*time.Millisecond))
}

// A device with a short slot isn't asked again beyond it.
func TestBusyDeviceKeepsToItsSlot(t *testing.T) {
	n := &pipeNet{reply: func(request []byte) []byte { return refusal(request, 6) }}
	inBubble(t, n, func(a *Adapter, _ *recorder) {
		pass(millis(990))
		// At 0, 50, 100, …: the next pause of 100 ms would end after the slot.
		if s := a.Stats().Devices[0]; s.Missed != 0 || s.Polls != 10 || len(n.requests("bus:502/1")) != 20 {
			t.Errorf("%+v, asked %v", s, n.requests("bus:502/1"))
		}
	}, device("busy", "bus", 1, 1, 100*time.Millisecond))
}

// A device that is at something long is asked for the rest in the next slot.
func TestAcknowledgeEndsThePoll(t *testing.T) {
	n := &pipeNet{}
	n.reply = func(request []byte) []byte {
		if time.Since(n.start) < 3500*time.Millisecond {
			return refusal(request, 5)
		}
		return answerTo(request)
	}
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		pass(4500 * time.Millisecond)
		if got := countBad(sink.from("d", 0), telemetry.Refused); got != 4*5 {
			t.Errorf("%d samples refused, expected those of 4 polls", got)
		}
		if asked := len(n.requests("bus:502/1")); asked != 4+5 {
			t.Errorf("asked %d times", asked)
		}
		if s := a.Stats().Devices[0]; s.Failed != 0 || !good(sink.from("d", 0), 1) {
			t.Errorf("%+v", s)
		}
	}, scattered(device("d", "bus", 1, 1, time.Second), 5))
}

func TestPauses(t *testing.T) {
	n := &pipeNet{}
	d := scattered(device("d", "bus", 1, 1, 2*time.Second), 3)
	d.Pause, d.PauseAfterConnect = 500*time.Millisecond, 300*time.Millisecond
	other := device("other", "bus", 2, 11, 2*time.Second)
	other.PauseAfterConnect = 200 * time.Millisecond
	inBubble(t, n, func(*Adapter, *recorder) {
		pass(3 * time.Second)
		expect(t, "asked", n.requests("bus:502/1"), []time.Duration{millis(300), millis(800), millis(1300), millis(2000), millis(2500), millis(3000)})
		// It goes while the first is left alone, not after it.
		expect(t, "the other", n.requests("bus:502/2"), seconds(1, 3))
	}, d, other)
}

// A connection on which nothing was heard since the last timeout may be dead
// without anybody having said so.
func TestDeadConnectionIsLeft(t *testing.T) {
	n := &pipeNet{}
	var dead atomic.Bool
	n.answer = func(byte) bool { return !dead.Load() }
	d := device("d", "bus", 1, 1, time.Second)
	d.Timeout = 400 * time.Millisecond
	inBubble(t, n, func(*Adapter, *recorder) {
		pass(1500 * time.Millisecond)
		dead.Store(true)
		pass(2 * time.Second) // the slots at 2 and 3 s
		expect(t, "dialled", n.dialled(), seconds(0))
		pass(time.Second)
		expect(t, "dialled", n.dialled(), seconds(0, 4))
	}, d)
}

// Many who ask without end slow polls down, and don't end them.
func TestPollsGoOnBesideManyCommands(t *testing.T) {
	n := &pipeNet{answer: func(byte) bool { time.Sleep(10 * time.Millisecond); return true }}
	d := device("d", "bus", 1, 10, 100*time.Millisecond)
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		pass(time.Second)
		first := sink.count("d")
		ctx, stop := context.WithCancel(context.Background())
		var asking sync.WaitGroup
		for range 5 {
			asking.Go(func() {
				for ctx.Err() == nil {
					a.ReadOnce(ctx, "d")
				}
			})
		}
		pass(10 * time.Second)
		stop()
		asking.Wait()
		if polls := sink.count("d") - first; polls < 90 {
			t.Errorf("%d polls in 10 s, expected almost 100", polls)
		}
	}, d)
}
