package store

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/backup"
	"github.com/busbar/busbar/test/postgres"
)

// fill puts three rows into every table, whatever there is: their numbers and texts are
// such that each row refers to the rows of the same number.
func fill(t *testing.T, s *Store) {
	t.Helper()
	write(t, s, func(tx *Tx) error {
		names, err := tx.tables()
		if err != nil {
			return err
		}
		for _, name := range names {
			columns, types := columnsOf(t, tx, name)
			for n := int64(1); n <= 3; n++ {
				values := make([]any, len(columns))
				for i, of := range types {
					switch of {
					case "bigint":
						values[i] = n
					case "text":
						values[i] = fmt.Sprint("x", n)
					case "double":
						values[i] = float64(n) + 0.1
					case "boolean":
						values[i] = n == 2
					case "bytes":
						values[i] = bytes.Repeat([]byte{byte(n), 0, 0xff}, 1000)
					default:
						t.Fatalf("%s.%s is of type %s", name, columns[i], of)
					}
				}
				if _, err := tx.Exec(`INSERT INTO `+quoted(name)+` (`+quoted(columns...)+`) VALUES (?`+strings.Repeat(`, ?`, len(columns)-1)+`)`, values...); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		for _, change := range []struct {
			query string
			args  []any
		}{
			{`UPDATE fact SET data = ? WHERE seq = 2`, []any{"Größe \"\n\t|'"}},
			{`UPDATE rollup SET min_value = ?, max_value = ?, last_text = NULL WHERE width = 1`, []any{math.MaxFloat64, -math.SmallestNonzeroFloat64}},
			{`UPDATE rollup SET min_value = NULL, start_time = ? WHERE width = 2`, []any{int64(math.MinInt64)}},
			{`UPDATE sequence SET expected = NULL, duplicates = ? WHERE id = 3`, []any{int64(math.MaxInt64)}},
			{`UPDATE chunk SET block = ? WHERE id = 1`, []any{bytes.Repeat([]byte("0123456789"), 200_000)}},
			{`UPDATE chunk SET block = ? WHERE id = 2`, []any{[]byte{}}},
			{`UPDATE quarantine SET payload = NULL, settled = NULL WHERE id = 1`, nil},
			{`UPDATE gateway SET site = '' WHERE id = 'x1'`, nil},
			{`DELETE FROM alarm_event WHERE fact = 3`, nil},
			{`DELETE FROM fact WHERE seq = 3`, nil}, // its number is gone
			{`INSERT INTO packed (bundle, hour, part, first_series, last_series, samples, until, through, block) VALUES (9, 9, 9, 9, 9, 9, 9, 9, ?)`, []any{[]byte{1}}},
		} {
			if _, err := tx.Exec(change.query, change.args...); err != nil {
				return fmt.Errorf("%s: %w", change.query, err)
			}
		}
		return nil
	})
	if s.dialect.numbers {
		// Rows that were inserted with their numbers take none.
		write(t, s, func(tx *Tx) error { return errors.Join(tx.goOn("fact", "seq", 3), tx.goOn("series", "id", 3)) })
	}
}

func columnsOf(t *testing.T, tx *Tx, table string) (columns, types []string) {
	t.Helper()
	rows, err := tx.Query(`SELECT * FROM ` + quoted(table) + ` LIMIT 0`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	list, err := rows.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"INTEGER": "bigint", "BIGINT": "bigint", "INT8": "bigint", "TEXT": "text", "DOUBLE PRECISION": "double", "FLOAT8": "double",
		"BOOLEAN": "boolean", "BOOL": "boolean", "BLOB": "bytes", "BYTEA": "bytes"}
	for _, c := range list {
		columns, types = append(columns, c.Name()), append(types, names[c.DatabaseTypeName()])
	}
	return columns, types
}

// contents is every row of every table, as text.
func contents(t *testing.T, s *Store) (all []string) {
	t.Helper()
	err := s.Read(t.Context(), func(tx *Tx) error {
		names, err := tx.tables()
		if err != nil {
			return err
		}
		slices.Sort(names)
		for _, name := range names {
			columns, types := columnsOf(t, tx, name)
			var list []string
			err := tx.Each(func(r *sql.Rows) error {
				values, dest := make([]any, len(columns)), make([]any, len(columns))
				for i := range values {
					dest[i] = &values[i]
				}
				err := r.Scan(dest...)
				for i, v := range values {
					if n, ok := v.(int64); ok && types[i] == "boolean" {
						values[i] = n != 0
					}
				}
				line := name
				at := slices.Clone(columns)
				slices.Sort(at)
				for _, column := range at {
					line += fmt.Sprintf("|%s=%T:%v", column, values[slices.Index(columns, column)], values[slices.Index(columns, column)])
				}
				list = append(list, line)
				return err
			}, `SELECT * FROM `+quoted(name))
			if err != nil {
				return err
			}
			slices.Sort(list)
			all = append(all, list...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func backUp(t *testing.T, s *Store) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := s.Backup(t.Context(), &out, "test", nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What a backup has of one engine is the same in the other, and there and back again.
func TestABackupIsTheSameOnBothEngines(t *testing.T) {
	onEngines(t, func(t *testing.T, open opener) {
		s := open(t)
		fill(t, s)
		want := contents(t, s)
		if len(want) < 60 {
			t.Fatalf("%d rows only", len(want))
		}
		file := backUp(t, s)
		other := onTheOther(t, s)
		counts, err := Restore(t.Context(), other, bytes.NewReader(file), false, nil)
		if err != nil {
			t.Fatal(err)
		}
		rows := int64(0)
		for _, n := range counts {
			rows += n.Rows
		}
		if int(rows) != len(want) {
			t.Errorf("%d rows are counted of %d", rows, len(want))
		}
		r := openConfig(t, other)
		if got := contents(t, r); !slices.Equal(got, want) {
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Errorf("%.300s\nwas\n%.300s", got[i], want[i])
				}
			}
			t.Fatalf("%d rows of %d", len(got), len(want))
		}
		// Numbers go on: that of a row that was deleted isn't given again.
		write(t, r, func(tx *Tx) error {
			seq, err := tx.AddFact("test", 1, "x")
			if seq != 4 {
				t.Errorf("the next fact has the number %d", seq)
			}
			if _, err := tx.device("x1", "another"); err != nil {
				return err
			}
			_, err = tx.Exec(`DELETE FROM fact WHERE seq = 4`)
			if err == nil {
				_, err = tx.Exec(`DELETE FROM device WHERE name = 'another'`)
			}
			return err
		})
		back := Config{Path: filepath.Join(t.TempDir(), "busbar.db")}
		if _, err := Restore(t.Context(), back, bytes.NewReader(backUp(t, r)), false, nil); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(contents(t, openConfig(t, back)), want) {
			t.Error("it isn't the same there and back again")
		}

		if _, err := Restore(t.Context(), other, bytes.NewReader(file), true, nil); !errors.Is(err, ErrInUse) {
			t.Errorf("under somebody who has it open: %v", err)
		}
		if !slices.Equal(contents(t, r), want) {
			t.Error("what was refused has changed it")
		}
		r.Close()
		if _, err := Restore(t.Context(), other, bytes.NewReader(file), false, nil); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("over what there is: %v", err)
		}
		if _, err := Restore(t.Context(), other, bytes.NewReader(file[:len(file)-len(file)/3]), true, nil); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("a part of one: %v", err)
		}
		again := openConfig(t, other)
		if !slices.Equal(contents(t, again), want) {
			t.Error("a part of a backup has changed it")
		}
		again.Close()
		if _, err := Restore(t.Context(), other, bytes.NewReader(file), true, nil); err != nil {
			t.Errorf("by force: %v", err)
		}
		if other.Postgres == nil {
			if left, _ := filepath.Glob(other.Path + ".*"); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
			if info, err := os.Stat(other.Path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
		}
	})
}

// onTheOther is an empty database of the engine that isn't that of s.
func onTheOther(t *testing.T, s *Store) Config {
	t.Helper()
	if s.dialect.numbers {
		return Config{Path: filepath.Join(t.TempDir(), "new", "busbar.db")}
	}
	return onPostgres(t)
}

// Numbers of chunks go on from the backup's, so that a follower which had come further
// would pass over what is stored after the restore: it is to begin anew.
func TestARestoredDatabaseIsAnotherOneToItsFollowers(t *testing.T) {
	onEngines(t, func(t *testing.T, open opener) {
		s := open(t)
		before, err := s.Follow(t.Context(), Chunks, "reader")
		if err != nil {
			t.Fatal(err)
		}
		to := onTheOther(t, s)
		if _, err := Restore(t.Context(), to, bytes.NewReader(backUp(t, s)), false, nil); err != nil {
			t.Fatal(err)
		}
		now, err := openConfig(t, to).Follow(t.Context(), Chunks, "reader")
		if err != nil || now.Database == before.Database {
			t.Errorf("%+v, it was %+v, %v", now, before, err)
		}
		if again, err := s.Follow(t.Context(), Chunks, "reader"); err != nil || again != before {
			t.Errorf("%+v, it was %+v, %v", again, before, err)
		}
	})
}

// A backup of an older program is brought up to date.
func TestRestoreOfAnOlderSchema(t *testing.T) {
	old := newStore(sqliteDialect)
	path := filepath.Join(t.TempDir(), "old.db")
	var err error
	if old.writer, err = openFile(path, nil); err != nil {
		t.Fatal(err)
	}
	old.reader = old.writer
	defer old.writer.Close()
	if err := old.migrateTo(t.Context(), 13); err != nil {
		t.Fatal(err)
	}
	write(t, old, func(tx *Tx) error { _, err := tx.AddFact("test", 1, "x"); return err })
	file := backUp(t, old)
	for _, c := range []Config{{Path: filepath.Join(t.TempDir(), "busbar.db")}, {Postgres: &Postgres{URL: postgres.Empty(t)}}} {
		if _, err := Restore(t.Context(), c, bytes.NewReader(file), false, nil); err != nil {
			t.Fatal(err)
		}
		s := openConfig(t, c)
		if facts, err := s.Facts(t.Context(), 0, 10); err != nil || len(facts) != 1 {
			t.Errorf("%+v, %v", facts, err)
		}
		if got := rows(t, s, `SELECT COUNT(*) FROM rollup_1h`); got[0] != "0" {
			t.Error(got)
		}
	}
	if _, err := Restore(t.Context(), onPostgres(t), bytes.NewReader(file), false, nil); err == nil || !strings.Contains(err.Error(), "expected an empty") && !strings.Contains(err.Error(), "needs an empty database") {
		t.Errorf("into a newer schema: %v", err)
	}
}

// What SQLite would replay over a restored file isn't left beside it, and a file that is
// damaged can be replaced.
func TestRestoreWhereSomethingIsLeft(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "old.db"))
	write(t, s, func(tx *Tx) error { _, err := tx.AddFact("test", 1, "x"); return err })
	file := backUp(t, s)
	restore := func(path string, force bool) error {
		_, err := Restore(t.Context(), Config{Path: path}, bytes.NewReader(file), force, nil)
		return err
	}
	sound := func(path string) {
		t.Helper()
		r := openAt(t, path)
		if facts, err := r.Facts(t.Context(), 0, 10); err != nil || len(facts) != 1 {
			t.Errorf("%+v, %v", facts, err)
		}
		r.Close()
	}
	leave := func(path string, text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The log of a process that was killed, of another database.
	otherPath := filepath.Join(t.TempDir(), "other.db")
	other := openAt(t, otherPath)
	write(t, other, func(tx *Tx) error { _, err := tx.AddFact("other", 1, "x"); return err })
	log, err := os.ReadFile(otherPath + "-wal")
	if err != nil || len(log) == 0 {
		t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-journal"} {
		path := filepath.Join(t.TempDir(), "busbar.db")
		leave(path+suffix, log)
		if err := restore(path, false); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), path+suffix) {
			t.Errorf("beside %s: %v", suffix, err)
		}
		if _, err := os.Stat(path + suffix); err != nil {
			t.Error(err)
		}
		if err := restore(path, true); err != nil {
			t.Errorf("beside %s, by force: %v", suffix, err)
		}
		sound(path)
	}
	path := filepath.Join(t.TempDir(), "busbar.db")
	leave(path, bytes.Repeat([]byte("damaged"), 10_000))
	leave(path+"-wal", log)
	if err := restore(path, false); !errors.Is(err, ErrNotEmpty) {
		t.Error(err)
	}
	if err := restore(path, true); err != nil {
		t.Errorf("over a damaged file: %v", err)
	}
	sound(path)
	if err := restore(t.TempDir(), true); err == nil || errors.Is(err, ErrInUse) {
		t.Errorf("over a directory: %v", err)
	}
}

// How switches are operated is the beginning of their history in a database that had none yet.
func TestAHistoryOfSwitchingBeginsWithWhatIsSo(t *testing.T) {
	old := newStore(sqliteDialect)
	var err error
	if old.writer, err = openFile(filepath.Join(t.TempDir(), "old.db"), nil); err != nil {
		t.Fatal(err)
	}
	old.reader = old.writer
	defer old.writer.Close()
	if err := old.migrateTo(t.Context(), 29); err != nil {
		t.Fatal(err)
	}
	write(t, old, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO switching (asset, position, phases, cut, tag, gateway, actor, comment, at) VALUES ('tie', 'closed', 'AB', TRUE, 'works', 'gw', 'ana', 'why', 7)`)
		return err
	})
	file := backUp(t, old)
	for _, c := range []Config{{Path: filepath.Join(t.TempDir(), "busbar.db")}, {Postgres: &Postgres{URL: postgres.Empty(t)}}} {
		if _, err := Restore(t.Context(), c, bytes.NewReader(file), false, nil); err != nil {
			t.Fatal(err)
		}
		s := openConfig(t, c)
		if got := rows(t, s, `SELECT COUNT(*) FROM switching_entry WHERE asset = 'tie' AND at = 7 AND position = 'closed' AND phases = 'AB' AND cut AND tag = 'works' AND gateway = 'gw' AND actor = 'ana' AND comment = 'why'`); got[0] != "1" {
			t.Errorf("%+v: %v entries", c, got)
		}
	}
}
