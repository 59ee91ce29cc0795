package buffer

import (
	"reflect"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Samples that wait for the time get records of their own, and a signal's stay in
// order whichever way the clock's state changes meanwhile.
func TestHeldSamplesGetRecordsOfTheirOwn(t *testing.T) {
	b := open(t, t.TempDir(), 0)
	defer b.Close()
	w := b.NewWriter(0, nil, uncounted{})
	w.Boot = record.Boot{1, 2, 3}
	held := telemetry.Quality(0).WithTime(telemetry.SinceBoot)
	var samples []telemetry.Sample
	add := func(signal telemetry.SignalID, time telemetry.Micros, q telemetry.Quality) {
		samples = append(samples, telemetry.Sample{Signal: signal, Time: time, Quality: q, Value: telemetry.BoolValue(true)})
	}
	for i := range telemetry.Micros(3) { // a counter is held, a gauge isn't
		add(1, 100+i, held)
		add(2, 1000+i, 0)
	}
	add(1, 1003, 0) // the time is known
	add(2, 1003, 0)
	add(2, 103, held) // nothing is
	items, err := w.encode(new(telemetry.Encoder), samples)
	if err != nil {
		t.Fatal(err)
	}
	type part struct {
		format string
		count  uint64
		times  []telemetry.Micros
	}
	want := []part{
		{record.FormatBlock, 3, []telemetry.Micros{1000, 1001, 1002}},
		{record.FormatHeld, 3, []telemetry.Micros{100, 101, 102}},
		{record.FormatBlock, 2, []telemetry.Micros{1003, 1003}},
		{record.FormatHeld, 1, []telemetry.Micros{103}},
	}
	var got []part
	for _, item := range items {
		p := part{format: item.Format, count: item.Count}
		block := item.Payload
		if item.Format == record.FormatHeld {
			var boot record.Boot
			if boot, _, block, err = record.CutHeld(item.Format, block); boot != w.Boot || err != nil {
				t.Errorf("of boot %v, %v", boot, err)
			}
		}
		ref, decoded, err := new(telemetry.Decoder).Block(block, nil)
		if err != nil || ref != b.Table().Ref() {
			t.Fatal(ref, err)
		}
		for _, s := range decoded {
			p.times = append(p.times, s.Time)
		}
		got = append(got, p)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// held commits n samples of a signal that count from a boot, one a second.
func held(t *testing.T, w *Writer, signal telemetry.SignalID, n int) {
	t.Helper()
	w.Boot = record.Boot{1, 2, 3}
	var samples []telemetry.Sample
	for i := range n {
		samples = append(samples, telemetry.Sample{
			Signal: signal, Time: telemetry.Micros(i+1) * second, Quality: telemetry.Quality(0).WithTime(telemetry.SinceBoot), Value: telemetry.FloatValue(float64(i)),
		})
	}
	items, err := w.encode(new(telemetry.Encoder), samples)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.buffer.Telemetry.Commit(items, nil); err != nil {
		t.Fatal(err)
	}
}

// Thinning leaves alone what waits for the time. When it is given up, it is
// counted in the quarter-hour in which that happens.
func TestHeldSamplesAreKeptWholeAndCounted(t *testing.T) {
	k := newTank(t)
	present := telemetry.Micros(1_800_000_000) * second
	k.b.now = func() telemetry.Micros { return present }
	for k.b.Telemetry.Stats().Segments < 2 {
		held(t, k.writer, 1, 500) // a gauge of meter-0
		held(t, k.writer, 1, 300)
		k.commit(10_000, nil)
	}
	s := k.b.Telemetry.segments[0]
	waiting := func() (payloads []string) {
		for _, e := range readAll(t, k.b.Telemetry, 0) {
			if e.Position <= s.last && e.Record.Format == record.FormatHeld {
				payloads = append(payloads, string(e.Record.Payload))
			}
		}
		return payloads
	}
	want := waiting()
	if len(want) < 2 || len(want)%2 != 0 {
		t.Fatalf("%d records wait", len(want))
	}
	// A lane has looked at them, and sent none.
	r := k.b.Telemetry.Reader()
	defer r.Close()
	entries, err := r.Read(0, s.last, 1<<30)
	if err != nil || len(entries) == 0 {
		t.Fatal(len(entries), err)
	}
	if err := k.b.thin(t.Context(), s); err != errInUse {
		t.Errorf("what a reader has is thinned: %v", err)
	}
	for _, e := range entries {
		r.PutBack(e.Position)
	}
	if err := k.b.thin(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := waiting(); s.generation != 1 || !reflect.DeepEqual(got, want) {
		t.Errorf("generation %d; %d records wait, and they aren't those from before", s.generation, len(got))
	}

	thinned := len(k.losses)
	if dropped, err := k.b.makeRoom(k.b.Telemetry, telemetry.LostBufferFull); !dropped || err != nil {
		t.Fatal(dropped, err)
	}
	bySignal, byDevice, inPresent := uint64(0), uint64(0), uint64(0)
	for _, l := range k.losses[thinned:] {
		for _, s := range l.Signals {
			bySignal += s.Count
		}
		for _, d := range l.Devices {
			if byDevice += d.Count; d.Quarter == telemetry.QuarterOf(present) {
				inPresent += d.Count
			}
		}
	}
	if bySignal != byDevice || inPresent != uint64(len(want)*400) {
		t.Errorf("%d by signal, %d by device, of them %d in the present quarter-hour", bySignal, byDevice, inPresent)
	}
}

func TestHeldSamplesAreExportedAsSuch(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	measured(t, b, 2)
	held(t, b.NewWriter(0, nil, uncounted{}), 1, 2)
	b.Close()
	text, n := export(t, dir, Selection{Stream: record.Telemetry, Device: "feeder-1-head"}, CSV)
	if want := ",1000000,feeder-1-head,PhV.phsA,V,0,good (time since boot)\n"; !strings.Contains(text, "\n"+want) || n.Unreadable != 0 {
		t.Errorf("%s isn't in %s", want, text[max(0, len(text)-200):])
	}
	if text, _ := export(t, dir, Selection{Stream: record.Telemetry, From: 1}, CSV); strings.Contains(text, "boot") {
		t.Error("what has no time yet is in a selection by time")
	}
	for _, f := range lookAt(t, dir) {
		if len(f.Problems) > 0 || f.From != 0 && f.From < 1_790_000_000*second {
			t.Errorf("%s: from %d, %v", f.Path, f.From, f.Problems)
		}
	}
}
