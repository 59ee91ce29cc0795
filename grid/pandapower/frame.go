package pandapower

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/internal/table"
)

// frame is a pandas DataFrame: a table whose rows have numbers.
type frame struct {
	name    string
	columns map[string]int
	index   []int64
	rows    [][]any // null, bool, json.Number, string, or what nobody asks for
}

// readFrame reads one as pandapower writes it, split into columns, index and
// data, which are a text of JSON in most versions and JSON itself in others.
func readFrame(name string, raw json.RawMessage) (frame, error) {
	var envelope struct {
		Object json.RawMessage `json:"_object"`
		Orient string          `json:"orient"`
	}
	if err := json.Unmarshal(raw, &envelope); err != nil {
		return frame{}, fmt.Errorf("it is no table: %w", err)
	}
	if envelope.Orient != "" && envelope.Orient != "split" {
		return frame{}, fmt.Errorf("it is oriented by %q, expected split", table.Short(envelope.Orient))
	}
	object := []byte(envelope.Object)
	if bytes.HasPrefix(object, []byte{'"'}) {
		var text string
		if err := json.Unmarshal(object, &text); err != nil {
			return frame{}, err
		}
		object = []byte(text)
	}
	var split struct {
		Columns []any   `json:"columns"`
		Index   []any   `json:"index"`
		Data    [][]any `json:"data"`
	}
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	if err := d.Decode(&split); err != nil {
		return frame{}, fmt.Errorf("it is no table of columns, index and data: %w", err)
	}
	if len(split.Data) > table.MaxAssets {
		return frame{}, fmt.Errorf("it has %d rows, expected at most %d", len(split.Data), table.MaxAssets)
	}
	f := frame{name: name, columns: map[string]int{}}
	seen := make(map[int64]bool, len(split.Index))
	if len(split.Index) != len(split.Data) {
		return frame{}, fmt.Errorf("it has %d rows and %d numbers of rows", len(split.Data), len(split.Index))
	}
	for i, c := range split.Columns {
		if column, ok := c.(string); ok {
			f.columns[column] = i
		}
	}
	for i, v := range split.Index {
		n, ok := whole(v)
		if !ok {
			return frame{}, fmt.Errorf("the number of its row %d is %s, expected a whole number", i+1, show(v))
		}
		if seen[n] {
			return frame{}, fmt.Errorf("two of its rows have the number %d", n)
		}
		seen[n] = true
		if len(split.Data[i]) != len(split.Columns) {
			return frame{}, fmt.Errorf("row %d has %d values, and the table %d columns", n, len(split.Data[i]), len(split.Columns))
		}
		f.index = append(f.index, n)
	}
	f.rows = split.Data
	return f, nil
}

// value is nil where there is none.
func (f *frame) value(row int, column string) any {
	if i, ok := f.columns[column]; ok {
		return f.rows[row][i]
	}
	return nil
}

// id is the asset's that a row becomes.
func (f *frame) id(row int) string { return f.name + "-" + strconv.FormatInt(f.index[row], 10) }

func (f *frame) place(file string, row int) grid.Place {
	return grid.Place{File: file, Row: f.name + " " + strconv.FormatInt(f.index[row], 10)}
}

// text is a text, or a number as one.
func (f *frame) text(row int, column string) string {
	switch v := f.value(row, column).(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// number is 0 if there is none, as for NaN, which is null.
func (f *frame) number(row int, column string) float64 {
	if n, ok := f.value(row, column).(json.Number); ok {
		if x, err := n.Float64(); err == nil {
			return x
		}
	}
	return 0
}

// reference is the number of a row of another table.
func (f *frame) reference(row int, column string) (int64, bool) {
	return whole(f.value(row, column))
}

// is reports whether a column is true; it is otherwise if there is no value.
func (f *frame) is(row int, column string, otherwise bool) bool {
	if b, ok := f.value(row, column).(bool); ok {
		return b
	}
	return otherwise
}

func whole(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	if i, err := n.Int64(); err == nil {
		return i, true
	}
	x, err := n.Float64()
	if i := int64(x); err == nil && x > -1e15 && x < 1e15 && float64(i) == x {
		return i, true
	}
	return 0, false
}

func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		return strconv.Quote(table.Short(v))
	case json.Number:
		return table.Short(v.String())
	}
	return table.Short(fmt.Sprint(v))
}
