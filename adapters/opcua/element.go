package opcua

import (
	"fmt"
	"strconv"
	"strings"
)

// Element is where in a node's value a signal lies: members of structures by name, and of
// arrays by index from 0, as in [2].Winding.Temp; "" is the value itself.
type Element string

// step is a member of a structure, or of an array if name is "".
type step struct {
	name  string
	index int
}

const (
	longestElement = 256 // bytes
	// deepest bounds how far values are nested, which are read.
	deepest = 8
)

// CheckElement says what is wrong with an element.
func CheckElement(text string) error {
	_, err := Element(text).steps()
	return err
}

func (e Element) steps() (steps []step, err error) {
	const expected = "expected members by name and by index from 0, like [2] or Winding[0].Temp"
	if len(e) > longestElement {
		return nil, fmt.Errorf("%d bytes, %s, of at most %d bytes", len(e), expected, longestElement)
	}
	for rest := string(e); rest != ""; {
		if len(steps) == deepest {
			return nil, fmt.Errorf("%q, expected at most %d members within each other", e, deepest)
		}
		if after, is := strings.CutPrefix(rest, "["); is {
			number, tail, closed := strings.Cut(after, "]")
			index, err := decimal(number, 16)
			if err != nil || !closed {
				return nil, fmt.Errorf("%q, %s", e, expected)
			}
			steps = append(steps, step{index: int(index)})
			if rest = tail; rest != "" && rest[0] != '[' && rest[0] != '.' {
				return nil, fmt.Errorf("%q, %s", e, expected)
			}
			continue
		}
		if len(steps) > 0 {
			rest = strings.TrimPrefix(rest, ".")
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 || strings.Contains(rest[:end], "]") {
			return nil, fmt.Errorf("%q, %s", e, expected)
		}
		steps = append(steps, step{name: rest[:end]})
		if rest = rest[end:]; rest == "." {
			return nil, fmt.Errorf("%q, %s", e, expected)
		}
	}
	return steps, nil
}

// member is the element of an element by its name in a structure.
func (e Element) member(name string) Element {
	if e == "" {
		return Element(name)
	}
	return e + Element("."+name)
}

// at is the element of an element by its index in an array.
func (e Element) at(index int) Element {
	return e + Element("["+strconv.Itoa(index)+"]")
}
