package modbus

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// allSlots fails the test if a slot of the device wasn't used.
func allSlots(t *testing.T, sink *recorder, device string) (polls int) {
	t.Helper()
	batches := sink.from(device, 0)
	if missed, spared := everySlot(t, batches, time.Second); missed+spared > 0 {
		t.Errorf("%s missed %d slots and spared %d", device, missed, spared)
	}
	return len(batches)
}

func with(devices []Device, at int, change func(*Device)) []Device {
	devices = slices.Clone(devices)
	devices[at].Points = slices.Clone(devices[at].Points)
	change(&devices[at])
	return devices
}

// Two share a bus, and a third has its own. Whatever becomes of one, the others have
// every slot, on the connection that they had.
func TestAChangedDeviceRestartsOnlyItself(t *testing.T) {
	devices := []Device{
		device("stays", "bus", 1, 10, time.Second), device("changes", "bus", 2, 20, time.Second), device("alone", "other", 1, 30, time.Second),
	}
	n := &pipeNet{answer: func(byte) bool { time.Sleep(100 * time.Millisecond); return true }}
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		change := func(devices []Device) {
			t.Helper()
			swapped := false
			if err := a.Change(devices, func() { swapped = true }); err != nil || !swapped {
				t.Fatal(err, swapped)
			}
		}
		pass(5050 * time.Millisecond) // in the middle of a poll
		change(with(devices, 1, func(d *Device) { d.Points[0].Address = 7 }))
		pass(3 * time.Second)
		changed := sink.from("changes", 0)
		if last := changed[len(changed)-1].Samples[0]; last.Value != telemetry.UintValue(uint64(registerOf(2, 3, 7))) {
			t.Errorf("%v is read, expected the value of another register", last.Value)
		}
		// Its period stays, and with it the grid.
		allSlots(t, sink, "changes")

		change(append(slices.Clone(devices), device("comes", "bus", 3, 40, time.Second), device("new", "third", 1, 50, time.Second)))
		pass(3 * time.Second)
		if sink.count("comes") < 2 || sink.count("new") < 2 {
			t.Errorf("%d and %d polls of devices that came", sink.count("comes"), sink.count("new"))
		}
		change(devices[:1])
		gone := sink.count("alone") + sink.count("new") + sink.count("changes")
		pass(3 * time.Second)
		if now := sink.count("alone") + sink.count("new") + sink.count("changes"); now != gone {
			t.Errorf("%d polls of devices that are gone", now-gone)
		}
		for _, d := range []string{"stays", "alone", "comes", "new"} {
			allSlots(t, sink, d)
		}
		if got := allSlots(t, sink, "stays"); got != 14 && got != 15 {
			t.Errorf("%d polls in 14 s", got)
		}
		if d := n.dialled(); len(d) != 3 {
			t.Errorf("connections at %v, expected one to each address", d)
		}
		if s := a.Stats(); len(s.Devices) != 1 || len(s.Endpoints) != 1 || s.Devices[0].Delivered != s.Devices[0].Polls {
			t.Errorf("%+v", s)
		}
	}, devices...)
}

// What has a bus of its own starts with its first unit and ends with its last, and
// starts anew with other settings of its line.
func TestABusFollowsItsUnits(t *testing.T) {
	n := &pipeNet{}
	first := device("d", "one", 1, 10, time.Second)
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		pass(2500 * time.Millisecond)
		if err := a.Change([]Device{device("d", "two", 1, 10, time.Second)}, func() {}); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second)
		expect(t, "one is asked", n.requests("one:502/1"), seconds(0, 1, 2))
		expect(t, "two is asked", n.requests("two:502/1"), seconds(3, 4, 5))
		if s := a.Stats(); s.Devices[0].Polls != 6 || len(s.Endpoints) != 1 || s.Endpoints[0].Endpoint != "two:502" {
			t.Errorf("%+v", s)
		}
	}, first)

	lines := &lines{}
	synctest.Test(t, func(t *testing.T) {
		d := first
		d.Endpoint = "rtu:///dev/a?baud=9600"
		a, err := New(Config{Devices: []Device{d}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		a.opener.serial = lines.open
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx, newRecorder()) }()
		pass(3 * time.Second)
		d.Endpoint = "rtu:///dev/a?baud=9600&parity=E" // the default
		if err := a.Change([]Device{d}, func() {}); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second)
		d.Endpoint = "rtu:///dev/a?baud=19200"
		if err := a.Change([]Device{d}, func() {}); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if !slices.Equal(lines.opened, []int{9600, 19200}) || lines.both {
		t.Errorf("opened with %v baud, twice at a time: %v", lines.opened, lines.both)
	}
}

