package gateway

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// waiting is a gateway's accounts, clock and buffer, which are killed and started
// again while samples wait for the time. Its quarter-hours are minutes.
type waiting struct {
	t        *rapid.T
	dir      string
	m        *machine
	buffer   *buffer.Buffer
	clock    *clock.Clock
	accounts *accounts
	devices  []account.Device
	polls    map[buffer.Position]account.Slot // beside a committed record
}

func (w *waiting) start() {
	var err error
	w.buffer, err = buffer.Open(buffer.Options{Dir: w.dir, Gateway: "gw", Log: quiet, MaxSize: 64 << 20})
	if err != nil {
		w.t.Fatal(err)
	}
	w.clock = newClock(w.buffer, gatewayconfig.Time{MaxHold: configfile.Duration(24 * time.Hour), RequireSync: true}, w.m, nil, quiet)
	w.accounts = newAccounts(account.Options{Epoch: w.buffer.Epoch(), Devices: w.devices, Quarter: 60 * second, Settle: 1}, w.clock, w.buffer, quiet)
	w.accounts.restore(w.buffer.Telemetry.State(), w.buffer.Earlier())
}

// kill ends the process: what isn't committed is gone.
func (w *waiting) kill() {
	if err := w.buffer.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// commit commits samples that wait, as the writer does, and reports whether the
// process lives to know it.
func (w *waiting) commit(held, survive bool) {
	since := telemetry.Micros(rapid.Int64Range(int64(2*second), int64(3500*second)).Draw(w.t, "since"))
	held = held || w.clock.Stats().State == telemetry.ClockUnset
	var samples []telemetry.Sample
	for i := range rapid.IntRange(1, 5).Draw(w.t, "samples") {
		samples = append(samples, telemetry.Sample{Time: since + telemetry.Micros(i)*20*second, Signal: 1})
	}
	var slots []account.Slot
	item := buffer.Item{Format: record.FormatBlock, Count: uint64(len(samples))}
	if held {
		for i := range samples {
			samples[i].Quality = samples[i].Quality.WithTime(telemetry.SinceBoot)
		}
		slots = []account.Slot{{Due: since, Missed: 1, SinceBoot: true}}
	} else {
		for i := range samples {
			samples[i].Time += w.clock.Now() - 3600*second
		}
	}
	w.accounts.Count(samples, slots)
	block, err := new(telemetry.Encoder).AppendBlock(nil, telemetry.TableRef{Table: 1, Version: 1}, samples)
	if err != nil {
		w.t.Fatal(err)
	}
	item.Payload = block
	if held {
		item.Format, item.Payload = record.FormatHeld, record.AppendHeld(nil, w.clock.Boot(), w.accounts.AppendPolls(nil, slots), block)
	}
	if err := w.buffer.Telemetry.Commit([]buffer.Item{item}, w.accounts.State(false)); err != nil {
		w.t.Fatal(err)
	}
	if held {
		w.polls[w.buffer.Telemetry.End()] = slots[0]
	}
	if survive {
		w.accounts.Committed()
	}
}

// count counts what is ready and commits it, as a tick of the writer does.
func (w *waiting) count() {
	w.clock.Observe()
	w.accounts.countHeld()
	if state := w.accounts.State(true); state != nil {
		if err := w.buffer.Telemetry.Commit(nil, state); err != nil {
			w.t.Fatal(err)
		}
		w.accounts.Committed()
	}
}

func (w *waiting) records(c *buffer.Chain) (all []buffer.Entry) {
	reader := c.Reader()
	defer reader.Close()
	for after := buffer.Position(0); ; {
		entries, err := reader.Read(after, buffer.Newest, 1<<20)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(entries) == 0 {
			return all
		}
		all = append(all, entries...)
		after = entries[len(entries)-1].Position
	}
}

type minuteCount struct {
	from telemetry.Micros
	what string
}

// truth is what is in the records, in the time that they are sent with.
func (w *waiting) truth() map[minuteCount]uint64 {
	counts := map[minuteCount]uint64{}
	minute := func(at telemetry.Micros) telemetry.Micros { return at / (60 * second) * 60 * second }
	for _, e := range w.records(w.buffer.Telemetry) {
		var samples []telemetry.Sample
		var err error
		if !record.IsHeld(e.Record.Format) {
			if _, samples, err = new(telemetry.Decoder).Block(e.Record.Payload, nil); err != nil {
				w.t.Fatal(err)
			}
		} else {
			placed, ready, err := w.clock.Place(&e.Record)
			if err != nil || !ready || !w.accounts.sendable(e.Position) {
				w.t.Fatalf("record %d: ready %v, sendable %v, %v", e.Position, ready, w.accounts.sendable(e.Position), err)
			}
			samples = placed.Samples
			counts[minuteCount{minute(w.polls[e.Position].Due - second + placed.Began), "missed"}]++
		}
		for _, s := range samples {
			counts[minuteCount{minute(s.Time), "read"}]++
		}
	}
	return counts
}

// told is what the accounts say.
func (w *waiting) told() map[minuteCount]uint64 {
	type key struct {
		epoch string
		from  telemetry.Micros
	}
	newest := map[key]telemetry.Account{}
	for _, entry := range w.records(w.buffer.Events) {
		var e telemetry.Event
		if err := json.Unmarshal(entry.Record.Payload, &e); err != nil {
			w.t.Fatal(err)
		}
		if a := e.Account; a != nil && a.To-a.From == 60*second && newest[key{a.Epoch, a.From}].Revision < a.Revision {
			newest[key{a.Epoch, a.From}] = *a
		}
	}
	counts := map[minuteCount]uint64{}
	for _, a := range newest {
		for _, d := range a.Devices {
			if d.Read != d.Delivered {
				w.t.Fatalf("%+v", d)
			}
			if d.Read > 0 {
				counts[minuteCount{a.From, "read"}] += d.Read
			}
			if d.Missed > 0 {
				counts[minuteCount{a.From, "missed"}] += d.Missed
			}
		}
	}
	return counts
}

// Whenever a gateway is killed while samples wait for the time, and whatever its clock
// does: the accounts are exactly what its records are sent with.
func TestAccountsOfWhatWaitedAreExact(t *testing.T) {
	// Each check flushes to the disk hundreds of times.
	if os.Getenv("BUSBAR_TORTURE") == "" {
		checks := flag.Lookup("rapid.checks")
		before := checks.Value.String()
		checks.Value.Set("10")
		defer checks.Value.Set(before)
	}
	dirs := 0
	base := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		dirs++
		w := &waiting{
			t: r, dir: base + "/" + time.Duration(dirs).String(), polls: map[buffer.Position]account.Slot{},
			m:       &machine{booted: time.Now().Add(-time.Hour - 5*time.Minute), id: record.Boot{1}, atBoot: day},
			devices: []account.Device{{ID: "meter", Every: time.Second, Signals: []telemetry.SignalID{1}}},
		}
		w.start()
		defer func() { w.buffer.Close() }()
		r.Repeat(map[string]func(*rapid.T){
			"commit":       func(*rapid.T) { w.commit(true, true) },
			"commit known": func(*rapid.T) { w.commit(false, true) },
			"count":        func(*rapid.T) { w.count() },
			"tell":         func(*rapid.T) { w.accounts.tell(false) },
			"the clock is set": func(r *rapid.T) {
				w.m.set(noon+telemetry.Micros(rapid.Int64Range(-int64(hour), int64(hour)).Draw(r, "to")), rapid.Bool().Draw(r, "confirmed"))
				w.clock.Observe()
			},
			"killed":                func(*rapid.T) { w.kill(); w.start() },
			"killed at a commit":    func(*rapid.T) { w.commit(true, false); w.kill(); w.start() },
			"killed while counting": func(*rapid.T) { w.clock.Observe(); w.accounts.countHeld(); w.kill(); w.start() },
			"stopped":               func(*rapid.T) { w.accounts.finish(w.buffer.Telemetry); w.kill(); w.start() },
		})
		w.m.set(noon, true)
		for range 2 {
			w.count()
		}
		w.accounts.finish(w.buffer.Telemetry)
		if truth, told := w.truth(), w.told(); !maps.Equal(truth, told) {
			r.Fatalf("told  %v\ntruth %v", told, truth)
		}
	})
}
