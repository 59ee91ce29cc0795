package store

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Two ledgers that have read the same of a sequence: what the second writes is refused,
// and it is known to be when it reads again.
func TestALedgerThatWasOvertakenIsFenced(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		first, second := s.NewLedger(), s.NewLedger()
		note := func(l *Ledger, from, to uint64) {
			t.Helper()
			v, err := l.Judge(t.Context(), id(1, from, to), 1, false)
			if err != nil || v != New {
				t.Fatalf("%v, %v", v, err)
			}
			l.Note(id(1, from, to), 1, false, v, 1, 1, true)
		}
		save := func(l *Ledger) error {
			err := s.Write(t.Context(), func(tx *Tx) error { return tx.SaveLedger(l) })
			if err == nil {
				l.Confirm()
			}
			return err
		}
		note(first, 0, 4)
		note(second, 5, 9)
		if err := save(first); err != nil {
			t.Fatal(err)
		}
		if err := save(second); !errors.Is(err, ErrFenced) {
			t.Fatalf("the second ledger: %v", err)
		}
		second = s.NewLedger()
		note(second, 5, 9)
		if err := save(second); err != nil {
			t.Fatal(err)
		}
		note(first, 10, 14)
		if err := save(first); !errors.Is(err, ErrFenced) {
			t.Fatalf("the first ledger: %v", err)
		}
	})
}

// What is to be taken again, and where the offsets have to be, is that of a share.
func TestAShareOfThePartitions(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		key := GatewayKey{Gateway: "gw", PublicKey: publicKey("a"), AddedAt: 1}
		if _, err := s.EnrolKey(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		for p := range int32(5) {
			write(t, s, func(tx *Tx) error {
				if err := tx.Advance("c", Partition{"t", "", p}, NoOffset, 7); err != nil {
					return err
				}
				return tx.Quarantine(Quarantined{Consumer: "c", Topic: "t", Partition: p, Gateway: "gw", KeyID: key.ID(), Reason: UnknownKey})
			})
		}
		due := func(share Share, want ...int32) {
			t.Helper()
			var got []int32
			list, err := s.Due(t.Context(), "c", share, "", true, 10)
			for _, q := range list {
				got = append(got, q.Partition)
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("due of %+v are %v, %v", share, got, err)
			}
		}
		hold := func(share Share, partitions ...int32) error {
			offsets := map[string]map[int32]int64{"t": {}}
			for _, p := range partitions {
				offsets["t"][p] = 7
			}
			return s.Write(t.Context(), func(tx *Tx) error { return tx.Hold("c", share, offsets) })
		}
		for range 2 {
			due(Share{}, 0, 1, 2, 3, 4)
			due(Share{Of: 2, Parts: []int{0, 1}}, 0, 1, 2, 3, 4)
			due(Share{Of: 2, Parts: []int{1}}, 1, 3)
			due(Share{Of: 3, Parts: []int{0, 1}}, 0, 1, 3, 4)
			due(Share{Of: 8, Parts: []int{7}})
			if _, err := s.AskAside(t.Context(), SetAside{Gateway: "gw"}); err != nil { // then what is asked for
				t.Fatal(err)
			}
		}
		if err := hold(Share{Of: 3, Parts: []int{0, 1}}, 0, 1, 3, 4); err != nil {
			t.Error(err)
		}
		if err := hold(Share{Of: 3, Parts: []int{0, 1}}, 0, 1, 3); !errors.Is(err, ErrFenced) {
			t.Errorf("without one of the share: %v", err)
		}
	})
}

