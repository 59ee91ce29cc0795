package buffer

import (
	"reflect"
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
		{record.FormatBootBlock, 3, []telemetry.Micros{100, 101, 102}},
		{record.FormatBlock, 2, []telemetry.Micros{1003, 1003}},
		{record.FormatBootBlock, 1, []telemetry.Micros{103}},
	}
	var got []part
	for _, item := range items {
		p := part{format: item.Format, count: item.Count}
		block := item.Payload
		if item.Format == record.FormatBootBlock {
			var boot record.Boot
			if boot, block, err = record.CutBoot(block); boot != w.Boot || err != nil {
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
