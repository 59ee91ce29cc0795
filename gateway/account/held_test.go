package account

import (
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// sinceBoot is what a meter gives while the time isn't known.
func sinceBoot(at telemetry.Micros, reason telemetry.Reason) []telemetry.Sample {
	samples := poll(0, at, reason)
	for i := range samples {
		samples[i].Quality = samples[i].Quality.WithTime(telemetry.SinceBoot)
	}
	return samples
}

func placed(samples []telemetry.Sample, boot telemetry.Micros) []telemetry.Sample {
	for i := range samples {
		samples[i].Time += boot
		samples[i].Quality = samples[i].Quality.WithTime(telemetry.GatewayTime)
	}
	return samples
}

func held(t *testing.T, l *Ledger, epoch record.Epoch, now telemetry.Micros, samples []telemetry.Sample, polls []byte, boot telemetry.Micros, known bool) {
	t.Helper()
	if err := l.CountHeld(now, epoch, placed(samples, boot), polls, boot, known); err != nil {
		t.Fatal(err)
	}
}

// What is read while the time isn't known counts where it belongs, afterwards: what
// is committed from its records, and what is discarded from memory.
func TestSamplesWaitForTheTime(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(1)})
	early := noon - 5*telemetry.Quarter
	slots := []Slot{{Due: 20 * second, SinceBoot: true}, {Due: 40 * second, Missed: 2, SinceBoot: true, Suppressed: 1}}
	samples := append(sinceBoot(20*second, telemetry.NoReason), sinceBoot(40*second, telemetry.Timeout)...)
	l.Count(early, samples, slots)
	polls := l.AppendPolls(nil, append(slots, Slot{Due: noon}))
	l.Discard(early, sinceBoot(41*second, telemetry.NoReason), []Slot{{Due: 41 * second, SinceBoot: true}})
	if due := l.Due(noon, true); due != nil || l.last[0] != 0 || l.Changes() != 0 {
		t.Errorf("accounts before the time is known: %+v", due)
	}
	boot := noon - 30*second
	held(t, l, 7, noon+30*second, samples, polls, boot, true)
	l.Place(noon+30*second, boot)
	l.Place(noon+30*second, noon) // once is enough
	due := l.Due(noon+30*second, true)
	same(t, "before noon", device(t, due, "meter-00", noon-telemetry.Quarter), telemetry.DeviceAccount{Device: "meter-00", Scheduled: 3, Read: 3, Delivered: 3})
	same(t, "after noon", device(t, due, "meter-00", noon), telemetry.DeviceAccount{
		Device: "meter-00", Scheduled: 13, Read: 3, Suppressed: 1, Missed: 6, Bad: map[string]uint64{"timeout": 3}, Delivered: 3,
	})
	if l.last[0] != noon+11*second || l.LeftOut() != 0 {
		t.Errorf("the last slot is %d s after noon, %d left out", (l.last[0]-noon)/second, l.LeftOut())
	}
}

func TestPollsComeBack(t *testing.T) {
	devices := meters(3)
	l := New(Options{Devices: devices})
	want := []Slot{
		{Device: 0, Due: 5 * second, SinceBoot: true},
		{Device: 0, Due: 6 * second, SinceBoot: true},
		{Device: 0, Due: 9 * second, Missed: 2, SinceBoot: true, Suppressed: 3},
		{Device: 2, Due: -second, Spared: 30, SparedFor: telemetry.NotConnected, SinceBoot: true},
	}
	text := l.AppendPolls(nil, []Slot{want[3], want[0], {Device: 1, Due: noon}, want[1], want[2]})
	list, err := parsePolls(text)
	if err != nil || len(list) != 2 || list[0].device != "meter-00" || list[1].device != "meter-02" || list[0].every != second || list[0].points != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	for i := range list {
		for k := range list[i].slots {
			list[i].slots[k].Device = 2 * i
		}
	}
	same(t, "slots", append(list[0].slots, list[1].slots...), want)
	if !Polls(text) || Polls(nil) || Polls(l.AppendPolls(nil, []Slot{{Due: noon}})) {
		t.Error("it isn't known whether there are polls")
	}
	for n := 1; n < len(text); n++ {
		if _, err := parsePolls(text[:n]); err == nil {
			t.Errorf("%d bytes of %d are polls", n, len(text))
		}
	}
	// Regular polls take few bytes.
	var slots []Slot
	for m := range 3 {
		for s := range telemetry.Micros(60) {
			slots = append(slots, Slot{Device: m, Due: (100 + s) * second, SinceBoot: true})
		}
	}
	if n := len(l.AppendPolls(nil, slots)); n > 4*len(slots)+100 {
		t.Errorf("%d bytes for %d slots", n, len(slots))
	}
}

