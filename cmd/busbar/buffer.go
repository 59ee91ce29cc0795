package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

type bufferCommand struct {
	Inspect bufferInspectCommand `cmd:"" help:"Say what a gateway's buffer holds, file by file."`
	Export  bufferExportCommand  `cmd:"" help:"Write the samples or events of a buffer as CSV or JSON lines, of damaged files as much as can be read."`
	Verify  bufferVerifyCommand  `cmd:"" help:"Check every file, page and record of a buffer. The exit code is 1 if something is damaged."`
}

// bufferPath is what the buffer commands work on.
type bufferPath struct {
	Path string `arg:"" help:"A buffer's directory, or one file of it, set aside or not. It is only read; a gateway may be running on it." placeholder:"PATH"`
}

// open finds the files and lets a terminal see how far reading them has come.
func (p bufferPath) open() (*buffer.Inspection, error) {
	i, err := buffer.Inspect(p.Path)
	if err != nil {
		return nil, program.Usage{Err: err}
	}
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		i.Progress = func(done, total int64) {
			if total >= 64<<20 {
				fmt.Fprintf(os.Stderr, "\r%s of %s", bytesText(done), bytesText(total))
				if done >= total {
					fmt.Fprint(os.Stderr, "\r\x1b[K")
				}
			}
		}
	}
	return i, nil
}

// look looks at every file, and stops between two if ctx ends.
func look(ctx context.Context, i *buffer.Inspection, signals bool) ([]buffer.File, error) {
	var files []buffer.File
	for _, path := range i.Files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := i.Look(path, signals)
		if errors.Is(err, os.ErrNotExist) {
			continue // a gateway that runs has removed it
		}
		if err != nil {
			f.Problems = append(f.Problems, buffer.Problem{Place: "file", What: err.Error()})
		}
		files = append(files, f)
	}
	return files, nil
}

type bufferInspectCommand struct {
	bufferPath
	Signals bool `help:"Count the samples of each signal too."`
	JSON    bool `help:"One JSON document instead of a table." name:"json"`
}

func (bufferInspectCommand) Help() string {
	return `Examples:
  busbar buffer inspect /var/lib/busbar/buffer
  busbar buffer inspect --signals /var/lib/busbar/buffer
  busbar buffer inspect --json /var/lib/busbar/buffer/telemetry/q-00000000000000000001.db.unreadable`
}

