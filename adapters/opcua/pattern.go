package opcua

import (
	"fmt"
	"path"
	"strings"
)

// Pattern is what paths of browse names are compared with, name by name with dots
// between: * in a name stands for any part of it, and ** for any number of names.
type Pattern string

// longestPattern bounds a pattern, in bytes.
const longestPattern = 256

// CheckPattern says what is wrong with a pattern.
func CheckPattern(text string) error {
	const expected = "expected names with dots between, where * stands for any part of a name and ** for any number of names, like **.Temperature"
	words := strings.Split(text, ".")
	if len(text) > longestPattern || len(words) > 2*deepestBrowse {
		return fmt.Errorf("%.40q… is too long, expected at most %d bytes and %d names", text, longestPattern, 2*deepestBrowse)
	}
	for _, word := range words {
		if _, err := path.Match(word, ""); word == "" || err != nil || strings.Contains(word, "**") && word != "**" {
			return fmt.Errorf("%q, %s", text, expected)
		}
	}
	return nil
}

// matches reports whether a path matches. An empty pattern is **.
func (p Pattern) matches(names []string) bool {
	if p == "" {
		return true
	}
	words := strings.Split(string(p), ".")
	// reached[i] is whether the first i words match the names so far.
	reached := make([]bool, len(words)+1)
	reached[0] = true
	skip := func() {
		for i, word := range words {
			if word == "**" && reached[i] {
				reached[i+1] = true
			}
		}
	}
	skip()
	for _, name := range names {
		next := make([]bool, len(words)+1)
		for i, word := range words {
			if !reached[i] {
				continue
			}
			if word == "**" {
				next[i] = true
			} else if ok, _ := path.Match(word, name); ok {
				next[i+1] = true
			}
		}
		reached = next
		skip()
	}
	return reached[len(words)]
}
