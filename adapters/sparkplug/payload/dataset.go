package payload

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// DataSet is a table (6.4.9).
type DataSet struct {
	Columns [][]byte
	Types   []DataType // of the columns
	Rows    [][]Value  // as long as there are columns; Absent: null
}

// MaxCells bounds the cells of a DataSet.
const MaxCells = 100_000

// DataSet reads a value that is one.
func (v Value) DataSet() (s DataSet, err error) {
	if v.form != AsDataSet {
		return s, malformed("no data set")
	}
	cells := 0
	err = fields(v.bytes, "data set", func(num protowire.Number, f field) error {
		if cells++; cells > MaxCells {
			return fmt.Errorf("%w: a data set of more than %d cells", ErrTooLarge, MaxCells)
		}
		switch {
		case num == 2 && f.delimited():
			s.Columns = append(s.Columns, f.bytes)
		case num == 3 && f.varint():
			s.Types = append(s.Types, DataType(min(f.number, uint64(unheardOf))))
		case num == 3 && f.delimited(): // packed
			for b := f.bytes; len(b) > 0; {
				t, n := protowire.ConsumeVarint(b)
				if n < 0 || len(s.Types) > MaxCells {
					return malformed("types of columns")
				}
				s.Types, b = append(s.Types, DataType(min(t, uint64(unheardOf)))), b[n:]
			}
		case num == 4 && f.delimited():
			var row []Value
			err := fields(f.bytes, "row", func(num protowire.Number, f field) error {
				if num != 1 || !f.delimited() {
					return nil
				}
				if cells++; cells > MaxCells {
					return fmt.Errorf("%w: a data set of more than %d cells", ErrTooLarge, MaxCells)
				}
				var cell Value
				err := fields(f.bytes, "cell", func(num protowire.Number, f field) error {
					if num >= 1 {
						cell.take(num-1, f, scalarForms)
					}
					return nil
				})
				row = append(row, cell)
				return err
			})
			s.Rows = append(s.Rows, row)
			return err
		}
		return nil
	})
	if err != nil {
		return DataSet{}, err
	}
	if len(s.Types) != len(s.Columns) {
		return DataSet{}, malformed("a data set whose columns and types don't match")
	}
	for _, row := range s.Rows {
		if len(row) != len(s.Columns) {
			return DataSet{}, malformed("a data set with a row of another length")
		}
	}
	return s, nil
}
