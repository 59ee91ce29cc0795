package configfile

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainlyWritten reports whether each line stands for itself: it is `key: value`, `key:`,
// `- value` or one of the first behind `- `, or there is nothing in it. A value then is a text
// without quotes, one in quotes, or a list or mapping in brackets, and ends with its line.
func plainlyWritten(lines []string) bool {
	within := 0 // how far the next line may be indented
	for _, line := range lines {
		if blank(line) {
			continue
		}
		indent := indentOf(line)
		if indent > within || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return false
		}
		within = indent
		rest := line[indent:]
		item := strings.HasPrefix(rest, "- ")
		if item {
			rest = rest[2:]
		}
		key := beginsKey.FindString(rest)
		if item && key != "" {
			within += 2 // another key
		}
		rest = strings.TrimLeft(rest[len(key):], " ")
		switch {
		case key != "" && blank(rest):
			within = math.MaxInt // below the key
		case key == "" && !item, !plainValue(rest):
			return false
		}
	}
	return true
}

func plainValue(s string) bool {
	switch s[:min(len(s), 1)] {
	case "":
		return false
	case `"`, "'":
		n, ok := quotedLength(s)
		return ok && endsLine(s[n:])
	case "[", "{":
		n, ok := flowLength(s)
		return ok && endsLine(s[n:])
	}
	text, _, _ := strings.Cut(s, " #")
	if strings.Contains(text+" ", ": ") || strings.HasPrefix(text, "..") {
		return false
	}
	begins, _ := utf8.DecodeRuneInString(strings.TrimPrefix(text, "-"))
	return unicode.IsLetter(begins) || unicode.IsDigit(begins) || strings.ContainsRune("_./+(~", begins)
}

// endsLine reports whether nothing but a comment follows a value.
func endsLine(s string) bool {
	rest := strings.TrimLeft(s, " ")
	return rest == "" || rest[0] == '#' && len(rest) < len(s)
}

// quotedLength is that of a text in quotes with which s begins; false if it isn't plain.
func quotedLength(s string) (int, bool) {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == s[0] && c == '\'' && i+1 < len(s) && s[i+1] == c: // '' stands for one
			i++
		case c == s[0]:
			return i + 1, true
		case c == '\\' && s[0] == '"' && i+1 < len(s) && strings.IndexByte(`"\ntu`, s[i+1]) >= 0:
			i++
		case c == '\\':
			return 0, false
		}
	}
	return 0, false
}

// flowLength is that of a list or mapping in brackets with which s begins; false if it isn't
// plain.
func flowLength(s string) (int, bool) {
	var open []byte
	begins := true // a value
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ' ':
		case '[', '{':
			if !begins {
				return 0, false
			}
			open = append(open, c+2) // what closes it
		case ']', '}':
			if c != open[len(open)-1] {
				return 0, false
			}
			if open = open[:len(open)-1]; len(open) == 0 {
				return i + 1, true
			}
			begins = false
		case ',':
			begins = true
		case ':':
			begins = i+1 < len(s) && s[i+1] == ' '
		case '"', '\'':
			n, ok := quotedLength(s[i:])
			if !begins || !ok {
				return 0, false
			}
			i, begins = i+n-1, false
		case '#', '\\':
			return 0, false
		case '&', '*', '!', '|', '>', '%', '@', '`', '?', '-':
			negative := c == '-' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9'
			if begins && !negative {
				return 0, false
			}
			begins = false
		default:
			begins = false
		}
	}
	return 0, false
}
