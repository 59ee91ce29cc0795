package gridfile

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/internal/table"
)

// ReadYAML reads a model. path is what places name. What is wrong costs the
// value that it is in, or the asset if that has no id then, and nothing else.
//
// A parser of YAML takes a hundred times a file's size of memory, so a file is
// taken apart at the entries of its lists.
func ReadYAML(path string, src []byte) (grid.Model, []grid.Finding) {
	y := yamlReader{path: path, first: map[string]int{}, chunk: chunk{line: 1, indent: -1}}
	if len(src) > table.MaxBytes {
		y.wrong(1, 1, "the file has %d bytes, expected at most %d", len(src), table.MaxBytes)
		return y.model, y.findings
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	src = bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	src = bytes.ReplaceAll(src, []byte("\r"), []byte("\n"))
	y.read(src)
	if len(y.findings) > 0 && len(src) <= onePiece {
		whole := yamlReader{path: path}
		if whole.parse(src, 1, true) && (y.broken || len(whole.findings) == 0) {
			y = whole
		}
	}
	grid.SortFindings(y.findings)
	return y.model, y.findings
}

// A chunk has up to so many entries and, once it has one, bytes. Its key is read
// again with each, and so what stands below a longer line isn't taken apart.
const (
	chunkEntries = 100
	chunkBytes   = 64 << 10
	chunkKey     = 1 << 10
)

// entry is where one of a list is in the chunk's text.
type entry struct{ line, offset int }

// onePiece is how large a file may be that is read in one piece before something
// is said to be wrong with it: YAML has styles that can't be taken apart by
// lines, such as braces around all of it.
const onePiece = 256 << 10

type yamlReader struct {
	path     string
	model    grid.Model
	findings []grid.Finding
	first    map[string]int // top-level keys, and their lines
	begun    bool           // the document has
	broken   bool           // a part of it is no YAML
	total    int            // entries of lists
	chunk
}

// chunk is a part of the file that is decoded at once: a top-level key, and
// what stands below it from some line on.
type chunk struct {
	key     []byte // the line with the key
	keyLine int
	text    []byte
	line    int // where text begins
	indent  int // of the list's entries, -1 before the first
	entries []entry
}

func (y *yamlReader) wrong(line, column int, format string, args ...any) {
	y.findings = append(y.findings, grid.Finding{Severity: grid.Error, Code: grid.Unreadable,
		Place: grid.Place{File: y.path, Line: line, Column: column}, Message: fmt.Sprintf(format, args...)})
}

func (y *yamlReader) read(src []byte) {
	number := 0
	for len(src) > 0 {
		line := src
		if i := bytes.IndexByte(src, '\n'); i >= 0 {
			line = src[:i+1]
		}
		src = src[len(line):]
		number++
		if y.total > table.MaxAssets || len(y.findings) > table.MaxFindings {
			y.decode()
			y.findings = append(y.findings, table.TooMany(grid.Place{File: y.path, Line: number, Column: 1}, len(y.findings)))
			return
		}
		y.take(line, number)
	}
	y.decode()
}

// take adds a line to the chunk, or decodes that and begins another.
func (y *yamlReader) take(line []byte, number int) {
	content := bytes.TrimLeft(line, " ")
	indent := len(line) - len(content)
	switch {
	case len(bytes.TrimSpace(content)) == 0 || content[0] == '#':
	case indent == 0 && !isEntry(content):
		marker := string(bytes.TrimSpace(line))
		if marker == "---" && !y.begun {
			break
		}
		y.decode()
		if marker == "---" || marker == "..." {
			y.wrong(number, 1, "%q ends the document, expected one document in a file", marker)
			y.chunk = chunk{line: number + 1, indent: -1}
			return
		}
		y.chunk = chunk{key: line, keyLine: number, line: number + 1, indent: -1}
		y.begun = true
		y.topLevel(line, number)
		return
	case isEntry(content) && (y.indent < 0 || indent == y.indent):
		if len(y.key) <= chunkKey && (len(y.entries) >= chunkEntries || len(y.text) >= chunkBytes) {
			y.decode()
			y.text, y.line, y.entries = nil, number, nil
		}
		y.indent = indent
		y.total++
		y.entries = append(y.entries, entry{line: number, offset: len(y.text)})
	}
	y.begun = y.begun || len(bytes.TrimSpace(content)) > 0 && content[0] != '#'
	y.text = append(y.text, line...)
}

func isEntry(content []byte) bool {
	return content[0] == '-' && (len(content) == 1 || content[1] == ' ' || content[1] == '\n')
}

// topLevel finds a key that is there twice: each chunk knows its own only.
func (y *yamlReader) topLevel(line []byte, number int) {
	key, _, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return
	}
	name := string(bytes.Trim(key, `"' `))
	if before, twice := y.first[name]; twice {
		y.wrong(number, 1, "the key %q is given twice, first in line %d, expected it once", table.Short(name), before)
		return
	}
	y.first[name] = number
}

