package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/busbar/busbar/cloud"
	"github.com/busbar/busbar/cloud/headend"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/telemetry"
)

type importCommand struct {
	Readings  importReadings  `cmd:"" help:"Reads and events of meters, as a head-end or a system of meter data writes them."`
	Meters    importMeters    `cmd:"" help:"At which service points a head-end's meters are."`
	Customers importCustomers `cmd:"" help:"Who is supplied at which service point."`
	Tariffs   importTariffs   `cmd:"" help:"What energy costs, and from when on."`
	Weather   importWeather   `cmd:"" help:"Weather that was measured, or is expected."`
	List      importList      `cmd:"" help:"List the imports of readings, and what became of their rows."`
	Aside     importAside     `cmd:"" help:"List rows that were set aside, and why."`
	Show      importShow      `cmd:"" help:"Write customers, tariffs or weather as they are known."`
}

func (importCommand) Help() string {
	return `docs/headend.md says what a row is. Whatever is imported twice, in parts or in another order comes to the same.`
}

type importReadings struct {
	database
	HeadEnd string   `name:"head-end" help:"Which of the configuration's head_ends wrote the files." required:"" placeholder:"ID"`
	Files   []string `arg:"" help:"CSV or JSON; - is standard input." placeholder:"FILE"`
	DryRun  bool     `help:"Read the files, and say what is in them; send nothing."`
	NoWait  bool     `help:"Don't wait until the cloud has taken what was sent."`
	Most    int      `help:"How many bad rows are printed of a file; 0 is all." default:"100"`
	By      string   `help:"Who imports it." default:"${user}" placeholder:"NAME"`
}

func (importReadings) Help() string {
	return `The files go into the log, from which the cloud that runs takes them; what is told at the end is what it has taken. A row that can't
be read is told with its file, line and column, and the others are taken. One that contradicts what is known is set aside: the
command aside lists those. An import that is broken off, here or in the cloud, is taken up where it was when it is made again.

Exit codes: 0 all is taken, 1 rows were bad or set aside, 2 a file or the configuration can't be read.

Examples:
  busbar-cloud import readings --config cloud.yaml --head-end mdm-north --dry-run reads.csv
  busbar-cloud import readings --config cloud.yaml --head-end mdm-north reads.csv events.json
  zcat reads.csv.gz | busbar-cloud import readings --config cloud.yaml --head-end mdm-north -`
}

func (i importReadings) Run(ctx context.Context) error {
	config, err := cloud.LoadConfig(i.Config)
	if err != nil {
		return err
	}
	whole := true
	err = i.use(ctx, func(s *store.Store) error {
		in, err := cloud.NewImport(config, filepath.Dir(i.Config), s, i.HeadEnd)
		if err != nil {
			return program.Usage{Err: err}
		}
		in.By, in.Dry = i.By, i.DryRun
		for _, file := range i.Files {
			clean, err := i.file(ctx, in, file)
			if err != nil {
				return err
			}
			whole = whole && clean
		}
		return nil
	})
	if err == nil && !whole {
		return program.Silent(program.ExitFailure)
	}
	return err
}

// file imports one, and reports whether all of its rows were taken.
func (i importReadings) file(ctx context.Context, in headend.Import, path string) (clean bool, err error) {
	in.File, in.From = path, os.Stdin
	if path == "-" {
		in.File = "standard input"
	} else {
		file, err := os.Open(path)
		if err != nil {
			return false, program.Usage{Err: err}
		}
		defer file.Close()
		in.From = file
	}
	in.Refused = badRows(i.Most, in.File)
	tell := progress()
	in.Progress = func(step string, line int) {
		tell(func() string {
			if line == 0 {
				return fmt.Sprintf("%s: %s", in.File, step)
			}
			return fmt.Sprintf("%s: %s to line %d", in.File, step, line)
		})
	}
	sent, err := in.Send(ctx)
	if wrong := (*headend.Unreadable)(nil); errors.As(err, &wrong) {
		return false, program.Usage{Err: err}
	}
	if err != nil {
		return false, err
	}
	if sent.Resumed > 0 {
		fmt.Printf("%s: goes on behind line %d, up to which it was taken before\n", in.File, sent.Resumed)
	}
	fmt.Printf("%s: %d reads, %d events, %d missing reads, %d bad rows%s\n", in.File, sent.Reads, sent.Events, sent.Missing, sent.Refused, between(sent))
	if i.DryRun || i.NoWait {
		return sent.Refused == 0, nil
	}
	run, err := in.Wait(ctx, sent)
	if err != nil && ctx.Err() != nil {
		fmt.Fprintf(os.Stderr, "busbar-cloud: interrupted; what was sent is in the log, and taken by the cloud when it runs\n")
		return false, program.Silent(program.ExitFailure)
	}
	if err != nil {
		return false, err
	}
	fmt.Printf("%s: import %s: %d new, %d known, %d corrected, %d older than what is known, %d set aside\n", in.File, run.ID, run.Fresh, run.Same, run.Corrected, run.Older, run.Aside)
	return sent.Refused == 0 && run.Aside == 0, nil
}

