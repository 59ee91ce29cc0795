// Package signallist reads lists of signals as utilities hand them out for stations of IEC
// 60870-5-101 and -104: tables with a header, in CSV.
package signallist

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/telemetry"
)

// List is what is in such a table.
type List struct {
	Signals []profile.Signal // as they would be written into a configuration
	Left    []string         // columns that mean nothing here
	// YAML is the signals as a configuration has them: a line each, behind one with the key.
	YAML string
}

const (
	// mostRows bounds a list.
	mostRows = 100_000
	// mostTitles is how many rows may come before the header.
	mostTitles = 20
)

// Parse reads a list of signals for devices that are read by a protocol. file is what it is
// called in errors, which are configfile.Errors, with line and column in the table.
func Parse(file string, src []byte, by profile.Protocol) (List, error) {
	text, err := decode(src)
	if err != nil {
		return List{}, configfile.Errors{{File: file, Line: 1, Column: 1, Message: err.Error()}}
	}
	t := &table{file: file, lines: strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")}
	if err := t.read(text); err != nil {
		return List{}, err
	}
	places := map[[2]string]int{}
	for i := range t.rows {
		r := &t.rows[i]
		t.row(r)
		place := [2]string{r.keys["common_address"], r.keys["ioa"]}
		if other, twice := places[place]; twice && r.keys["ioa"] != "" {
			t.fail(*r, t.cell("ioa"), "%s is in line %d already, expected one signal for each object", r.keys["ioa"], t.rows[other].places[0][0])
			continue
		}
		places[place] = i
	}
	if len(t.rows) == 0 && len(t.errs) == 0 {
		t.fail(t.header, 0, "no signal, expected at least one row below this")
	}
	l := List{Left: t.left, YAML: t.yaml()}
	if len(t.errs) > 0 {
		return List{}, t.errs
	}
	// What a signal may be is known to those who check it in a configuration.
	var list struct {
		Signals []profile.Signal `yaml:"signals"`
	}
	f, _ := configfile.Decode(file, []byte(l.YAML), &list)
	profile.CheckSignals(f, "signals", by, list.Signals)
	if wrong, is := errors.AsType[configfile.Errors](f.Err()); is {
		return List{}, t.back(wrong)
	}
	l.Signals = list.Signals
	return l, nil
}

// table is a file that is being read.
type table struct {
	file    string
	lines   []string
	columns map[int]string // the key of each that means something
	left    []string
	header  row
	rows    []row
	errs    configfile.Errors
}

// row is one of the table.
type row struct {
	cells  []string
	places [][2]int // line and column of each cell
	keys   map[string]string
}

func (t *table) fail(r row, cell int, format string, args ...any) {
	line, column := 1, 1
	if cell < len(r.places) {
		line, column = r.places[cell][0], r.places[cell][1]
	} else if len(r.places) > 0 {
		line = r.places[0][0]
	}
	e := &configfile.Error{File: t.file, Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
	if line <= len(t.lines) {
		e.Source = t.lines[line-1]
		e.Column = utf8.RuneCountInString(e.Source[:min(len(e.Source), column-1)]) + 1
	}
	t.errs = append(t.errs, e)
}

// read splits the text into rows.
func (t *table) read(text string) error {
	separator, skip := separatorOf(text)
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord, r.TrimLeadingSpace, r.Comment = separator, -1, separator != '\t', '#'
	var first *row
	for n := 0; ; n++ {
		cells, err := r.Read()
		if err == io.EOF {
			break
		}
		if wrong, is := errors.AsType[*csv.ParseError](err); is {
			at := row{places: [][2]int{{wrong.Line, max(wrong.Column, 1)}}}
			t.fail(at, 0, "%v", wrong.Err)
			return t.errs
		}
		one := row{cells: cells}
		for i := range cells {
			line, column := r.FieldPos(i)
			one.places = append(one.places, [2]int{line, column})
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case n < skip, !slices.ContainsFunc(cells, func(c string) bool { return c != "" }):
		case t.columns == nil:
			if first == nil {
				first = &one
			}
			if t.head(one); t.columns == nil && n >= mostTitles {
				return t.headless(*first)
			}
		case len(t.rows) >= mostRows:
			t.fail(one, 0, "more than %d signals", mostRows)
			return t.errs
		default:
			t.rows = append(t.rows, one)
		}
	}
	if t.columns == nil && first != nil {
		return t.headless(*first)
	} else if t.columns == nil {
		return t.headless(row{})
	}
	return nil
}

func (t *table) headless(first row) error {
	t.fail(first, 0, "no header, expected a row with columns for name and ioa, such as name;ioa;unit;scale;kind")
	return t.errs
}

// head takes a row as the header, if it can be one: there may be titles before it.
func (t *table) head(r row) {
	columns, first := map[int]string{}, map[string]int{}
	var left []string
	for i, cell := range r.cells {
		key, known := keyOf(cell)
		if _, twice := first[key]; known && !twice {
			first[key] = i
		}
		if known {
			columns[i] = key
		} else if cell != "" {
			left = append(left, cell)
		}
	}
	_, named := first["name"]
	if _, addressed := first["ioa"]; !named || !addressed {
		return
	}
	for i, key := range columns {
		if first[key] != i {
			t.fail(r, i, "%q is %s, as column %d is already", r.cells[i], key, first[key]+1)
		}
	}
	t.columns, t.header, t.left = columns, r, left
}

// row finds out what the cells of a row mean.
func (t *table) row(r *row) {
	r.keys = map[string]string{}
	for i, cell := range r.cells {
		key, known := t.columns[i]
		switch {
		case i >= len(t.header.cells) && cell != "":
			t.fail(*r, i, "%q stands beyond the last column, expected %d", cell, len(t.header.cells))
		case !known || cell == "":
		default:
			if err := take(r.keys, key, cell); err != nil {
				t.fail(*r, i, "%s", err)
			}
		}
	}
	for _, key := range []string{"name", "ioa"} {
		if r.keys[key] == "" && !slices.ContainsFunc(t.errs, func(e *configfile.Error) bool { return e.Line == r.places[0][0] }) {
			t.fail(*r, t.cell(key), "there is no %s", key)
		}
	}
}

// cell is the column of a key; 0 if it has none.
func (t *table) cell(key string) int {
	for i, k := range t.columns {
		if k == key {
			return i
		}
	}
	return 0
}

// keys are those of a signal, in the order in which they are written.
var keys = []string{"name", "ioa", "common_address", "type", "unit", "scale", "offset", "kind", "deadband"}

func (t *table) yaml() string {
	var b bytes.Buffer
	b.WriteString("signals:\n")
	for _, r := range t.rows {
		b.WriteString("  - {")
		between := ""
		for _, key := range keys {
			if v := r.keys[key]; v != "" {
				fmt.Fprintf(&b, "%s%s: %s", between, key, v)
				between = ", "
			}
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// back has errors of what was written say where that comes from.
func (t *table) back(wrong configfile.Errors) configfile.Errors {
	for _, e := range wrong {
		n := e.Line - 2
		if n < 0 || n >= len(t.rows) {
			n = 0
		}
		key := e.Path[strings.LastIndexByte(e.Path, '.')+1:]
		t.fail(t.rows[n], t.cell(key), "%s", strings.ReplaceAll(e.Message, "the key is missing", "it is missing"))
	}
	return t.errs
}

// Merge adds the signals of a list to those that are written down, which replace those of
// the same name.
func Merge(written, list []profile.Signal) []profile.Signal {
	own := map[string]bool{}
	for _, s := range written {
		own[s.Name] = true
	}
	all := slices.Clone(written)
	for _, s := range list {
		if !own[s.Name] {
			all = append(all, s)
		}
	}
	return all
}

// kinds and types of signals, by what an ASDU type is of.
var meanings = map[string]struct {
	kind telemetry.Kind
	t    modbus.Type
}{
	"SP": {t: modbus.Bool}, "DP": {t: modbus.Bool}, "ST": {kind: telemetry.State}, "BO": {kind: telemetry.State},
	"ME": {}, "IT": {kind: telemetry.Counter},
}
