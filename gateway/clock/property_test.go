package clock

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// taken is a sample that was held, and what it must become.
type taken struct {
	boot    record.Boot
	since   telemetry.Micros // since the boot
	late    bool
	decided bool
	time    telemetry.Micros
	quality telemetry.TimeQuality
}

// world is a machine, a gateway's clock on it, and the records of what it held.
type world struct {
	t       *rapid.T
	f       *fake
	m       *memory
	options []func(*Options)
	clock   *Clock
	held    [][]taken // by record
	records []record.Record
	sent    map[int][]byte // payloads as first sent
}

func (w *world) start() { w.clock = start(w.f, w.m, w.options...) }

// poll takes one sample each of a counter and a gauge.
func (w *world) poll() {
	w.f.pass(second)
	received := time.Now()
	samples := make([]telemetry.Sample, 2)
	for i := range samples {
		samples[i] = telemetry.Sample{Time: telemetry.MicrosOf(received), Signal: telemetry.SignalID(i + 1), Value: telemetry.IntValue(int64(len(w.records)))}
	}
	stamp := w.clock.Stamp(received, samples)
	var hold []telemetry.Sample
	for i := range samples {
		if samples[i].Time < Minimum {
			w.t.Fatalf("a sample of %v", samples[i].Time.Time())
		}
		if stamp.Held == Everything || stamp.Held == Counters && i == 0 {
			stamp.Hold(&samples[i])
			hold = append(hold, samples[i])
		}
	}
	if len(hold) == 0 {
		return
	}
	block, err := new(telemetry.Encoder).AppendBlock(nil, telemetry.TableRef{Table: 1, Version: 2}, hold)
	if err != nil {
		w.t.Fatal(err)
	}
	first := uint64(10 * len(w.records))
	w.records = append(w.records, record.Record{
		Identity: record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Telemetry, First: first, Last: first + uint64(len(hold)) - 1},
		Format:   record.FormatHeld, Payload: record.AppendHeld(nil, w.f.id, nil, block),
	})
	var list []taken
	for _, s := range hold {
		if late := w.f.now.SinceBoot - s.Time; late < 0 || late > second {
			w.t.Fatalf("taken at %d since the boot, noted as %d", w.f.now.SinceBoot, s.Time)
		}
		list = append(list, taken{boot: w.f.id, since: s.Time, late: w.m.full})
	}
	w.held = append(w.held, list)
	w.clock.Observe() // as happens within a second
}

// observe notes what the clock has decided about what is held: with a
// synchronised clock, that it is exactly where that clock puts it.
func (w *world) observe() {
	w.clock.Observe()
	state := w.clock.Stats().State
	b := w.clock.notes.present()
	for _, list := range w.held {
		for i := range list {
			x := &list[i]
			if x.decided || x.boot != w.f.id {
				continue
			}
			if w.m.full {
				x.late = true // what is decided now may not outlive the process
				continue
			}
			p, ok := b.placement(x.since)
			want := w.f.now.Wall - w.f.now.SinceBoot
			if w.clock.steering {
				want = w.clock.base
			}
			if state == telemetry.ClockSynchronised && !x.late && (!ok || p.Began != want) {
				w.t.Fatalf("the clock is synchronised, and a sample is placed: %v, by %+v", ok, p)
			}
			if ok {
				x.decided, x.time, x.quality = true, max(Minimum, p.Began+x.since), telemetry.UnsynchronisedTime
				if p.By == bySynchronised {
					x.quality = telemetry.GatewayTime
				}
			}
		}
	}
}

// send prepares every record, as a forwarder does again and again.
func (w *world) send() {
	for n := range w.records {
		r := w.records[n]
		ready, err := w.clock.Prepare(&r)
		if err != nil && !w.m.full {
			w.t.Fatal(err)
		}
		if !ready || err != nil {
			if w.sent[n] != nil && !w.m.full {
				w.t.Fatalf("record %d was sent and waits now", n)
			}
			if r.Format != record.FormatHeld {
				w.t.Fatalf("record %d isn't ready and is a %s", n, r.Format)
			}
			continue
		}
		if w.sent[n] == nil {
			w.sent[n] = r.Payload
			w.check(n, r)
		} else if !bytes.Equal(w.sent[n], r.Payload) {
			w.t.Fatalf("record %d was sent otherwise before", n)
		}
	}
}

