package reliability

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
)

// Tables are CSV after RFC 4180 in UTF-8, with a line of headings that says which columns
// there are, in any order. docs/reliability-indices.md describes them.

// stepColumns are those of the table of steps. The last four are what indices were
// made from: they are written, and ignored when read.
var stepColumns = []string{"interruption", "area", "substation", "feeder", "device", "component", "cause", "planned", "start", "end", "customers", "kva",
	"minutes", "kind", "major_event_day", "state"}

var (
	servedColumns = []string{"area", "feeder", "from", "customers", "kva"}
	pointColumns  = []string{"interruption", "start", "end", "service_point", "customers", "kva"}
)

// longestField is how many bytes a field may have; most is the largest number of customers
// or kVA of one line.
const (
	longestField = 1024
	most         = 1e9
)

// ReadSteps reads a table of steps. The error names the line.
func ReadSteps(name string, src []byte) ([]Step, error) {
	var steps []Step
	err := readTable(name, src, stepColumns, []string{"interruption", "start", "customers"}, func(f fields) error {
		s := Step{Interruption: f.text("interruption"), Area: f.text("area"), Substation: f.text("substation"), Feeder: f.text("feeder"),
			Device: f.text("device"), Component: f.text("component"), Cause: f.text("cause"), Planned: f.yes("planned"),
			Customers: f.number("customers"), Load: f.number("kva")}
		s.Start, s.End = f.span()
		steps = append(steps, s)
		return f.err()
	})
	return steps, err
}

// ReadServed reads a table of what is served. Without a from, a line is true since ever.
func ReadServed(name string, src []byte) ([]Served, error) {
	var list []Served
	err := readTable(name, src, servedColumns, []string{"customers"}, func(f fields) error {
		list = append(list, Served{Area: f.text("area"), Feeder: f.text("feeder"), From: f.time("from"), Customers: f.number("customers"), Load: f.number("kva")})
		return f.err()
	})
	return list, err
}

// ReadPoints reads a table that names the service points of steps, and gives them to those
// steps that have the same interruption, start and end. Without a number of customers, a
// service point is one.
func ReadPoints(name string, src []byte, steps []Step) error {
	type key struct {
		interruption string
		start, end   telemetry.Micros
	}
	of, points := map[key][]int{}, map[key][]Point{}
	for i, s := range steps {
		k := key{s.Interruption, s.Start, s.End}
		of[k] = append(of[k], i)
	}
	err := readTable(name, src, pointColumns, []string{"interruption", "start", "service_point"}, func(f fields) error {
		start, end := f.span()
		k := key{f.text("interruption"), start, end}
		p := Point{ID: f.text("service_point"), Customers: 1, Load: f.number("kva")}
		if f.has("customers") {
			p.Customers = f.number("customers")
		}
		if err := f.err(); err != nil {
			return err
		}
		if p.ID == "" {
			return errors.New("service_point is empty")
		}
		switch len(of[k]) {
		case 0:
			return fmt.Errorf("there is no step of interruption %q with this start and end", k.interruption)
		case 1:
			points[k] = append(points[k], p)
			return nil
		}
		return fmt.Errorf("%d steps of interruption %q have this start and end: whose service point it is can't be said", len(of[k]), k.interruption)
	})
	if err != nil {
		return err
	}
	for k, list := range points {
		steps[of[k][0]].Points = list
	}
	return nil
}

// readTable calls line for each line.
func readTable(name string, src []byte, known, required []string, line func(fields) error) error {
	if !utf8.Valid(src) {
		return fmt.Errorf("%s: isn't UTF-8", name)
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(src, []byte("\ufeff"))))
	r.ReuseRecord = true
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: is empty, expected a line of headings such as %s", name, strings.Join(known, ","))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	columns := map[string]int{}
	for i, h := range head {
		h = strings.TrimSpace(h)
		if _, twice := columns[h]; twice {
			return fmt.Errorf("%s:1: column %q is there twice", name, h)
		}
		if !slices.Contains(known, h) {
			return fmt.Errorf("%s:1: column %q is unknown, expected some of %s", name, h, strings.Join(known, ", "))
		}
		columns[h] = i
	}
	for _, c := range required {
		if _, ok := columns[c]; !ok {
			return fmt.Errorf("%s:1: column %s is missing", name, c)
		}
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		at, _ := r.FieldPos(0)
		if err := line(fields{columns: columns, record: record, wrong: new([]error)}); err != nil {
			return fmt.Errorf("%s:%d: %w", name, at, err)
		}
	}
}

// fields are those of a line.
type fields struct {
	columns map[string]int
	record  []string
	wrong   *[]error
}

func (f fields) err() error {
	if len(*f.wrong) == 0 {
		return nil
	}
	return (*f.wrong)[0]
}

func (f fields) errorf(format string, args ...any) {
	*f.wrong = append(*f.wrong, fmt.Errorf(format, args...))
}

func (f fields) text(column string) string {
	i, ok := f.columns[column]
	if !ok {
		return ""
	}
	text := strings.TrimSpace(f.record[i])
	if len(text) > longestField {
		f.errorf("%s has %d bytes, expected at most %d", column, len(text), longestField)
		return ""
	}
	return strings.Clone(text)
}

