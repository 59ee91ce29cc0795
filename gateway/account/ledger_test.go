package account

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

const second = telemetry.Micros(1_000_000)

// noon is the start of a quarter-hour.
const noon = telemetry.Micros(1_790_000_100_000_000) / telemetry.Quarter * telemetry.Quarter

// meters are devices of three points that are read every second: signals 10n to
// 10n+2 and 10n+9, which the gateway adds.
func meters(n int) []Device {
	var devices []Device
	for i := range n {
		base := telemetry.SignalID(10 * (i + 1))
		devices = append(devices, Device{
			ID: fmt.Sprintf("meter-%02d", i), Every: time.Second,
			Signals: []telemetry.SignalID{base, base + 1, base + 2}, Own: []telemetry.SignalID{base + 9},
		})
	}
	return devices
}

// poll is what one slot of a meter gives.
func poll(meter int, at telemetry.Micros, reason telemetry.Reason) []telemetry.Sample {
	var samples []telemetry.Sample
	for i := range 3 {
		s := telemetry.Sample{Time: at, Signal: telemetry.SignalID(10*(meter+1) + i), Value: telemetry.FloatValue(230)}
		if reason != telemetry.NoReason {
			s.Value, s.Quality = telemetry.Value{}, telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, reason)
		}
		samples = append(samples, s)
	}
	return samples
}

// device finds the newest account of a device in an interval.
func device(t *testing.T, accounts []telemetry.Account, name string, from telemetry.Micros) telemetry.DeviceAccount {
	t.Helper()
	for i := len(accounts) - 1; i >= 0; i-- {
		for _, d := range accounts[i].Devices {
			if accounts[i].From == from && d.Device == name {
				return d
			}
		}
	}
	t.Fatalf("no account of %s from %d in %+v", name, from, accounts)
	return telemetry.DeviceAccount{}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func TestAQuarterHourIsTold(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(2)})
	l.Tick(noon)
	own := telemetry.Sample{Time: noon, Signal: 19, Value: telemetry.BoolValue(true)}
	l.Count(noon+1, append(poll(0, noon, telemetry.NoReason), own), []Slot{{Device: 0, Due: noon}})
	l.Count(noon+9*second, poll(0, noon+9*second, telemetry.Timeout),
		[]Slot{{Device: 0, Due: noon + 9*second, Missed: 3, Spared: 5, SparedFor: telemetry.NotConnected, Suppressed: 2}})
	l.Discard(noon+10*second, poll(0, noon+10*second, telemetry.NoReason), []Slot{{Device: 0, Due: noon + 10*second}})
	end := noon + telemetry.Quarter
	if l.Due(end-1, false) != nil || l.AnyDue(end-1) {
		t.Error("told before the quarter-hour is over")
	}
	due := l.Due(end, false)
	if len(due) != 1 || due[0].Epoch != "0000000000000007" || due[0].From != noon || due[0].To != end || due[0].Revision != 1 {
		t.Fatalf("%+v", due)
	}
	same(t, "meter-00", device(t, due, "meter-00", noon), telemetry.DeviceAccount{
		Device: "meter-00", Scheduled: 6 + 3 + 15 + 9 + 2, Read: 6, Suppressed: 2, Missed: 9, Delivered: 7,
		Bad: map[string]uint64{"timeout": 3, "not connected": 15},
	})
	same(t, "meter-01", device(t, due, "meter-01", noon), telemetry.DeviceAccount{Device: "meter-01"})

	// Until it is told, it is due; afterwards only what comes late is.
	same(t, "again", l.Due(end, false), due)
	l.Told(end)
	if l.Due(end+second, false) != nil {
		t.Error("told twice")
	}
	before := l.Changes()
	if l.Tick(noon); l.Changes() != before {
		t.Error("time alone changes an account")
	}
	l.Count(end+second, poll(1, noon+telemetry.Quarter-1, telemetry.NoReason), nil)
	if l.Due(end+2*second, false) != nil {
		t.Error("told again before it was quiet")
	}
	late := l.Due(end+20*second, false)
	if len(late) != 1 || late[0].Revision != 2 || device(t, late, "meter-01", noon).Read != 3 || device(t, late, "meter-00", noon).Read != 6 {
		t.Errorf("late: %+v", late)
	}
}

