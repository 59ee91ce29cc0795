// Package obis is how meters name what they measure (IEC 62056-6-1), and how they write
// it in data sets of text (IEC 62056-21): what P1, SML and mode C read-outs share.
package obis

import (
	"fmt"
	"strconv"
)

// Code is a name: the medium A, the channel B, the quantity C, its processing D, the
// tariff E, and the billing period F, which is Current unless it is a past one.
type Code struct{ A, B, C, D, E, F uint8 }

// Current is F of what isn't of a past billing period.
const Current = 255

// The media that are told apart here.
const (
	Abstract    = 0
	Electricity = 1
)

// letters are those of reduced codes, as quantities.
var letters = map[byte]uint8{'C': 96, 'F': 97, 'L': 98, 'P': 99}

// ParseCode reads a code as 1-0:1.8.0, 1-0:1.8.0*255, 1.8.0, C.1.0 or F.F: of a reduced one
// the medium is electricity, or none for what has to do with the meter itself.
func ParseCode(text []byte) (Code, error) {
	p := codeParser{rest: text}
	c := Code{A: Electricity, F: Current}
	first, ok := p.number()
	if ok && p.take('-') {
		c.A = first
		if c.B, ok = p.number(); ok {
			if ok = p.take(':'); ok {
				c.C, ok = p.number()
			}
		}
	} else if c.C = first; c.C >= 96 && c.C <= 99 {
		c.A = Abstract
	}
	if ok = ok && p.take('.'); ok {
		c.D, ok = p.number()
	}
	if ok && p.take('.') {
		c.E, ok = p.number()
	}
	if ok && (p.take('*') || p.take('&')) {
		c.F, ok = p.number()
	}
	if !ok || len(p.rest) > 0 {
		return Code{}, fmt.Errorf("%.40q, expected an OBIS code like 1-0:1.8.0", text)
	}
	return c, nil
}

type codeParser struct{ rest []byte }

func (p *codeParser) take(c byte) bool {
	if len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// number is one to three digits, or a letter of a reduced code.
func (p *codeParser) number() (uint8, bool) {
	if len(p.rest) > 0 {
		if n, is := letters[p.rest[0]]; is {
			p.rest = p.rest[1:]
			return n, true
		}
	}
	n, digits := 0, 0
	for digits < len(p.rest) && digits < 4 && p.rest[digits] >= '0' && p.rest[digits] <= '9' {
		n = n*10 + int(p.rest[digits]-'0')
		digits++
	}
	if digits == 0 || n > 255 {
		return 0, false
	}
	p.rest = p.rest[digits:]
	return uint8(n), true
}

// String is the whole code, without a billing period that is the current one.
func (c Code) String() string {
	b := make([]byte, 0, 24)
	for i, part := range [5]uint8{c.A, c.B, c.C, c.D, c.E} {
		b = strconv.AppendUint(b, uint64(part), 10)
		if i < 4 {
			b = append(b, "-:.."[i])
		}
	}
	if c.F != Current {
		b = append(b, '*')
		b = strconv.AppendUint(b, uint64(c.F), 10)
	}
	return string(b)
}
