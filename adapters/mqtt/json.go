package mqtt

import (
	"errors"
	"unicode/utf8"
)

// kind is what a value of a payload is.
type kind uint8

const (
	absent kind = iota
	null
	number
	text
	boolean // text is true or false
	other   // an object or an array
)

// token is a value as it stands in a payload.
type token struct {
	kind    kind
	escaped bool   // a text with \
	text    []byte // without quotes
}

// tree is the places in payloads of one topic that are read, all in one pass.
type tree struct {
	root   node
	slots  int
	groups []*group
}

// node is a place on the way to others.
type node struct {
	members map[string]*node
	items   map[int]*node
	each    *node
	group   *group // of each
	slot    int    // from 1 where the value here goes; 0: nowhere
}

// group is what is read of each element of an array.
type group struct {
	slots []int
	rows  []row // of which each element makes one, if it has it
}

// row is a value and the time beside it, by their slots; 0: none.
type row struct {
	point *point
	value int
	time  int
}

// found is a row of a payload.
type found struct {
	point *point
	value token
	time  token
}

// add is the slot of a path, and the group that it is in.
func (t *tree) add(steps []step) (slot int, g *group) {
	n := &t.root
	for _, s := range steps {
		switch {
		case s.each:
			if n.each == nil {
				n.each, n.group = &node{}, &group{}
				t.groups = append(t.groups, n.group)
			}
			g = n.group
			n = n.each
		case s.index >= 0:
			if n.items == nil {
				n.items = map[int]*node{}
			}
			if n.items[s.index] == nil {
				n.items[s.index] = &node{}
			}
			n = n.items[s.index]
		default:
			if n.members == nil {
				n.members = map[string]*node{}
			}
			if n.members[s.name] == nil {
				n.members[s.name] = &node{}
			}
			n = n.members[s.name]
		}
	}
	if n.slot == 0 {
		t.slots++
		n.slot = t.slots
		if g != nil {
			g.slots = append(g.slots, n.slot)
		}
	}
	return n.slot, g
}

// deepest bounds how deep objects and arrays lie within each other.
const deepest = 64

var (
	errJSON = errors.New("not JSON")
	errDeep = errors.New("JSON that is nested too deeply")
)

// walker reads a JSON text (RFC 8259). It is used again and again.
type walker struct {
	data  []byte
	at    int
	slots []token // by slot
	found []found
}

// walk reads a whole text. What has been found is in slots, and of groups in found.
func (w *walker) walk(t *tree, data []byte) error {
	w.data, w.at, w.found = data, 0, w.found[:0]
	if cap(w.slots) <= t.slots {
		w.slots = make([]token, t.slots+1)
	}
	w.slots = w.slots[:t.slots+1]
	clear(w.slots)
	if err := w.value(&t.root, 0); err != nil {
		return err
	}
	if w.space(); w.at != len(w.data) {
		return errJSON
	}
	return nil
}

func (w *walker) space() {
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\n', '\r':
			w.at++
		default:
			return
		}
	}
}

// next is the next byte that isn't space, which stays; 0 at the end.
func (w *walker) next() byte {
	w.space()
	if w.at == len(w.data) {
		return 0
	}
	return w.data[w.at]
}

func (w *walker) value(n *node, depth int) error {
	var v token
	var err error
	switch c := w.next(); {
	case c == '{':
		v.kind = other
		err = w.object(n, depth+1)
	case c == '[':
		v.kind = other
		err = w.array(n, depth+1)
	case c == '"':
		v, err = w.string()
	case c == '-' || c >= '0' && c <= '9':
		v, err = w.number()
	case c == 't':
		v, err = w.word("true", boolean)
	case c == 'f':
		v, err = w.word("false", boolean)
	case c == 'n':
		v, err = w.word("null", null)
	default:
		return errJSON
	}
	if err == nil && n != nil && n.slot > 0 {
		w.slots[n.slot] = v
	}
	return err
}

func (w *walker) word(word string, k kind) (token, error) {
	if len(w.data)-w.at < len(word) || string(w.data[w.at:w.at+len(word)]) != word {
		return token{}, errJSON
	}
	begin := w.at
	w.at += len(word)
	return token{kind: k, text: w.data[begin:w.at]}, nil
}

