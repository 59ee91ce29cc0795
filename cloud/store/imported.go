package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/busbar/busbar/telemetry"
)

// ImportRun is what became of the rows of a file.
type ImportRun struct {
	ID, HeadEnd, File, By string
	Began, Over           telemetry.Micros // Over is 0 until all of it is taken
	Line                  int64            // of the file that was taken last
	ImportCounts
}

// ImportCounts count rows.
type ImportCounts struct {
	Fresh     int64 // stored
	Same      int64 // known
	Corrected int64 // stored in the place of what was known
	Older     int64 // what is known counts more
	Aside     int64 // contradict what is known, or can't be kept
}

// Add adds more.
func (c *ImportCounts) Add(more ImportCounts) {
	c.Fresh += more.Fresh
	c.Same += more.Same
	c.Corrected += more.Corrected
	c.Older += more.Older
	c.Aside += more.Aside
}

// SaveImportRun adds what a run has counted since, and how far it has come. One that begins
// counts anew, in the place of one of the same rows that began before; of that nothing more is
// kept then.
func (t *Tx) SaveImportRun(r ImportRun, begins bool) error {
	var err error
	if begins {
		_, err = t.Exec(`DELETE FROM import_run WHERE id = ? AND began <= ?`, r.ID, int64(r.Began))
	}
	if err == nil {
		_, err = t.Exec(`INSERT INTO import_run (id, headend, file, actor, began, over, line, fresh, same, corrected, older, aside) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET over = excluded.over,
				line = CASE WHEN excluded.line > import_run.line THEN excluded.line ELSE import_run.line END, fresh = import_run.fresh + excluded.fresh, same = import_run.same + excluded.same,
				corrected = import_run.corrected + excluded.corrected, older = import_run.older + excluded.older, aside = import_run.aside + excluded.aside
			WHERE import_run.began = excluded.began`,
			r.ID, r.HeadEnd, r.File, r.By, int64(r.Began), int64(r.Over), r.Line, r.Fresh, r.Same, r.Corrected, r.Older, r.Aside)
	}
	if err != nil {
		return fmt.Errorf("store: keep how far import %s has come: %w", r.ID, err)
	}
	return nil
}

const selectImportRun = `SELECT id, headend, file, actor, began, over, line, fresh, same, corrected, older, aside FROM import_run `

func (t *Tx) importRuns(where string, args ...any) (list []ImportRun, err error) {
	err = t.Each(func(r *sql.Rows) error {
		var run ImportRun
		err := r.Scan(&run.ID, &run.HeadEnd, &run.File, &run.By, &run.Began, &run.Over, &run.Line, &run.Fresh, &run.Same, &run.Corrected, &run.Older, &run.Aside)
		list = append(list, run)
		return err
	}, selectImportRun+where, args...)
	return list, err
}

// ImportRunOf is a run, and whether it has begun.
func (s *Store) ImportRunOf(ctx context.Context, id string) (run ImportRun, begun bool, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		list, err := t.importRuns(`WHERE id = ?`, id)
		if len(list) > 0 {
			run, begun = list[0], true
		}
		return err
	})
	if err != nil {
		return ImportRun{}, false, fmt.Errorf("store: look for import %s: %w", id, err)
	}
	return run, begun, nil
}

// ImportRuns lists the newest runs first.
func (s *Store) ImportRuns(ctx context.Context, limit int) (list []ImportRun, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		list, err = t.importRuns(`WHERE `+t.Seen("headend")+` ORDER BY began DESC, id LIMIT ?`, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list imports: %w", err)
	}
	return list, nil
}

// Aside is a row of an import that was set aside. Run is "" of what came by the topic.
type Aside struct {
	ID           int64 // given by the store
	At           telemetry.Micros
	HeadEnd, Run string
	Place, Cause string
}

// mostAside bounds the rows that are kept, and asideKept for how long they are, in µs.
const (
	mostAside = 100_000
	asideKept = 30 * 24 * 3600 * 1_000_000
)

// SetAside keeps where a row stood that wasn't taken, and why.
func (t *Tx) SetAside(a Aside) error {
	if err := t.execLater(`INSERT INTO import_aside (at, headend, run, place, cause) VALUES (?, ?, ?, ?, ?)`, int64(a.At), a.HeadEnd, a.Run, a.Place, a.Cause); err != nil {
		return fmt.Errorf("store: set a row of %s aside: %w", a.HeadEnd, err)
	}
	return nil
}

// ForgetAside deletes the rows set aside that have been kept for long enough, or of which
// there are too many.
func (t *Tx) ForgetAside(now telemetry.Micros) error {
	var last int64
	err := t.QueryRow(`SELECT COALESCE(MAX(id), 0) FROM (SELECT id FROM import_aside ORDER BY id DESC LIMIT 1 OFFSET ?) a`, []any{mostAside}, &last)
	if err == nil {
		_, err = t.Exec(`DELETE FROM import_aside WHERE id <= ? OR at < ?`, last, int64(now)-asideKept)
	}
	if err != nil {
		return fmt.Errorf("store: forget rows that were set aside: %w", err)
	}
	return nil
}

// SetAsideRows lists the rows set aside of a run, or of all if that is empty, newest first.
func (s *Store) SetAsideRows(ctx context.Context, run string, limit int) (list []Aside, err error) {
	var of Conditions
	if run != "" {
		of.And(`run = ?`, run)
	}
	err = s.Ask(ctx, func(t *Tx) error {
		of.And(t.Seen("headend"))
		return t.Each(func(r *sql.Rows) error {
			var a Aside
			err := r.Scan(&a.ID, &a.At, &a.HeadEnd, &a.Run, &a.Place, &a.Cause)
			list = append(list, a)
			return err
		}, `SELECT id, at, headend, run, place, cause FROM import_aside`+of.Where()+` ORDER BY id DESC LIMIT ?`, append(of.Args, limit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list rows that were set aside: %w", err)
	}
	return list, nil
}
