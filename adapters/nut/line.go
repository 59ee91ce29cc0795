package nut

import (
	"errors"
	"fmt"
	"strings"
)

// maxLine bounds a line, in bytes. upsd's own limit is 512.
const maxLine = 4096

// split is the words of a line of the protocol. One in double quotes may hold
// spaces, and there a backslash stands before a quote or a backslash.
func split(line string) (words []string, err error) {
	for rest := strings.TrimLeft(line, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		var word string
		if rest[0] == '"' {
			word, rest, err = quoted(rest[1:])
			if err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
		} else {
			end := strings.IndexByte(rest, ' ')
			if end < 0 {
				end = len(rest)
			}
			word, rest = rest[:end], rest[end:]
		}
		words = append(words, word)
	}
	return words, nil
}

// quoted is a word up to its closing quote, and what comes after that.
func quoted(text string) (word, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case c == '"':
			if rest = text[i+1:]; rest != "" && rest[0] != ' ' {
				return "", "", errors.New("expected a space after a closing quote")
			}
			return b.String(), rest, nil
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("expected a closing quote")
}

// quote is a word as a request has it.
func quote(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
}