func (w *walker) object(n *node, depth int) error {
	if depth > deepest {
		return errDeep
	}
	w.at++
	if w.next() == '}' {
		w.at++
		return nil
	}
	for {
		if w.next() != '"' {
			return errJSON
		}
		key, err := w.string()
		if err != nil {
			return err
		}
		if w.next() != ':' {
			return errJSON
		}
		w.at++
		var member *node
		if n != nil && n.members != nil {
			if key.escaped {
				member = n.members[string(unescape(nil, key.text))]
			} else {
				member = n.members[string(key.text)]
			}
		}
		if err := w.value(member, depth); err != nil {
			return err
		}
		switch w.next() {
		case ',':
			w.at++
		case '}':
			w.at++
			return nil
		default:
			return errJSON
		}
	}
}

func (w *walker) array(n *node, depth int) error {
	if depth > deepest {
		return errDeep
	}
	w.at++
	if w.next() == ']' {
		w.at++
		return nil
	}
	for i := 0; ; i++ {
		var item *node
		if n != nil {
			if n.each != nil && n.items[i] != nil {
				begin := w.at
				if err := w.value(n.items[i], depth); err != nil {
					return err
				}
				w.at = begin
			}
			if item = n.each; item == nil && n.items != nil {
				item = n.items[i]
			}
		}
		if err := w.value(item, depth); err != nil {
			return err
		}
		if n != nil && n.each != nil {
			w.element(n.group)
		}
		switch w.next() {
		case ',':
			w.at++
		case ']':
			w.at++
			return nil
		default:
			return errJSON
		}
	}
}

// element notes what an element of a group has, which the next one may have not.
func (w *walker) element(g *group) {
	for _, r := range g.rows {
		if v := w.slots[r.value]; v.kind != absent {
			w.found = append(w.found, found{r.point, v, w.slots[r.time]})
		}
	}
	for _, slot := range g.slots {
		w.slots[slot] = token{}
	}
}

// string is the text that begins here.
func (w *walker) string() (token, error) {
	w.at++
	begin := w.at
	escaped := false
	for w.at < len(w.data) {
		switch c := w.data[w.at]; {
		case c == '"':
			w.at++
			return token{kind: text, escaped: escaped, text: w.data[begin : w.at-1]}, nil
		case c < ' ':
			return token{}, errJSON
		case c == '\\':
			escaped = true
			n := escape(w.data[w.at:])
			if n == 0 {
				return token{}, errJSON
			}
			w.at += n
		default:
			w.at++
		}
	}
	return token{}, errJSON
}

// escape is how long the escape is that b begins with; 0: it isn't any.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		if _, ok := hex4(b[2:6]); ok {
			return 6
		}
	}
	return 0
}

func hex4(b []byte) (r rune, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape appends what a text with escapes stands for.
func unescape(dst, b []byte) []byte {
	for len(b) > 0 {
		if b[0] != '\\' {
			dst, b = append(dst, b[0]), b[1:]
			continue
		}
		switch c := b[1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4(b[2:6])
			b = b[6:]
			if r >= 0xD800 && r < 0xDC00 && len(b) >= 6 && b[0] == '\\' && b[1] == 'u' {
				if low, _ := hex4(b[2:6]); low >= 0xDC00 && low < 0xE000 {
					r, b = 0x10000+(r-0xD800)<<10|(low-0xDC00), b[6:]
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		default:
			dst = append(dst, c)
		}
		b = b[2:]
	}
	return dst
}

func (w *walker) digits() bool {
	begin := w.at
	for w.at < len(w.data) && w.data[w.at] >= '0' && w.data[w.at] <= '9' {
		w.at++
	}
	return w.at > begin
}

func (w *walker) number() (token, error) {
	begin := w.at
	if w.data[w.at] == '-' {
		w.at++
	}
	zero := w.at < len(w.data) && w.data[w.at] == '0'
	first := w.at
	if !w.digits() || zero && w.at > first+1 {
		return token{}, errJSON
	}
	if w.at < len(w.data) && w.data[w.at] == '.' {
		w.at++
		if !w.digits() {
			return token{}, errJSON
		}
	}
	if w.at < len(w.data) && w.data[w.at]|0x20 == 'e' {
		w.at++
		if w.at < len(w.data) && (w.data[w.at] == '+' || w.data[w.at] == '-') {
			w.at++
		}
		if !w.digits() {
			return token{}, errJSON
		}
	}
	return token{kind: number, text: w.data[begin:w.at]}, nil
}
