package configfile

import (
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

type kind uint8

const (
	null kind = iota
	scalar
	mapping
	list
)

// node is a value as the file writes it.
type node struct {
	position
	key     position // of the key that holds the value; zero in a list
	text    string   // of a scalar
	entries []entry  // of a mapping, or of a list
	kind    kind
	quoted  bool // in quotes, or a block of text: never a number or boolean
}

type entry struct {
	key string // "" in a list
	// value's null kind stands for a key without a value.
	value *node
}

// place is where a person looks for the value: a scalar itself, anything else
// at its key.
func (n *node) place() position {
	if n.kind != scalar && n.key.line > 0 {
		return n.key
	}
	return n.position
}

// String names the value in a message.
func (n *node) String() string {
	switch n.kind {
	case mapping:
		return "a mapping"
	case list:
		return "a list"
	case scalar:
		switch {
		case n.quoted || !numeric.MatchString(n.text) && n.text != "true" && n.text != "false":
			return "the text " + shortQuote(n.text)
		case n.text == "true" || n.text == "false":
			return "the boolean " + n.text
		}
		return "the number " + short(n.text)
	}
	return "nothing"
}

func short(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:57]) + "…"
	}
	return s
}

func shortQuote(s string) string { return strconv.Quote(short(s)) }

func (f *File) convert(from ast.Node, path string) *node {
	if from == nil {
		return &node{}
	}
	n := &node{position: f.place(from.GetToken())}
	switch v := from.(type) {
	case *ast.NullNode:
	case *ast.MappingNode:
		f.convertMapping(n, v.Values, path)
		if !v.IsFlowStyle && len(n.entries) > 0 {
			n.position = n.entries[0].value.key
		}
	case *ast.MappingValueNode:
		f.convertMapping(n, []*ast.MappingValueNode{v}, path)
	case *ast.SequenceNode:
		n.kind, n.entries = list, make([]entry, len(v.Values))
		for i, item := range v.Values {
			value := f.convert(item, Item(path, i))
			if value.kind == null && i < len(v.Entries) { // the parser doesn't say where that is
				value.position = f.place(v.Entries[i].Start)
			}
			n.entries[i].value = value
		}
	case *ast.LiteralNode:
		n.kind, n.quoted, n.text = scalar, true, v.Value.Value
	case ast.ScalarNode:
		t := v.GetToken()
		n.kind, n.text = scalar, t.Value
		n.quoted = quoted(t)
	default:
		f.breakAt(n.position, path, "this form of YAML is not supported (%s)", from.Type())
	}
	return n
}

func (f *File) convertMapping(n *node, values []*ast.MappingValueNode, path string) {
	n.kind, n.entries = mapping, make([]entry, 0, len(values))
	var index keyIndex
	for _, pair := range values {
		t := pair.Key.GetToken()
		at := f.place(t)
		if before := index.find(n, t.Value); before != nil {
			f.add(at, Join(path, t.Value), "the key is given twice, first in line %d, expected it once", before.key.line)
			continue
		}
		value := f.convert(pair.Value, Join(path, t.Value))
		value.key = at
		if value.kind == null { // as above
			value.position = at
		}
		index.add(n, entry{t.Value, value})
	}
}

// keyIndex is the keys of a mapping that grows, once there are many.
type keyIndex map[string]*node

const manyKeys = 16

func (k keyIndex) find(n *node, key string) *node {
	if k != nil {
		return k[key]
	}
	return n.value(key)
}

func (k *keyIndex) add(n *node, e entry) {
	n.entries = append(n.entries, e)
	if *k == nil && len(n.entries) > manyKeys {
		*k = keyIndex{}
		for _, e := range n.entries {
			(*k)[e.key] = e.value
		}
	} else if *k != nil {
		(*k)[e.key] = e.value
	}
}

// value is what a mapping has at a key; nil if it hasn't got it.
func (n *node) value(key string) *node {
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}