// decode reads the chunk into the model.
func (y *yamlReader) decode() {
	if len(y.key) == 0 && len(y.text) == 0 {
		return
	}
	if len(y.entries) < 2 || len(y.key) > chunkKey {
		y.parse(y.text, y.line, false)
		return
	}
	if y.parse(y.text, y.line, true) {
		return
	}
	// One entry that is no YAML doesn't cost the others, nor does what stands
	// before them.
	before := len(y.findings)
	y.parse(y.text[:y.entries[0].offset], y.line, false)
	for i, e := range y.entries {
		end := len(y.text)
		if i+1 < len(y.entries) {
			end = y.entries[i+1].offset
		}
		y.parse(y.text[e.offset:end], e.line, false)
	}
	if len(y.findings) == before {
		y.wrong(y.line, 1, "these entries are no YAML together; check their indentation")
	}
}

// parse reads text, which begins at a line and stands below the chunk's key. If
// it is no YAML it is left alone and parse returns false, when it can be tried in
// parts.
func (y *yamlReader) parse(text []byte, at int, inParts bool) bool {
	src := append(bytes.Clone(y.key), text...)
	lineOf := func(line int) int {
		switch {
		case y.keyLine == 0: // before the first key
			return at + line - 1
		case line <= 1:
			return y.keyLine
		}
		return at + line - 2
	}
	var part grid.Model
	file, err := configfile.Decode(y.path, src, &part)
	all, _ := errors.AsType[configfile.Errors](err)
	if slices.ContainsFunc(all, func(e *configfile.Error) bool { return e.Path == "" }) {
		if y.broken = true; inParts {
			return false
		}
	}
	for _, e := range all {
		f := grid.Finding{Severity: grid.Error, Code: grid.Unreadable,
			Place: grid.Place{File: y.path, Line: lineOf(e.Line), Column: e.Column}, Message: inFile(e.Message, lineOf)}
		y.locate(&f, e.Path, &part)
		y.findings = append(y.findings, f)
	}
	if part.Name != "" {
		y.model.Name = part.Name
	}
	if part.Coordinates != 0 {
		y.model.Coordinates = part.Coordinates
	}
	from, to := reflect.ValueOf(&part).Elem(), reflect.ValueOf(&y.model).Elem()
	for i := range sections {
		s := &sections[i]
		list := from.Field(s.index)
		all := to.Field(s.index)
		for j := range list.Len() {
			a := asset(list.Index(j))
			path := configfile.Item(s.name, j)
			if a.ID == "" && file.Broken(path) {
				continue
			}
			at := file.ErrorAt(path, "")
			a.Place = grid.Place{File: y.path, Line: lineOf(at.Line), Column: at.Column}
			all.Set(reflect.Append(all, list.Index(j)))
		}
	}
	return true
}

// firstLine is how the message about a key that is there twice says where it
// stands first, in the chunk.
var firstLine = regexp.MustCompile(`first in line [0-9]+`)

func inFile(message string, lineOf func(int) int) string {
	return firstLine.ReplaceAllStringFunc(message, func(s string) string {
		words := strings.TrimPrefix(s, "first in line ")
		line, _ := strconv.Atoi(words)
		return fmt.Sprintf("first in line %d", lineOf(line))
	})
}

// locate says of which asset a finding is, and of which of its keys.
func (y *yamlReader) locate(f *grid.Finding, path string, part *grid.Model) {
	name, rest, ok := strings.Cut(path, "[")
	if !ok {
		if path != "" && !strings.Contains(f.Message, strconv.Quote(path)) {
			f.Message = path + ": " + f.Message
		}
		return
	}
	number, key, _ := strings.Cut(rest, "]")
	if key = strings.TrimPrefix(key, "."); key != "" {
		f.Message = key + ": " + f.Message
	}
	index, err := strconv.Atoi(number)
	if err != nil {
		return
	}
	for i := range sections {
		if list := reflect.ValueOf(part).Elem().Field(sections[i].index); sections[i].name == name && index < list.Len() {
			f.Asset = asset(list.Index(index)).ID
		}
	}
}
