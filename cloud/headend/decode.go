package headend

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode"

	"github.com/busbar/busbar/telemetry"
)

// Decoder reads rows of CSV, or of JSON: one object a line, or a list of objects. Which of
// these it is shows by its first byte.
type Decoder struct {
	format Format
	now    telemetry.Micros
	next   func() (Place, cells, error)
}

// longestLine bounds what is read at once.
const longestLine = 1 << 20

// NewDecoder reads rows as of an instant: what lies behind it by more than a day is no read.
func NewDecoder(from io.Reader, format Format, now telemetry.Micros) *Decoder {
	d := &Decoder{format: format, now: now}
	rest := marked(from)
	line := 1
	for {
		b, err := rest.ReadByte()
		switch {
		case err != nil:
			d.next = func() (Place, cells, error) { return Place{}, nil, err } // nothing at all, which is no error, or one of reading
			return d
		case b == '\n':
			line++
			continue
		case unicode.IsSpace(rune(b)):
			continue
		}
		rest.UnreadByte()
		switch b {
		case '{':
			d.next = objects{format, newLines(rest, line).text}.next
		case '[':
			d.next = objects{format, newList(rest, line).text}.next
		default:
			if d.next, err = newTable(rest, line, format.Separator, format.named, []Field{Meter}); err != nil {
				d.next = func() (Place, cells, error) { return Place{}, nil, err }
			}
		}
		return d
	}
}

// marked reads from behind a byte order mark, if there is one.
func marked(from io.Reader) *bufio.Reader {
	rest := bufio.NewReaderSize(from, 64<<10)
	if bom, _ := rest.Peek(3); bytes.Equal(bom, []byte("\ufeff")) {
		rest.Discard(3)
	}
	return rest
}

// Next is the next row. A *Refusal concerns one row, and those behind it come all the same.
// Any other error is the end; io.EOF is one where all was read.
func (d *Decoder) Next() (Row, error) {
	at, c, err := d.next()
	if err != nil {
		return Row{Place: at}, err
	}
	row, err := d.row(at, c)
	if row.Place.Line == 0 {
		row.Place = at
	}
	return row, err
}

// broken is an error behind which nothing can be read.
func broken(at Place, format string, args ...any) error {
	return fmt.Errorf("%d:%d: %s", at.Line, at.Column, fmt.Sprintf(format, args...))
}

// named puts what columns or members are called to what they are about.
func (f Format) named(name string) (Field, bool) {
	if field, is := f.Columns[name]; is {
		return field, true
	}
	field := Field(name)
	if slices.Contains(Fields, field) || f.own && slices.Contains(ownFields, field) {
		return field, true
	}
	return "", false
}

var errLongLine = errors.New("a line of more than 1 MiB")
