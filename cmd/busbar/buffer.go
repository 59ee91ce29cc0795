package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/gateway"
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
	Path string `arg:"" optional:"" help:"A buffer's directory, or one file of it, set aside or not. It is only read; a gateway may be running on it." placeholder:"PATH"`
}

// open finds the files and lets a terminal see how far reading them has come.
func (p bufferPath) open() (*buffer.Inspection, error) {
	if p.Path == "" {
		return nil, program.Usage{Err: errors.New("which buffer? expected its directory or one of its files")}
	}
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

// of is the gateway whose own buffer is meant.
func (p bufferPath) of(ctx context.Context, from *away) (gateway.Door, error) {
	if p.Path != "" {
		return gateway.Door{}, program.Usage{Err: errors.New("a gateway has one buffer, expected --gateway without a path")}
	}
	return from.door(ctx)
}

// lineCounter counts the lines that are written.
type lineCounter struct {
	io.Writer
	lines uint64
}

func (l *lineCounter) Write(p []byte) (int, error) {
	l.lines += uint64(bytes.Count(p, []byte{'\n'}))
	return l.Writer.Write(p)
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
  busbar --gateway 10.0.0.20 buffer inspect
  busbar buffer inspect --json /var/lib/busbar/buffer/telemetry/q-00000000000000000001.db.unreadable`
}

// look looks at the files here, or has a gateway look at its own.
func (c bufferInspectCommand) look(ctx context.Context, from *away) ([]buffer.File, error) {
	if from.is() {
		door, err := c.of(ctx, from)
		if err != nil {
			return nil, err
		}
		return door.Inspect(ctx, c.Signals)
	}
	i, err := c.open()
	if err != nil {
		return nil, err
	}
	return i.LookAtAll(ctx, c.Signals)
}

func (c bufferInspectCommand) Run(ctx context.Context, from *away) error {
	files, err := c.look(ctx, from)
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
  busbar --gateway 10.0.0.20 buffer export --from 2026-10-01 > samples.csv
  busbar buffer export --out saved.csv /var/lib/busbar/buffer/telemetry/q-00000000000000000001.db.unreadable`
}

func (c bufferExportCommand) Run(ctx context.Context, from *away) (err error) {
	selection, format, err := buffer.ParseSelection(c.Stream, c.Format, c.From, c.To, c.Device)
	if err != nil {
		return program.Usage{Err: fmt.Errorf("--%w", err)}
	}
	export := func(w io.Writer) (lines uint64, damage []string, err error) {
		to := buffer.NewLines(w, format)
		i, err := c.open()
		if err != nil {
			return 0, nil, err
		}
		total, damage, err := i.ExportAll(ctx, selection, to)
		return total.Lines, damage, errors.Join(err, to.Flush())
	}
	if from.is() {
		door, err := c.of(ctx, from)
		if err != nil {
			return err
		}
		export = func(w io.Writer) (uint64, []string, error) {
			counted := lineCounter{Writer: w}
			damage, err := door.Export(ctx, c.Stream, c.Format, c.From, c.To, c.Device, &counted)
			if format == buffer.CSV && counted.lines > 0 {
				counted.lines-- // the heads
			}
			return counted.lines, slices.DeleteFunc([]string{damage}, func(s string) bool { return s == "" }), err
		}
	}
	out := os.Stdout
	if c.Out != "" {
		if out, err = os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return program.Usage{Err: err}
		}
	}
	lines, damage, err := export(out)
	for _, d := range damage {
		fmt.Fprintln(os.Stderr, "busbar: "+d)
	}
	if err != nil {
		return err
	}
	if c.Out != "" {
		fmt.Fprintf(os.Stderr, "busbar: %d %s are in %s\n", lines, map[string]string{"telemetry": "samples", "events": "events"}[c.Stream], c.Out)
		return out.Close()
	}
	return nil
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
