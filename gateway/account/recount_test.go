package account

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// fate is what became of the values of a slot, as a list that is counted anew
// knows it.
type fate struct {
	device    int
	at        telemetry.Micros // when taken, or due
	what      string           // read, missed, down, suppressed, own or a reason
	values    uint64
	delivered bool
}

// plant is a gateway that is killed and started again, with the truth about it.
// Its quarter-hours are minutes.
type plant struct {
	devices []Device
	now     telemetry.Micros
	epoch   record.Epoch
	ledger  *Ledger

	due     []telemetry.Micros
	samples []telemetry.Sample // not committed
	slots   []Slot
	fates   []fate // of these

	disk      []byte // the committed state
	committed []fate
	last      map[int]telemetry.Micros // committed slot, by device
	log       map[string]telemetry.DeviceAccount
	revisions map[string]uint32
}

const minute = 60 * second

func (p *plant) start(t *rapid.T) {
	if p.ledger != nil && p.ledger.LeftOut() > 0 {
		t.Fatalf("%d left out", p.ledger.LeftOut())
	}
	p.epoch++
	p.ledger = New(Options{Epoch: p.epoch, Devices: p.devices, Quarter: minute, Settle: 5 * second})
	if p.disk != nil {
		if _, err := p.ledger.Restore(p.disk, nil); err != nil {
			t.Fatal(err)
		}
	}
	p.ledger.CountDown(p.now)
	p.samples, p.slots, p.fates = nil, nil, nil
	for d := range p.devices {
		every := telemetry.Micros(p.devices[d].Every.Microseconds())
		if last, ran := p.last[d]; ran {
			for at := last + every; at <= p.now; at += every {
				p.fates = append(p.fates, fate{device: d, at: at, what: "down", values: uint64(len(p.devices[d].Signals))})
			}
		}
		p.due[d] = p.now + telemetry.Micros(rapid.Int64Range(0, int64(every)-1).Draw(t, "phase"))
	}
}

// poll uses one slot of the device that is the most overdue.
func (p *plant) poll(t *rapid.T) {
	d := 0
	for k := range p.due {
		if p.due[k] < p.due[d] {
			d = k
		}
	}
	device := p.devices[d]
	every, points := telemetry.Micros(device.Every.Microseconds()), uint64(len(device.Signals))
	s := Slot{Device: d, SparedFor: telemetry.Timeout}
	if rapid.IntRange(0, 4).Draw(t, "spare") == 0 {
		s.Spared = rapid.Uint32Range(0, uint32(30*second/every)).Draw(t, "spared")
	}
	if rapid.IntRange(0, 4).Draw(t, "busy") == 0 {
		p.now += telemetry.Micros(rapid.Int64Range(0, int64(minute)).Draw(t, "for"))
	}
	s.Missed = uint32(max(0, p.now-p.due[d]-telemetry.Micros(s.Spared)*every) / every)
	for range s.Spared {
		p.fates = append(p.fates, fate{device: d, at: p.due[d], what: "timeout", values: points})
		p.due[d] += every
	}
	for range s.Missed {
		p.fates = append(p.fates, fate{device: d, at: p.due[d], what: "missed", values: points})
		p.due[d] += every
	}
	s.Due = p.due[d]
	p.due[d] += every
	at := s.Due + telemetry.Micros(rapid.Int64Range(0, int64(every)-1).Draw(t, "latency"))
	p.now = max(p.now, at)
	reason := rapid.SampledFrom([]telemetry.Reason{telemetry.NoReason, telemetry.NoReason, telemetry.NoReason, telemetry.Timeout, telemetry.Refused}).Draw(t, "reason")
	what := reason.String()
	if reason == telemetry.NoReason {
		what = "read"
	}
	add := func(signal telemetry.SignalID, what string) {
		quality := telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, reason)
		if reason == telemetry.NoReason {
			quality = 0
		}
		p.samples = append(p.samples, telemetry.Sample{Time: at, Signal: signal, Quality: quality})
		p.fates = append(p.fates, fate{d, at, what, 1, true})
	}
	for k, signal := range device.Signals {
		if k > 0 && rapid.IntRange(0, 9).Draw(t, "deadband") == 0 {
			s.Suppressed++
			p.fates = append(p.fates, fate{device: d, at: s.Due, what: "suppressed", values: 1})
			continue
		}
		add(signal, what)
	}
	if rapid.Bool().Draw(t, "own") {
		add(device.Own[0], "own")
	}
	p.slots = append(p.slots, s)
	if len(p.slots) == 20 {
		p.commit()
		p.tell(t, false, true)
	}
}

func (p *plant) commit() {
	p.ledger.Count(p.now, p.samples, p.slots)
	p.save()
}

// discard gives up what waits; the next state that is committed says so.
func (p *plant) discard() {
	p.ledger.Discard(p.now, p.samples, p.slots)
	for i := range p.fates {
		p.fates[i].delivered = false
	}
	p.save()
}

func (p *plant) save() {
	p.ledger.Tick(p.now)
	p.disk = p.ledger.AppendState(nil, p.now, 0)
	p.committed = append(p.committed, p.fates...)
	for _, f := range p.fates {
		if f.what == "down" {
			p.last[f.device] = max(p.last[f.device], f.at)
		}
	}
	for _, s := range p.slots {
		p.last[s.Device] = s.Due
	}
	p.samples, p.slots, p.fates = nil, nil, nil
}

