package gridfile

import (
	"bufio"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/internal/table"
)

// WriteTable writes all assets of a model as one table, in the model's order. Its
// columns are those that any of them needs. What holds without being said is an empty
// cell. ReadTable gives them back, places and spaces around texts aside; the model's
// name and coordinates aren't in a table. The error is the writer's, or that there are
// more assets than ReadTable takes.
func WriteTable(w io.Writer, m *grid.Model) error {
	return writeRows(w, reflect.ValueOf(m).Elem(), sections, kindColumn)
}

// writeRows writes the assets of some of a model's lists as a table, whose first column
// says the kind of each if it has a name.
func writeRows(w io.Writer, model reflect.Value, of []section, kind string) error {
	rows := 0
	for i := range of {
		rows += model.Field(of[i].index).Len()
	}
	if rows > table.MaxAssets {
		return fmt.Errorf("gridfile: %d assets, expected at most %d in a table", rows, table.MaxAssets)
	}
	out := bufio.NewWriterSize(w, 64<<10)
	columns := usedColumns(model, of)
	header := columns
	if kind != "" {
		header = append([]string{kind}, columns...)
	}
	out.WriteString(strings.Join(header, ",") + "\n")
	for i := range of {
		s := &of[i]
		list := model.Field(s.index)
		at := make([]*field, len(columns)) // of the section's fields, nil: it has none of this name
		for c, name := range columns {
			if i := slices.IndexFunc(s.fields, func(f field) bool { return f.name == name }); i >= 0 {
				at[c] = &s.fields[i]
			}
		}
		for j := range list.Len() {
			item := list.Index(j)
			if kind != "" {
				out.WriteString(s.kind() + ",")
			}
			for c, f := range at {
				if c > 0 {
					out.WriteByte(',')
				}
				if f != nil && s.says(item, f) {
					writeCell(out, text(item.FieldByIndex(f.index)))
				}
			}
			out.WriteByte('\n')
		}
	}
	return out.Flush()
}

// usedColumns are id and those of which some asset says something, in the order of the
// lists' keys.
func usedColumns(model reflect.Value, of []section) []string {
	columns := []string{"id"}
	for i := range of {
		s := &of[i]
		list := model.Field(s.index)
		for k := range s.fields {
			f := &s.fields[k]
			for j := 0; j < list.Len() && !slices.Contains(columns, f.name); j++ {
				if s.says(list.Index(j), f) {
					columns = append(columns, f.name)
				}
			}
		}
	}
	return columns
}

// says reports whether an item has a value of a field that has to be written.
func (s *section) says(item reflect.Value, f *field) bool {
	return f.required || !item.FieldByIndex(f.index).Equal(s.standard.FieldByIndex(f.index))
}

// writeCell writes a text as a cell of CSV (RFC 4180).
func writeCell(out *bufio.Writer, s string) {
	if !strings.ContainsAny(s, ",;\"\r\n") {
		out.WriteString(s)
		return
	}
	out.WriteByte('"')
	out.WriteString(strings.ReplaceAll(s, `"`, `""`))
	out.WriteByte('"')
}