func TestProgressIsThatOfThePartThatIsLast(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		now := telemetry.MicrosOf(time.Now())
		for _, c := range []struct {
			share   Share
			through telemetry.Micros
			want    telemetry.Micros
		}{
			{Share{}, 5, 5},
			{Share{Of: 3, Parts: []int{0, 2}}, 10, 0}, // nothing is known of part 1
			{Share{Of: 3, Parts: []int{1}}, 8, 8},
			{Share{Of: 3, Parts: []int{1}}, 12, 10},
			{Share{Of: 3, Parts: []int{0, 1}}, 20, 10},
			{Share{Of: 2, Parts: []int{0, 1}}, 30, 30},
			{Share{Of: 2, Parts: []int{0, 1}}, 29, 30}, // another's clock
			{Share{Of: 2, Parts: []int{0, 1}}, now, now},
			{Share{Of: 2, Parts: []int{0}}, 31, now}, // somebody who is far behind
			{Share{Of: 2, Parts: []int{0, 1}}, now + 1000*ahead, now + 1000*ahead},
			{Share{Of: 2, Parts: []int{1}}, now, now}, // it was wrong
		} {
			write(t, s, func(tx *Tx) error { return tx.SaveProgress("c", c.share, c.through) })
			if at, err := s.Progress(t.Context(), "c"); err != nil || at != c.want {
				t.Errorf("after %+v: %d, %v", c, at, err)
			}
		}
	})
}

func TestNewestSamplesOfAnotherProcessAreAnnounced(t *testing.T) {
	s := openConfig(t, onPostgres(t))
	other := beside(t, s)
	var encoder telemetry.Encoder
	var want []telemetry.Sample
	write(t, other, func(tx *Tx) error {
		for n := range 3000 { // more than one announcement holds
			sample := telemetry.Sample{Signal: telemetry.SignalID(n), Time: 1, Value: telemetry.FloatValue(float64(n))}
			want = append(want, sample)
			block, err := encoder.AppendBlock(nil, telemetry.TableRef{}, []telemetry.Sample{sample})
			if err != nil {
				return err
			}
			if err := tx.SaveLatest(int64(n), block); err != nil {
				return err
			}
		}
		return nil
	})
	got := map[telemetry.SignalID]telemetry.Sample{}
	for deadline := time.Now().Add(time.Minute); len(got) < len(want); {
		list, err := s.LatestChanged(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d of %d samples, %v", len(got), len(want), err)
		}
		for _, sample := range list {
			got[sample.Signal] = sample
		}
	}
	for _, sample := range want {
		if !reflect.DeepEqual(got[sample.Signal], sample) {
			t.Fatalf("%+v, want %+v", got[sample.Signal], sample)
		}
	}

	// What was announced may be missed: the next read is of all.
	read := func(ctx context.Context, want int) (failed error) {
		t.Helper()
		list, err := s.LatestChanged(ctx)
		if len(list) != want {
			t.Errorf("%d samples, want %d", len(list), want)
		}
		return err
	}
	s.noteLatest("7 ")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := read(ended, 0); err == nil {
		t.Error("it could be read")
	}
	for _, n := range []int{len(want), 0} {
		if err := read(t.Context(), n); err != nil {
			t.Error(err)
		}
	}
	write(t, other, func(tx *Tx) error {
		_, err := tx.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
		return err
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		list, err := s.LatestChanged(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("after the listener's end: %d of %d samples, %v", len(list), len(want), err)
		}
		if len(list) == len(want) {
			break
		}
	}
}

// Of two members one has a part, and the other gets it when the session of the first is gone.
func TestAPartHasOneMember(t *testing.T) {
	s := openConfig(t, onPostgres(t))
	join := func() *Member {
		t.Helper()
		m, err := s.Join(t.Context(), "work")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Leave)
		return m
	}
	take := func(m *Member, want bool) {
		t.Helper()
		if got, err := m.Take(t.Context(), 3); err != nil || got != want {
			t.Fatalf("%v, %v", got, err)
		}
	}
	first, second := join(), join()
	take(first, true)
	take(second, false)
	rank, members, taken, err := second.Look(t.Context())
	if err != nil || members != 2 || rank > 1 || !reflect.DeepEqual(taken, map[int]bool{3: true}) {
		t.Fatalf("%d of %d, %v, %v", rank, members, taken, err)
	}
	if err := first.Give(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	take(second, true)
	// The server ends the session, as it does when the machine is gone.
	write(t, s, func(tx *Tx) error {
		_, err := tx.Exec(`SELECT pg_terminate_backend(?)`, int64(second.conn.PgConn().PID()))
		return err
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		got, err := first.Take(t.Context(), 3)
		if err != nil || time.Now().After(deadline) {
			t.Fatal("the part isn't free", err)
		}
		if got {
			break
		}
	}
	if _, _, _, err := second.Look(t.Context()); err == nil {
		t.Error("the member whose session has ended doesn't notice")
	}
}
