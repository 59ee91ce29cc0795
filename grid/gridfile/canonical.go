package gridfile

import (
	"bytes"
	"encoding"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/busbar/busbar/grid"
)

// canonical reads a chunk whose entries are as WriteYAML writes them, a line
// each and with nothing wrong, and reports whether it is one: the YAML parser
// takes half a minute for what this reads in a second. What it reads it reads as
// configfile does; the rest is configfile's.
func (y *yamlReader) canonical() bool {
	name, ok := bytes.CutSuffix(bytes.TrimRight(y.key, " \n"), []byte(":"))
	if !ok {
		return false
	}
	for i := range sections {
		if s := &sections[i]; s.name == string(name) {
			return y.canonicalList(s)
		}
	}
	return false
}

func (y *yamlReader) canonicalList(s *section) bool {
	list := reflect.ValueOf(&y.model).Elem().Field(s.index)
	before := reflect.New(list.Type()).Elem()
	before.Set(list)
	for number, line := range bytes.Split(y.text, []byte("\n")) {
		content := bytes.TrimLeft(line, " ")
		if len(content) == 0 || content[0] == '#' {
			continue
		}
		indent := len(line) - len(content)
		item := reflect.New(s.item).Elem()
		item.Set(s.standard)
		if indent != y.indent || !s.canonicalItem(string(content), item) {
			list.Set(before)
			return false
		}
		asset(item).Place = grid.Place{File: y.path, Line: y.line + number, Column: indent + len("- {")}
		list.Set(reflect.Append(list, item))
	}
	return true
}

func (s *section) canonicalItem(line string, item reflect.Value) bool {
	rest, ok := strings.CutPrefix(line, "- {")
	if !ok {
		return false
	}
	given := uint64(0) // the fields, a bit each
	for {
		key, after, ok := strings.Cut(rest, ": ")
		if !ok {
			return false
		}
		at := -1
		for i := range s.fields {
			if s.fields[i].name == key {
				at = i
			}
		}
		if at < 0 || given&(1<<at) != 0 {
			return false
		}
		given |= 1 << at
		end := 0
		if strings.HasPrefix(after, `"`) {
			if end = strings.IndexByte(after[1:], '"') + 2; end == 1 {
				return false
			}
		} else if end = strings.IndexAny(after, ",}"); end < 0 {
			return false
		}
		if !setCanonical(item.FieldByIndex(s.fields[at].index), after[:end]) {
			return false
		}
		if after[end:] == "}" {
			break
		}
		if rest, ok = strings.CutPrefix(after[end:], ", "); !ok {
			return false
		}
	}
	for i, f := range s.fields {
		if f.required && given&(1<<i) == 0 {
			return false
		}
	}
	return true
}

// setCanonical sets a value from text that means the same to every reader of
// YAML.
func setCanonical(v reflect.Value, s string) bool {
	quoted := strings.HasPrefix(s, `"`)
	if quoted {
		s = s[1 : len(s)-1]
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
			return r == '\\' || r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff
		}) {
			return false
		}
	} else if !simple(s) {
		return false
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(s)) == nil
	}
	switch v.Kind() {
	case reflect.String:
		// What begins with a letter is neither number nor boolean, but for words.
		if !quoted && (s[0] < 'A' || isWord(s)) {
			return false
		}
		v.SetString(s)
		return true
	case reflect.Bool:
		v.SetBool(s == "true")
		return !quoted && (s == "true" || s == "false")
	case reflect.Int:
		i, err := strconv.ParseInt(s, 10, 32)
		v.SetInt(i)
		return !quoted && err == nil && s[0] != '+'
	}
	return false
}

// simple reports whether text is letters, digits and what may stand between
// them, and neither nothing nor a number with a zero before it.
func simple(s string) bool {
	if s == "" || isNull(s) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-' && i == 0 && len(s) > 1 && '0' <= s[1] && s[1] <= '9': // a sign
		case i > 0 && i < len(s)-1 && (c == '.' || c == '_' || c == '-' || c == '/'):
		case c == ' ' && i > 0 && i < len(s)-1 && s[i+1] != ' ':
			// A word that begins with anything else is left to configfile.
			if n := s[i+1]; !('a' <= n && n <= 'z' || 'A' <= n && n <= 'Z' || '0' <= n && n <= '9' || n == '-' && i+2 < len(s) && '0' <= s[i+2] && s[i+2] <= '9') {
				return false
			}
		default:
			return false
		}
	}
	digits := strings.TrimPrefix(s, "-")
	return !(len(digits) > 1 && digits[0] == '0' && '0' <= digits[1] && digits[1] <= '9')
}

func isNull(s string) bool { return strings.EqualFold(s, "null") }

func isWord(s string) bool {
	for _, w := range words {
		if strings.EqualFold(s, w) {
			return true
		}
	}
	return false
}
