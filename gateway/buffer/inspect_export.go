package buffer

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Selection is what of a buffer is exported.
type Selection struct {
	Stream record.Stream // whose records; samples of Telemetry, events of Events
	Device string        // of the samples, or that an event's alarm is about; empty: all
	// From and To bound the times: From inclusive, To exclusive; 0: no bound. A
	// sample whose time isn't known yet is left out if there is one.
	From, To telemetry.Micros
}

// ParseSelection is a selection as people write it. The format is JSON lines for events.
// The error names what isn't right.
func ParseSelection(stream, format, from, to, device string) (s Selection, f Format, err error) {
	s = Selection{Stream: record.Stream(cmp.Or(stream, string(record.Telemetry))), Device: device}
	f = Format(cmp.Or(format, string(CSV)))
	switch {
	case s.Stream != record.Telemetry && s.Stream != record.Events:
		return s, f, fmt.Errorf("stream: %q, expected %s or %s", stream, record.Telemetry, record.Events)
	case f != CSV && f != JSONLines:
		return s, f, fmt.Errorf("format: %q, expected %s or %s", format, CSV, JSONLines)
	case s.Stream == record.Events:
		f = JSONLines
	}
	for _, bound := range []struct {
		name, text string
		to         *telemetry.Micros
	}{{"from", from, &s.From}, {"to", to, &s.To}} {
		if bound.text == "" {
			continue
		}
		if *bound.to, err = ParseTime(bound.text); err != nil {
			return s, f, fmt.Errorf("%s: %w", bound.name, err)
		}
	}
	return s, f, nil
}

func (s Selection) covers(t telemetry.Micros) bool {
	return (s.From == 0 || t >= s.From) && (s.To == 0 || t < s.To)
}

// selects reports whether a sample is of the selection.
func (s Selection) selects(signal telemetry.Signal, sample telemetry.Sample) bool {
	if sinceBoot(sample) && (s.From != 0 || s.To != 0) {
		return false
	}
	return s.covers(sample.Time) && (s.Device == "" || signal.Device == s.Device)
}

// Exported counts what an export wrote and what it had to pass over.
type Exported struct {
	Lines      uint64 // samples or events
	Salvaged   uint64 // records found beside a damaged file's tree
	Unreadable uint64 // records known to be there whose content is gone
}

// Damage says what of the file couldn't be read as it should be; "" if everything could.
func (n Exported) Damage(path string) string {
	if n.Unreadable+n.Salvaged == 0 {
		return ""
	}
	return fmt.Sprintf("%s is damaged: %d records were passed over, %d were found beside its tree", path, n.Unreadable, n.Salvaged)
}

// Format of exported samples. Events are always JSON lines.
type Format string

const (
	CSV       Format = "csv"
	JSONLines Format = "jsonl"
)

// Export writes what a file, one of i.Files, holds of the selection. What is
// damaged is passed over and counted; the error says that the file couldn't be
// read, or w not written.
func (i *Inspection) Export(path string, s Selection, w *Lines) (n Exported, err error) {
	defer func() { i.progress(path) }()
	x := exporter{Selection: s, books: &i.books, lines: w}
	c, err := readFile(path, func(e Entry, how found) {
		if x.err == nil && e.Record.Stream == s.Stream {
			if how == byPage {
				x.n.Salvaged++
			}
			x.record(e.Record)
		}
	})
	if err == nil {
		err = x.err
	}
	x.n.Unreadable += c.lost
	return x.n, err
}

// Segments are those of the Files that hold records.
func (i *Inspection) Segments() (paths []string) {
	for _, path := range i.Files {
		if !isMeta(filepath.Base(path)) {
			paths = append(paths, path)
		}
	}
	return paths
}

// ExportAll exports every segment, and stops between two if ctx ends. damage says what was
// passed over.
func (i *Inspection) ExportAll(ctx context.Context, s Selection, w *Lines) (total Exported, damage []string, err error) {
	for _, path := range i.Segments() {
		if err := ctx.Err(); err != nil {
			return total, damage, err
		}
		n, err := i.Export(path, s, w)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a gateway that runs has removed it
		}
		if err != nil {
			return total, damage, err
		}
		if d := n.Damage(path); d != "" {
			damage = append(damage, d)
		}
		total.Lines, total.Salvaged, total.Unreadable = total.Lines+n.Lines, total.Salvaged+n.Salvaged, total.Unreadable+n.Unreadable
	}
	return total, damage, nil
}

