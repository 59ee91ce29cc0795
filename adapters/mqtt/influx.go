package mqtt

import (
	"bytes"
	"errors"
)

// Influx line protocol (docs.influxdata.com, line protocol reference): on each line
//
//	measurement[,tag=value…] field=value[,field=value…] [time]
//
// with , = and space escaped by \ in names and tags, and texts in quotes.

// mostPairs bounds the tags of a line, and its fields.
const mostPairs = 1_000

var errInflux = errors.New("not Influx line protocol")

// pair is a tag or a field.
type pair struct {
	name  []byte // as it stands, with its escapes
	value []byte
}

// line is one line. It is used again and again.
type line struct {
	measurement []byte
	tags        []pair
	fields      []pair
	time        []byte // nil: none
}

// nextLine reads the first line of a payload that isn't empty or a comment; ok is false
// if there is none.
func (l *line) nextLine(payload []byte) (rest []byte, ok bool, err error) {
	for len(payload) > 0 {
		payload = bytes.TrimLeft(payload, " \t\r\n")
		if len(payload) == 0 {
			break
		}
		if payload[0] == '#' {
			_, payload, _ = bytes.Cut(payload, []byte{'\n'})
			continue
		}
		rest, err = l.parse(payload)
		return rest, true, err
	}
	return nil, false, nil
}

// parse reads a line, and returns what is behind it.
func (l *line) parse(b []byte) (rest []byte, err error) {
	l.tags, l.fields, l.time = l.tags[:0], l.fields[:0], nil
	n := name(b, ", ")
	if n == 0 || n == len(b) {
		return nil, errInflux
	}
	l.measurement, b = b[:n], b[n:]
	for b[0] == ',' {
		var p pair
		if p, b, err = tag(b[1:]); err != nil {
			return nil, err
		}
		if l.tags = append(l.tags, p); len(l.tags) > mostPairs {
			return nil, errInflux
		}
	}
	b = bytes.TrimLeft(b, " ")
	for {
		n := name(b, "=, ")
		if n == 0 || n == len(b) || b[n] != '=' {
			return nil, errInflux
		}
		p := pair{name: b[:n]}
		b = b[n+1:]
		if n = fieldValue(b); n == 0 {
			return nil, errInflux
		}
		p.value, b = b[:n], b[n:]
		if l.fields = append(l.fields, p); len(l.fields) > mostPairs {
			return nil, errInflux
		}
		if len(b) == 0 || b[0] != ',' {
			break
		}
		b = b[1:]
	}
	b = bytes.TrimLeft(b, " ")
	n = 0
	for n < len(b) && b[n] != '\n' {
		n++
	}
	if t := bytes.TrimRight(b[:n], " \r"); len(t) > 0 {
		l.time = t
	}
	return b[n:], nil
}

func tag(b []byte) (p pair, rest []byte, err error) {
	n := name(b, "=, ")
	if n == 0 || n == len(b) || b[n] != '=' {
		return p, nil, errInflux
	}
	p.name, b = b[:n], b[n+1:]
	if n = name(b, "=, "); n == 0 || n == len(b) || b[n] == '=' {
		return p, nil, errInflux
	}
	p.value = b[:n]
	return p, b[n:], nil
}

// name is how long the name is that ends before one of the characters, or with b; 0 if
// the line ends in it.
func name(b []byte, end string) int {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\\' && i+1 < len(b) && b[i+1] != '\n':
			i++
		case c == '\n':
			return 0
		case c == end[0] || c == end[1] || len(end) > 2 && c == end[2]:
			return i
		}
	}
	return len(b)
}

// fieldValue is how long the value of a field is; 0: there is none.
func fieldValue(b []byte) int {
	if len(b) > 0 && b[0] == '"' {
		for i := 1; i < len(b); i++ {
			switch b[i] {
			case '\\':
				i++
			case '"':
				return i + 1
			}
		}
		return 0
	}
	i := 0
	for i < len(b) && b[i] != ',' && b[i] != ' ' && b[i] != '\n' && b[i] != '\r' {
		i++
	}
	return i
}

// same reports whether a name as it stands in a line is a name.
func same(b []byte, name string) bool {
	i := 0
	for at := 0; at < len(b); at++ {
		c := b[at]
		if c == '\\' && at+1 < len(b) {
			switch b[at+1] {
			case ',', '=', ' ', '\\':
				at++
				c = b[at]
			}
		}
		if i == len(name) || name[i] != c {
			return false
		}
		i++
	}
	return i == len(name)
}

// is reports whether a line is what a selector is about.
func (l *line) is(s *Selector) bool {
	if s.Measurement != "" && !same(l.measurement, s.Measurement) {
		return false
	}
	for key, value := range s.Tags {
		found := false
		for _, p := range l.tags {
			found = found || same(p.name, key) && same(p.value, value)
		}
		if !found {
			return false
		}
	}
	return true
}

// field is the value of a field of the line; absent if it hasn't got it.
func (l *line) field(name string) token {
	for _, p := range l.fields {
		if same(p.name, name) {
			return fieldToken(p.value)
		}
	}
	return token{}
}

// fieldToken is a value: a float, an integer with i or u behind it, a text in quotes, or a
// bool.
func fieldToken(b []byte) token {
	last := len(b) - 1
	switch c := b[0]; {
	case c == '"':
		return token{kind: text, text: unquote(b[1:last])}
	case c == 't' || c == 'T':
		if w := string(b); w == "t" || w == "T" || w == "true" || w == "True" || w == "TRUE" {
			return token{kind: boolean, text: trueText}
		}
	case c == 'f' || c == 'F':
		if w := string(b); w == "f" || w == "F" || w == "false" || w == "False" || w == "FALSE" {
			return token{kind: boolean, text: falseText}
		}
	case (b[last] == 'i' || b[last] == 'u') && last > 0:
		return token{kind: number, text: b[:last]}
	default:
		return token{kind: number, text: b}
	}
	return token{kind: other}
}

var trueText, falseText = []byte("true"), []byte("false")

// unquote is what is between the quotes of a text, in which only quotes and \ are escaped.
func unquote(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	plain := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\') {
			i++
		}
		plain = append(plain, b[i])
	}
	return plain
}
