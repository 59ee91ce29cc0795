package account

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// busy is a ledger of 100 meters in the second of two open quarter-hours.
func busy(meterCount int) *Ledger {
	l := New(Options{Epoch: 7, Devices: meters(meterCount)})
	for _, at := range []telemetry.Micros{noon, noon + telemetry.Quarter} {
		l.Tick(at)
		for s := range telemetry.Micros(100) {
			for m := range meterCount {
				due := at + s*second + telemetry.Micros(m)*1000
				reason := telemetry.NoReason
				if m%10 == 3 {
					reason = telemetry.Timeout
				}
				l.Count(due, poll(m, due, reason), []Slot{{Device: m, Due: due}})
			}
		}
	}
	return l
}

func TestStateOf100Devices(t *testing.T) {
	l := busy(100)
	for _, i := range l.intervals { // as large as counts get at 60 values a second
		for k := range i.counts {
			i.counts[k].read *= 180
			i.counts[k].delivered *= 180
		}
	}
	state := l.AppendState(nil, noon+telemetry.Quarter+100*second, 0)
	t.Logf("%d bytes", len(state))
	if len(state) > 3000 {
		t.Errorf("the state has %d bytes", len(state))
	}
	restored := New(Options{Epoch: 8, Devices: meters(100)})
	if _, err := restored.Restore(state, nil); err != nil {
		t.Fatal(err)
	}
	same(t, "last slots", restored.before, l.last)
	want := l.Due(noon, true)
	for i := range want {
		want[i].Revision++
	}
	same(t, "accounts", restored.Due(noon, true), want)
}

func TestRestoreRefuses(t *testing.T) {
	state := busy(3).AppendState(nil, noon, 0)
	for i := range state {
		for bit := range 8 {
			broken := bytes.Clone(state)
			broken[i] ^= 1 << bit
			l := New(Options{Epoch: 8, Devices: meters(3)})
			if _, err := l.Restore(broken, nil); err == nil || l.AnyDue(noon) || l.Alive() != 0 {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
	for n := range state {
		if _, err := New(Options{Epoch: 8}).Restore(state[:n], nil); err == nil {
			t.Errorf("%d bytes of %d were taken", n, len(state))
		}
	}
	committed := []telemetry.Committed{{Epoch: record.Epoch(7).String(), Stream: "telemetry", Count: 2 * 100 * 3 * 3}}
	if _, err := New(Options{Epoch: 8, Devices: meters(3)}).Restore(state, committed); err != nil {
		t.Errorf("a state that has counted all: %v", err)
	}
	committed[0].Count++
	if _, err := New(Options{Epoch: 8, Devices: meters(3)}).Restore(state, committed); err == nil {
		t.Error("a state that doesn't know of a committed sample was taken")
	}
	if _, err := New(Options{Epoch: 7, Devices: meters(3)}).Restore(state, nil); err == nil {
		t.Error("the state of this very process was taken")
	}
}

// Whatever the bytes are, Restore neither panics nor keeps what its own state
// doesn't give back.
func FuzzRestore(f *testing.F) {
	l := busy(3)
	f.Add(l.AppendState(nil, noon, 0))
	next := New(Options{Epoch: 8, Devices: meters(2)})
	if _, err := next.Restore(l.AppendState(nil, noon, 0), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(next.AppendState(nil, noon+5, 0)) // with an earlier epoch, and down not counted
	f.Add(New(Options{}).AppendState(nil, 0, 0))
	f.Fuzz(func(t *testing.T, state []byte) {
		if len(state) > 4 { // the checksum isn't what is tested
			body := state[:len(state)-4]
			state = binary.LittleEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, castagnoli))
		}
		l := New(Options{Epoch: 99, Devices: meters(3)})
		if _, err := l.Restore(state, nil); err != nil {
			return
		}
		again := New(Options{Epoch: 100, Devices: meters(3)})
		if _, err := again.Restore(l.AppendState(nil, l.Alive(), 0), nil); err != nil {
			t.Fatal(err)
		}
		same(t, "last slots", again.before, l.before)
		want := l.Due(noon, true)
		for i := range want {
			want[i].Revision++
		}
		same(t, "accounts", again.Due(noon, true), want)
		l.CountDown(noon)
		l.Due(noon, true)
		l.Told(noon)
	})
}
