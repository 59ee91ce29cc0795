package buffer

import (
	"testing"
	"time"
)

func TestRateIsSmoothedOverTenMinutes(t *testing.T) {
	var r rate
	now := time.Unix(1_000_000, 0)
	count := int64(500)
	r.note(now, count)
	if r.perSecond() != 0 {
		t.Error("a rate out of nothing")
	}
	run := func(seconds int, perSecond int64) {
		for range seconds {
			now, count = now.Add(time.Second), count+perSecond
			r.note(now, count)
		}
	}
	run(20, 100)
	if got := r.perSecond(); got < 99.9 || got > 100.1 {
		t.Errorf("%v after 20 s of 100", got)
	}
	run(580, 100)
	run(60, 0)
	if got := r.perSecond(); got < 85 || got > 95 {
		t.Errorf("%v a minute after 100 ended", got)
	}
	run(3600, 10)
	if got := r.perSecond(); got < 9 || got > 11 {
		t.Errorf("%v after an hour of 10", got)
	}
}

func TestReportSaysHowFullTheBufferIs(t *testing.T) {
	k := newTank(t)
	if r := k.b.Report(); r.Left >= 0 || r.Thinning || r.Limit != smallest || r.Reserve != smallest/4 {
		t.Errorf("of an empty buffer: %+v", r)
	}
	start := time.Now()
	k.b.filling.note(start, k.b.Telemetry.taken())
	for k.b.Telemetry.Stats().Segments < 4 {
		k.commit(10_000, nil)
	}
	k.b.filling.note(start.Add(time.Minute), k.b.Telemetry.taken())
	r := k.b.Report()
	// As many bytes as there are came in a minute, and four fifths of the share may fill.
	want := time.Duration((0.8*float64(r.Share)/float64(r.Telemetry) - 1) * float64(time.Minute))
	if r.Left < want-time.Second || r.Left > want+time.Second || r.Telemetry == 0 || r.Generations != [4]int{4, 0, 0, 0} {
		t.Errorf("%+v, want %v left", r, want)
	}
	if err := k.b.thin(t.Context(), k.b.Telemetry.segments[0]); err != nil {
		t.Fatal(err)
	}
	for k.b.fullness() < thinFrom {
		k.commit(10_000, nil)
	}
	if r := k.b.Report(); !r.Thinning || r.Left != 0 || r.Generations[1] != 1 {
		t.Errorf("of a full buffer: %+v", r)
	}
}