// lines are serial ports on which nobody answers.
type lines struct {
	opened []int // with so many baud
	now    atomic.Int32
	both   bool
}

func (l *lines) open(_ string, line Line) (port, error) {
	near, far := net.Pipe()
	l.opened = append(l.opened, line.Baud)
	l.both = l.now.Add(1) > 1 || l.both
	return &pipePort{near, far, l}, nil
}

type pipePort struct {
	net.Conn
	far   net.Conn
	lines *lines
}

func (*pipePort) Write(b []byte) (int, error) { return len(b), nil }

func (p *pipePort) Close() error {
	p.lines.now.Add(-1)
	p.far.Close()
	return p.Conn.Close()
}

// Whoever waits to see whether a changed device answers needn't wait for its period.
func TestAChangedDeviceOfALongPeriodIsPolledSoon(t *testing.T) {
	var devices []Device
	for unit := range byte(8) {
		devices = append(devices, device(string('a'+rune(unit)), "bus", unit, telemetry.SignalID(10*int(unit)), time.Hour))
	}
	inBubble(t, &pipeNet{}, func(a *Adapter, sink *recorder) {
		pass(time.Minute)
		next := with(devices, 7, func(d *Device) { d.Points[0].Address = 7 })
		if err := a.Change(next, func() {}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if n := sink.count("h"); n != 2 {
			t.Errorf("%d polls", n)
		}
		if n := sink.count("a"); n != 1 {
			t.Errorf("%d polls of one that is the same", n)
		}
	}, devices...)
}

// What is learnt of a device that stays is known after the change, too.
func TestWhatWasLearntOutlivesAChange(t *testing.T) {
	n := &pipeNet{reply: func(request []byte) []byte {
		if request[9] == 200 {
			return refusal(request, 2)
		}
		return answerTo(request)
	}}
	d := scattered(device("d", "bus", 1, 10, time.Second), 2)
	e := device("e", "bus", 2, 100, time.Second)
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		pass(1500 * time.Millisecond)
		before := len(n.requests("bus:502/1"))
		if err := a.Change(with([]Device{d, e}, 1, func(d *Device) { d.Points[0].Address = 1 }), func() {}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if asked := len(n.requests("bus:502/1")) - before; asked != 1 {
			t.Errorf("asked %d times in a poll, expected once: what it refuses is found out anew", asked)
		}
		last := a.Last(context.Background(), "d")
		if !last.Polled || last.Cause != nil || last.Quality["A0"].Validity() != telemetry.Good || last.Quality["A1"].Reason() != telemetry.Refused {
			t.Errorf("%+v", last)
		}
	}, d, e)
}

// On an error everything is as it was.
func TestAChangeThatIsWrongChangesNothing(t *testing.T) {
	d := device("d", "bus", 1, 10, time.Second)
	inBubble(t, &pipeNet{}, func(a *Adapter, sink *recorder) {
		pass(time.Second)
		if err := a.Change([]Device{d, d}, func() { t.Error("swapped") }); err == nil {
			t.Error("a device is there twice")
		}
		pass(time.Second)
		if sink.count("d") != 3 {
			t.Errorf("%d polls", sink.count("d"))
		}
	}, d)
	synctest.Test(t, func(t *testing.T) {
		a, err := New(Config{Devices: []Device{d}})
		if err != nil {
			t.Fatal(err)
		}
		e := device("e", "bus", 1, 10, time.Second)
		if err := a.Change([]Device{e}, func() {}); err != nil || a.units[0].ID != "e" {
			t.Errorf("before Run: %v", err)
		}
		n := &pipeNet{start: time.Now(), asked: map[string][]time.Duration{}}
		a.opener.dial = n.dial
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := a.Run(ctx, newRecorder()); err != nil {
			t.Fatal(err)
		}
		if err := a.Change([]Device{d}, func() { t.Error("swapped") }); !errors.Is(err, errStopped) {
			t.Errorf("after Run: %v", err)
		}
	})
}

