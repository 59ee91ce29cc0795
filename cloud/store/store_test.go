package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func openAt(t *testing.T, path string) *Store { t.Helper(); return openConfig(t, Config{Path: path}) }
func write(t *testing.T, s *Store, do func(*Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

func TestOpenSetsUpTheDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "busbar.db")
	openAt(t, path).Close()
	s := openAt(t, path)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		var got string
		if err := s.writer.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", pragma, got, want, err)
		}
	}
	err := s.Read(t.Context(), func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO gateway (id) VALUES ('x')`)
		return err
	})
	if err == nil {
		t.Error("a reader can write")
	}
}

func TestFilesAreForThisUserAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	s := openAt(t, filepath.Join(dir, "busbar.db"))
	write(t, s, func(tx *Tx) error { return tx.Quarantine(Quarantined{}) })
	for name, want := range map[string]os.FileMode{"": 0o700, "busbar.db": 0o600, "busbar.db-wal": 0o600, "busbar.db-shm": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v, want %o (%v)", name, info, want, err)
		}
	}
}

func TestRefusesADatabaseOfANewerProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "busbar.db")
	s := openAt(t, path)
	if _, err := s.writer.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (97, 1)`); err != nil {
		t.Fatal(err)
	}
	s.Close()
	_, err := Open(t.Context(), Config{Path: path})
	if err == nil || !strings.Contains(err.Error(), "version 97") || !strings.Contains(err.Error(), "up to version ") || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}

// While operators' questions take all that there is for them, what consumers and
// the stream read goes on, and quick questions go on beside slow ones.
func TestQuestionsDelayNoConsumer(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		write(t, s, func(tx *Tx) error {
			if _, err := tx.AddFact("k", 1, 1); err != nil {
				return err
			}
			return tx.Advance("c", Partition{"t", "", 0}, NoOffset, 7)
		})
		hold := func(n int, ask func(context.Context, func(*Tx) error) error) (release func()) {
			held, end := make(chan struct{}), make(chan struct{})
			var asking sync.WaitGroup
			for range n {
				asking.Go(func() { ask(t.Context(), func(*Tx) error { held <- struct{}{}; <-end; return nil }) })
				<-held
			}
			return func() { close(end); asking.Wait() }
		}
		soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()

		release := hold(mostScans, s.scan)
		for what, ask := range map[string]func(context.Context) error{
			"count": func(ctx context.Context) error { _, err := s.CountSamples(ctx); return err },
			"range": func(ctx context.Context) error { _, _, err := s.Samples(ctx, 1, 0, 1); return err },
		} {
			impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if err := ask(impatient); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("one %s too many: %v", what, err)
			}
			cancel()
		}
		if _, err := s.Gateways(soon); err != nil {
			t.Errorf("a quick question: %v", err)
		}
		release()

		release = hold(readers, s.Ask)
		defer release()
		if _, err := s.Facts(soon, 0, 1); err != nil {
			t.Errorf("facts: %v", err)
		}
		if _, err := s.Offsets(soon, "c"); err != nil {
			t.Errorf("offsets: %v", err)
		}
		if _, err := s.NewLedger().Judge(soon, id(1, 0, 0), 0, false); err != nil {
			t.Errorf("ledger: %v", err)
		}
	})
}

func TestAdvanceFencesTheOther(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		advance := func(from, next int64) error {
			return s.Write(t.Context(), func(tx *Tx) error {
				if _, err := tx.Exec(`INSERT INTO gateway (id, last_record) VALUES ('g', ?) ON CONFLICT (id) DO UPDATE SET last_record = excluded.last_record`, next); err != nil {
					return err
				}
				return tx.Advance("c", Partition{"t", "", 1}, from, next)
			})
		}
		for _, step := range []struct {
			from, next int64
			fenced     bool
		}{{5, 6, true}, {NoOffset, 10, false}, {NoOffset, 11, true}, {9, 12, true}, {10, 20, false}, {10, 30, true}} {
			if err := advance(step.from, step.next); errors.Is(err, ErrFenced) != step.fenced || err != nil && !step.fenced {
				t.Errorf("from %d to %d: %v", step.from, step.next, err)
			}
		}
		offsets, err := s.Offsets(t.Context(), "c")
		if err != nil || !reflect.DeepEqual(offsets, map[string]map[int32]int64{"t": {1: 20}}) {
			t.Errorf("offsets %v, %v", offsets, err)
		}
		if other, _ := s.Offsets(t.Context(), "d"); len(other) != 0 {
			t.Errorf("another consumer has %v", other)
		}
		gateways, err := s.Gateways(t.Context())
		if err != nil || len(gateways) != 1 || gateways[0].LastRecord != 20 {
			t.Errorf("what was fenced is stored: %+v, %v", gateways, err)
		}
	})
}

