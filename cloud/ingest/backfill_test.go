package ingest

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Which topic a record took says nothing about its identity, and neither topic
// has to come first.
func TestBothTopicsStoreEachSampleOnce(t *testing.T) {
	for name, first := range map[string]func(*kgo.Record) *kgo.Record{
		"current first":  func(r *kgo.Record) *kgo.Record { return r },
		"backfill first": backfilled,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.send(birthRecord(t, "gw", signals(7)...))
			for i := range uint64(20) {
				w.send(first(blockRecord(t, "gw", 1, i*50, i*50+49, 7)))
			}
			r, stop := w.start(w.config())
			await.True(w, "one topic", func() bool { return r.Stats().Samples == 1000 })
			stop()
			for i := range uint64(20) {
				again := blockRecord(t, "gw", 1, i*50, i*50+49, 7)
				if first(blockRecord(t, "gw", 1, 0, 0, 1)).Topic == again.Topic {
					backfilled(again)
				}
				w.send(again)
			}
			r, _ = w.start(w.config())
			await.True(w, "the other topic", func() bool { return r.Stats().Duplicates == 20 })
			w.exactlyOnce("gw", 1000)
			if c := w.completeness("gw"); c.Received != 1000 || c.Conflicts != 0 {
				t.Errorf("%+v", c)
			}
		})
	}
}

// What waited at the gateway comes after what is newer: it is stored in the order
// of its times, and the current value stays, also if the gateway's clock is ahead.
func TestBackfillComesInOrderAndLeavesTheCurrentValue(t *testing.T) {
	for name, offset := range map[string]time.Duration{"clock right": -time.Hour, "clock ahead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.send(birthRecord(t, "gw", signals(1)...))
			start := telemetry.MicrosOf(time.Now().Add(offset))
			send := func(as func(*kgo.Record) *kgo.Record, first, last uint64) {
				var samples []telemetry.Sample
				for seq := first; seq <= last; seq++ {
					samples = append(samples, telemetry.Sample{Time: start + telemetry.Micros(seq)*1_000_000, Value: telemetry.FloatValue(float64(seq))})
				}
				w.send(as(logRecord(record.Record{Identity: record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Telemetry, First: first, Last: last},
					Format: record.FormatBlock, Payload: block(t, samples)})))
			}
			r, _ := w.start(w.config())
			send(func(r *kgo.Record) *kgo.Record { return r }, 500, 599)
			await.True(w, "the current values", func() bool { return r.Stats().Samples == 100 })
			for first := uint64(0); first < 500; first += 100 {
				send(backfilled, first, first+99)
			}
			await.True(w, "the backfill", func() bool { return r.Stats().Samples == 600 })
			list, err := w.store.Series(t.Context())
			if err != nil || len(list) != 1 || list[0].Latest == nil {
				t.Fatalf("%+v, %v", list, err)
			}
			if v, _ := list[0].Latest.Value.Float(); v != 599 {
				t.Errorf("the latest value is %v, want that of sample 599", v)
			}
			_, samples, err := w.store.Samples(t.Context(), list[0].ID, 0, math.MaxInt64)
			if err != nil || len(samples) != 600 ||
				!slices.IsSortedFunc(samples, func(a, b telemetry.Sample) int { return cmp.Compare(a.Time, b.Time) }) {
				t.Errorf("%d samples, not in the order of their times, %v", len(samples), err)
			}
		})
	}
}