// What comes while an account is being committed is told in the next.
func TestChangesWhileTelling(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(1)})
	l.Count(noon, poll(0, noon, telemetry.NoReason), nil)
	l.Due(noon, true)
	l.Discard(noon, poll(0, noon, telemetry.NoReason), nil)
	l.Told(noon)
	due := l.Due(noon, true)
	if len(due) != 1 || due[0].Revision != 2 || device(t, due, "meter-00", noon).Read != 6 {
		t.Errorf("%+v", due)
	}
}

// A gateway whose clock isn't set goes on from before, once the time is known.
func TestTheTimeIsKnownLater(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(1)})
	l.Count(noon, nil, []Slot{{Due: noon + second}})
	state := l.AppendState(nil, noon+second, 0)
	l = restart(t, state, 8, meters(1))
	l.Count(noon+20*second, nil, []Slot{{Due: noon + 20*second}})
	l = restart(t, l.AppendState(nil, noon+20*second, 0), 9, meters(1))
	l.Count(noon+32*second, nil, []Slot{{Due: noon + 32*second}})
	l.CountDown(noon + 30*second)
	same(t, "down", device(t, l.Due(noon+40*second, true), "meter-00", noon).Down, uint64(3*29))
	if l.last[0] != noon+32*second {
		t.Errorf("the last slot is %d s after noon", (l.last[0]-noon)/second)
	}
}

// Slots that were not used count where they were due.
func TestUnusedSlotsCountInTheirQuarterHour(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(1)})
	l.Count(noon, nil, []Slot{{Due: noon + 3*second, Missed: 5, Spared: 4, SparedFor: telemetry.Timeout}})
	due := l.Due(noon, true)
	before, after := device(t, due, "meter-00", noon-telemetry.Quarter), device(t, due, "meter-00", noon)
	// Missed at −2 to 2 s, spared at −6 to −3 s.
	same(t, "before", before, telemetry.DeviceAccount{Device: "meter-00", Scheduled: 18, Missed: 6, Bad: map[string]uint64{"timeout": 12}})
	same(t, "after", after, telemetry.DeviceAccount{Device: "meter-00", Scheduled: 9, Missed: 9})
}

func restart(t *testing.T, state []byte, epoch record.Epoch, devices []Device) *Ledger {
	t.Helper()
	l := New(Options{Epoch: epoch, Devices: devices})
	if _, err := l.Restore(state, nil); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAKilledGatewayTellsWhatItHadCommitted(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(2)})
	l.Tick(noon)
	l.Count(noon+2*second, poll(0, noon+second, telemetry.NoReason), []Slot{{Device: 0, Due: noon + second}})
	state := l.AppendState(nil, noon+2*second, 0)
	l.Count(noon+3*second, poll(0, noon+2*second, telemetry.NoReason), []Slot{{Device: 0, Due: noon + 2*second}}) // not committed

	// meter-01 had no slot yet; new has had none ever.
	devices := append(meters(2), Device{ID: "new", Every: time.Second, Signals: []telemetry.SignalID{99}})
	l = restart(t, state, 8, devices)
	if l.Alive() != noon+2*second {
		t.Errorf("alive %d", l.Alive())
	}
	l.CountDown(noon + 10*second)
	l.CountDown(noon + 500*second) // once is enough
	due := l.Due(noon+11*second, true)
	if len(due) != 2 || due[0].Epoch != record.Epoch(7).String() || due[0].Revision != 2 || due[1].Epoch != record.Epoch(8).String() {
		t.Fatalf("%+v", due)
	}
	same(t, "committed", device(t, due[:1], "meter-00", noon), telemetry.DeviceAccount{Device: "meter-00", Scheduled: 3, Read: 3, Delivered: 3})
	same(t, "down", due[1].Devices, []telemetry.DeviceAccount{{Device: "meter-00", Scheduled: 27, Down: 27}}) // 2 to 10 s

	// Killed again before anything was read: nothing is counted twice.
	again := restart(t, l.AppendState(nil, noon+11*second, 0), 9, devices)
	again.CountDown(noon + 20*second)
	due = again.Due(noon+20*second, true)
	same(t, "down again", device(t, due, "meter-00", noon), telemetry.DeviceAccount{Device: "meter-00", Scheduled: 30, Down: 30}) // 11 to 20 s
	if len(due) != 3 || due[1].Epoch != record.Epoch(7).String() && due[1].Epoch != record.Epoch(8).String() {
		t.Errorf("the accounts that weren't told are due: %+v", due)
	}
}