func between(s headend.Sent) string {
	if s.Until == 0 {
		return ""
	}
	return fmt.Sprintf(", from %s to %s", minute(s.First), minute(s.Until))
}

// badRows prints the first of the rows that can't be taken.
func badRows(most int, file string) func(*headend.Refusal) {
	n := 0
	return func(r *headend.Refusal) {
		n++
		switch {
		case most == 0 || n <= most:
			fmt.Fprintf(os.Stderr, "%s:%v\n", file, r)
		case n == most+1:
			fmt.Fprintf(os.Stderr, "%s: and more; --most prints them\n", file)
		}
	}
}

// masterFile imports a table that goes into the database as it is.
type masterFile struct {
	database
	File   string `arg:"" help:"CSV; - is standard input." placeholder:"FILE"`
	DryRun bool   `help:"Read it, and say how many rows it has; change nothing."`
	By     string `help:"Who imports it." default:"${user}" placeholder:"NAME"`
}

// mostTogether bounds the rows of a transaction, for which others wait.
const mostTogether = 1000

func (m masterFile) run(ctx context.Context, kind headend.Master, of string) error {
	from := io.Reader(os.Stdin)
	if m.File != "-" {
		file, err := os.Open(m.File)
		if err != nil {
			return program.Usage{Err: err}
		}
		defer file.Close()
		from = file
	}
	rows, bad := 0, 0
	err := m.use(ctx, func(s *store.Store) error {
		var waiting []func(*store.Tx) error
		save := func(last bool) error {
			if m.DryRun || len(waiting) == 0 {
				return nil
			}
			err := s.Write(ctx, func(t *store.Tx) error {
				for _, one := range waiting {
					if err := one(t); err != nil {
						return err
					}
				}
				if !last {
					return nil
				}
				return t.Audit(store.Change{At: telemetry.MicrosOf(time.Now()), By: m.By, Action: "import", Subject: string(kind), Detail: fmt.Sprintf("%d rows", rows)})
			})
			waiting = waiting[:0]
			return err
		}
		if err := known(ctx, s, kind, of); err != nil {
			return err
		}
		err := headend.ReadMaster(kind, of, from, telemetry.MicrosOf(time.Now()), func(one func(*store.Tx) error) error {
			if len(waiting) >= mostTogether {
				if err := save(false); err != nil {
					return err
				}
			}
			rows++
			waiting = append(waiting, one)
			return nil
		}, func(r *headend.Refusal) {
			bad++
			fmt.Fprintf(os.Stderr, "%s:%v\n", m.File, r)
		})
		if err != nil {
			return program.Usage{Err: fmt.Errorf("%s: %w", m.File, err)}
		}
		return save(true)
	})
	if err != nil {
		return err
	}
	done := "kept"
	if m.DryRun {
		done = "would be kept"
	}
	fmt.Printf("%s: %d rows %s, %d bad\n", m.File, rows, done, bad)
	if bad > 0 {
		return program.Silent(program.ExitFailure)
	}
	return nil
}

// known makes sure that a head-end is one that the cloud has.
func known(ctx context.Context, s *store.Store, kind headend.Master, of string) error {
	if kind != headend.Meters {
		return nil
	}
	has, err := s.HasHeadEnd(ctx, of)
	if err == nil && !has {
		err = program.Usage{Err: fmt.Errorf("head-end %q isn't known yet: it is when a cloud runs that has it in its configuration under head_ends", of)}
	}
	return err
}

type importMeters struct {
	masterFile
	HeadEnd string `name:"head-end" help:"Which of the configuration's head_ends reads them." required:"" placeholder:"ID"`
}

