package configfile

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// File is a file that has been read: where each value stands in it, and what is
// wrong with it. It is not safe for concurrent use.
type File struct {
	path   string
	lines  []string
	before int // lines that come before what is being parsed
	above  int // levels that it stands below
	absent int // values that have been left out so far
	root   *node
	errs   Errors
	broken map[string]bool // paths that could not be decoded
}

// Path is the name of a file as a configuration gives it: absolute, or relative
// to the directory of that configuration.
type Path string

// In is the path seen from outside the configuration, whose directory is dir.
// An empty path stays empty.
func (p Path) In(dir string) string {
	if p == "" || filepath.IsAbs(string(p)) {
		return string(p)
	}
	return filepath.Join(dir, string(p))
}

// Dir is the directory that the file's own paths are relative to.
func (f *File) Dir() string { return filepath.Dir(f.path) }

// Errorf adds an error at a path such as devices[2].signals[0].type, or at its
// nearest ancestor that the file contains. It does nothing where the path or
// an ancestor could not be decoded: that has been said already.
func (f *File) Errorf(path, format string, args ...any) {
	for p := path; ; p = parent(p) {
		if f.broken[p] {
			return
		}
		if p == "" {
			break
		}
	}
	f.add(f.at(path), path, format, args...)
}

// ErrorAt is an error about the value at path, or about its nearest ancestor that the
// file contains. It isn't added to the file's.
func (f *File) ErrorAt(path, format string, args ...any) *Error {
	return f.errorAt(f.at(path), path, format, args...)
}

// ErrorfIn is Errorf about one character, counted from 1, of the text at path.
func (f *File) ErrorfIn(path string, character int, format string, args ...any) {
	n := f.find(path)
	if n == nil || n.kind != scalar || f.broken[path] {
		f.Errorf(path, format, args...)
		return
	}
	// The text stands in the line as it is, unless it is folded or escaped.
	written := []rune(f.lines[n.line-1])
	start := int(n.column) - 1
	if n.quoted {
		start++
	}
	if end := start + len([]rune(n.text)); end > len(written) || string(written[start:end]) != n.text {
		f.Errorf(path, fmt.Sprintf("character %d: ", character)+format, args...)
		return
	}
	f.add(position{n.line, int32(start + character)}, path, format, args...)
}

// Broken reports whether the value at path, or anything below it, could not be
// decoded, so that a check of the whole would only repeat that.
func (f *File) Broken(path string) bool {
	if f.broken[path] {
		return true
	}
	for p := range f.broken {
		if path == "" || len(p) > len(path) && strings.HasPrefix(p, path) && (p[len(path)] == '.' || p[len(path)] == '[') {
			return true
		}
	}
	return false
}

// Has reports whether the file gives a value at path, decodable or not.
func (f *File) Has(path string) bool {
	n := f.find(path)
	return n != nil && n.kind != null
}

// Err is every error found so far, the first 200 if there are more, as Errors
// sorted by place; or nil.
func (f *File) Err() error {
	if len(f.errs) == 0 {
		return nil
	}
	f.errs.sort()
	return f.errs
}

type position struct{ line, column int32 }

func (f *File) add(at position, path, format string, args ...any) {
	if len(f.errs) < maxErrors {
		f.errs = append(f.errs, f.errorAt(at, path, format, args...))
	}
}

func (f *File) errorAt(at position, path, format string, args ...any) *Error {
	e := &Error{File: f.path, Line: max(int(at.line), 1), Column: max(int(at.column), 1), Path: path, Message: fmt.Sprintf(format, args...)}
	if e.Line <= len(f.lines) {
		e.Source = f.lines[e.Line-1]
	}
	return e
}

// breakAt adds an error of structure, which mutes later ones about its path.
func (f *File) breakAt(at position, path, format string, args ...any) {
	f.broken[path] = true
	f.add(at, path, format, args...)
}

func (f *File) at(path string) position {
	for p := path; ; p = parent(p) {
		if n := f.find(p); n != nil {
			return n.place()
		}
		if p == "" {
			return position{1, 1}
		}
	}
}

// find is the value at path; nil if the file has none.
func (f *File) find(path string) *node {
	n := f.root
	for path != "" && n != nil {
		n, path = n.step(path)
	}
	return n
}

// step is the value at the first step of a path, and the rest of the path.
func (n *node) step(path string) (*node, string) {
	if !strings.HasPrefix(path, "[") {
		key := strings.TrimPrefix(path, ".")
		end := strings.IndexAny(key, ".[")
		if end < 0 {
			end = len(key)
		}
		return n.member(key[:end]), key[end:]
	}
	if quoted, err := strconv.QuotedPrefix(path[1:]); err == nil {
		key, _ := strconv.Unquote(quoted)
		return n.member(key), strings.TrimPrefix(path[1+len(quoted):], "]")
	}
	number, rest, _ := strings.Cut(path[1:], "]")
	if i, err := strconv.Atoi(number); err == nil && n.kind == list && i >= 0 && i < len(n.entries) {
		return n.entries[i].value, rest
	}
	return nil, ""
}

func (n *node) member(key string) *node {
	if n.kind != mapping {
		return nil
	}
	return n.value(key)
}

// Join is the path of a key of the mapping at path.
func Join(path, key string) string {
	if key == "" || strings.ContainsAny(key, ".[]\"") {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// Item is the path of the i-th entry, from 0, of the list at path.
func Item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func parent(path string) string {
	if strings.HasSuffix(path, `"]`) {
		return path[:max(strings.LastIndex(path, `["`), 0)]
	}
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