func (c bufferInspectCommand) Run(ctx context.Context) error {
	i, err := c.open()
	if err != nil {
		return err
	}
	files, err := look(ctx, i, c.Signals)
	if err != nil {
		return err
	}
	waiting := map[record.Stream]uint64{}
	for _, f := range files {
		if f.State != buffer.FileSetAside && f.Stream != "" {
			waiting[f.Stream] += f.Records - f.Acknowledged
		}
	}
	if c.JSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(struct {
			Files   []buffer.File            `json:"files"`
			Waiting map[record.Stream]uint64 `json:"waiting_records"`
		}{files, waiting})
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FILE\tSTATE\tFORMAT\tBYTES\tPOSITIONS\tRECORDS\tACKNOWLEDGED\tSAMPLES\tFROM\tTO")
	for _, f := range files {
		positions := "-"
		if f.First != 0 {
			positions = fmt.Sprintf("%d-%d", f.First, f.Last)
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\t%d\t%d\t%d\t%s\t%s\n",
			f.Path, f.State, f.Format, f.Bytes, positions, f.Records, f.Acknowledged, f.Samples, instant(f.From), instant(f.To))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, f := range files {
		describe(os.Stdout, f)
	}
	for _, stream := range []record.Stream{record.Events, record.Telemetry} {
		fmt.Printf("%s: %d records wait for the log\n", stream, waiting[stream])
	}
	return nil
}

// describe prints what a line of the table has no room for.
func describe(w io.Writer, f buffer.File) {
	if len(f.Epochs)+len(f.Notes)+len(f.Problems)+len(f.Signals) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", f.Path)
	for _, e := range f.Epochs {
		fmt.Fprintf(w, "  %s, epoch %s, sequence numbers %d to %d\n", e.Gateway, e.Name, e.First, e.Last)
	}
	for _, s := range f.Signals {
		fmt.Fprintf(w, "  %s %s: %d samples\n", s.Device, s.Name, s.Samples)
	}
	for _, n := range f.Notes {
		fmt.Fprintf(w, "  note: %s\n", n)
	}
	for _, p := range f.Problems {
		fmt.Fprintf(w, "  damaged: %s: %s\n", p.Place, p.What)
	}
	if f.Salvaged > 0 {
		fmt.Fprintf(w, "  %d records were found beside the damaged tree\n", f.Salvaged)
	}
}

type bufferExportCommand struct {
	bufferPath
	Stream string `help:"Samples (telemetry) or events." enum:"telemetry,events" default:"telemetry"`
	Format string `help:"Form of samples: csv or jsonl. Events are always JSON lines." enum:"csv,jsonl" default:"csv"`
	From   string `help:"Leave out what is older, such as 2026-10-01T06:00:00Z or 2026-10-01." placeholder:"TIME"`
	To     string `help:"Leave out what is from this time on." placeholder:"TIME"`
	Device string `help:"Only this device's samples, or alarms." placeholder:"ID"`
	Out    string `help:"Write to this file, which must not be there yet; without it, to standard output." placeholder:"FILE" type:"path"`
}

func (bufferExportCommand) Help() string {
	return `Samples have a time (RFC 3339, and µs since 1970), device, signal, unit, value and quality. Names come from the
buffer's signal table; where that is lost, signals are called by their numbers. Samples that were taken before the
gateway knew the time have only µs since its boot, and say so. What is damaged is passed over, and counted on
standard error.

Examples:
  busbar buffer export /var/lib/busbar/buffer > samples.csv
  busbar buffer export --format jsonl --device feeder-1-head --from 2026-10-01 --to 2026-10-02 /var/lib/busbar/buffer
  busbar buffer export --stream events /var/lib/busbar/buffer
  busbar buffer export --out saved.csv /var/lib/busbar/buffer/telemetry/q-00000000000000000001.db.unreadable`
}

func (c bufferExportCommand) Run(ctx context.Context) (err error) {
	selection := buffer.Selection{Stream: record.Stream(c.Stream), Device: c.Device}
	if selection.From, selection.To, err = bounds(c.From, c.To); err != nil {
		return err
	}
	i, err := c.open()
	if err != nil {
		return err
	}
	out := os.Stdout
	if c.Out != "" {
		if out, err = os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return program.Usage{Err: err}
		}
	}
	format := buffer.Format(c.Format)
	if selection.Stream == record.Events {
		format = buffer.JSONLines
	}
	lines := buffer.NewLines(out, format)
	var total buffer.Exported
	for _, path := range i.Segments() {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := i.Export(path, selection, lines)
		if errors.Is(err, os.ErrNotExist) {
			continue // a gateway that runs has removed it
		}
		if err != nil {
			return err
		}
		tellDamage(path, n.Unreadable, n.Salvaged)
		total.Lines += n.Lines
	}
	if err := lines.Flush(); err != nil {
		return err
	}
	if c.Out != "" {
		fmt.Fprintf(os.Stderr, "busbar: %d %s are in %s\n", total.Lines, map[string]string{"telemetry": "samples", "events": "events"}[c.Stream], c.Out)
		return out.Close()
	}
	return nil
}

// bounds are the times of --from and --to; 0 for those that aren't given.
func bounds(from, to string) (after, before telemetry.Micros, err error) {
	for _, bound := range []struct {
		flag, text string
		to         *telemetry.Micros
	}{{"--from", from, &after}, {"--to", to, &before}} {
		if bound.text == "" {
			continue
		}
		if *bound.to, err = buffer.ParseTime(bound.text); err != nil {
			return 0, 0, program.Usage{Err: fmt.Errorf("%s: %w", bound.flag, err)}
		}
	}
	return after, before, nil
}

func instant(m telemetry.Micros) string {
	if m == 0 {
		return "-"
	}
	return m.Time().Format("2006-01-02T15:04:05Z")
}

func bytesText(n int64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/1e6), ".0") + " MB"
}

// tellDamage says what of a file couldn't be read as it should be.
func tellDamage(path string, unreadable, salvaged uint64) {
	if unreadable+salvaged > 0 {
		fmt.Fprintf(os.Stderr, "busbar: %s is damaged: %d records were passed over, %d were found beside its tree\n", path, unreadable, salvaged)
	}
}
