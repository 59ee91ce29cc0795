package headend

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

// objects reads JSON objects (RFC 8259), of which the members are texts, numbers, true,
// false or null.
type objects struct {
	format Format
	// text gives where the next one stands, and its bytes.
	text func() (Place, []byte, error)
}

func (o objects) next() (Place, cells, error) {
	at, text, err := o.text()
	if err != nil {
		return at, nil, err
	}
	c, err := o.format.object(at, text)
	return at, c, err
}

// object is the cells of an object. The error is a *Refusal.
func (f Format) object(at Place, text []byte) (cells, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	place := func() Place {
		offset := min(int(d.InputOffset()), len(text))
		for offset < len(text) && bytes.IndexByte([]byte(" \t\r\n:,"), text[offset]) >= 0 {
			offset++
		}
		p := Place{at.Line + bytes.Count(text[:offset], []byte{'\n'}), offset - bytes.LastIndexByte(text[:offset], '\n')}
		if p.Line == at.Line {
			p.Column += at.Column - 1
		}
		return p
	}
	wrong := func(err error) error {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return refuse(at, "an object that doesn't end")
		}
		return refuse(place(), "%v", err)
	}
	if open, err := d.Token(); err != nil {
		return nil, wrong(err)
	} else if open != json.Delim('{') {
		return nil, refuse(at, "expected an object")
	}
	c := cells{}
	mapped := map[Field]bool{}
	for d.More() {
		of := place()
		key, err := d.Token()
		if err != nil {
			return nil, wrong(err)
		}
		p := place()
		value, err := d.Token()
		if err != nil {
			return nil, wrong(err)
		}
		field, known := f.named(key.(string)) // or the decoder has refused it
		one := cell{Place: p}
		switch v := value.(type) {
		case string:
			one.text = v
		case json.Number:
			one.text = v.String()
		case bool:
			one.text = strconv.FormatBool(v)
		case json.Delim:
			if known {
				return nil, refuse(p, "%s is a list or an object, expected a text or a number", field)
			}
			if err := skip(d); err != nil {
				return nil, wrong(err)
			}
		}
		if !known {
			continue
		}
		own := key == string(field)
		switch { // the one that the mapping names goes before the one of the Field's own name
		case own && mapped[field]:
			continue
		case !own && !mapped[field]:
			delete(c, field)
			mapped[field] = true
		}
		if one.text == "" {
			continue
		}
		if c.has(field) {
			return nil, refuse(of, "%s stands there twice", field)
		}
		c[field] = one
	}
	if _, err := d.Token(); err != nil {
		return nil, wrong(err)
	}
	if rest := bytes.TrimSpace(text[d.InputOffset():]); len(rest) > 0 {
		return nil, refuse(place(), "%q behind the object", short(string(rest)))
	}
	return c, nil
}

// skip reads to the end of the list or object that was begun.
func skip(d *json.Decoder) error {
	for depth := 1; depth > 0; {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nil
}

// list finds the objects of a list by their braces, so that one that is wrong costs no other.
type list struct {
	from         *bufio.Reader
	line, column int // of what was read last
	over         bool
}

func newList(from *bufio.Reader, line int) *list {
	l := &list{from: from, line: line}
	l.read() // the bracket
	return l
}

func (l *list) read() (byte, error) {
	b, err := l.from.ReadByte()
	l.column++
	if b == '\n' && err == nil {
		l.line, l.column = l.line+1, 0
	}
	return b, err
}

// text is the next object.
func (l *list) text() (Place, []byte, error) {
	if l.over {
		return Place{l.line, l.column}, nil, io.EOF
	}
	for {
		b, err := l.read()
		at := Place{l.line, l.column}
		switch {
		case err == io.EOF:
			return at, nil, broken(at, "a list that doesn't end")
		case err != nil:
			return at, nil, err
		case b == '{':
			text, err := l.object()
			return at, text, err
		case b == ']':
			l.over = true
			return at, nil, io.EOF
		case bytes.IndexByte([]byte(" \t\r\n,"), b) < 0:
			return at, nil, broken(at, "%q, expected an object", string(rune(b)))
		}
	}
}

// object is the bytes of one whose brace was read.
func (l *list) object() ([]byte, error) {
	at := Place{l.line, l.column}
	text := []byte{'{'}
	quoted, escaped := false, false
	for depth := 1; depth > 0; {
		b, err := l.read()
		if err == io.EOF {
			return nil, broken(at, "an object that doesn't end")
		}
		if err != nil {
			return nil, err
		}
		if text = append(text, b); len(text) > longestLine {
			return nil, broken(at, "an object of more than 1 MiB")
		}
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = b == '\\', b != '"'
		case b == '"':
			quoted = true
		case b == '{':
			depth++
		case b == '}':
			depth--
		}
	}
	return text, nil
}
