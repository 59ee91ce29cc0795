package obis

import "bytes"

// Set is a data set of text: what stands before its parentheses, and what stands in each.
type Set struct {
	Name   []byte
	Values [][]byte
}

// mostValues bounds the values of a data set. The longest known are power failure logs.
const mostValues = 256

// Sets gives the data sets of a block of text. Line ends count for nothing, as a set may go
// on in the next line. It returns how many there were that are none: without a value, without
// an end, or with too many values. Sets are given without copies, and Values is used again.
func Sets(block []byte, do func(Set)) (broken int) {
	var values [][]byte
	for {
		block = bytes.TrimLeft(block, " \r\n")
		if len(block) == 0 {
			return broken
		}
		open := bytes.IndexByte(block, '(')
		if end := bytes.IndexByte(block, '\n'); end >= 0 && (open < 0 || end < open) && !continues(block[end:]) {
			broken++ // a line without a value
			block = block[end:]
			continue
		}
		if open < 0 {
			return broken + 1
		}
		s := Set{Name: bytes.TrimSpace(block[:open]), Values: values[:0]}
		whole := true
		for block = block[open:]; len(block) > 0 && block[0] == '('; block = bytes.TrimLeft(block, "\r\n") {
			end := bytes.IndexAny(block[1:], ")(\n") + 1
			if end == 0 || block[end] != ')' {
				whole = false
				if end == 0 {
					end = len(block) - 1
				}
				block = block[end:]
				if len(block) > 0 && block[0] == ')' {
					block = block[1:]
				}
				// What follows on the line can't be told apart any more.
				if next := bytes.IndexByte(block, '\n'); next >= 0 {
					block = block[next:]
				} else {
					block = nil
				}
				break
			}
			if len(s.Values) < mostValues {
				s.Values = append(s.Values, block[1:end])
			} else {
				whole = false
			}
			block = block[end+1:]
		}
		values = s.Values
		if !whole || len(s.Name) == 0 {
			broken++
			continue
		}
		do(s)
	}
}

// continues reports whether a data set goes on behind a line's end.
func continues(rest []byte) bool {
	rest = bytes.TrimLeft(rest, "\r\n")
	return len(rest) > 0 && rest[0] == '('
}