// run is one process of a gateway: when it read the first slot and the last one,
// since the boot at noon.
type process struct {
	epoch       record.Epoch
	first, last telemetry.Micros
}

// Two processes are killed before the time is known, and a third one reads before and
// after. Each slot has one fate: read, or down between two processes.
func TestProcessesThatDidNotKnowTheTime(t *testing.T) {
	before := New(Options{Epoch: 1, Devices: meters(1)})
	before.Count(noon-100*second, nil, []Slot{{Due: noon - 100*second}})
	state := before.AppendState(nil, noon-99*second, 0)

	processes := []process{{2, 10, 19}, {3, 30, 34}, {4, 50, 59}}
	type waiting struct {
		epoch   record.Epoch
		samples []telemetry.Sample
		polls   []byte
	}
	var records []waiting
	var l *Ledger
	for _, p := range processes {
		l = restart(t, state, p.epoch, meters(1))
		for s := p.first; s <= p.last; s += 5 {
			var w waiting
			var slots []Slot
			for k := range telemetry.Micros(5) {
				w.samples = append(w.samples, sinceBoot((s+k)*second, telemetry.NoReason)...)
				slots = append(slots, Slot{Due: (s + k) * second, SinceBoot: true})
			}
			l.Count(noon, w.samples, slots)
			w.epoch, w.polls = p.epoch, l.AppendPolls(nil, slots)
			records = append(records, w)
		}
		state = l.AppendState(nil, noon, 7)
	}
	// The time is known; the third goes on, and is asked for its account.
	now := noon + 70*second
	for s := telemetry.Micros(60); s < 70; s++ {
		l.Count(now, poll(0, noon+s*second, telemetry.NoReason), []Slot{{Due: noon + s*second}})
	}
	for i, w := range records {
		held(t, l, w.epoch, now, w.samples, w.polls, noon, true)
		if i == 2 { // killed in the midst, behind a commit
			restored := New(Options{Epoch: 5, Devices: meters(1)})
			through, err := restored.Restore(l.AppendState(nil, now, 42), nil)
			if through != 42 || err != nil {
				t.Fatal(through, err)
			}
			told := l.Due(now, true)
			l = restored
			l.CountHeld(now, 9, nil, nil, 0, true)
			same(t, "told before", device(t, told, "meter-00", noon).Read, uint64(3*25))
		}
	}
	l.CountDown(now)
	var sum telemetry.DeviceAccount
	for _, a := range l.Due(now, true) {
		for _, d := range a.Devices {
			sum.Read += d.Read
			sum.Down += d.Down
			sum.Delivered += d.Delivered
			sum.Scheduled += d.Scheduled
		}
	}
	// From −99 to 69 s; of these 35 were read.
	want := telemetry.DeviceAccount{Scheduled: 3 * 169, Read: 3 * 35, Down: 3 * (169 - 35), Delivered: 3 * 35}
	// The fifth process began at 70 s.
	want.Scheduled += 3
	want.Down += 3
	same(t, "in all", sum, want)
}

