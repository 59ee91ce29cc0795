package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Reader reads a backup, table by table. It holds a frame in memory, and no more.
type Reader struct {
	Header Header

	source *source
	zstd   *zstd.Decoder
	in     *bufio.Reader
	sum    hash.Hash
	frame  bytes.Buffer
	table  *Table // under way
	rest   []byte // of a frame of rows
	rows   int64  // of the table
	counts []Rows
}

// NewReader reads the header. The error is ErrDamaged if that isn't one.
func NewReader(in io.Reader) (*Reader, error) {
	from := &source{in: in}
	z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	r := &Reader{source: from, zstd: z, in: bufio.NewReader(z), sum: sha256.New()}
	if err := r.begin(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close frees the memory. What was read from stays open.
func (r *Reader) Close() { r.zstd.Close() }

func (r *Reader) begin() error {
	magic := make([]byte, len(Magic))
	if _, err := io.ReadFull(r.in, magic); err != nil {
		return r.cut(err)
	}
	if string(magic) != Magic {
		const name = "busbar-backup "
		if version := magic[len(name)]; bytes.HasPrefix(magic, []byte(name)) && version >= '2' && version <= '9' {
			return fmt.Errorf("it is in version %c of the format: it needs a newer Busbar", version)
		}
		return damaged("it doesn't begin as a backup does")
	}
	r.sum.Write(magic)
	kind, err := r.next()
	if err == nil && kind != frameHeader {
		err = damaged("it has no header")
	}
	if err == nil {
		err = r.parse(&r.Header)
	}
	return err
}

// source remembers why it couldn't be read, so that this isn't taken for damage.
type source struct {
	in  io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.in.Read(b)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// cut is the error of a stream that ends, or can't be read or decompressed.
func (r *Reader) cut(err error) error {
	switch {
	case r.source.err != nil:
		return fmt.Errorf("backup: %w", r.source.err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return damaged("it ends early")
	}
	return damaged("%v", err)
}

// next reads a frame. The sum is then of all before the seal.
func (r *Reader) next() (kind byte, err error) {
	kind, err = r.in.ReadByte()
	if err != nil {
		return 0, r.cut(err)
	}
	size, err := binary.ReadUvarint(r.in)
	if err != nil {
		return 0, r.cut(err)
	}
	if size > mostFrame {
		return 0, damaged("a frame has %d bytes", size)
	}
	r.frame.Reset()
	// As it comes, so that a wrong length takes no memory.
	if _, err := io.CopyN(&r.frame, r.in, int64(size)); err != nil {
		return 0, r.cut(err)
	}
	if kind != frameLast {
		r.sum.Write(binary.AppendUvarint([]byte{kind}, size))
		r.sum.Write(r.frame.Bytes())
	}
	return kind, nil
}

func (r *Reader) parse(v any) error {
	if err := json.Unmarshal(r.frame.Bytes(), v); err != nil {
		return damaged("%v", err)
	}
	return nil
}

// Table is the next table, once all rows of the one before have been read. io.EOF says
// that the backup is whole: there is none, and the sums are right.
func (r *Reader) Table() (Table, error) {
	if r.table != nil {
		return Table{}, errors.New("backup: there are rows left")
	}
	kind, err := r.next()
	if err != nil {
		return Table{}, err
	}
	switch kind {
	case frameTable:
		var t Table
		if err := r.parse(&t); err != nil {
			return Table{}, err
		}
		if len(t.Columns) == 0 {
			return Table{}, damaged("table %s has no columns", t.Name)
		}
		r.table, r.rows, r.rest = &t, 0, nil
		return t, nil
	case frameLast:
		return Table{}, r.end()
	}
	return Table{}, damaged("a table was expected")
}

func (r *Reader) end() error {
	var s seal
	if err := r.parse(&s); err != nil {
		return err
	}
	if s.Tables != len(r.counts) || s.SHA256 != hex.EncodeToString(r.sum.Sum(nil)) {
		return damaged("its checksum isn't that of its contents")
	}
	switch _, err := r.in.ReadByte(); {
	case err == nil:
		return damaged("something comes after its end")
	case !errors.Is(err, io.EOF):
		return r.cut(err)
	}
	return io.EOF
}

// Row is the table's next row, which is the caller's; io.EOF if there is none.
func (r *Reader) Row() ([]any, error) {
	if r.table == nil {
		return nil, io.EOF
	}
	for len(r.rest) == 0 {
		kind, err := r.next()
		switch {
		case err != nil:
			return nil, err
		case kind == frameRows:
			r.rest = r.frame.Bytes()
		case kind == frameEnd:
			return nil, r.endTable()
		default:
			return nil, damaged("table %s isn't ended", r.table.Name)
		}
	}
	row := make([]any, len(r.table.Columns))
	for i := range row {
		var err error
		if row[i], r.rest, err = takeValue(r.rest); err != nil {
			return nil, err
		}
	}
	r.rows++
	return row, nil
}

func (r *Reader) endTable() error {
	var n Rows
	if err := r.parse(&n); err != nil {
		return err
	}
	if n.Table != r.table.Name || n.Rows != r.rows {
		return damaged("table %s has %d rows, of %d", r.table.Name, r.rows, n.Rows)
	}
	r.counts = append(r.counts, n)
	r.table = nil
	return io.EOF
}

// Counts are the tables that have been read.
func (r *Reader) Counts() []Rows { return r.counts }

// Verify reads what is left of a backup, and checks it. Called after each table: nil is
// nobody.
func (r *Reader) Verify(each func(Rows)) error {
	for {
		if _, err := r.Table(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		for {
			if _, err := r.Row(); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
		}
		if each != nil {
			each(r.counts[len(r.counts)-1])
		}
	}
}
