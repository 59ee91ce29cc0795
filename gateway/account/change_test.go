package account

import (
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// The first meter stays, the second is read more rarely and of one point, the third
// goes and a fourth comes, while slots of before are still on their way.
func TestAccountsFollowTheConfiguration(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(3)})
	l.Tick(noon)
	next := meters(4)
	next[1].Every, next[1].Signals = 10*time.Second, next[1].Signals[:1]
	places := l.Change(noon+2*second, []Device{next[3], next[0], next[1]})
	same(t, "places", places, []Place{{3, 0}, {0, 0}, {1, 1}})
	// What was asked for before.
	for meter := range 3 {
		l.Count(noon+3*second, poll(meter, noon+second, telemetry.NoReason), []Slot{{Device: meter, Due: noon + 3*second, Missed: 2}})
	}
	// And after.
	l.Count(noon+30*second, poll(1, noon+30*second, telemetry.NoReason)[:1], []Slot{{Device: 1, Schedule: 1, Due: noon + 30*second, Missed: 2}})
	l.Count(noon+30*second, poll(3, noon+30*second, telemetry.NoReason), []Slot{{Device: 3, Due: noon + 30*second}})
	l.Tick(noon + 31*second)
	l.Tick(noon + telemetry.Quarter)
	due := l.Due(noon+telemetry.Quarter+20*second, false)
	account := func(device string, read, missed, delivered uint64) telemetry.DeviceAccount {
		return telemetry.DeviceAccount{Device: device, Scheduled: read + missed, Read: read, Missed: missed, Delivered: delivered}
	}
	for _, want := range []telemetry.DeviceAccount{
		account("meter-00", 3, 6, 3), account("meter-01", 3+1, 6+2, 4), account("meter-02", 3, 6, 3), account("meter-03", 3, 0, 3),
	} {
		same(t, want.Device, device(t, due, want.Device, noon), want)
	}
	l.Told(noon + telemetry.Quarter + 20*second)
	// The next quarter-hour has no account of who is gone.
	due = l.Due(noon+2*telemetry.Quarter+20*second, false)
	for _, a := range due {
		for _, d := range a.Devices {
			if d.Device == "meter-02" {
				t.Errorf("the next quarter-hour has %+v", d)
			}
		}
	}
	if device(t, due, "meter-03", noon+telemetry.Quarter).Scheduled != 0 {
		t.Errorf("%+v", due)
	}
}

// A process that follows knows the devices as they were last, and counts nothing as
// down that nobody was to read.
func TestTheStateFollowsTheConfiguration(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(2)})
	for meter := range 2 {
		l.Count(noon, poll(meter, noon, telemetry.NoReason), []Slot{{Device: meter, Due: noon}})
	}
	l.Change(noon+second, meters(3)[1:])
	l.Count(noon+2*second, poll(2, noon+2*second, telemetry.NoReason), []Slot{{Device: 2, Due: noon + 2*second}})
	// A slot of the one that is gone may be counted after it went.
	l.Count(noon+2*second, nil, []Slot{{Device: 0, Due: noon + second}})
	after := New(Options{Epoch: 8, Devices: meters(3)})
	if _, err := after.Restore(l.AppendState(nil, noon+3*second, 0), nil); err != nil {
		t.Fatal(err)
	}
	after.CountDown(noon + 10*second)
	due := after.Due(noon+telemetry.Quarter+second, true)
	down := func(device string) (n uint64) {
		for _, a := range due {
			for _, d := range a.Devices {
				if d.Device == device {
					n += d.Down
				}
			}
		}
		return n
	}
	same(t, "down", []uint64{down("meter-00"), down("meter-01"), down("meter-02")}, []uint64{0, 3 * 10, 3 * 8})
}

// A quarter-hour that was told and forgotten when there were fewer devices can be
// opened again.
func TestAClosedQuarterHourGrows(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(1)})
	l.Count(noon, poll(0, noon, telemetry.NoReason), []Slot{{Device: 0, Due: noon}})
	for q := range telemetry.Micros(6) {
		at := noon + q*telemetry.Quarter
		l.Tick(at)
		l.Due(at+telemetry.Quarter, true)
		l.Told(at + telemetry.Quarter)
	}
	if len(l.closed) == 0 {
		t.Fatal("none is closed")
	}
	l.Change(noon+6*telemetry.Quarter, meters(2))
	l.Count(noon+6*telemetry.Quarter, poll(1, noon, telemetry.NoReason), nil)
	l.Count(noon+6*telemetry.Quarter, poll(0, noon, telemetry.NoReason), nil)
	due := l.Due(noon+7*telemetry.Quarter, true)
	if a, b := device(t, due, "meter-00", noon), device(t, due, "meter-01", noon); a.Read != 6 || b.Read != 3 {
		t.Errorf("%+v, %+v", a, b)
	}
}

// Slots that wait for the time say by which schedule they were.
func TestPollsOfTwoSchedulesWait(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(1)})
	next := meters(1)
	next[0].Every = 10 * time.Second
	l.Change(noon, next)
	text := l.AppendPolls(nil, []Slot{{Due: second, SinceBoot: true, Missed: 1}, {Schedule: 1, Due: 20 * second, SinceBoot: true, Missed: 1}})
	if err := l.CountHeld(noon, 7, nil, text, noon, true); err != nil {
		t.Fatal(err)
	}
	list, err := parsePolls(text)
	if err != nil || len(list) != 2 || list[0].every != second || list[1].every != 10*second {
		t.Errorf("%+v, %v", list, err)
	}
	if missed := device(t, l.Due(noon+telemetry.Quarter, true), "meter-00", noon).Missed; missed != 6 {
		t.Errorf("%d missed", missed)
	}
}
