package buffer

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// slow makes a buffer of signals of which one kind each is given, with a writer.
func slow(t *testing.T, kinds ...telemetry.Kind) *tank {
	k := newTank(t)
	var definitions []Definition
	for _, kind := range kinds {
		definitions = append(definitions, Definition{Signal: telemetry.Signal{Device: "slow", Name: fmt.Sprint(len(definitions)), Kind: kind}})
	}
	ids, err := k.b.Table().Define(definitions)
	if err != nil || len(ids) != len(kinds) || ids[0] != 101 {
		t.Fatal(ids, err)
	}
	return k
}

// put commits a record of each of the lists of samples, a hundred at a time.
func (k *tank) put(records ...[]telemetry.Sample) {
	k.t.Helper()
	for len(records) > 100 {
		k.put(records[:100]...)
		records = records[100:]
	}
	var items []Item
	for _, samples := range records {
		for _, s := range samples {
			k.given[s.Signal]++
		}
		of, err := k.writer.encode(&k.encoder, samples)
		if err != nil || len(of) != 1 {
			k.t.Fatal(len(of), err)
		}
		items = append(items, of...)
	}
	if err := k.b.Telemetry.Commit(items, nil); err != nil {
		k.t.Fatal(err)
	}
}

// thinFirst completes the segment that is being written and thins it.
func (k *tank) thinFirst(generation int) {
	k.t.Helper()
	c := k.b.Telemetry
	c.abandon(nil)
	k.commit(1, nil)
	s := c.segments[0]
	s.tried = generation - 1
	if err := k.b.thin(k.t.Context(), s); err != nil {
		k.t.Fatal(err)
	}
	if s.generation != generation {
		k.t.Fatalf("generation %d, want %d", s.generation, generation)
	}
}

// values are the samples of a signal that are handed out.
func (k *tank) values(signal telemetry.SignalID) (samples []telemetry.Sample) {
	k.t.Helper()
	var decoder telemetry.Decoder
	for _, e := range readAll(k.t, k.b.Telemetry, 0) {
		_, all, err := decoder.Block(e.Record.Payload, nil)
		if err != nil {
			k.t.Fatal(err)
		}
		for _, s := range all {
			if s.Signal == signal {
				samples = append(samples, s)
			}
		}
	}
	return samples
}

// A state that had changed in records that were acknowledged, and has its old value
// again behind them, is a change: else the last one known would stay for ever.
func TestAStateBehindAcknowledgedRecordsIsKept(t *testing.T) {
	k := slow(t, telemetry.State)
	start := k.clock
	var records [][]telemetry.Sample
	for n := range 150 {
		closed := n/50 != 1
		records = append(records, []telemetry.Sample{{Signal: 101, Time: start + telemetry.Micros(n)*second, Value: telemetry.BoolValue(closed)}})
	}
	k.put(records...)
	if err := k.b.Telemetry.Acknowledge(51, 100); err != nil {
		t.Fatal(err)
	}
	k.thinFirst(everyNth)
	kept := k.values(101)
	if len(kept) != 2 || kept[0].Time != start || kept[1].Time != start+100*second {
		t.Errorf("kept %v", kept)
	}
}