func (f fields) has(column string) bool { return f.text(column) != "" }

func (f fields) yes(column string) bool {
	switch text := f.text(column); strings.ToLower(text) {
	case "", "no", "false", "0":
		return false
	case "yes", "true", "1":
		return true
	default:
		f.errorf("%s: %q, expected yes or no", column, text)
		return false
	}
}

func (f fields) number(column string) float64 {
	text := f.text(column)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n > most {
		f.errorf("%s: %q, expected a number from 0 to %.0f", column, text, most)
		return 0
	}
	return n
}

func (f fields) time(column string) telemetry.Micros {
	text := f.text(column)
	if text == "" {
		return 0
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		f.errorf("%s: %q, expected a time such as 2026-03-17T12:12:20+01:00", column, text)
		return 0
	}
	return telemetry.MicrosOf(t)
}

func (f fields) span() (start, end telemetry.Micros) {
	start, end = f.time("start"), f.time("end")
	switch {
	case f.err() != nil:
	case start == 0:
		f.errorf("start is empty")
	case end != 0 && end < start:
		f.errorf("end is before start")
	}
	return start, end
}

// WriteSteps writes a table of the steps of a report's periods, one line a step, by time.
// Times are UTC to the µs.
func WriteSteps(w io.Writer, in Input, q Question) error {
	steps := slices.Clone(in.Steps)
	slices.SortStableFunc(steps, func(a, b Step) int {
		return compare(interruption{by: &a, start: a.Start, end: a.End}, interruption{by: &b, start: b.Start, end: b.End})
	})
	in.Steps = steps
	q.By = ByNothing
	rows := Report(in, q)
	major := func(at telemetry.Micros) bool {
		return slices.ContainsFunc(rows, func(r Row) bool {
			return slices.ContainsFunc(r.MajorDays, func(d MajorDay) bool { return d.Day.has(at) })
		})
	}
	table := csv.NewWriter(w)
	table.UseCRLF = true
	if err := table.Write(stepColumns); err != nil {
		return err
	}
	for i := range steps {
		s := &steps[i]
		if !slices.ContainsFunc(q.Periods, func(p Period) bool { return p.has(s.Start) }) {
			continue
		}
		customers, load := s.Customers, s.Load
		if len(s.Points) > 0 {
			customers, load = 0, 0
			for _, p := range s.Points {
				customers, load = customers+p.Customers, load+p.Load
			}
		}
		end, state, text := s.End, "final", stamp(s.End)
		if end == 0 {
			end, state, text = max(in.Now, s.Start), "provisional", ""
		}
		kind := string(q.Profile.kind(s.Start, end, s.End == 0))
		if q.Profile.leavesOut(s) {
			kind = "left out"
		}
		if err := table.Write([]string{s.Interruption, s.Area, s.Substation, s.Feeder, s.Device, s.Component, s.Cause, yesNo(s.Planned),
			stamp(s.Start), text, decimal(customers), decimal(load), decimal(end.Sub(s.Start).Minutes()), kind, yesNo(major(s.Start)), state}); err != nil {
			return err
		}
	}
	table.Flush()
	return table.Error()
}

// WriteIndices writes a table of a report: a line a row, and one more of what it is without
// major event days. An index that isn't defined is empty.
func WriteIndices(w io.Writer, rows []Row, q Question) error {
	table := csv.NewWriter(w)
	table.UseCRLF = true
	head := []string{"profile", "period", "from", "to", "by", "group", "state", "major_event_days", "customers_served", "interruptions", "open",
		"customers_interrupted", "customer_minutes", "customers_affected"}
	for _, i := range q.Profile.Indices {
		head = append(head, string(i))
	}
	if err := table.Write(head); err != nil {
		return err
	}
	for _, r := range rows {
		write := func(t *Totals, major string) error {
			by, state := "all", "provisional"
			if !r.Whole {
				by = string(q.By)
			}
			if r.Final {
				state = "final"
			}
			line := []string{q.Profile.Name, r.Period.Name, stamp(r.Period.From), stamp(r.Period.To), by, r.Group, state, major, decimal(t.CustomersServed),
				strconv.Itoa(t.Interruptions), strconv.Itoa(t.Open), decimal(t.CI), decimal(t.CMI), optional(t.CN)}
			for _, i := range q.Profile.Indices {
				line = append(line, optional(t.Of(i, q.Profile)))
			}
			return table.Write(line)
		}
		if err := write(&r.Totals, "with"); err != nil {
			return err
		}
		if r.WithoutMajor != nil {
			if err := write(r.WithoutMajor, "without"); err != nil {
				return err
			}
		}
	}
	table.Flush()
	return table.Error()
}

func stamp(at telemetry.Micros) string {
	if at == 0 {
		return ""
	}
	return at.Time().Format("2006-01-02T15:04:05.999999Z07:00")
}

// decimal has up to nine places.
func decimal(v float64) string { return strconv.FormatFloat(math.Round(v*1e9)/1e9, 'f', -1, 64) }

func optional(v *float64) string {
	if v == nil {
		return ""
	}
	return decimal(*v)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
