package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/busbar/busbar/cloud"
	"github.com/busbar/busbar/cloud/backup"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

type backupCommand struct {
	Config string `help:"The configuration file." default:"/etc/busbar/cloud.yaml" placeholder:"FILE" type:"path"`
	Verify bool   `help:"Read the file, which exists, and check it; nothing is written, and no configuration read."`
	Force  bool   `help:"Replace the file if it exists."`
	File   string `arg:"" help:"The backup." type:"path"`
}

func (backupCommand) Help() string {
	return `The file has everything that the database has, as it was at one instant, and how far the log had been read then: after a
restore the cloud goes on from there, and takes nothing twice, as far as the log still has the rest. It is the same for SQLite
and PostgreSQL. The configuration, the keys beside it and the log aren't in it. Whoever can read it can read all that is stored.

A cloud may run meanwhile, and isn't held up. It must have run with this program's version before. The file is there once it
is whole and on disk.

Examples:
  busbar-cloud backup --config cloud.yaml /backup/2026-10-01.busbar
  busbar-cloud backup --verify /backup/2026-10-01.busbar`
}

func (b backupCommand) Run(ctx context.Context, info program.Info) error {
	if b.Verify {
		return b.verify(ctx)
	}
	config, err := cloud.LoadConfig(b.Config)
	if err != nil {
		return err
	}
	switch _, err := os.Lstat(b.File); {
	case err == nil && !b.Force:
		return program.Usage{Err: fmt.Errorf("%s exists already; --force replaces it", b.File)}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	s, err := store.OpenReadOnly(ctx, config.Store.In(filepath.Dir(b.Config)))
	if err != nil {
		return err
	}
	defer s.Close()
	counts, err := writeWhole(b.File, func(out io.Writer) ([]backup.Rows, error) { return s.Backup(ctx, out, info.Version, told()) })
	if err != nil {
		return err
	}
	return printRows(counts)
}

// writeWhole has a file written under another name, and gives it its own once it is on
// disk.
func writeWhole(path string, write func(io.Writer) ([]backup.Rows, error)) (counts []backup.Rows, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".partial-*") // for this user alone
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	counts, err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return counts, configfile.Rename(f.Name(), path)
}

func (b backupCommand) verify(ctx context.Context) error {
	f, err := os.Open(b.File)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := backup.NewReader(reading{ctx, f})
	if err == nil {
		defer r.Close()
		err = r.Verify(nil)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.File, err)
	}
	describe(r.Header)
	return printRows(r.Counts())
}

func describe(h backup.Header) {
	fmt.Printf("of %s, from %s, with version %d of the schema, written by %s\n", telemetry.Micros(h.Created).Time().UTC().Format(time.RFC3339), engines[h.Engine], h.Schema, shown(h.Program))
}

var engines = map[string]string{"sqlite3": "SQLite", "postgres": "PostgreSQL"}

// reading ends with its context.
type reading struct {
	ctx context.Context
	io.Reader
}

func (r reading) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(b)
}

func printRows(counts []backup.Rows) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TABLE\tROWS")
	var all int64
	for _, n := range counts {
		fmt.Fprintf(w, "%s\t%d\n", shown(n.Table), n.Rows)
		all += n.Rows
	}
	fmt.Fprintf(w, "all\t%d\n", all)
	return w.Flush()
}

// told prints on standard error how far long work has come.
func told() func(backup.Rows) {
	tell := progress()
	return func(n backup.Rows) { tell(func() string { return fmt.Sprintf("%s: %d rows", n.Table, n.Rows) }) }
}

type restoreCommand struct {
	Config string `help:"The configuration file, which says where the database is." default:"/etc/busbar/cloud.yaml" placeholder:"FILE" type:"path"`
	Force  bool   `help:"Delete what the database has."`
	File   string `arg:"" help:"The backup." type:"existingfile"`
}

func (restoreCommand) Help() string {
	return `The configuration's database, a SQLite file or one of PostgreSQL, is made from the backup, whichever of the two that is of. It must
be new or empty, and no cloud may run on it. All of the backup is checked, and what is there before stays until all of it is
right. The cloud that is started then goes on reading the log where the backup's had come to.

Examples:
  busbar-cloud restore --config cloud.yaml /backup/2026-10-01.busbar

From SQLite to PostgreSQL, with the cloud stopped:
  busbar-cloud backup --config cloud.yaml move.busbar
  busbar-cloud restore --config cloud-on-postgres.yaml move.busbar`
}

func (r restoreCommand) Run(ctx context.Context) error {
	config, err := cloud.LoadConfig(r.Config)
	if err != nil {
		return err
	}
	f, err := os.Open(r.File)
	if err != nil {
		return err
	}
	defer f.Close()
	counts, err := store.Restore(ctx, config.Store.In(filepath.Dir(r.Config)), reading{ctx, f}, r.Force, told())
	if errors.Is(err, store.ErrNotEmpty) {
		return fmt.Errorf("%w; --force deletes what it has", err)
	}
	if err != nil {
		return err
	}
	return printRows(counts)
}
