package headend

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// table reads CSV (RFC 4180) whose first line says what the columns are. A row is a line: there
// are no line breaks within it, so that a quotation mark too many costs no other row.
type table struct {
	lines  *lines
	comma  rune
	fields []Field // by column; "": nobody asks for it
}

// newTable reads the first line. comma separates columns, 0: it shows; named says what a
// column is about; those that are required are there.
func newTable(from *bufio.Reader, line int, comma rune, named func(string) (Field, bool), required []Field) (func() (Place, cells, error), error) {
	t := &table{lines: newLines(from, line), comma: comma}
	at, head, err := t.lines.text()
	if err != nil {
		return nil, err
	}
	if t.comma == 0 {
		t.comma = ','
		for _, c := range ";\t" {
			if bytes.ContainsRune(head, c) {
				t.comma = c
				break
			}
		}
	}
	names, err := t.split(at, head)
	if err != nil {
		return nil, broken(at, "the first line: %v", err)
	}
	seen := map[Field]int{} // columns
	for i, n := range names {
		name := strings.TrimSpace(n.text)
		field, known := named(name)
		if other, twice := seen[field]; twice {
			// The one that the mapping names goes before the one of the Field's own name.
			switch was := strings.TrimSpace(names[other].text); {
			case name != was && was == string(field):
				t.fields[other] = ""
			case name != was && name == string(field):
				known = false
			default:
				return nil, broken(n.Place, "column %q is the %s, as %q is", short(name), field, short(was))
			}
		}
		if known {
			seen[field] = i
		} else {
			field = ""
		}
		t.fields = append(t.fields, field)
	}
	for _, field := range required {
		if _, is := seen[field]; !is {
			return nil, broken(at, "no column is the %s: the first line is %q", field, short(string(head)))
		}
	}
	return t.next, nil
}

func (t *table) next() (Place, cells, error) {
	at, record, err := t.lines.text()
	if err != nil {
		return at, nil, err
	}
	list, err := t.split(at, record)
	if err != nil {
		return at, nil, err
	}
	if len(list) != len(t.fields) {
		return at, nil, refuse(at, "%d columns, expected %d as in the first line", len(list), len(t.fields))
	}
	c := make(cells, len(list))
	for i, one := range list {
		if one.text = strings.TrimSpace(one.text); one.text != "" && t.fields[i] != "" {
			c[t.fields[i]] = one
		}
	}
	return at, c, nil
}

// split takes a record apart. The error is a *Refusal.
func (t *table) split(at Place, record []byte) ([]cell, error) {
	if !bytes.ContainsRune(record, '"') {
		return t.cut(at, record), nil
	}
	r := csv.NewReader(bytes.NewReader(record))
	r.Comma, r.FieldsPerRecord = t.comma, -1
	texts, err := r.Read()
	if wrong := (*csv.ParseError)(nil); errors.As(err, &wrong) {
		return nil, refuse(Place{at.Line + wrong.Line - 1, wrong.Column}, "%v", wrong.Err)
	} else if err != nil {
		return nil, refuse(at, "%v", err)
	}
	list := make([]cell, len(texts))
	for i, text := range texts {
		line, column := r.FieldPos(i)
		list[i] = cell{Place{at.Line + line - 1, column}, text}
	}
	return list, nil
}

// cut is split of a record without quotation marks, of which there are millions.
func (t *table) cut(at Place, record []byte) []cell {
	text := strings.TrimRight(string(record), "\r\n")
	list := make([]cell, 0, max(len(t.fields), 8))
	for column := 1; ; {
		one, rest, more := strings.Cut(text, string(t.comma))
		list = append(list, cell{Place{at.Line, column}, one})
		if !more {
			return list
		}
		column, text = column+len(one)+1, rest
	}
}

// lines reads what stands on lines of their own.
type lines struct {
	from *bufio.Reader
	line int // the next one
	end  error
}

func newLines(from *bufio.Reader, line int) *lines { return &lines{from: from, line: line} }

// text is the next line that isn't empty, with its end. One that is too long is passed over, with a *Refusal.
func (l *lines) text() (Place, []byte, error) {
	for {
		at := Place{l.line, 1}
		if l.end != nil {
			return at, nil, l.end
		}
		var line []byte
		long := false
		for {
			part, err := l.from.ReadSlice('\n')
			if long = long || len(line)+len(part) > longestLine; !long {
				line = append(line, part...)
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			l.end = err
			break
		}
		l.line++
		if long {
			return at, nil, refuse(at, "%v", errLongLine)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			if l.end != nil && l.end != io.EOF {
				return at, nil, fmt.Errorf("%d: %w", at.Line, l.end)
			}
			return at, line, nil
		}
	}
}