// What a guess says isn't known: nothing is down by it.
func TestAGuessDoesNotSayWhatWasDown(t *testing.T) {
	l := New(Options{Epoch: 1, Devices: meters(1)})
	l.Count(noon, nil, []Slot{{Due: noon}})
	l = restart(t, l.AppendState(nil, noon, 0), 2, meters(1))
	slots := []Slot{{Due: 5 * second, SinceBoot: true}}
	held(t, l, 2, noon+600*second, sinceBoot(5*second, telemetry.NoReason), l.AppendPolls(nil, slots), noon+100*second, false)
	for _, a := range l.Due(noon+600*second, true) {
		if a.Epoch == record.Epoch(2).String() && a.Devices[0].Down != 0 {
			t.Errorf("%+v", a)
		}
	}
	l.CountDown(noon + 50*second)
	if n := device(t, l.Due(noon+600*second, true), "meter-00", noon).Down; n != 3*50 {
		t.Errorf("%d down", n)
	}
}

// Quarter-hours that were told are opened again for what had waited for a day.
func TestQuarterHoursAreOpenedAgain(t *testing.T) {
	l := New(Options{Epoch: 7, Devices: meters(1)})
	for i := range telemetry.Micros(96) {
		now := noon + i*telemetry.Quarter
		l.Count(now, poll(0, now, telemetry.NoReason), nil)
		l.Due(now, true)
		l.Told(now)
	}
	if len(l.intervals) != maxQuiet {
		t.Errorf("%d quarter-hours are kept", len(l.intervals))
	}
	now := noon + 96*telemetry.Quarter
	held(t, l, 7, now, sinceBoot(0, telemetry.NoReason), nil, noon, true)
	if due := l.Due(now, true); len(due) != 1 || due[0].From != noon || due[0].Revision != 2 || due[0].Devices[0].Read != 6 || l.LeftOut() != 0 {
		t.Errorf("%+v, %d left out", due, l.LeftOut())
	}
}

// FuzzPolls: whatever was committed beside held samples, it is counted or refused.
func FuzzPolls(f *testing.F) {
	devices := meters(3)
	l := New(Options{Devices: devices})
	f.Add(l.AppendPolls(nil, []Slot{{Due: 5 * second, SinceBoot: true}, {Device: 1, Due: 9 * second, Missed: 3, Spared: 4, SparedFor: telemetry.Timeout, SinceBoot: true}}), int64(noon))
	f.Add([]byte{0}, int64(0))
	f.Fuzz(func(t *testing.T, text []byte, boot int64) {
		if boot < -1<<60 || boot > 1<<60 {
			return
		}
		l := New(Options{Epoch: 7, Devices: devices})
		list, err := parsePolls(text)
		if got := l.CountHeld(noon, 6, nil, text, telemetry.Micros(boot), true); (got == nil) != (err == nil) {
			t.Fatal(got, err)
		}
		if err != nil {
			return
		}
		l.CountDown(noon)
		for _, a := range l.Due(noon, true) {
			for _, d := range a.Devices {
				if d.Read != 0 || d.Delivered != 0 {
					t.Errorf("%+v", d)
				}
			}
		}
		var slots []Slot
		for _, p := range list {
			for _, s := range p.slots {
				if s.Device = indexOf(devices, p.device); s.Device < 0 || p.every != second || p.points != 3 {
					return
				}
				slots = append(slots, s)
			}
		}
		again, err := parsePolls(l.AppendPolls(nil, slots))
		var back []Slot
		for _, p := range again {
			for _, s := range p.slots {
				s.Device = indexOf(devices, p.device)
				back = append(back, s)
			}
		}
		if err != nil || len(back) != len(slots) {
			t.Errorf("%+v, then %+v, %v", slots, back, err)
		}
	})
}

func indexOf(devices []Device, id string) int {
	for k, d := range devices {
		if d.ID == id {
			return k
		}
	}
	return -1
}
