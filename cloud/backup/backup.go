// Package backup is the file that a database of the cloud is kept in outside of its
// engine: the same whether that is SQLite or PostgreSQL, so that it is also the way from
// one to the other. docs/backup.md describes it.
//
// It is a zstd stream of the line in Magic and of frames: a byte that says what it is, the
// length of what follows as a varint, and that. A header comes first, then each table
// with its rows, and an end with the SHA-256 of all that stands before it.
package backup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Magic is what a backup begins with, once it is decompressed. The number is the version
// of the format.
const Magic = "busbar-backup 1\n"

// Header says what a backup is of.
type Header struct {
	Created int64  `json:"created_us"` // when it was begun, µs since 1970-01-01 UTC
	Schema  int64  `json:"schema"`     // the version of the database's tables
	Engine  string `json:"engine"`     // where it comes from: sqlite3 or postgres
	Program string `json:"program"`    // the version of the program that wrote it
}

// Table is one table. Each of its rows has as many values as it has columns.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
	// Last is the last number that the engine has given to a row of it by itself, as far
	// as it remembers that beyond the rows; 0: it doesn't.
	Last int64 `json:"last,omitempty"`
}

// Rows is how many rows a table of a backup has.
type Rows struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// ErrDamaged says that a file isn't a backup, or not a whole one.
var ErrDamaged = errors.New("the backup is damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

const (
	frameHeader = 'H' // JSON of a Header
	frameTable  = 'T' // JSON of a Table
	frameRows   = 'R' // rows of the table before, value by value
	frameEnd    = 'E' // JSON of the Rows of the table before
	frameLast   = 'Z' // JSON of a seal; nothing comes after it

	// rowsBytes is about how much goes into a frame of rows; a row is never split.
	rowsBytes = 256 << 10
	mostFrame = 256 << 20 // bytes
)

type seal struct {
	Tables int    `json:"tables"`
	SHA256 string `json:"sha256"` // of all before this frame
}

// The kinds of values, each with what follows it.
const (
	null   = 0
	number = 1 // a zigzag varint
	float  = 2 // 8 bytes, little-endian
	text   = 3 // a varint of its bytes, and these
	data   = 4 // as well
	no     = 5
	yes    = 6
)

func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, null), nil
	case int64:
		return binary.AppendVarint(append(b, number), v), nil
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, float), math.Float64bits(v)), nil
	case string:
		return append(binary.AppendUvarint(append(b, text), uint64(len(v))), v...), nil
	case []byte:
		return append(binary.AppendUvarint(append(b, data), uint64(len(v))), v...), nil
	case bool:
		if v {
			return append(b, yes), nil
		}
		return append(b, no), nil
	}
	return b, fmt.Errorf("a value of type %T can't be kept", v)
}

// takeValue reads a value from the start of b and returns the rest. What it returns
// doesn't share b's memory.
func takeValue(b []byte) (any, []byte, error) {
	if len(b) == 0 {
		return nil, nil, damaged("a row ends early")
	}
	kind, b := b[0], b[1:]
	switch kind {
	case null:
		return nil, b, nil
	case no, yes:
		return kind == yes, b, nil
	case number:
		v, n := binary.Varint(b)
		if n <= 0 {
			return nil, nil, damaged("a number is cut off")
		}
		return v, b[n:], nil
	case float:
		if len(b) < 8 {
			return nil, nil, damaged("a number is cut off")
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), b[8:], nil
	case text, data:
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, nil, damaged("a text is cut off")
		}
		value, rest := b[n:n+int(size)], b[n+int(size):]
		if kind == text {
			return string(value), rest, nil
		}
		return append([]byte{}, value...), rest, nil
	}
	return nil, nil, damaged("a value of kind %d is unknown", kind)
}