func TestALongTimeDownIsOneAccount(t *testing.T) {
	devices := meters(2)
	devices[1].Every = time.Hour
	l := New(Options{Epoch: 7, Devices: devices})
	l.Count(noon, nil, []Slot{{Device: 0, Due: noon + 100*second}, {Device: 1, Due: noon + 100*second}})
	state := l.AppendState(nil, noon+101*second, 0)
	for _, quarters := range []telemetry.Micros{1, 3, 96 * 40} {
		l := restart(t, state, 8, devices)
		at := noon + quarters*telemetry.Quarter + 300*second + second/2
		l.CountDown(at)
		var total, hourly uint64
		for _, a := range l.Due(at, true) {
			if a.Epoch != record.Epoch(8).String() {
				continue
			}
			if a.To-a.From > maxDown || a.To-a.From > telemetry.Quarter && (a.From < noon+telemetry.Quarter || a.To > at) {
				t.Errorf("%d quarter-hours: an account from %d to %d", quarters, a.From, a.To)
			}
			for _, d := range a.Devices {
				if d.Scheduled != d.Down {
					t.Errorf("%+v", d)
				}
				if d.Device == "meter-00" {
					total += d.Down
				} else {
					hourly += d.Down
				}
			}
		}
		seconds := (quarters*telemetry.Quarter + 200*second) / second
		hours := seconds / 3600
		if quarters > 1000 { // 31 days, from a whole quarter-hour on
			seconds = (31*96-1)*900 + 300 + 1
			hours = (seconds + 3599) / 3600
		}
		if total != uint64(3*seconds) || hourly/3 != uint64(hours) && hourly/3+1 != uint64(hours) {
			t.Errorf("%d quarter-hours: %d down, expected %d, of the hourly %d, expected %d", quarters, total, 3*seconds, hourly, 3*hours)
		}
		if n := len(l.Due(at, true)); n > 4 {
			t.Errorf("%d accounts", n)
		}
	}
}

// A clock that isn't set doesn't make accounts of 1970, nor one that steps many.
func TestClocksThatAreWrong(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(1)})
	l.Tick(0)
	for _, at := range []telemetry.Micros{0, -1, 5 * second, noon + 25*3600*second, 1 << 62, -1 << 62} {
		l.Count(noon, poll(0, at, telemetry.NoReason), []Slot{{Due: at, Missed: 1}})
	}
	if due := l.Due(noon, true); due != nil || l.LeftOut() == 0 {
		t.Errorf("%d left out, due %+v", l.LeftOut(), due)
	}
	for i := range telemetry.Micros(100) {
		now := noon + i*telemetry.Quarter
		l.Count(now, poll(0, now, telemetry.NoReason), nil)
		l.Due(now, true)
		if l.Told(now); len(l.intervals) > l.maxIntervals {
			t.Fatalf("%d intervals", len(l.intervals))
		}
	}
	// Told and forgotten: counting from 0 again would replace what was told.
	l.Count(noon, poll(0, noon, telemetry.NoReason), nil)
	if due := l.Due(noon+200*telemetry.Quarter, true); due != nil {
		t.Errorf("a closed quarter-hour was opened again: %+v", due)
	}
}

func TestAccountsAreSplit(t *testing.T) {
	var devices []Device
	for i := range 450 {
		devices = append(devices, Device{ID: fmt.Sprintf("%d-%s", i, strings.Repeat("x", 250)), Every: time.Second, Signals: []telemetry.SignalID{telemetry.SignalID(i)}})
	}
	l := New(Options{Epoch: 1<<64 - 1, Devices: devices})
	l.Tick(noon)
	for _, i := range l.intervals {
		for k := range i.counts {
			i.counts[k].each(func(_ int, n *uint64) { *n = 1 << 40 })
		}
	}
	named := map[string]bool{}
	for _, a := range l.Due(noon, true) {
		text, err := json.Marshal(telemetry.Event{Kind: telemetry.SamplesCounted, Time: a.From, Decided: a.To, Account: &a})
		if err != nil || len(text) > 256<<10 {
			t.Errorf("%d bytes, %v", len(text), err)
		}
		for _, d := range a.Devices {
			named[d.Device] = true
		}
	}
	if len(named) != len(devices) {
		t.Errorf("%d devices in the accounts", len(named))
	}
}

