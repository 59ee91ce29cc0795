package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// node is a value in the description, and where it stands, as a JSON pointer.
type node struct {
	at    string
	value any // nil: it isn't there
	*faults
}

// faults are what is wrong with a description, all of it.
type faults struct{ list []error }

func (n node) fault(format string, args ...any) {
	n.list = append(n.list, fmt.Errorf("%s: %s", n.at, fmt.Sprintf(format, args...)))
}

func read(description []byte) (node, error) {
	root := node{at: "#", faults: &faults{}}
	decoder := json.NewDecoder(bytes.NewReader(description))
	decoder.UseNumber()
	if err := decoder.Decode(&root.value); err != nil {
		return root, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return root, errors.New("something follows the description")
	}
	return root, nil
}

func (n node) is() bool { return n.value != nil }

var pointer = strings.NewReplacer("~", "~0", "/", "~1")

// object is the value's members; it has to be an object, if it is there.
func (n node) object() map[string]any {
	o, ok := n.value.(map[string]any)
	if !ok && n.is() {
		n.fault("this isn't an object")
	}
	return o
}

// to is the member of that name.
func (n node) to(name string) node {
	return node{n.at + "/" + pointer.Replace(name), n.object()[name], n.faults}
}

func (n node) has(name string) bool {
	_, ok := n.object()[name]
	return ok
}

// members are an object's by name.
func (n node) members() []string { return slices.Sorted(maps.Keys(n.object())) }

func (n node) items() []node {
	list, ok := n.value.([]any)
	if !ok && n.is() {
		n.fault("this isn't a list")
	}
	out := make([]node, len(list))
	for i, value := range list {
		out[i] = node{fmt.Sprintf("%s/%d", n.at, i), value, n.faults}
	}
	return out
}

// text is a string, empty if it isn't there.
func (n node) text() string {
	s, ok := n.value.(string)
	if !ok && n.is() {
		n.fault("this isn't a text")
	}
	return s
}

// truth is a boolean, otherwise if it isn't there.
func (n node) truth(otherwise bool) bool {
	if !n.is() {
		return otherwise
	}
	b, ok := n.value.(bool)
	if !ok {
		n.fault("this is neither true nor false")
	}
	return b
}

// only finds fault with the members that aren't named. Extensions change nothing.
func (n node) only(names ...string) {
	for _, name := range n.members() {
		if !slices.Contains(names, name) && !strings.HasPrefix(name, "x-") {
			n.to(name).fault("the client can't express this")
		}
	}
}

// literal is a scalar as TypeScript writes it.
func (n node) literal() string {
	switch n.value.(type) {
	case map[string]any, []any:
		n.fault("this isn't a text, number, boolean or null")
		return "never"
	}
	return quote(n.value)
}

// quote is a scalar in JSON, which is TypeScript, with all letters as they are.
func quote(value any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err) // it has been decoded from JSON
	}
	return strings.TrimSpace(out.String())
}

var plain = regexp.MustCompile(`^[A-Za-z_$][\w$]*$`)

// key is a name as a member's.
func key(name string) string {
	if plain.MatchString(name) && name != "__proto__" {
		return name
	}
	return quote(name)
}

// comment is a TSDoc comment of paragraphs, of which some may be empty.
func comment(indent string, paragraphs ...string) string {
	var lines []string
	for _, p := range paragraphs {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		if lines != nil {
			lines = append(lines, "")
		}
		for line := range strings.Lines(strings.ReplaceAll(p, "*/", `*\/`)) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	switch len(lines) {
	case 0:
		return ""
	case 1:
		return indent + "/** " + lines[0] + " */\n"
	}
	var out strings.Builder
	out.WriteString(indent + "/**\n")
	for _, line := range lines {
		out.WriteString(strings.TrimRight(indent+" * "+line, " ") + "\n")
	}
	out.WriteString(indent + " */\n")
	return out.String()
}
