package forward

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar/busbar/telemetry/record"
)

// A third way is made when the other two, which are used at once, are both late,
// and carries what waits then.
func TestThirdWayIsForWhatBothWaysAreLateWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var delay atomic.Int64
		delay.Store(int64(600 * time.Millisecond))
		slow := func() time.Duration { return time.Duration(delay.Load()) }
		inner := newRaceRig(0, slow, slow)
		third := newWire(after(600*time.Millisecond), func(uint64) {})
		var made atomic.Int64
		var fails atomic.Bool
		fails.Store(true)
		r := newRace(inner.race, Spare(func() (Sink, error) {
			if fails.Swap(false) {
				return nil, errors.New("no file descriptor is left")
			}
			made.Add(1)
			return third, nil
		}), func() (time.Duration, bool) { return time.Second, true })
		r.opened = true
		var answers atomic.Int64
		produce := func(n uint64) {
			r.Produce(record.Message{Value: binary.BigEndian.AppendUint64(nil, n)}, func(err error) {
				if err != nil {
					t.Error(err)
				}
				answers.Add(1)
			})
		}
		produce(0)
		time.Sleep(2 * time.Second)
		if made.Load() != 0 || !fails.Load() {
			t.Error("a third way is made that nobody needs")
		}
		delay.Store(int64(20 * time.Second))
		produce(1)
		time.Sleep(2 * time.Second)
		produce(2)
		if made.Load() != 0 || fails.Load() {
			t.Errorf("%d made, before the failure is forgotten: %v", made.Load(), fails.Load())
		}
		time.Sleep(secondRest)
		time.Sleep(time.Second)
		if got := third.carried(); !slices.Equal(got, []uint64{1, 2}) || made.Load() != 1 || answers.Load() != 3 {
			t.Errorf("the third way brought %v, %d answered", got, answers.Load())
		}
		produce(3)
		time.Sleep(1700 * time.Millisecond)
		if got := third.carried(); !slices.Equal(got, []uint64{1, 2, 3}) || made.Load() != 1 || answers.Load() != 4 {
			t.Errorf("the third way brought %v, %d answered", got, answers.Load())
		}
		r.Close()
	})
}

func TestNothingIsMadeOfAClosedSpare(t *testing.T) {
	s := Spare(func() (Sink, error) { t.Error("a sink is made"); return nil, nil })
	s.Close()
	var refused error
	s.Produce(record.Message{}, func(err error) { refused = err })
	s.Warm(t.Context())
	if refused == nil || s.Check(t.Context()) != nil {
		t.Errorf("%v", refused)
	}
}