// Nobody who goes delivers after the swap, and nobody who comes before it.
func TestTheSwapIsBetween(t *testing.T) {
	n := &pipeNet{answer: func(byte) bool { time.Sleep(20 * time.Millisecond); return true }}
	old, next := device("d", "bus", 1, 10, 50*time.Millisecond), device("d", "bus", 1, 20, 50*time.Millisecond)
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		for range 20 {
			pass(333 * time.Millisecond)
			first := sink.count("d")
			before := 0
			err := a.Change([]Device{next}, func() {
				time.Sleep(time.Second)
				before = sink.count("d")
			})
			if err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
			for i, b := range sink.from("d", first) {
				want := next.Points[0].Signal
				if first+i < before {
					want = old.Points[0].Signal
				}
				if b.Samples[0].Signal != want {
					t.Fatalf("poll %d, %d before the swap, has signal %d", first+i, before, b.Samples[0].Signal)
				}
			}
			old, next = next, old
		}
	}, old)
}

// Whatever becomes of others, at whatever moment: who is the same has every slot, each
// batch is of the configuration of its time.
func TestAnySequenceOfChanges(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 0))
		choose := func() (devices []Device) {
			for i := range 6 {
				if random.IntN(4) == 0 && len(devices) > 0 {
					continue
				}
				d := device(string('a'+rune(i)), string('x'+rune(random.IntN(8)/6)), byte(i), telemetry.SignalID(100*i+10), time.Second)
				d = scattered(d, 2)
				d.Pause = 20 * time.Millisecond // between the two, others go
				if random.IntN(3) == 0 {
					d.Live, d.Points[0].Signal, d.Points[0].Address = d.Live+20, d.Points[0].Signal+20, 7
				}
				devices = append(devices, d)
			}
			return devices
		}
		n := &pipeNet{answer: func(byte) bool { time.Sleep(30 * time.Millisecond); return true }}
		devices := choose()
		inBubble(t, n, func(a *Adapter, sink *recorder) {
			since := map[string]int{} // the first batch of a device as it is
			for range 12 {
				pass(time.Duration(random.IntN(3000)) * time.Millisecond)
				next := choose()
				counts := map[string]int{}
				if err := a.Change(next, func() {
					for _, d := range devices {
						counts[d.ID] = sink.count(d.ID)
					}
				}); err != nil {
					t.Fatal(err)
				}
				for _, d := range devices {
					at := slices.IndexFunc(next, func(o Device) bool { return reflect.DeepEqual(o, d) })
					if at >= 0 {
						continue // it goes on
					}
					checkBatches(t, seed, d, sink.from(d.ID, since[d.ID])[:counts[d.ID]-since[d.ID]])
					since[d.ID] = counts[d.ID]
				}
				for _, d := range next {
					if _, seen := counts[d.ID]; !seen {
						since[d.ID] = sink.count(d.ID)
					}
				}
				devices = next
			}
			pass(time.Second)
			for _, d := range devices {
				checkBatches(t, seed, d, sink.from(d.ID, since[d.ID]))
			}
		}, devices...)
	}
}

func checkBatches(t *testing.T, seed uint64, d Device, batches []adapters.Batch) {
	t.Helper()
	if missed, spared := everySlot(t, batches, time.Second); missed+spared > 0 {
		t.Errorf("seed %d: %s missed %d slots and spared %d", seed, d.ID, missed, spared)
	}
	for _, b := range batches {
		if b.Samples[0].Signal != d.Points[0].Signal {
			t.Errorf("seed %d: %s has signal %d, expected %d", seed, d.ID, b.Samples[0].Signal, d.Points[0].Signal)
		}
	}
}

// Whoever asks in the middle of a poll is told of a whole one.
func TestTheLastPollIsAWholeOne(t *testing.T) {
	var silent atomic.Bool
	n := &pipeNet{answer: func(byte) bool { return !silent.Load() }}
	inBubble(t, n, func(a *Adapter, sink *recorder) {
		if last := a.Last(context.Background(), "none"); last.Polled {
			t.Errorf("%+v of a device that there isn't", last)
		}
		pass(time.Second)
		if last := a.Last(context.Background(), "d"); !last.Polled || last.Cause != nil || last.Quality["A"].Validity() != telemetry.Good {
			t.Errorf("%+v", last)
		}
		silent.Store(true)
		pass(3500 * time.Millisecond) // in the third poll
		if last := a.Last(context.Background(), "d"); last.Cause == nil || last.Quality["A"].Reason() != telemetry.Timeout {
			t.Errorf("%+v", last)
		}
	}, device("d", "bus", 1, 10, 2*time.Second))
}
