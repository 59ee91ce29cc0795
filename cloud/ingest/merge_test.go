package ingest

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

const millisecond = 1000

// measured is the sample of a sequence number, of one signal.
func measured(seq uint64) telemetry.Sample {
	return telemetry.Sample{Signal: 0, Time: 1_700_000_000_000_000 + telemetry.Micros(seq)*millisecond, Value: telemetry.FloatValue(float64(seq))}
}

// estimate is a mean, just behind the sample of a sequence number.
func estimate(seq uint64) telemetry.Sample {
	s := measured(seq)
	s.Time++
	s.Value, s.Quality = telemetry.FloatValue(1e6+float64(seq)), telemetry.Estimated
	return s
}

// of is a record of gateway with the samples, which are all that it replaces unless it
// is thinned.
func of(t testing.TB, gateway string, first, last uint64, format string, samples []telemetry.Sample) *kgo.Record {
	return logRecord(record.Record{Identity: record.Identity{Gateway: gateway, Epoch: 1, Stream: record.Telemetry, First: first, Last: last},
		Format: format, Payload: block(t, samples)})
}

func rawOf(t testing.TB, gateway string, first, last uint64) *kgo.Record {
	var samples []telemetry.Sample
	for seq := first; seq <= last; seq++ {
		samples = append(samples, measured(seq))
	}
	return of(t, gateway, first, last, record.FormatBlock, samples)
}

// thinnedOf keeps each fourth sample, and has a mean at the end.
func thinnedOf(t testing.TB, gateway string, first, last uint64) *kgo.Record {
	var samples []telemetry.Sample
	for seq := (first + 3) / 4 * 4; seq <= last; seq += 4 {
		samples = append(samples, measured(seq))
	}
	return of(t, gateway, first, last, record.FormatThinned, append(samples, estimate(last)))
}

// A gateway that was killed before its acknowledgements were saved thins what the log
// has in part. What isn't stored yet of that is stored, and nothing twice; and what it
// replaced may come after it.
func TestAThinnedRecordOverlapsWithWhatWasReceived(t *testing.T) {
	for name, born := range map[string]bool{"born": true, "born afterwards": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			birth := birthRecord(t, "gw", signals(1)...)
			if born {
				w.send(birth)
			}
			r, _ := w.start(w.config())
			taken := uint64(0)
			send := func(what string, record *kgo.Record) {
				t.Helper()
				w.send(record)
				taken++
				await.True(w, what, func() bool { return r.Stats().Records == taken })
			}
			send("a record", rawOf(t, "gw", 0, 9))
			send("another", rawOf(t, "gw", 50, 59))
			send("a thinned one", thinnedOf(t, "gw", 0, 99))
			send("what it replaced", rawOf(t, "gw", 20, 29))
			send("a repetition", rawOf(t, "gw", 20, 29))
			send("a repetition of the thinned one", thinnedOf(t, "gw", 0, 99))
			send("a thinner one", thinnedOf(t, "gw", 0, 89))
			if !born {
				w.send(birth)
			}
			await.True(w, "the samples", func() bool { return r.Stats().Samples == 10+10+20+1+7 })
			stored := w.stored("gw")
			for seq := range uint64(100) {
				want := 0
				if seq%4 == 0 || seq < 10 || seq >= 50 && seq < 60 || seq >= 20 && seq < 30 {
					want = 1
				}
				if stored[seq] != want {
					t.Errorf("sample %d is stored %d times, want %d", seq, stored[seq], want)
				}
			}
			if stored[1e6+99] != 1 {
				t.Errorf("the mean is stored %d times", stored[1e6+99])
			}
			if c := w.completeness("gw"); c.Received != 100 || c.Conflicts != 0 || c.Duplicates != 3 {
				t.Errorf("%+v", c)
			}
			if got := w.aside(); len(got) > 0 {
				t.Errorf("quarantine: %v", got)
			}
		})
	}
}

// In whatever order records and what replaces them come, and with whatever kills of the
// cloud between them: each measured sample that came is stored once.
func TestMergesLoseNothingAndStoreNothingTwice(t *testing.T) {
	w := newWorld(t)
	resumed := func() *session {
		offsets, err := w.store.Offsets(t.Context(), Consumer)
		if err != nil {
			t.Fatal(err)
		}
		return newSession(New(w.config()), offsets)
	}
	n, offset := 0, int64(0)
	rapid.Check(t, func(t *rapid.T) {
		n++
		gateway := fmt.Sprint("gw", n)
		w.enrol(gateway)
		var edges []uint64 // of records
		for at := uint64(0); at < 60; at += rapid.Uint64Range(1, 12).Draw(t, "length") {
			edges = append(edges, at)
		}
		edges = append(edges, edges[len(edges)-1]+5)
		type sending struct {
			record  *kgo.Record
			samples []uint64
		}
		var all []sending
		for i := range len(edges) - 1 {
			if first, last := edges[i], edges[i+1]-1; rapid.Bool().Draw(t, "raw") {
				var samples []uint64
				for seq := first; seq <= last; seq++ {
					samples = append(samples, seq)
				}
				all = append(all, sending{rawOf(w, gateway, first, last), samples})
			}
		}
		for range rapid.IntRange(1, 3).Draw(t, "thinned") {
			from := rapid.IntRange(0, len(edges)-2).Draw(t, "from")
			first, last := edges[from], edges[rapid.IntRange(from+1, len(edges)-1).Draw(t, "to")]-1
			var samples []uint64
			for seq := (first + 3) / 4 * 4; seq <= last; seq += 4 {
				samples = append(samples, seq)
			}
			all = append(all, sending{thinnedOf(w, gateway, first, last), samples})
		}
		all = append(all, all[rapid.IntRange(0, len(all)-1).Draw(t, "again")])
		all = rapid.Permutation(all).Draw(t, "order")
		birth := birthRecord(w, gateway, signals(1)...)
		bornAt := rapid.IntRange(0, len(all)).Draw(t, "born at")
		s := resumed()
		take := func(r *kgo.Record) {
			again := *r
			again.Offset = offset
			offset++
			if err := s.take(w.Context(), []*kgo.Record{&again}); err != nil {
				t.Fatal(err)
			}
		}
		want := map[uint64]int{}
		for i, one := range all {
			if i == bornAt {
				take(birth)
			}
			take(one.record)
			for _, seq := range one.samples {
				want[seq] = 1
			}
			if rapid.Bool().Draw(t, "commit") {
				if err := s.flush(w.Context()); err != nil {
					t.Fatal(err)
				}
				if rapid.Bool().Draw(t, "restart") {
					s = resumed()
				}
			}
		}
		if bornAt == len(all) {
			take(birth)
		}
		if err := s.flush(w.Context()); err != nil {
			t.Fatal(err)
		}
		stored := w.stored(gateway)
		for seq, times := range stored {
			if seq < 1e6 && times != want[seq] {
				t.Fatalf("sample %d is stored %d times, want %d", seq, times, want[seq])
			}
		}
		for seq := range want {
			if stored[seq] != 1 {
				t.Fatalf("sample %d is stored %d times", seq, stored[seq])
			}
		}
	})
}