func TestCurrentTelemetryPassesTheBacklog(t *testing.T) {
	w := newWorld(t)
	w.send(birthRecord(t, "gw", signals(7)...), birthRecord(t, "other", signals(7)...))
	const blocks, perBlock = 4000, 50
	var backlog []*kgo.Record
	for i := range uint64(blocks) {
		backlog = append(backlog, backfilled(blockRecord(t, "gw", 1, i*perBlock, i*perBlock+perBlock-1, 7)))
	}
	w.send(backlog...)
	r, _ := w.start(w.config())
	await.True(w, "the backlog", func() bool { return r.Stats().Samples > 0 })
	w.send(blockRecord(t, "other", 1, 0, 9, 7))
	await.True(w, "the current telemetry", func() bool { return len(w.stored("other")) == 10 })
	if st := r.Stats(); st.Samples > blocks*perBlock/2 || st.Backlog == 0 {
		t.Errorf("the current telemetry waited for %d samples of the backlog's %d, of which %d records were left", st.Samples, blocks*perBlock, st.Backlog)
	}
	await.True(w, "all", w.caughtUp)
	w.exactlyOnce("gw", blocks*perBlock)
}

// A thinned record has the numbers of all that it replaces, and fewer samples.
func TestThinnedRecords(t *testing.T) {
	thinned := func(first, last uint64, samples int) *kgo.Record {
		var kept []telemetry.Sample
		for i := range uint64(samples) {
			kept = append(kept, sampleOf(first+i, 7))
		}
		return backfilled(logRecord(record.Record{Identity: record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Telemetry, First: first, Last: last},
			Format: record.FormatThinned, Payload: block(t, kept)}))
	}
	w := newWorld(t)
	w.send(birthRecord(t, "gw", signals(7)...), blockRecord(t, "gw", 1, 0, 9, 7), blockRecord(t, "gw", 1, 10, 19, 7))
	r, _ := w.start(w.config())
	await.True(w, "whole records", func() bool { return r.Stats().Samples == 20 })
	w.send(thinned(20, 99, 8))
	await.True(w, "a thinned record", func() bool { return r.Stats().Samples == 28 })
	w.send(thinned(0, 19, 3)) // had arrived whole before the gateway was killed
	await.True(w, "what came too late", func() bool { return r.Stats().Duplicates == 1 })
	w.send(thinned(90, 109, 3)) // of 90 to 99 something is stored, of 100 to 109 nothing
	await.True(w, "what overlaps", func() bool { return r.Stats().Samples == 31 })
	if stored := w.stored("gw"); len(stored) != 31 || stored[90] != 1 || stored[92] != 1 {
		t.Errorf("%v", stored)
	}
	if c := w.completeness("gw"); c.Received != 110 || c.Conflicts != 0 {
		t.Errorf("%+v", c)
	}
}

// What has waited in the log or in the quarantine says nothing of whether its gateway
// is there now.
func TestWhatHasWaitedMakesNoGatewayHeard(t *testing.T) {
	w := newWorld(t)
	heard := func(gateway string) telemetry.Micros {
		t.Helper()
		list, err := w.store.Presences(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list[slices.IndexFunc(list, func(p store.Presence) bool { return p.Gateway == gateway })].Heard
	}
	if err := w.store.Write(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.AddPresence("gw", telemetry.Presence{Every: 1}), tx.AddPresence("late", telemetry.Presence{Every: 1}))
	}); err != nil {
		t.Fatal(err)
	}
	const blocks = 3 * pollLimit
	w.enrol("gw")
	w.sendAs(birthRecord(t, "late", signals(7)...), blockRecord(t, "late", 1, 0, 9, 7))
	w.send(birthRecord(t, "gw", signals(7)...))
	for i := range uint64(blocks) {
		w.send(backfilled(blockRecord(t, "gw", 1, i*10, i*10+9, 7)))
	}
	r, _ := w.start(w.config())
	await.True(w, "the backfill", func() bool { return r.Stats().Samples == blocks*10 })
	w.enrol("late")
	await.True(w, "the retake", func() bool { return r.Stats().Retaken == 2 })
	if gw, late := heard("gw"), heard("late"); gw != 0 || late != 0 {
		t.Errorf("heard at %d and %d", gw, late)
	}
	w.send(backfilled(blockRecord(t, "gw", 1, blocks*10, blocks*10+9, 7)), blockRecord(t, "late", 1, 10, 19, 7))
	await.True(w, "both gateways", func() bool { return heard("gw") != 0 && heard("late") != 0 })
}
