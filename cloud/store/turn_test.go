package store

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Facts become visible in the order of their numbers, whichever process adds them: who
// reads them on passes none by.
func TestFactsOfSeveralProcessesAreInOrder(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		slow := opened(t)
		quick, reading := beside(t, slow), beside(t, slow)
		add := func(tx *Tx) error { _, err := tx.AddFact("k", 1, 1); return err }
		count, last := 0, int64(0)
		read := func() {
			list, err := reading.Facts(t.Context(), last, 10)
			if err != nil {
				t.Error(err)
			}
			for _, f := range list {
				count, last = count+1, f.Seq
			}
		}
		done := make(chan struct{})
		write(t, slow, func(tx *Tx) error {
			if err := add(tx); err != nil {
				return err
			}
			go func() {
				defer close(done)
				if err := quick.Write(t.Context(), add); err != nil {
					t.Error(err)
				}
			}()
			select {
			case <-done: // it didn't wait for its turn
			case <-time.After(300 * time.Millisecond):
			}
			read()
			return nil
		})
		<-done
		if read(); count != 2 {
			t.Errorf("%d facts were read of 2", count)
		}
	})
}

// What a transaction has read is still so when it commits, though other processes
// write as well: none is fenced, and none fails.
func TestTransactionsTakeTurns(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		const processes, transactions = 3, 20
		s := opened(t)
		write(t, s, func(tx *Tx) error { return tx.Advance("c", Partition{"t", "", 0}, NoOffset, 0) })
		var writing sync.WaitGroup
		for range processes {
			s := beside(t, s)
			writing.Go(func() {
				for range transactions {
					err := s.Write(t.Context(), func(tx *Tx) error {
						var next int64
						if err := tx.QueryRow(`SELECT next FROM consumer_offset WHERE consumer = ?`, []any{"c"}, &next); err != nil {
							return err
						}
						time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
						return tx.Advance("c", Partition{"t", "", 0}, next, next+1)
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		writing.Wait()
		offsets, err := s.Offsets(t.Context(), "c")
		if err != nil || offsets["t"][0] != processes*transactions {
			t.Errorf("%v, %v", offsets, err)
		}
	})
}

func TestFactsOfAnotherProcessAreAnnounced(t *testing.T) {
	s := openConfig(t, onPostgres(t))
	other := beside(t, s)
	for range 3 {
		changed := s.FactsChanged()
		write(t, other, func(tx *Tx) error { _, err := tx.AddFact("k", 1, 1); return err })
		select {
		case <-changed:
		case <-time.After(time.Minute):
			t.Fatal("not announced")
		}
	}
}

// A transaction of another process that fails leaves its turn to others.
func TestATurnEndsWithAFailure(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		other := beside(t, s)
		failed := errors.New("failed")
		for range 3 {
			if err := other.Write(t.Context(), func(tx *Tx) error {
				_, err := tx.Exec(`INSERT INTO nothing (x) VALUES (1)`)
				return errors.Join(err, failed)
			}); !errors.Is(err, failed) {
				t.Fatal(err)
			}
			write(t, s, func(tx *Tx) error { _, err := tx.AddFact("k", 1, 1); return err })
		}
	})
}

// Numbers of what is told again and again aren't used up: a gateway's signals are
// called by them.
func TestPresenceTakesOneNumber(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		for _, gateway := range []string{"a", "a", "a", "b", "a", "c"} {
			write(t, s, func(tx *Tx) error {
				return tx.SavePresence(gateway, telemetry.Presence{Every: 1})
			})
		}
		var last int64
		if err := s.Read(t.Context(), func(tx *Tx) error { return tx.QueryRow(`SELECT MAX(number) FROM presence`, nil, &last) }); err != nil || last != 3 {
			t.Errorf("%d, %v", last, err)
		}
	})
}
