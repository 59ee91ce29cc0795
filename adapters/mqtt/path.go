package mqtt

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// step is one part of a JSON path: a member of an object, an element of an array, or
// each element.
type step struct {
	name  string
	index int // -1: a member
	each  bool
}

const (
	longestPath = 256 // bytes
	mostSteps   = 32
	lastIndex   = 9999
)

// parsePath reads a JSON path (RFC 9535, as far as it names one place, or one in each
// element of one array): $, .name, ['name'], [0] and once [*].
func parsePath(text string) ([]step, error) {
	rest, rooted := strings.CutPrefix(text, "$")
	if !rooted || len(text) > longestPath {
		return nil, fmt.Errorf("expected a path that begins with $, of at most %d bytes, such as $.power", longestPath)
	}
	var steps []step
	each := false
	for rest != "" {
		var s step
		var err error
		if s, rest, err = nextStep(rest); err != nil {
			return nil, err
		}
		if s.each && each {
			return nil, errors.New("expected [*] once only")
		}
		each = each || s.each
		if steps = append(steps, s); len(steps) > mostSteps {
			return nil, fmt.Errorf("expected at most %d parts", mostSteps)
		}
	}
	return steps, nil
}

func nextStep(rest string) (step, string, error) {
	if name, is := strings.CutPrefix(rest, "."); is {
		end := strings.IndexAny(name, ".[")
		if end < 0 {
			end = len(name)
		}
		if end == 0 || strings.ContainsAny(name[:end], " '\"]*?@()$,:") {
			return step{}, "", fmt.Errorf("%q, expected a name after the dot, or ['name'] for one with other characters", rest)
		}
		return step{name: name[:end], index: -1}, name[end:], nil
	}
	inner, is := strings.CutPrefix(rest, "[")
	if !is {
		return step{}, "", fmt.Errorf("%q, expected .name, ['name'], [0] or [*]", rest)
	}
	if inner != "" && (inner[0] == '\'' || inner[0] == '"') {
		quote := inner[:1]
		name, after, closed := strings.Cut(inner[1:], quote+"]")
		if !closed || strings.Contains(name, `\`) {
			return step{}, "", fmt.Errorf("%q, expected a name in quotes, without \\", rest)
		}
		return step{name: name, index: -1}, after, nil
	}
	number, after, closed := strings.Cut(inner, "]")
	if closed && number == "*" {
		return step{each: true, index: -1}, after, nil
	}
	i, err := strconv.Atoi(number)
	if !closed || err != nil || i < 0 || i > lastIndex || strconv.Itoa(i) != number {
		return step{}, "", fmt.Errorf("%q, expected an index from 0 to %d, a name in quotes or *", rest, lastIndex)
	}
	return step{index: i}, after, nil
}

// CheckPath says what is wrong with a JSON path.
func CheckPath(text string) error {
	_, err := parsePath(text)
	return err
}

// CheckSinglePath is CheckPath of what is one value.
func CheckSinglePath(text string) error {
	steps, err := parsePath(text)
	if err == nil && eachOf(steps) >= 0 {
		return errors.New("expected one value, without [*]")
	}
	return err
}

// CheckTimePath says what is wrong with the path of the time of what is at a path: in each
// element of an array it is either in the same one, or outside of it.
func CheckTimePath(time, path string) error {
	of, err := parsePath(path)
	if err != nil {
		return nil // which has been said
	}
	steps, err := parsePath(time)
	if err != nil {
		return err
	}
	if each := eachOf(steps); each >= 0 && !sameArray(steps, of) {
		return errors.New("expected [*] of the same array as in json, or none")
	}
	return nil
}

// eachOf is which step of a path is each element; -1 if none is.
func eachOf(steps []step) int {
	for i, s := range steps {
		if s.each {
			return i
		}
	}
	return -1
}

// sameArray reports whether two paths are in each element of the same array.
func sameArray(a, b []step) bool {
	n := eachOf(a)
	if n < 0 || eachOf(b) != n {
		return false
	}
	for i := range n {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
