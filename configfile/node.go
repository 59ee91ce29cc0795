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
	kind kind
	position
	key     position // of the key that holds the value; zero in a list
	text    string   // of a scalar
	quoted  bool     // in quotes, or a block of text: never a number or boolean
	entries []entry
	items   []*node
}

type entry struct {
	key string
	at  position
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
	n := &node{position: place(from.GetToken())}
	switch v := from.(type) {
	case *ast.NullNode:
	case *ast.MappingNode:
		f.convertMapping(n, v.Values, path)
		if !v.IsFlowStyle && len(n.entries) > 0 {
			n.position = n.entries[0].at
		}
	case *ast.MappingValueNode:
		f.convertMapping(n, []*ast.MappingValueNode{v}, path)
	case *ast.SequenceNode:
		n.kind = list
		for i, item := range v.Values {
			n.items = append(n.items, f.convert(item, Item(path, i)))
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
	n.kind = mapping
	first := map[string]position{}
	for _, pair := range values {
		t := pair.Key.GetToken()
		at := place(t)
		if before, twice := first[t.Value]; twice {
			f.add(at, Join(path, t.Value), "the key is given twice, first in line %d, expected it once", before.line)
			continue
		}
		first[t.Value] = at
		value := f.convert(pair.Value, Join(path, t.Value))
		value.key = at
		n.entries = append(n.entries, entry{key: t.Value, at: at, value: value})
	}
}
