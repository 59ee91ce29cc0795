package store

import (
	"reflect"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func TestLedgerJudges(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		l := s.NewLedger()
		judge := func(id record.Identity, sum uint32, want Verdict) {
			t.Helper()
			v, err := l.Judge(t.Context(), id, sum, false)
			if err != nil || v != want {
				t.Fatalf("%s with %d: verdict %v, want %v (%v)", id, sum, v, want, err)
			}
			l.Note(id, sum, false, v, 50, 100, true)
		}
		rounds := func() {
			judge(id(1, 0, 9), 1, Duplicate)
			judge(id(1, 0, 9), 2, Conflict)
			judge(id(1, 0, 4), 1, Conflict)
			judge(id(1, 5, 14), 1, Conflict)
			judge(id(2, 20, 29), 3, Duplicate)
		}
		judge(id(1, 0, 9), 1, New)
		judge(id(2, 20, 29), 3, New)
		rounds()
		write(t, s, func(tx *Tx) error { return tx.SaveLedger(l) })
		l.Confirm()
		rounds()
		judge(id(1, 10, 19), 4, New)
		judge(id(2, 0, 9), 4, New)
		judge(id(2, 10, 19), 4, New)
		write(t, s, func(tx *Tx) error { return tx.SaveLedger(l) })
		l.Confirm()
		l = s.NewLedger()
		rounds()
		judge(id(1, 10, 19), 4, Duplicate)
		write(t, s, func(tx *Tx) error { return tx.SaveLedger(l) })

		gateways, err := s.Gateways(t.Context())
		want := []Completeness{
			{Epoch: 2, Stream: record.Telemetry, Received: 30, Duplicates: 3},
			{Epoch: 1, Stream: record.Telemetry, Received: 20, Duplicates: 4, Conflicts: 9},
		}
		if err != nil || len(gateways) != 1 || gateways[0].LastRecord != 50 {
			t.Fatalf("%+v, %v", gateways, err)
		}
		got := gateways[0].Sequences
		if len(got) == 2 && got[0].Epoch == 1 {
			got[0], got[1] = got[1], got[0]
		}
		for i := range got {
			got[i].ID = 0
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("\n%+v, want\n%+v", got, want)
		}
		var rows int
		s.reader.QueryRow(`SELECT COUNT(*) FROM received_interval`).Scan(&rows)
		if rows != 2 {
			t.Errorf("%d intervals stored, want them merged into 2", rows)
		}

		if n, err := s.ForgetIdentities(t.Context(), 100, 10); n != 0 || err != nil {
			t.Errorf("forgot %d too early, %v", n, err)
		}
		if n, err := s.ForgetIdentities(t.Context(), 101, 3); n != 3 || err != nil {
			t.Errorf("forgot %d, %v", n, err)
		}
		s.ForgetIdentities(t.Context(), 101, 3)
		l = s.NewLedger()
		judge(id(1, 0, 9), 1, Duplicate)
		judge(id(1, 15, 24), 1, Conflict)
		judge(id(1, 20, 29), 1, New)
		judge(id(1, 15, 24), 1, Conflict)
		write(t, s, func(tx *Tx) error { return tx.SaveLedger(l) })
		l.Confirm()
		judge(id(1, 0, 9), 1, Duplicate)
		judge(id(1, 20, 24), 1, Conflict)
	})
}

func TestLossIsDeclaredOrAHole(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		l := s.NewLedger()
		for _, r := range []record.Identity{id(1, 0, 9), id(1, 20, 29), id(2, 0, 4)} {
			v, err := l.Judge(t.Context(), r, 0, false)
			if err != nil {
				t.Fatal(err)
			}
			l.Note(r, 0, false, v, 1, 1, true)
		}
		epoch1, epoch2 := record.Epoch(1).String(), record.Epoch(2).String()
		running := id(3, 40, 49)
		running.Stream = record.Events
		if v, err := l.Judge(t.Context(), running, 0, false); err != nil {
			t.Fatal(err)
		} else {
			l.Note(running, 0, false, v, 1, 1, true)
		}
		loss := telemetry.Loss{Epoch: epoch2, Stream: "telemetry", SeqFirst: 3, SeqLast: 8, Reason: "full"}
		write(t, s, func(tx *Tx) error {
			if err := tx.SaveLedger(l); err != nil {
				return err
			}
			for _, n := range []uint64{35, 40, 38} {
				if err := tx.Expect("g", telemetry.Committed{Epoch: epoch1, Stream: "telemetry", Count: n}); err != nil {
					return err
				}
			}
			tx.Expect("other", telemetry.Committed{Epoch: epoch1, Stream: "events", Count: 7})
			tx.DeclareLoss("g", loss, 5)
			tx.DeclareLoss("g", telemetry.Loss{Epoch: record.Epoch(3).String(), Stream: "events", SeqFirst: 10, SeqLast: 14, Reason: "full"}, 6)
			tx.DeclareLoss("g", telemetry.Loss{Epoch: record.Epoch(3).String(), Stream: "events", SeqFirst: 60, SeqLast: 64, Reason: telemetry.LostDiscarded}, 6)
			tx.Park(Parked{Record: record.Record{Identity: id(1, 20, 29), Payload: []byte("x")}, Table: 1})
			return tx.DeclareLoss("g", loss, 6)
		})
		gateways, err := s.Gateways(t.Context())
		if err != nil || len(gateways) != 2 {
			t.Fatalf("%+v, %v", gateways, err)
		}
		got := map[string][5]uint64{}
		for _, g := range gateways {
			for _, c := range g.Sequences {
				var expected uint64
				if c.Expected != nil {
					expected = *c.Expected
				}
				got[g.ID+c.Epoch.String()+string(c.Stream)] = [5]uint64{expected, c.Received, c.Parked, c.Missing, c.Lost}
			}
		}
		want := map[string][5]uint64{
			"g" + epoch1 + "telemetry":                {40, 10, 10, 0, 20},
			"g" + epoch2 + "telemetry":                {0, 5, 0, 0, 4}, // 3 and 4 were received before they were given up
			"other" + epoch1 + "events":               {7, 0, 0, 0, 7},
			"g" + record.Epoch(3).String() + "events": {0, 10, 0, 35, 10}, // 10 to 14 won't come
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// A process that was killed after it had sent events and before they were on its
// disk has lost none of them: its next start knows of fewer than have come.
func TestMoreEventsThanCommitted(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		l := s.NewLedger()
		for _, first := range []uint64{0, 2, 4} { // 3 was sent, and isn't here
			sent := id(1, first, first)
			sent.Stream = record.Events
			if first == 0 {
				sent.Last = 1
			}
			v, err := l.Judge(t.Context(), sent, 0, false)
			if err != nil {
				t.Fatal(err)
			}
			l.Note(sent, 0, false, v, 1, 1, true)
		}
		write(t, s, func(tx *Tx) error {
			if err := tx.SaveLedger(l); err != nil {
				return err
			}
			return tx.Expect("g", telemetry.Committed{Epoch: record.Epoch(1).String(), Stream: "events", Count: 2})
		})
		gateways, err := s.Gateways(t.Context())
		if err != nil || len(gateways) != 1 || len(gateways[0].Sequences) != 1 {
			t.Fatalf("%+v, %v", gateways, err)
		}
		if c := gateways[0].Sequences[0]; *c.Expected != 5 || c.Received != 4 || c.Lost != 1 {
			t.Errorf("%d expected, %+v", *c.Expected, c)
		}
	})
}