func (w *world) check(n int, r record.Record) {
	w.observe()
	if r.Format != record.FormatBlock || r.Identity != w.records[n].Identity {
		w.t.Fatalf("record %d became %s, a %s", n, r.Identity, r.Format)
	}
	_, samples, err := new(telemetry.Decoder).Block(r.Payload, nil)
	if err != nil || len(samples) != len(w.held[n]) {
		w.t.Fatalf("record %d: %d samples, %v", n, len(samples), err)
	}
	for i, s := range samples {
		x := w.held[n][i]
		if s.Time < Minimum || s.Quality.TimeQuality() == telemetry.SinceBoot {
			w.t.Fatalf("record %d is sent with the time %v, %v", n, s.Time.Time(), s.Quality)
		}
		if x.decided && (s.Time != x.time || s.Quality.TimeQuality() != x.quality) {
			w.t.Fatalf("record %d is of %v, %v, want %v, time quality %d", n, s.Time.Time(), s.Quality, x.time.Time(), x.quality)
		}
		if !x.decided && s.Quality.TimeQuality() != telemetry.UnsynchronisedTime {
			w.t.Fatalf("record %d, of a boot whose time nobody knows, is %v", n, s.Quality)
		}
	}
}

// Whatever the clocks do, and however often processes and machines start:
// nothing is sent with a time before the floor, what a synchronised clock could
// place is where it put it, and a record that was sent is the same for ever.
func TestHeldSamplesEndWhereTheyBelong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, f: &fake{}, m: &memory{}, sent: map[int][]byte{}}
		if rapid.Bool().Draw(t, "require_sync") {
			w.options = append(w.options, requireSync)
		}
		micros := func(name string, from, to telemetry.Micros) telemetry.Micros {
			return telemetry.Micros(rapid.Int64Range(int64(from), int64(to)).Draw(t, name))
		}
		wall := func() telemetry.Micros {
			if rapid.Bool().Draw(t, "1970") {
				return micros("wall", 0, 1000*hour)
			}
			return micros("wall", Minimum-hour, Minimum+1000*hour)
		}
		w.f.boot(wall())
		w.start()
		t.Repeat(map[string]func(*rapid.T){
			"time passes": func(*rapid.T) { w.f.pass(micros("for", 0, 700*second)); w.observe() },
			"a poll":      func(*rapid.T) { w.poll(); w.observe() },
			"the clock is set": func(*rapid.T) {
				w.f.set(wall())
				w.observe()
			},
			"the clock is set a little": func(*rapid.T) {
				w.f.set(max(0, w.f.now.Wall+micros("by", -hour, hour)))
				w.observe()
			},
			"its source comes": func(*rapid.T) {
				w.f.set(max(w.f.now.Wall, micros("true time", Minimum, Minimum+1000*hour)))
				w.f.synchronised, w.f.maxError = true, time.Millisecond
				w.observe()
			},
			"a time server answers": func(*rapid.T) {
				now := micros("true time", Minimum, Minimum+1000*hour)
				fix := Fix{Source: "NTP", Began: now - w.f.now.SinceBoot, At: w.f.now.SinceBoot, MaxError: 10 * time.Millisecond, Agreeing: rapid.IntRange(1, 3).Draw(t, "agreeing")}
				if err := w.clock.Offer(fix); err != nil && fix.Began+fix.At >= Minimum {
					t.Fatal(err)
				}
				w.observe()
			},
			"its source goes":         func(*rapid.T) { w.f.synchronised = false; w.observe() },
			"the process restarts":    func(*rapid.T) { w.start() },
			"the machine restarts":    func(*rapid.T) { w.f.boot(wall()); w.start() },
			"the disk is full or not": func(*rapid.T) { w.m.full = !w.m.full },
			"the log is there":        func(*rapid.T) { w.send() },
		})
	})
}