func TestSkipKeepsTheGap(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		write(t, s, func(tx *Tx) error { return tx.Advance("c", Partition{"t", "id", 0}, NoOffset, 7) })
		gap := Quarantined{ID: 1, State: Gone, Consumer: "c", Topic: "t", TopicID: "id", Partition: 0, Offset: 7, Reason: LogTruncated, Detail: "gone", At: 1}
		given := gap
		gap.ID = 0
		for _, other := range []struct {
			topicID string
			offset  int64
		}{{"id", 6}, {"id", 8}, {"other", 7}} {
			elsewhere := gap
			elsewhere.TopicID = other.topicID
			if err := s.Skip(t.Context(), "c", other.offset, elsewhere, 30); !errors.Is(err, ErrFenced) {
				t.Errorf("from %+v: %v", other, err)
			}
		}
		if err := s.Skip(t.Context(), "c", 7, gap, 30); err != nil {
			t.Fatal(err)
		}
		offsets, _ := s.Offsets(t.Context(), "c")
		list, err := s.Quarantined(t.Context(), 10)
		if offsets["t"][0] != 30 || err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], given) {
			t.Errorf("offsets %v, quarantine %+v, %v", offsets, list, err)
		}
	})
}

func TestOffsetsAreOfATopicsID(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		advance := func(id string, from, next int64) error {
			return s.Write(t.Context(), func(tx *Tx) error { return tx.Advance("c", Partition{"t", id, 0}, from, next) })
		}
		known := func(want string) {
			t.Helper()
			if ids, err := s.TopicIDs(t.Context(), "c"); ids["t"] != want || err != nil {
				t.Errorf("ids %v, %v, want %q", ids, err, want)
			}
		}
		if err := advance("", NoOffset, 5); err != nil {
			t.Fatal(err)
		}
		known("")
		if err := advance("a", 5, 6); err != nil {
			t.Fatal(err)
		}
		known("a")
		if err := advance("b", 6, 7); !errors.Is(err, ErrFenced) {
			t.Errorf("an offset of another topic of the same name: %v", err)
		}
		given := Quarantined{ID: 1, State: Gone, Topic: "t", Reason: LogTruncated, Detail: "made anew"}
		gap := given
		gap.ID = 0
		if err := s.StartAgain(t.Context(), "c", "b", gap); !errors.Is(err, ErrFenced) {
			t.Errorf("start again in a topic that isn't read: %v", err)
		}
		if err := s.StartAgain(t.Context(), "c", "a", gap); err != nil {
			t.Fatal(err)
		}
		known("")
		offsets, _ := s.Offsets(t.Context(), "c")
		list, err := s.Quarantined(t.Context(), 10)
		if len(offsets) != 0 || err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], given) {
			t.Errorf("offsets %v, quarantine %+v, %v", offsets, list, err)
		}
	})
}

func TestQuarantineIsBounded(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		write(t, s, func(tx *Tx) error { return tx.Quarantine(Quarantined{Payload: make([]byte, MaxQuarantinedBytes+1)}) })
		list, _ := s.Quarantined(t.Context(), 1)
		if len(list) != 1 || len(list[0].Payload) != MaxQuarantinedBytes {
			t.Errorf("%d entries", len(list))
		}
	})
}

