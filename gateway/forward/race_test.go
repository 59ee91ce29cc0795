package forward

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar/busbar/telemetry/record"
)

// wire is a sink that hands messages over in order, each after a time that delay
// says, and answers nothing while that is negative.
type wire struct {
	delay   func() time.Duration
	arrives func(n uint64)

	mu    sync.Mutex
	queue []racing
	sent  []uint64
	wake  chan struct{}
	end   chan struct{}
}

type racing struct {
	n    uint64
	done func(error)
}

func newWire(delay func() time.Duration, arrives func(uint64)) *wire {
	w := &wire{delay: delay, arrives: arrives, wake: make(chan struct{}, 1), end: make(chan struct{})}
	go w.run()
	return w
}

func (w *wire) run() {
	for {
		select {
		case <-w.end:
			return
		case <-w.wake:
		}
		for {
			d := w.delay()
			w.mu.Lock()
			if len(w.queue) == 0 || d < 0 {
				w.mu.Unlock()
				break
			}
			next := w.queue[0]
			w.queue = w.queue[1:]
			w.mu.Unlock()
			select {
			case <-w.end:
				next.done(io.ErrClosedPipe)
				return
			case <-time.After(d):
			}
			w.arrives(next.n)
			next.done(nil)
		}
	}
}

func (w *wire) Produce(m record.Message, done func(error)) {
	n := binary.BigEndian.Uint64(m.Value)
	w.mu.Lock()
	w.queue = append(w.queue, racing{n, done})
	w.sent = append(w.sent, n)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// refuse fails everything that waits.
func (w *wire) refuse(err error) {
	w.mu.Lock()
	all := w.queue
	w.queue = nil
	w.mu.Unlock()
	for _, r := range all {
		r.done(err)
	}
}

func (w *wire) carried() []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sent)
}

func (w *wire) Check(context.Context) error { return nil }
func (w *wire) Warm(context.Context)        {}
func (w *wire) Close() {
	close(w.end)
	w.refuse(io.ErrClosedPipe)
}

// raceRig is a race of two wires.
type raceRig struct {
	*race
	first, second *wire
	answers       map[uint64][]error
	arrived       []uint64 // in the log, by either
}

func newRaceRig(patience time.Duration, first, second func() time.Duration) *raceRig {
	r := &raceRig{answers: map[uint64][]error{}}
	var mu sync.Mutex
	arrives := func(n uint64) {
		mu.Lock()
		defer mu.Unlock()
		r.arrived = append(r.arrived, n)
	}
	r.first, r.second = newWire(first, arrives), newWire(second, arrives)
	r.race = newRace(r.first, r.second, func() (time.Duration, bool) { return patience, true })
	return r
}

func (r *raceRig) produce(from, to uint64) {
	for n := from; n < to; n++ {
		r.Produce(record.Message{Value: binary.BigEndian.AppendUint64(nil, n)}, func(err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.answers[n] = append(r.answers[n], err)
		})
	}
}

// succeeded is how many messages have been answered once and with success.
func (r *raceRig) succeeded() (count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.answers {
		if len(a) == 1 && a[0] == nil {
			count++
		}
	}
	return count
}

func after(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

const silent = -1

// The second way is opened by the first message, and used by no other that is
// acknowledged in time.
func TestSecondWayIsForWhatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRaceRig(100*time.Millisecond, after(10*time.Millisecond), after(10*time.Millisecond))
		r.produce(0, 1)
		time.Sleep(time.Second)
		r.produce(1, 6)
		time.Sleep(time.Second)
		if r.succeeded() != 6 || !slices.Equal(r.second.carried(), []uint64{0}) {
			t.Errorf("%d succeeded, the second way carried %v", r.succeeded(), r.second.carried())
		}
		r.Close()
	})
}

func TestSecondWayReplacesADeadOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRaceRig(100*time.Millisecond, after(silent), after(10*time.Millisecond))
		r.produce(0, 1)
		time.Sleep(time.Second)
		r.produce(1, 4)
		time.Sleep(90 * time.Millisecond)
		if got := r.second.carried(); len(got) != 1 {
			t.Errorf("the second way carries %v too early", got)
		}
		time.Sleep(50 * time.Millisecond)
		if r.succeeded() != 4 || !slices.Equal(r.second.carried(), []uint64{0, 1, 2, 3}) {
			t.Errorf("%d succeeded, the second way carried %v", r.succeeded(), r.second.carried())
		}
		r.first.refuse(io.ErrUnexpectedEOF) // which is no news of what the log has
		r.Close()
		if r.succeeded() != 4 {
			t.Errorf("answers %v", r.answers)
		}
	})
}

func TestLongLineIsRacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRaceRig(0, after(time.Second), after(time.Second))
		r.produce(0, 3)
		synctest.Wait()
		if got := r.second.carried(); len(got) != 3 {
			t.Errorf("the second way carries %v", got)
		}
		time.Sleep(10 * time.Second)
		// Of so many messages it is their number that makes them late.
		r.produce(3, 3+mostRaced+20)
		synctest.Wait()
		if got := len(r.second.carried()); got > 3+mostRaced {
			t.Errorf("the second way carries %d of a storm", got)
		}
		r.Close()
	})
}

// What the first way refuses is refused. What the second way refuses isn't, and
// nothing goes that way later without it.
func TestFirstWayDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusal := errors.New("refused")
		r := newRaceRig(100*time.Millisecond, after(silent), after(silent))
		r.produce(0, 3)
		time.Sleep(200 * time.Millisecond)
		r.second.refuse(refusal)
		r.produce(3, 4)
		time.Sleep(secondRest / 2)
		if len(r.answers) > 0 || len(r.second.carried()) != 3 {
			t.Errorf("answers %v, the second way carried %v", r.answers, r.second.carried())
		}
		time.Sleep(secondRest)
		if got := r.second.carried(); !slices.Equal(got, []uint64{0, 1, 2, 0, 1, 2, 3}) {
			t.Errorf("the second way carried %v", got)
		}
		r.first.refuse(refusal)
		r.Close()
		for n := range uint64(4) {
			if a := r.answers[n]; len(a) != 1 || !errors.Is(a[0], refusal) {
				t.Errorf("message %d: %v", n, a)
			}
		}
	})
}

// However the two ways stall, messages come to the log in order, seen from the
// first time that each comes, and each is answered once.
func TestRaceKeepsOrder(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			stall := func() time.Duration {
				mu.Lock()
				defer mu.Unlock()
				if random.IntN(10) == 0 {
					return time.Duration(random.IntN(3000)) * time.Millisecond
				}
				return time.Duration(random.IntN(30)) * time.Millisecond
			}
			r := newRaceRig(100*time.Millisecond, stall, stall)
			const messages = 200
			for n := range uint64(messages) {
				r.produce(n, n+1)
				mu.Lock()
				pause := time.Duration(random.IntN(400)) * time.Millisecond
				mu.Unlock()
				time.Sleep(pause)
			}
			time.Sleep(10 * time.Minute)
			if r.succeeded() != messages {
				t.Errorf("seed %d: %d of %d messages were answered once and well", seed, r.succeeded(), messages)
			}
			var order []uint64
			seen := map[uint64]bool{}
			for _, n := range r.arrived {
				if !seen[n] {
					order = append(order, n)
				}
				seen[n] = true
			}
			if !slices.IsSorted(order) || len(order) != messages {
				t.Errorf("seed %d: %v", seed, order)
			}
			if len(r.second.carried()) < 5 {
				t.Errorf("seed %d: the second way carried %v", seed, r.second.carried())
			}
			r.Close()
		})
	}
}
