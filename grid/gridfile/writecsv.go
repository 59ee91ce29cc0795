package gridfile

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"

	"github.com/busbar/busbar/grid"
)

// WriteCSV writes a model as the tables that ReadCSV reads, into a directory,
// which it makes if it isn't there: a table for each kind of asset that the model
// has, with the columns that any of them needs. A table that isn't needed is
// removed. What the model says of itself, its name and coordinates, has no table.
// Reading it gives an equal model otherwise, places aside, if its texts are
// UTF-8 and have no space at their ends.
func WriteCSV(dir string, m *grid.Model) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	model := reflect.ValueOf(m).Elem()
	for i := range sections {
		s := &sections[i]
		path := filepath.Join(dir, s.name+".csv")
		list := model.Field(s.index)
		if list.Len() == 0 {
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				return err
			}
			continue
		}
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		err = s.writeTable(file, list)
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func (s *section) writeTable(w io.Writer, list reflect.Value) error {
	var columns []field
	var header []string
	for _, f := range s.fields {
		if f.required || s.anySays(f, list) {
			columns, header = append(columns, f), append(header, f.name)
		}
	}
	out := csv.NewWriter(w)
	out.Write(header)
	row := make([]string, len(columns))
	for j := range list.Len() {
		for k, f := range columns {
			row[k] = ""
			if v := list.Index(j).FieldByIndex(f.index); f.required || s.says(f, v) {
				row[k] = text(v)
			}
		}
		out.Write(row)
	}
	out.Flush()
	return out.Error()
}

// says reports whether a value is another than what holds without being said.
func (s *section) says(f field, v reflect.Value) bool {
	return v.Interface() != s.standard.FieldByIndex(f.index).Interface()
}

func (s *section) anySays(f field, list reflect.Value) bool {
	for j := range list.Len() {
		if s.says(f, list.Index(j).FieldByIndex(f.index)) {
			return true
		}
	}
	return false
}
