package sml

import (
	"errors"
	"fmt"
)

// kind is what an element is, by the high bits of its first byte.
type kind uint8

const (
	octets   kind = 0
	boolean  kind = 4
	integer  kind = 5
	unsigned kind = 6
	list     kind = 7
)

// element is one of a file. Octets, also as an optional one that isn't there, have content;
// so have numbers, most significant byte first; of a list, the elements follow.
type element struct {
	kind     kind
	content  []byte
	elements int
}

// absent reports whether an optional element isn't there.
func (e element) absent() bool { return e.kind == octets && len(e.content) == 0 }

// signed is the value of a number.
func (e element) signed() (int64, bool) {
	n := len(e.content)
	if n == 0 || n > 8 || e.kind != integer && e.kind != unsigned {
		return 0, false
	}
	var v int64
	if e.kind == integer && e.content[0]&0x80 != 0 {
		v = -1
	}
	for _, b := range e.content {
		v = v<<8 | int64(b)
	}
	if e.kind == unsigned && n == 8 && v < 0 {
		return 0, false
	}
	return v, true
}

// cursor walks over the elements of a file.
type cursor struct{ rest []byte }

const (
	// deepest bounds how deep lists are in lists. Real ones are at most seven deep.
	deepest = 12
	// mostElements bounds the elements of a list.
	mostElements = 4096
)

var errCut = errors.New("the file ends within an element")

// next takes one element; of a list, only how many elements follow.
func (c *cursor) next() (e element, err error) {
	if len(c.rest) == 0 {
		return e, errCut
	}
	e.kind = kind(c.rest[0] >> 4 & 7)
	length, head := 0, 0
	for {
		if head >= len(c.rest) {
			return e, errCut
		}
		b := c.rest[head]
		length = length<<4 | int(b&0x0F)
		head++
		if b&0x80 == 0 {
			break
		}
		if head == 4 {
			return e, errors.New("an element whose length takes more than four bytes")
		}
	}
	if e.kind == list {
		e.elements = length
		c.rest = c.rest[head:]
		if length > mostElements || length > len(c.rest) {
			return e, fmt.Errorf("a list of %d elements in %d bytes", length, len(c.rest))
		}
		return e, nil
	}
	switch e.kind {
	case octets, boolean, integer, unsigned:
	default:
		return e, fmt.Errorf("an element of the kind %d, which there isn't", e.kind)
	}
	if length < head {
		return e, errors.New("an element that is shorter than its beginning")
	}
	if length > len(c.rest) {
		return e, errCut
	}
	e.content, c.rest = c.rest[head:length], c.rest[length:]
	return e, nil
}

// skip passes over one whole element.
func (c *cursor) skip() error { return c.skipAt(0) }

func (c *cursor) skipAt(depth int) error {
	e, err := c.next()
	if err != nil {
		return err
	}
	return c.skipElements(e, depth)
}

// skipElements passes over what follows an element that has been taken.
func (c *cursor) skipElements(e element, depth int) error {
	if e.kind != list {
		return nil
	}
	if depth >= deepest {
		return fmt.Errorf("lists more than %d deep", deepest)
	}
	for range e.elements {
		if err := c.skipAt(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// list takes the beginning of a list of so many elements.
func (c *cursor) list(elements int, what string) error {
	e, err := c.next()
	if err != nil {
		return err
	}
	if e.kind != list || e.elements != elements {
		return fmt.Errorf("%s is no list of %d elements", what, elements)
	}
	return nil
}
