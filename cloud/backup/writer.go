package backup

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"crypto/sha256"

	"github.com/klauspost/compress/zstd"
)

// Writer writes a backup, table by table. It holds a frame in memory, and no more.
type Writer struct {
	out    *zstd.Encoder
	sum    hash.Hash
	table  *Table
	rows   int64 // of the table
	frame  []byte
	tables int
}

// NewWriter begins a backup.
func NewWriter(out io.Writer, h Header) (*Writer, error) {
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	w := &Writer{out: z, sum: sha256.New()}
	if err := w.write([]byte(Magic)); err != nil {
		return nil, err
	}
	return w, w.json(frameHeader, h)
}

func (w *Writer) write(b []byte) error {
	w.sum.Write(b)
	if _, err := w.out.Write(b); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

func (w *Writer) put(kind byte, content []byte) error {
	if len(content) > mostFrame {
		return fmt.Errorf("backup: a row of %d bytes is too large", len(content))
	}
	head := binary.AppendUvarint([]byte{kind}, uint64(len(content)))
	if err := w.write(head); err != nil {
		return err
	}
	return w.write(content)
}

func (w *Writer) json(kind byte, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.put(kind, content)
}

// Table begins a table, after the one before.
func (w *Writer) Table(t Table) error {
	if err := w.endTable(); err != nil {
		return err
	}
	w.table, w.rows = &t, 0
	w.tables++
	return w.json(frameTable, t)
}

// Row adds a row to the table: int64, float64, string, []byte, bool or nil for each column.
func (w *Writer) Row(values []any) (err error) {
	if w.table == nil || len(values) != len(w.table.Columns) {
		return errors.New("backup: a row isn't one of its table")
	}
	for i, v := range values {
		if w.frame, err = appendValue(w.frame, v); err != nil {
			return fmt.Errorf("backup: table %s, column %s: %w", w.table.Name, w.table.Columns[i], err)
		}
	}
	w.rows++
	if len(w.frame) >= rowsBytes {
		return w.flush()
	}
	return nil
}

func (w *Writer) flush() error {
	if len(w.frame) == 0 {
		return nil
	}
	err := w.put(frameRows, w.frame)
	w.frame = w.frame[:0]
	return err
}

func (w *Writer) endTable() error {
	if w.table == nil {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.json(frameEnd, Rows{w.table.Name, w.rows})
}

// Close ends the backup, which is none without it. What it was written to stays open.
func (w *Writer) Close() error {
	if err := w.endTable(); err != nil {
		return err
	}
	if err := w.json(frameLast, seal{w.tables, hex.EncodeToString(w.sum.Sum(nil))}); err != nil {
		return err
	}
	if err := w.out.Close(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}
