package gridfile

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/internal/table"
)

// ReadCSV reads a model from a directory that has a table for each kind of
// asset: zones.csv, substations.csv, nodes.csv, sources.csv, feeders.csv,
// lines.csv, switches.csv, transformers.csv and service_points.csv. Those that
// aren't there have no assets. Columns have the names of YAML's keys; a column
// without text in a row is as if it weren't there. name is what places name
// before the file.
//
// The error is that there are none of these, or that one can't be read.
func ReadCSV(name string, dir fs.FS) (grid.Model, []grid.Finding, error) {
	var c csvReader
	found := false
	for i := range sections {
		file := sections[i].name + ".csv"
		src, err := table.ReadFile(dir, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return grid.Model{}, nil, err
		}
		found = true
		c.read(table.Path(name, file), src, &sections[i])
	}
	if !found {
		return grid.Model{}, nil, fmt.Errorf("%s: there is no table of a grid, expected lines.csv, switches.csv or others", name)
	}
	grid.SortFindings(c.findings)
	return c.model, c.findings, nil
}

// ReadTable reads a model from one table of all assets. Its column kind says
// what each row is: zone, substation, node, source, feeder, line, switch,
// transformer or service_point.
func ReadTable(path string, src []byte) (grid.Model, []grid.Finding) {
	var c csvReader
	c.read(path, src, nil)
	grid.SortFindings(c.findings)
	return c.model, c.findings
}

type csvReader struct {
	model    grid.Model
	findings []grid.Finding
}

// kindColumn says of a row what it is, in a table of all kinds.
const kindColumn = "kind"

// read reads a table of the assets of a section, or of all if that is nil.
func (c *csvReader) read(file string, src []byte, one *section) {
	rows, bad := table.New(file, src, 0)
	if bad != nil {
		c.findings = append(c.findings, *bad)
		return
	}
	columns := rows.Columns()
	if !c.header(file, columns, one) {
		return
	}
	kind := slices.Index(columns, kindColumn)
	rows.Each(&c.findings, func(row []string) {
		s := one
		if s == nil {
			if s = sectionOf(row[kind]); s == nil {
				c.findings = append(c.findings, rows.Wrong(kind, "kind: %q, expected one of %s", table.Short(row[kind]), strings.Join(kinds(), ", ")))
				return
			}
		}
		c.row(rows, columns, row, s, one == nil)
	})
}

// header checks the names of columns, and reports whether rows can be read.
func (c *csvReader) header(file string, columns []string, one *section) bool {
	var known, needed []string
	for i := range sections {
		if one != nil && one != &sections[i] {
			continue
		}
		for _, f := range sections[i].fields {
			known = append(known, f.name)
			if f.required && one != nil {
				needed = append(needed, f.name)
			}
		}
	}
	if one == nil {
		known, needed = append(known, kindColumn), []string{kindColumn, "id"}
	}
	wrong := func(format string, args ...any) {
		c.findings = append(c.findings, grid.Finding{Severity: grid.Error, Code: grid.Unreadable,
			Place: grid.Place{File: file, Line: 1, Column: 1}, Message: fmt.Sprintf(format, args...)})
	}
	for i, name := range columns {
		switch {
		case !slices.Contains(known, name):
			hint := "expected one of " + strings.Join(unique(known), ", ")
			if nearest := configfile.Nearest(name, known); nearest != "" {
				hint = fmt.Sprintf("did you mean %q?", nearest)
			}
			wrong("unknown column %q, %s", table.Short(name), hint)
		case slices.Contains(columns[:i], name):
			wrong("the column %q is there twice", table.Short(name))
		}
	}
	complete := true
	for _, name := range needed {
		if !slices.Contains(columns, name) {
			wrong("there is no column %q, which every row needs", name)
			complete = false
		}
	}
	return complete
}

func (c *csvReader) row(rows *table.Reader, columns, row []string, s *section, mixed bool) {
	item := reflect.New(s.item).Elem()
	item.Set(s.standard)
	var mine []grid.Finding
	given := map[string]bool{}
	for i, name := range columns {
		value := strings.TrimSpace(row[i])
		if value == "" || mixed && name == kindColumn || given[name] {
			continue
		}
		at := slices.IndexFunc(s.fields, func(f field) bool { return f.name == name })
		if at < 0 {
			if mixed {
				mine = append(mine, rows.Wrong(i, "%s: a %s has no such column", name, row[slices.Index(columns, kindColumn)]))
			}
			continue
		}
		given[name] = true
		if err := setText(item.FieldByIndex(s.fields[at].index), value); err != nil {
			mine = append(mine, rows.Wrong(i, "%s: %s", name, err))
		}
	}
	for _, f := range s.fields {
		if f.required && !given[f.name] {
			mine = append(mine, rows.Wrong(max(0, slices.Index(columns, f.name)), "%s: there is no value in this row, expected one", f.name))
		}
	}
	a := asset(item)
	a.Place = rows.Place(0)
	for i := range mine {
		mine[i].Asset = a.ID
	}
	c.findings = append(c.findings, mine...)
	if a.ID != "" {
		list := reflect.ValueOf(&c.model).Elem().Field(s.index)
		list.Set(reflect.Append(list, item))
	}
}

// kinds is what the column kind may say.
func kinds() []string {
	out := make([]string, len(sections))
	for i := range sections {
		out[i] = sections[i].kind()
	}
	return out
}

// kind is the section's name for one of it.
func (s *section) kind() string {
	if s.name == "switches" {
		return "switch"
	}
	return strings.TrimSuffix(s.name, "s")
}

func sectionOf(kind string) *section {
	for i := range sections {
		if sections[i].kind() == strings.TrimSpace(kind) {
			return &sections[i]
		}
	}
	return nil
}

func unique(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