type exporter struct {
	Selection
	books   *books
	lines   *Lines
	decoder telemetry.Decoder
	samples []telemetry.Sample
	n       Exported
	err     error // of writing
}

func (x *exporter) record(r record.Record) {
	if r.Stream == record.Events {
		x.event(r)
		return
	}
	table, samples, err := decodeBlock(&x.decoder, r, x.samples)
	if err != nil {
		x.n.Unreadable++
		return
	}
	x.samples = samples
	for n := range samples {
		signal := x.books.signal(table.Table, samples[n].Signal)
		if !x.selects(signal, samples[n]) {
			continue
		}
		x.n.Lines++
		if x.err = x.lines.sample(signal, samples[n]); x.err != nil {
			return
		}
	}
}

func (x *exporter) event(r record.Record) {
	e, err := decodeEvent(r)
	if err != nil {
		x.n.Unreadable++
		return
	}
	if !x.covers(e.Time) || x.Device != "" && (e.Alarm == nil || e.Alarm.Device != x.Device) {
		return
	}
	x.n.Lines++
	x.err = x.lines.json(r.Payload)
}

// Lines writes samples and events, one a line.
type Lines struct {
	format Format
	out    *bufio.Writer
	csv    *csv.Writer
	line   []byte
}

// NewLines begins an export to w. CSV has a line of heads.
func NewLines(w io.Writer, format Format) *Lines {
	l := &Lines{format: format, out: bufio.NewWriterSize(w, 64<<10)}
	l.csv = csv.NewWriter(l.out)
	if format == CSV {
		l.csv.Write([]string{"time", "time_us", "device", "signal", "unit", "value", "quality"})
	}
	return l
}

// Flush writes what is still in memory.
func (l *Lines) Flush() error {
	l.csv.Flush()
	if err := l.csv.Error(); err != nil {
		return err
	}
	return l.out.Flush()
}

const timeLayout = "2006-01-02T15:04:05.000000Z"

// exportedSample is a sample as a JSON line has it.
type exportedSample struct {
	Time    string           `json:"time"`
	Micros  telemetry.Micros `json:"time_us"`
	Device  string           `json:"device"`
	Signal  string           `json:"signal"`
	Unit    string           `json:"unit"`
	Value   any              `json:"value"`
	Quality string           `json:"quality"`
}

func (l *Lines) sample(signal telemetry.Signal, s telemetry.Sample) error {
	at := ""
	if !sinceBoot(s) {
		at = formatTime(s.Time)
	}
	if l.format == CSV {
		value := s.Value.String()
		if s.Value.Kind() == telemetry.None {
			value = ""
		}
		return l.csv.Write([]string{
			at, strconv.FormatInt(int64(s.Time), 10), signal.Device, signal.Name, signal.Unit, value, s.Quality.String(),
		})
	}
	line, err := json.Marshal(exportedSample{at, s.Time, signal.Device, signal.Name, signal.Unit, jsonValue(s.Value), s.Quality.String()})
	if err != nil {
		return err
	}
	return l.json(line)
}

// formatTime is RFC 3339 with µs, in UTC; beyond its four digits of year there
// is none.
func formatTime(m telemetry.Micros) string {
	if t := m.Time(); t.Year() >= 0 && t.Year() <= 9999 {
		return t.Format(timeLayout)
	}
	return ""
}

// jsonValue is a value that JSON can express exactly: what a float64 has beyond
// numbers is a text.
func jsonValue(v telemetry.Value) any {
	switch v.Kind() {
	case telemetry.Float64:
		f := math.Float64frombits(v.Bits())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return v.String()
		}
		return f
	case telemetry.Int64:
		return int64(v.Bits())
	case telemetry.Uint64:
		return v.Bits()
	case telemetry.Bool:
		return v.Bits() != 0
	case telemetry.Text:
		return v.Text()
	}
	return nil
}

func (l *Lines) json(line []byte) error {
	l.line = append(append(l.line[:0], line...), '\n')
	_, err := l.out.Write(l.line)
	return err
}

// ParseTime reads a time of a selection: RFC 3339, or a day of UTC.
func ParseTime(s string) (telemetry.Micros, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return telemetry.MicrosOf(t), nil
		}
	}
	return 0, fmt.Errorf("%q is no time, expected one such as 2026-10-01T06:00:00Z or 2026-10-01", s)
}