// tell writes what is due; survive false means that the gateway is killed before
// it knows.
func (p *plant) tell(t *rapid.T, all, survive bool) {
	for _, a := range p.ledger.Due(p.now, all) {
		for _, d := range a.Devices {
			key := fmt.Sprint(d.Device, a.Epoch, a.From, a.To)
			if p.revisions[key] > a.Revision {
				t.Fatalf("%s: revision %d came after %d", key, a.Revision, p.revisions[key])
			}
			if p.revisions[key] == a.Revision && fmt.Sprint(p.log[key]) != fmt.Sprint(d) {
				t.Fatalf("%s: two accounts of revision %d: %+v, %+v", key, a.Revision, p.log[key], d)
			}
			p.log[key], p.revisions[key] = d, a.Revision
		}
	}
	if survive {
		p.ledger.Told(p.now)
	}
}

// check compares the last revisions with a recount of what was committed.
func (p *plant) check(t *rapid.T) {
	type column struct {
		device string
		what   string
	}
	// By quarter-hour where the accounts are of one each, as a whole besides.
	told, truth := map[telemetry.Micros]map[column]uint64{}, map[telemetry.Micros]map[column]uint64{}
	add := func(to map[telemetry.Micros]map[column]uint64, from telemetry.Micros, device, what string, n uint64) {
		if to[from] == nil {
			to[from] = map[column]uint64{}
		}
		if n != 0 {
			to[from][column{device, what}] += n
			to[0][column{device, what}] += n
		}
	}
	told[0], truth[0] = map[column]uint64{}, map[column]uint64{}
	long := map[telemetry.Micros]bool{}
	for key, d := range p.log {
		var epoch string
		var from, to telemetry.Micros
		if _, err := fmt.Sscanf(key[len(d.Device):], "%16s%d %d", &epoch, &from, &to); err != nil {
			t.Fatal(err)
		}
		sum := d.Read + d.Suppressed + d.Missed + d.Down
		for reason, n := range d.Bad {
			sum += n
			add(told, from, d.Device, reason, n)
		}
		if d.Scheduled != sum {
			t.Fatalf("%s: %+v: scheduled %d, and %d make up for it", key, d, d.Scheduled, sum)
		}
		if to-from > minute {
			if d.Down != d.Scheduled || d.Delivered != 0 {
				t.Fatalf("%s: %+v", key, d)
			}
			for q := from; q < to; q += minute {
				long[q] = true
			}
		}
		add(told, from, d.Device, "read", d.Read)
		add(told, from, d.Device, "suppressed", d.Suppressed)
		add(told, from, d.Device, "missed", d.Missed)
		add(told, from, d.Device, "down", d.Down)
		add(told, from, d.Device, "delivered", d.Delivered)
	}
	for _, f := range p.committed {
		from, device := f.at/minute*minute, p.devices[f.device].ID
		if f.what != "own" {
			add(truth, from, device, f.what, f.values)
		}
		if f.delivered {
			add(truth, from, device, "delivered", f.values)
		}
	}
	for from := range truth {
		if !long[from] && !maps.Equal(told[from], truth[from]) {
			t.Fatalf("quarter-hour at %d:\n told %v\ntruth %v", from, told[from], truth[from])
		}
	}
	if !maps.Equal(told[0], truth[0]) {
		t.Fatalf("in all:\n told %v\ntruth %v", told[0], truth[0])
	}
}

// Whatever happens to a gateway, its accounts are what a recount of everything
// that it committed gives, and every slot of the schedule has exactly one fate.
func TestAccountsEqualARecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &plant{
			now: noon, devices: meters(3), due: make([]telemetry.Micros, 3), last: map[int]telemetry.Micros{},
			log: map[string]telemetry.DeviceAccount{}, revisions: map[string]uint32{},
		}
		p.devices[1].Every = 7 * time.Second
		p.devices[2].Every = 100 * time.Second // longer than a quarter-hour
		p.start(t)
		t.Repeat(map[string]func(*rapid.T){
			"poll":   p.poll,
			"poll 2": p.poll,
			"polls": func(t *rapid.T) {
				for range rapid.IntRange(1, 60).Draw(t, "polls") {
					p.poll(t)
				}
			},
			"commit":  func(*rapid.T) { p.commit() },
			"discard": func(*rapid.T) { p.discard() },
			"tell": func(t *rapid.T) {
				p.commit()
				p.tell(t, false, true)
			},
			"stop": func(t *rapid.T) {
				p.commit()
				p.tell(t, true, true)
				if rapid.Bool().Draw(t, "saved") {
					p.save()
				}
				p.now += telemetry.Micros(rapid.Int64Range(0, int64(2*minute)).Draw(t, "down"))
				p.start(t)
			},
			"killed while telling": func(t *rapid.T) {
				p.commit()
				p.tell(t, false, false)
				p.start(t)
			},
			"killed": func(t *rapid.T) {
				p.now += telemetry.Micros(rapid.Int64Range(0, int64(10*minute)).Draw(t, "down"))
				p.start(t)
			},
		})
		p.commit()
		p.tell(t, true, true)
		if n := p.ledger.LeftOut(); n > 0 {
			t.Fatalf("%d left out", n)
		}
		p.check(t)
	})
}