// A clock that is set back while samples wait for their commit doesn't take them out
// of their quarter-hour.
func TestTheClockIsSetBackBeforeACommit(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(1)})
	ahead := noon + 48*3600*second
	l.Tick(ahead)
	l.Count(noon, poll(0, ahead+second, telemetry.NoReason), []Slot{{Due: ahead + second, Missed: 1}})
	if d := device(t, l.Due(noon, true), "meter-00", ahead); d.Read != 3 || d.Missed != 3 || l.LeftOut() != 0 {
		t.Errorf("%+v, %d left out", d, l.LeftOut())
	}
}

// A clock that is set back by hours, as one is that had the local time, comes through
// quarter-hours that have been told: they go on where they were.
func TestTheClockIsSetBackByHours(t *testing.T) {
	for _, back := range []telemetry.Micros{2, 9, 23} {
		l := New(Options{Epoch: 7, Devices: meters(2)})
		told := map[telemetry.Micros]telemetry.Account{}
		quarters := func(from telemetry.Micros, n int) {
			for i := range n {
				now := from + telemetry.Micros(i)*telemetry.Quarter
				l.Tick(now)
				l.Count(now, poll(0, now, telemetry.NoReason), []Slot{{Due: now}})
				for _, a := range l.Due(now+1, true) {
					if before := told[a.From]; a.Revision <= before.Revision {
						t.Fatalf("revision %d follows %d", a.Revision, before.Revision)
					}
					told[a.From] = a
				}
				l.Told(now + 1)
			}
		}
		quarters(noon, 24*4)
		quarters(noon+(24-back)*4*telemetry.Quarter, int(back)*4+8)
		for from, a := range told {
			want := uint64(3)
			if from >= noon+(24-back)*4*telemetry.Quarter && from < noon+24*4*telemetry.Quarter {
				want = 6
			}
			if d := a.Devices[0]; d.Read != want || d.Delivered != want || len(a.Devices) != 2 {
				t.Errorf("%d hours back: %d quarter-hours from noon: %+v, want %d read", back, (from-noon)/telemetry.Quarter, a.Devices, want)
			}
		}
		if l.LeftOut() != 0 || len(told) != 24*4+8 {
			t.Errorf("%d hours back: %d left out, %d told", back, l.LeftOut(), len(told))
		}
		if len(l.intervals) > maxQuiet+1 {
			t.Errorf("%d intervals", len(l.intervals))
		}
	}
}

// A machine that has slept went by the slots meanwhile, and none of them is told as
// missed: its timers stood still.
func TestAMachineThatSlept(t *testing.T) {
	for _, asleep := range []telemetry.Micros{4, 3000} {
		l := New(Options{Epoch: 7, Devices: meters(1)})
		for s := range telemetry.Micros(10) {
			l.Count(noon, poll(0, noon+s*second, telemetry.NoReason), []Slot{{Due: noon + s*second, Steady: s > 0}})
		}
		again := noon + (9+asleep)*second + 700_000
		l.Count(again, nil, []Slot{{Due: again, Missed: 1, Steady: true}})
		l.Count(again, nil, []Slot{{Due: again + second, Steady: true}})
		// The clock was set: nobody slept.
		l.Count(again, nil, []Slot{{Due: again + 500*second}})
		var sum telemetry.DeviceAccount
		for _, a := range l.Due(again, true) {
			sum.Down += a.Devices[0].Down
			sum.Missed += a.Devices[0].Missed
			sum.Scheduled += a.Devices[0].Scheduled
		}
		same(t, "in all", sum, telemetry.DeviceAccount{Scheduled: 30 + uint64(3*asleep), Missed: 3, Down: uint64(3 * (asleep - 1))})
	}
}
