// Package table reads tables of text, row by row, whose columns have names.
package table

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/busbar/busbar/grid"
)

// Bounds on what is read, and so on the memory that it takes.
const (
	MaxBytes    = 128 << 20 // of a file
	MaxAssets   = 2_000_000 // of a YAML file, and rows of a table
	MaxFindings = 10_000    // in one: nobody reads on
)

// TooMany is the finding that ends reading at a bound.
func TooMany(place grid.Place, findings int) grid.Finding {
	message := fmt.Sprintf("there are more than %d findings; what follows isn't read", MaxFindings)
	if findings <= MaxFindings {
		message = fmt.Sprintf("there are more than %d assets; what follows isn't read", MaxAssets)
	}
	return grid.Finding{Severity: grid.Error, Code: grid.Unreadable, Place: place, Message: message}
}

// ReadFile is a file's content, if it has at most MaxBytes.
func ReadFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err == nil && len(src) > MaxBytes {
		err = fmt.Errorf("%s has more than %d bytes", name, MaxBytes)
	}
	return src, err
}

// Path is what places name for a file of a directory, which may have no name.
func Path(dir, file string) string {
	if dir == "" {
		return file
	}
	return strings.TrimSuffix(dir, "/") + "/" + file
}

// Reader reads a table.
type Reader struct {
	file    string
	csv     *csv.Reader
	columns []string
	row     []string
}

// New reads the header of a table. Columns are separated by separator, by what
// the header has if that is 0: ; or, if there is none, a comma. file is what
// places name.
func New(file string, src []byte, separator rune) (*Reader, *grid.Finding) {
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	r := &Reader{file: file, csv: csv.NewReader(bytes.NewReader(src))}
	if separator == 0 {
		separator = ','
		if header, _, _ := bytes.Cut(src, []byte("\n")); bytes.ContainsRune(header, ';') {
			separator = ';'
		}
	}
	r.csv.Comma = separator
	r.csv.FieldsPerRecord = -1
	header, err := r.csv.Read()
	if err != nil {
		if err == io.EOF {
			return nil, &grid.Finding{Severity: grid.Error, Code: grid.Unreadable, Place: r.at(1, 1), Message: "the file is empty, expected a header with the names of its columns"}
		}
		return nil, r.broken(err)
	}
	r.csv.ReuseRecord = true
	for _, name := range header {
		r.columns = append(r.columns, strings.ToValidUTF8(strings.TrimSpace(name), "\ufffd"))
	}
	return r, nil
}

// Columns is the header.
func (r *Reader) Columns() []string { return r.columns }

// Each calls take with every row, which is valid until take returns, and adds to
// findings what is wrong with those that can't be read. It ends at MaxAssets rows
// and at MaxFindings findings.
func (r *Reader) Each(findings *[]grid.Finding, take func(row []string)) {
	add := func(f grid.Finding) { *findings = append(*findings, f) }
	for rows := 0; ; rows++ {
		row, err := r.csv.Read()
		if err == io.EOF {
			return
		}
		r.row = row
		switch invalid := slices.IndexFunc(row, func(text string) bool { return !utf8.ValidString(text) }); {
		case rows == MaxAssets || len(*findings) > MaxFindings:
			add(TooMany(r.Place(0), len(*findings)))
			return
		case err != nil:
			add(*r.broken(err))
		case invalid >= 0:
			add(r.Wrong(invalid, "this is not UTF-8 text"))
		case len(row) != len(r.columns):
			add(r.Wrong(0, "the row has %d columns, and the header %d", len(row), len(r.columns)))
		default:
			take(row)
		}
	}
}

// Place is that of a column, from 0, of the current row.
func (r *Reader) Place(column int) grid.Place {
	if len(r.row) == 0 {
		return grid.Place{File: r.file}
	}
	line, at := r.csv.FieldPos(min(column, len(r.row)-1))
	return r.at(line, at)
}

// Wrong is an error in a column, from 0, of the current row.
func (r *Reader) Wrong(column int, format string, args ...any) grid.Finding {
	return grid.Finding{Severity: grid.Error, Code: grid.Unreadable, Place: r.Place(column), Message: fmt.Sprintf(format, args...)}
}

func (r *Reader) at(line, column int) grid.Place {
	return grid.Place{File: r.file, Line: line, Column: column}
}

func (r *Reader) broken(err error) *grid.Finding {
	f := &grid.Finding{Severity: grid.Error, Code: grid.Unreadable, Place: grid.Place{File: r.file}, Message: err.Error()}
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		f.Place, f.Message = r.at(parse.Line, parse.Column), parse.Err.Error()
	}
	return f
}