func TestFactsAreInOrderAndAnnounced(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		changed := s.FactsChanged()
		write(t, s, func(tx *Tx) error { return tx.Quarantine(Quarantined{}) })
		failed := errors.New("failed")
		if err := s.Write(t.Context(), func(tx *Tx) error { tx.AddFact("k", 1, 1); return failed }); !errors.Is(err, failed) {
			t.Fatal(err)
		}
		select {
		case <-changed:
			t.Error("announced without a fact")
		default:
		}
		for i := range 3 {
			write(t, s, func(tx *Tx) error { _, err := tx.AddFact("k", telemetry.Micros(i), map[string]int{"i": i}); return err })
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatal("not announced")
		}
		facts, err := s.Facts(t.Context(), 0, 10)
		if err != nil || len(facts) != 3 {
			t.Fatalf("%+v, %v", facts, err)
		}
		for i, f := range facts {
			if i > 0 && f.Seq <= facts[i-1].Seq || string(f.Data) != `{"i":`+string(rune('0'+i))+`}` || f.At != telemetry.Micros(i) {
				t.Errorf("fact %d: %+v", i, f)
			}
		}
		if rest, _ := s.Facts(t.Context(), facts[0].Seq, 1); len(rest) != 1 || rest[0].Seq != facts[1].Seq {
			t.Errorf("after the first: %+v", rest)
		}
		s.Read(t.Context(), func(tx *Tx) error {
			if last, err := tx.LastFact(); last != facts[2].Seq || err != nil {
				t.Errorf("last fact %d, %v", last, err)
			}
			return nil
		})
	})
}

func id(epoch record.Epoch, first, last uint64) record.Identity {
	return record.Identity{Gateway: "g", Epoch: epoch, Stream: record.Telemetry, First: first, Last: last}
}

func birth(gateway, table string, signals ...telemetry.Signal) record.Birth {
	return record.Birth{Gateway: gateway, Site: "north", Zone: "z", Table: table, Version: 1, Parts: 1, Signals: signals}
}

func TestUnparkIsOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		rec := record.Record{Identity: id(3, 5, 6), Format: record.FormatBlock, Payload: []byte("payload")}
		write(t, s, func(tx *Tx) error { return tx.Park(Parked{Record: rec, Table: 0xa, At: 7}) })
		if tables, _ := s.ParkedTables(t.Context()); len(tables) != 0 {
			t.Errorf("tables %v without births", tables)
		}
		write(t, s, func(tx *Tx) error {
			return tx.SaveBirth(birth("g", "000000000000000a", telemetry.Signal{ID: 1, Device: "m", Name: "a"}))
		})
		if tables, err := s.ParkedTables(t.Context()); !reflect.DeepEqual(tables, map[string]map[uint64]int{"g": {0xa: 1}}) {
			t.Errorf("tables %v, %v", tables, err)
		}
		list, err := s.Parked(t.Context(), "g", 0xa, 0, 10)
		if err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], Parked{ID: list[0].ID, Record: rec, Table: 0xa, At: 7}) {
			t.Fatalf("%+v, %v", list, err)
		}
		if rest, _ := s.Parked(t.Context(), "g", 0xa, list[0].ID, 10); len(rest) != 0 {
			t.Errorf("after the last: %v", rest)
		}
		write(t, s, func(tx *Tx) error { return tx.Unpark(list[0].ID) })
		if err := s.Write(t.Context(), func(tx *Tx) error { return tx.Unpark(list[0].ID) }); !errors.Is(err, ErrFenced) {
			t.Errorf("a second time: %v", err)
		}
	})
}

func TestForeignKeysHold(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		err := s.Write(t.Context(), func(tx *Tx) error {
			_, err := tx.Exec(`INSERT INTO sequence (gateway, epoch, stream) VALUES ('nobody', '', '')`)
			return err
		})
		if err == nil || errors.Is(err, sql.ErrNoRows) {
			t.Errorf("a sequence without a gateway: %v", err)
		}
	})
}

// A command line may open a new database while the cloud does.
func TestANewDatabaseIsOpenedBySeveralAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "busbar.db")
	var opening sync.WaitGroup
	for range 4 {
		opening.Go(func() {
			s, err := Open(t.Context(), Config{Path: path})
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	opening.Wait()
}
