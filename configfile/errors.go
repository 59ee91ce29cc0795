package configfile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Error is one problem at one place of a file.
type Error struct {
	File    string
	Line    int    // from 1
	Column  int    // in characters, from 1
	Path    string // devices[2].signals[0].type; "" for the file as a whole
	Message string // what is wrong, what was expected
	Source  string // the line that Line names
}

// Error is file:line:column: path: message, then the offending line and a caret
// below the column. A line that may hold a secret isn't shown: errors are logged
// and sent on for help.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Message)
	if e.private() {
		return b.String()
	}
	if line, caret := excerpt(e.Source, e.Column); line != "" {
		b.WriteString("\n    " + line + "\n    " + caret)
	}
	return b.String()
}

// Errors is every problem of a file, in the order of their places.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b *Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// secretKey is a key that sounds like a secret; one that ends in file names a
// file, which is none.
var secretKey = regexp.MustCompile(`(?i)[\w-]*(?:pass(?:word|wd|phrase)|secret|token|credential|(?:api|access|private|encryption|signing|shared)[_-]?key)[\w-]*`)

// secretInURL is a password in a URL, before its host or among its parameters.
var secretInURL = regexp.MustCompile(`(?i)://[^/\s@:]*:[^\s@]+@|[?&][\w-]*(?:pass|secret|token)[\w-]*=`)

// private reports whether the line of an error, or the value at its path, may
// hold a secret.
func (e *Error) private() bool {
	secret := func(key string) bool { return !strings.HasSuffix(strings.ToLower(key), "file") }
	for _, at := range secretKey.FindAllStringIndex(e.Source, -1) {
		rest := strings.TrimLeft(e.Source[at[1]:], "\"' \t")
		if secret(e.Source[at[0]:at[1]]) && strings.HasPrefix(rest, ":") {
			return true
		}
	}
	return slices.ContainsFunc(secretKey.FindAllString(e.Path, -1), secret) ||
		strings.Contains(e.Source, "PRIVATE KEY") || secretInURL.MatchString(e.Source)
}

const maxExcerpt = 120

// excerpt is the part of a source line around a column, fit to print, and a
// line that points at the column.
func excerpt(source string, column int) (line, caret string) {
	runes := []rune(source)
	at := min(max(column-1, 0), len(runes))
	start := 0
	if at > maxExcerpt*2/3 {
		start = at - maxExcerpt/2
	}
	end := min(len(runes), start+maxExcerpt)
	for i, r := range runes[start:end] {
		if !unicode.IsPrint(r) {
			runes[start+i] = ' '
		}
	}
	line = strings.TrimRight(string(runes[start:end]), " ")
	if line == "" {
		return "", ""
	}
	return line, strings.Repeat(" ", at-start) + "^"
}