func (importMeters) Help() string {
	return `Columns: meter, service_point. What is known of a meter's signals and events belongs to that service point from then on.

Example:
  busbar-cloud import meters --config cloud.yaml --head-end mdm-north meters.csv`
}

func (i importMeters) Run(ctx context.Context) error { return i.run(ctx, headend.Meters, i.HeadEnd) }

type importCustomers struct{ masterFile }

func (importCustomers) Help() string {
	return `Columns: customer, service_point, and if there are any name, contact, priority (normal, important, critical or life-support) and tariff.

Example:
  busbar-cloud import customers --config cloud.yaml customers.csv`
}

func (i importCustomers) Run(ctx context.Context) error { return i.run(ctx, headend.Customers, "") }

type importTariffs struct{ masterFile }

func (importTariffs) Help() string {
	return `Columns: tariff, register, begins, price, unit. A price holds until the next one of its tariff and register begins.

Example:
  busbar-cloud import tariffs --config cloud.yaml tariffs.csv`
}

func (i importTariffs) Run(ctx context.Context) error { return i.run(ctx, headend.Tariffs, "") }

type importWeather struct{ masterFile }

func (importWeather) Help() string {
	return `Columns: station, quantity, time, value, unit, and issued of what is a forecast.

Example:
  busbar-cloud import weather --config cloud.yaml weather.csv`
}

func (i importWeather) Run(ctx context.Context) error { return i.run(ctx, headend.Weather, "") }

type importList struct {
	database
	Limit int `help:"How many are listed, newest first." default:"50"`
}

func (importList) Help() string {
	return `Example:
  busbar-cloud import list --config cloud.yaml`
}

func (l importList) Run(ctx context.Context) error {
	return l.use(ctx, func(s *store.Store) error {
		list, err := s.ImportRuns(ctx, l.Limit)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "IMPORT\tHEAD-END\tBEGAN\tBY\tOVER\tNEW\tKNOWN\tCORRECTED\tOLDER\tASIDE\tFILE")
		for _, r := range list {
			over := "up to line " + fmt.Sprint(r.Line)
			if r.Over != 0 {
				over = minute(r.Over)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", r.ID, r.HeadEnd, minute(r.Began), shown(r.By), over, r.Fresh, r.Same, r.Corrected, r.Older, r.Aside, shown(r.File))
		}
		return w.Flush()
	})
}

type importAside struct {
	database
	Import string `arg:"" optional:"" help:"Of one import, by its id; by default of all, and of what came by the topic." placeholder:"IMPORT"`
	Limit  int    `help:"How many are listed, newest first." default:"200"`
}

func (importAside) Help() string {
	return `They are kept for 30 days, the newest 100,000 of them.

Example:
  busbar-cloud import aside --config cloud.yaml 3f1c09d2a85b7e64`
}

func (a importAside) Run(ctx context.Context) error {
	return a.use(ctx, func(s *store.Store) error {
		list, err := s.SetAsideRows(ctx, a.Import, a.Limit)
		for _, row := range list {
			fmt.Printf("%s %s %s: %s\n", minute(row.At), shown(row.HeadEnd), shown(row.Place), shown(row.Cause))
		}
		return err
	})
}

type importShow struct {
	database
	What headend.Master `arg:"" help:"customers, tariffs or weather." enum:"customers,tariffs,weather"`
	At   string         `help:"Of tariffs only the prices that hold then, as RFC 3339 has it." placeholder:"TIME"`
}

func (importShow) Help() string {
	return `It is CSV, with the columns that the import has.

Examples:
  busbar-cloud import show --config cloud.yaml customers
  busbar-cloud import show --config cloud.yaml tariffs --at 2026-10-01T00:00:00+02:00`
}

func (i importShow) Run(ctx context.Context) error {
	var at telemetry.Micros
	if i.At != "" {
		then, err := time.Parse(time.RFC3339, i.At)
		if err != nil {
			return program.Usage{Err: fmt.Errorf("--at %q is no time, expected one such as 2026-10-01T06:15:00Z", i.At)}
		}
		if i.What != headend.Tariffs {
			return program.Usage{Err: fmt.Errorf("--at is of tariffs, and there are none in %s", i.What)}
		}
		at = telemetry.MicrosOf(then)
	}
	return i.use(ctx, func(s *store.Store) error { return headend.WriteMaster(ctx, s, i.What, at, os.Stdout) })
}
