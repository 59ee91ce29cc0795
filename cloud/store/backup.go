package store

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/backup"
	"github.com/busbar/busbar/telemetry"
)

// catalog is how an engine is asked for its tables.
type catalog struct {
	tables string // their names
	owners string // a table and one that it refers to
	lasts  string // a table, its column, and the last number given in it, of those that remember that
}

var sqliteCatalog = catalog{
	tables: `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%' ORDER BY name`,
	owners: `SELECT m.name, f."table" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`,
	lasts:  `SELECT name, '', COALESCE((SELECT s.seq FROM sqlite_sequence s WHERE s.name = m.name), 0) FROM sqlite_master m WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'`,
}

var postgresCatalog = catalog{
	tables: `SELECT relname::text COLLATE "C" FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND relname NOT LIKE 'goose_%' ORDER BY 1`,
	owners: `SELECT r.relname::text, f.relname::text FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid
		WHERE c.contype = 'f' AND r.relnamespace = current_schema()::regnamespace`,
	lasts: `SELECT c.table_name::text, c.column_name::text, COALESCE(q.last_value, 0)
		FROM information_schema.columns c LEFT JOIN pg_sequences q
			ON format('%I.%I', q.schemaname, q.sequencename) = pg_get_serial_sequence(format('%I.%I', c.table_schema, c.table_name), c.column_name)
		WHERE c.table_schema = current_schema() AND c.is_identity = 'YES'`,
}

// numbering is the column in which an engine numbers the rows of a table, and the last
// number that it has given.
type numbering struct {
	column string
	last   int64
}

// tables are all that are the cloud's, each behind those that it refers to.
func (t *Tx) tables() (names []string, err error) {
	err = t.Each(func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	}, t.dialect.catalog.tables)
	if err != nil {
		return nil, err
	}
	owners := map[string][]string{}
	err = t.Each(func(r *sql.Rows) error {
		var name, owner string
		err := r.Scan(&name, &owner)
		if name != owner {
			owners[name] = append(owners[name], owner)
		}
		return err
	}, t.dialect.owners)
	if err != nil {
		return nil, err
	}
	var ordered []string
	for len(names) > 0 {
		at := slices.IndexFunc(names, func(name string) bool {
			return !slices.ContainsFunc(owners[name], func(owner string) bool { return slices.Contains(names, owner) })
		})
		if at < 0 {
			return nil, fmt.Errorf("the tables %v refer to each other", names)
		}
		ordered = append(ordered, names[at])
		names = slices.Delete(names, at, at+1)
	}
	return ordered, nil
}

func (t *Tx) numberings() (map[string]numbering, error) {
	list := map[string]numbering{}
	err := t.Each(func(r *sql.Rows) error {
		var table string
		var n numbering
		err := r.Scan(&table, &n.column, &n.last)
		list[table] = n
		return err
	}, t.dialect.lasts)
	return list, err
}

func quoted(names ...string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	}
	return strings.Join(list, ", ")
}

// Backup writes all that is stored, as it is at one instant, while others go on writing.
// A SQLite file's log beside it grows meanwhile. Told, if it isn't nil, is called now and
// then with how many rows of a table have been written.
func (s *Store) Backup(ctx context.Context, out io.Writer, program string, told func(backup.Rows)) ([]backup.Rows, error) {
	var counts []backup.Rows
	err := s.Read(ctx, func(t *Tx) error {
		h := backup.Header{Created: int64(telemetry.MicrosOf(time.Now())), Engine: string(t.dialect.name), Program: program}
		if err := t.QueryRow(`SELECT MAX(version_id) FROM goose_db_version`, nil, &h.Schema); err != nil {
			return err
		}
		w, err := backup.NewWriter(out, h)
		if err != nil {
			return err
		}
		names, err := t.tables()
		if err != nil {
			return err
		}
		numbered, err := t.numberings()
		if err != nil {
			return err
		}
		for _, name := range names {
			n := backup.Rows{Table: name}
			if err := t.backUp(w, &n, numbered[name].last, told); err != nil {
				return fmt.Errorf("table %s: %w", name, err)
			}
			counts = append(counts, n)
		}
		return w.Close()
	})
	if err != nil {
		return nil, fmt.Errorf("store: backup: %w", err)
	}
	return counts, nil
}

// toldEvery is after how many rows somebody is told.
const toldEvery = 10_000

func (t *Tx) backUp(w *backup.Writer, n *backup.Rows, last int64, told func(backup.Rows)) error {
	rows, err := t.Query(`SELECT * FROM ` + quoted(n.Table))
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	if err := w.Table(backup.Table{Name: n.Table, Columns: columns, Last: last}); err != nil {
		return err
	}
	values, dest := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		for i, v := range values {
			// SQLite knows no booleans.
			if number, ok := v.(int64); ok && types[i].DatabaseTypeName() == "BOOLEAN" {
				values[i] = number != 0
			}
		}
		if err := w.Row(values); err != nil {
			return err
		}
		if n.Rows++; told != nil && n.Rows%toldEvery == 0 {
			told(*n)
		}
	}
	return rows.Err()
}
