package store

import (
	"database/sql"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/busbar/busbar/test/postgres"
)

// schema is what is compared of two databases: of each table its columns, keys and
// indexes, as text.
type schema map[string][]string

func TestBothEnginesHaveOneSchema(t *testing.T) {
	lite, large := sqliteSchema(t, openAt(t, t.TempDir()+"/busbar.db")), postgresSchema(t, openConfig(t, onPostgres(t)))
	if len(lite) < 20 {
		t.Fatalf("%d tables only", len(lite))
	}
	for _, of := range []struct {
		engine     string
		have, want schema
	}{{"PostgreSQL", large, lite}, {"SQLite", lite, large}} {
		for table, lines := range of.want {
			for _, line := range lines {
				if !slices.Contains(of.have[table], line) {
					t.Errorf("%s: table %s has not: %s", of.engine, table, line)
				}
			}
		}
	}
	var names [2][]string
	for i, folder := range []string{"sqlite", "postgres"} {
		entries, err := fs.ReadDir(migrations, "migrations/"+folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names[i] = append(names[i], e.Name())
		}
	}
	if !reflect.DeepEqual(names[0], names[1]) {
		t.Errorf("the migrations of SQLite are %v, those of PostgreSQL %v", names[0], names[1])
	}
}

// rows is each row of a query, its columns separated by spaces.
func rows(t *testing.T, s *Store, query string) (list []string) {
	t.Helper()
	err := s.Read(t.Context(), func(tx *Tx) error {
		return tx.Each(func(r *sql.Rows) error {
			columns, err := r.Columns()
			if err != nil {
				return err
			}
			values := make([]sql.NullString, len(columns))
			dest := make([]any, len(columns))
			for i := range values {
				dest[i] = &values[i]
			}
			err = r.Scan(dest...)
			text := make([]string, len(values))
			for i, v := range values {
				text[i] = v.String
			}
			list = append(list, strings.Join(text, "|"))
			return err
		}, query)
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (s schema) add(line string) {
	table, rest, _ := strings.Cut(line, "|")
	s[table] = append(s[table], strings.ToLower(rest))
}

func sqliteSchema(t *testing.T, s *Store) schema {
	const tables = ` FROM sqlite_master m JOIN %s WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%%' AND m.name NOT LIKE 'goose_%%' `
	out := schema{}
	for _, line := range rows(t, s, `SELECT m.name, 'column', c.name, CASE c.type WHEN 'INTEGER' THEN 'bigint' WHEN 'BLOB' THEN 'bytea' ELSE c.type END,
			CASE WHEN c."notnull" OR c.pk > 0 THEN 'not null' ELSE '' END, COALESCE(c.dflt_value, '')`+fmt.Sprintf(tables, `pragma_table_info(m.name) c`)) {
		out.add(line)
	}
	for _, line := range rows(t, s, `SELECT m.name, 'primary key', GROUP_CONCAT(c.name ORDER BY c.pk)`+fmt.Sprintf(tables, `pragma_table_info(m.name) c`)+`AND c.pk > 0 GROUP BY m.name`) {
		out.add(line)
	}
	for _, line := range rows(t, s, `SELECT m.name, 'foreign key', f."from", f."table", f."to"`+fmt.Sprintf(tables, `pragma_foreign_key_list(m.name) f`)) {
		out.add(line)
	}
	for _, line := range rows(t, s, `SELECT m.name, CASE WHEN i.origin = 'u' THEN 'unique' ELSE 'index' END, CASE WHEN i.origin = 'u' THEN '' ELSE i.name END,
			CASE WHEN i.partial THEN 'partial' ELSE '' END, GROUP_CONCAT(COALESCE(c.name, 'expression') ORDER BY c.seqno)`+
		fmt.Sprintf(tables, `pragma_index_list(m.name) i JOIN pragma_index_info(i.name) c`)+`AND i.origin <> 'pk' GROUP BY m.name, i.name`) {
		out.add(line)
	}
	return out
}

func postgresSchema(t *testing.T, s *Store) schema {
	const table = ` AND r.relkind = 'r' AND r.relnamespace = 'public'::regnamespace AND r.relname NOT LIKE 'goose_%' `
	const keys = `(SELECT STRING_AGG(COALESCE(a.attname, 'expression'), ',' ORDER BY k.n) FROM UNNEST(%s) WITH ORDINALITY k (attnum, n) LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.attnum)`
	out := schema{}
	cast := regexp.MustCompile(`::[a-z]+$`)
	for _, line := range rows(t, s, `SELECT r.relname, 'column', a.attname, FORMAT_TYPE(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' ELSE '' END,
			COALESCE(PG_GET_EXPR(d.adbin, d.adrelid), '') FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
			LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum WHERE TRUE`+table) {
		out.add(cast.ReplaceAllString(line, ""))
	}
	for _, line := range rows(t, s, `SELECT r.relname, 'primary key', `+fmt.Sprintf(keys, `c.conkey`)+` FROM pg_class r JOIN pg_constraint c ON c.conrelid = r.oid AND c.contype = 'p' WHERE TRUE`+table) {
		out.add(line)
	}
	for _, line := range rows(t, s, `SELECT r.relname, 'unique', '', '', `+fmt.Sprintf(keys, `c.conkey`)+` FROM pg_class r JOIN pg_constraint c ON c.conrelid = r.oid AND c.contype = 'u' WHERE TRUE`+table) {
		out.add(line)
	}
	for _, line := range rows(t, s, `SELECT r.relname, 'foreign key', `+fmt.Sprintf(keys, `c.conkey`)+`, f.relname,
			(SELECT STRING_AGG(a.attname, ',') FROM pg_attribute a WHERE a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey))
			FROM pg_class r JOIN pg_constraint c ON c.conrelid = r.oid AND c.contype = 'f' JOIN pg_class f ON f.oid = c.confrelid WHERE TRUE`+table) {
		out.add(line)
	}
	for _, line := range rows(t, s, `SELECT r.relname, 'index', n.relname, CASE WHEN i.indpred IS NULL THEN '' ELSE 'partial' END, `+fmt.Sprintf(keys, `i.indkey::int2[]`)+`
			FROM pg_class r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class n ON n.oid = i.indexrelid
			WHERE NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u'))`+table) {
		out.add(line)
	}
	for _, line := range rows(t, s, `SELECT r.relname, a.attname FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
			JOIN pg_collation l ON l.oid = a.attcollation WHERE l.collname <> 'C'`+table) {
		t.Errorf("the order of %s isn't that of bytes", line)
	}
	return out
}

func TestRefusesAPostgresDatabaseOfANewerProgram(t *testing.T) {
	c := onPostgres(t)
	s := openConfig(t, c)
	write(t, s, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (97, TRUE)`)
		return err
	})
	s.Close()
	_, err := Open(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "version 97") || !strings.Contains(err.Error(), "database test_") {
		t.Errorf("%v", err)
	}
}

// Several processes may open a new database at once: one of them makes its schema.
func TestANewPostgresDatabaseIsOpenedBySeveralAtOnce(t *testing.T) {
	c := Config{Postgres: &Postgres{URL: postgres.Empty(t)}}
	var opening sync.WaitGroup
	for range 4 {
		opening.Go(func() {
			s, err := Open(t.Context(), c)
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	opening.Wait()
}