// No thinned record has more samples than sequence numbers, whatever had to wait in
// the thinner until its end.
func TestThinnedRecordsHaveNumbersForTheirSamples(t *testing.T) {
	const counters, changes = 6000, 30_000
	k := slow(t, append(slices.Repeat([]telemetry.Kind{telemetry.Counter}, counters), telemetry.State)...)
	for range 8 {
		k.commit(10_000, nil) // so that thinning gains something
	}
	var records [][]telemetry.Sample
	for id := range telemetry.SignalID(counters) {
		records = append(records, []telemetry.Sample{{Signal: 101 + id, Time: k.clock, Value: telemetry.UintValue(1)}})
	}
	state := func(n int) telemetry.Sample {
		return telemetry.Sample{Signal: 101 + counters, Time: k.clock + telemetry.Micros(n), Value: telemetry.BoolValue(n%2 == 0)}
	}
	records = []([]telemetry.Sample){slices.Concat(records...)}
	for n := 0; n < changes; n += 10_000 {
		var changed []telemetry.Sample
		for i := range 10_000 {
			changed = append(changed, state(n+i))
		}
		records = append(records, changed)
	}
	k.put(append(records, []telemetry.Sample{state(changes)})...)
	k.thinFirst(everyNth)
	var decoder telemetry.Decoder
	for _, e := range readAll(t, k.b.Telemetry, 0) {
		_, samples, err := decoder.Block(e.Record.Payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := uint64(len(samples)); n > e.Record.Count() {
			t.Errorf("%s has %d samples", e.Record.Identity, n)
		}
	}
	k.balance()
}

// What is read once a minute for days isn't merged into records that nobody takes.
func TestThinnedRecordsAreOfFewMinutes(t *testing.T) {
	k := slow(t, telemetry.Gauge, telemetry.Counter, telemetry.State)
	at := k.clock
	for range 6 {
		var records [][]telemetry.Sample
		for n := range record.MaxMinutes {
			at += minute
			records = append(records, []telemetry.Sample{
				{Signal: 101, Time: at, Value: telemetry.FloatValue(float64(n))},
				{Signal: 103, Time: at, Value: telemetry.BoolValue(n%2 == 0)},
			})
		}
		k.put(records...)
	}
	k.thinFirst(everyNth)
	var decoder telemetry.Decoder
	for _, e := range readAll(t, k.b.Telemetry, 0) {
		_, samples, err := decoder.Block(e.Record.Payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		minutes := map[telemetry.Micros]bool{}
		for _, s := range samples {
			minutes[s.Time/minute] = true
		}
		if len(minutes) > record.MaxMinutes {
			t.Errorf("%s is spread over %d minutes", e.Record.Identity, len(minutes))
		}
	}
	for _, id := range []telemetry.SignalID{101, 103} {
		if kept := k.values(id); !slices.IsSortedFunc(kept, func(a, b telemetry.Sample) int { return int(a.Time - b.Time) }) {
			t.Errorf("signal %d is out of order", id)
		}
	}
	k.balance()
}

// Records are merged where that saves room, also if no sample is left out. Then
// nothing is lost: a loss without counts would mean that nobody knows how much.
func TestMergingAloneIsNoLoss(t *testing.T) {
	k := slow(t, telemetry.State)
	var records [][]telemetry.Sample
	for n := range 2000 {
		records = append(records, []telemetry.Sample{{Signal: 101, Time: k.clock + telemetry.Micros(n)*second, Value: telemetry.BoolValue(n%2 == 0)}})
	}
	k.put(records...)
	k.thinFirst(everyNth)
	if len(k.losses) > 0 {
		t.Errorf("declared %+v", k.losses)
	}
	if kept := k.values(101); len(kept) != 2000 {
		t.Errorf("%d of 2000 are left", len(kept))
	}
}

// What is dropped after thinning has left nothing of it is no further loss.
func TestDroppingWhatWasThinnedToNothingIsNoLoss(t *testing.T) {
	k := slow(t, telemetry.Gauge)
	var samples []telemetry.Sample
	for n := range 10_000 {
		samples = append(samples, telemetry.Sample{Signal: 101, Time: k.clock + telemetry.Micros(n)*second, Value: telemetry.FloatValue(k.random.NormFloat64())})
	}
	k.put(samples, samples, samples)
	k.thinFirst(statesOnly)
	declared := len(k.losses)
	if dropped, err := k.b.makeRoom(k.b.Telemetry, telemetry.LostBufferFull); !dropped || err != nil {
		t.Fatal(dropped, err)
	}
	if len(k.losses) != declared || declared == 0 {
		t.Errorf("declared %d, then %+v", declared, k.losses[declared:])
	}
	k.balance()
}

// A failure that may pass costs no generation, and doesn't keep other segments
// from being thinned.
func TestThinningThatFailedIsTriedAgain(t *testing.T) {
	k := full(t)
	c := k.b.Telemetry
	first, declare := c.segments[0], k.b.declare
	k.b.declare = func([]telemetry.Loss) error { return errors.New("refused") }
	if err := k.b.thin(t.Context(), first); err == nil {
		t.Fatal("thinned undeclared")
	}
	k.b.declare, k.losses = declare, nil
	if s := c.thinnable(); s != c.segments[1] {
		t.Errorf("the next one to be thinned is %v", s)
	}
	first.resting = time.Now()
	if err := k.b.thin(t.Context(), first); err != nil || first.generation != everyNth {
		t.Errorf("generation %d: %v", first.generation, err)
	}
	k.exact()
	k.balance()
}

// A segment that is acknowledged while it is being thinned isn't a failure.
func TestThinningASegmentThatIsGone(t *testing.T) {
	k := full(t)
	c := k.b.Telemetry
	s := c.segments[0]
	c.sign = func(*record.Record) error { return c.Acknowledge(s.first, s.last) }
	if err := k.b.thin(t.Context(), s); !errors.Is(err, errInUse) {
		t.Errorf("thin: %v", err)
	}
	if len(k.losses) > 0 {
		t.Errorf("declared %+v", k.losses)
	}
	k.exact()
}
