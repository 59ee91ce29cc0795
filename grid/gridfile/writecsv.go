package gridfile

import (
	"fmt"
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
		if model.Field(s.index).Len() == 0 {
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				return err
			}
			continue
		}
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		err = writeRows(file, model, sections[i:i+1], "")
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}
