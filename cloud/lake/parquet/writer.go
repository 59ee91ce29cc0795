// Package parquet writes files of Apache Parquet: flat tables, a row group at a time,
// compressed by zstd, with the field ids that Iceberg knows columns by. It writes what the
// lake needs, and reads nothing.
package parquet

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

// Type is what a column holds.
type Type int

const (
	String    Type = iota // UTF-8
	Long                  // a 64-bit integer
	Int                   // a 32-bit integer
	Double                // IEEE 754 binary64, bit for bit
	Boolean               //
	Timestamp             // µs since 1970-01-01 UTC, 64 bits
	Decimal20             // an integer of 20 digits, as decimal(20,0): every int64 and uint64
)

// Column describes one.
type Column struct {
	ID       int // Iceberg's field id
	Name     string
	Type     Type
	Required bool
}

// Physical types, encodings and page types, as parquet.thrift has them.
const (
	physicalBoolean = 0
	physicalInt32   = 1
	physicalInt64   = 2
	physicalDouble  = 5
	physicalBytes   = 6
	physicalFixed   = 7

	encodingPlain      = 0
	encodingRLE        = 3
	encodingDelta      = 5
	encodingDictionary = 8

	codecZstd = 6

	pageData       = 0
	pageDictionary = 2
)

// decimalBytes hold 20 digits and a sign.
const decimalBytes = 9

func (t Type) physical() int32 {
	return [...]int32{String: physicalBytes, Long: physicalInt64, Int: physicalInt32, Double: physicalDouble, Boolean: physicalBoolean,
		Timestamp: physicalInt64, Decimal20: physicalFixed}[t]
}

// Values are those of one column of a row group, in order. Of a column that isn't
// required, Present says of each row whether it has one, and only those are in it. Which
// slice holds them follows from the type: Texts of String; Numbers of Long, Int, Timestamp,
// and of Double and Boolean by their bits; Decimals of Decimal20.
type Values struct {
	Present  []bool
	Texts    []string
	Numbers  []uint64
	Decimals []Decimal
}

// Decimal is an integer from −2⁶³ to 2⁶⁴−1.
type Decimal struct {
	Bits     uint64
	Negative bool // Bits is a negative int64
}

// Reset empties v and keeps its memory.
func (v *Values) Reset() {
	v.Present, v.Texts, v.Numbers, v.Decimals = v.Present[:0], v.Texts[:0], v.Numbers[:0], v.Decimals[:0]
}

func (v *Values) len(t Type) int {
	switch t {
	case String:
		return len(v.Texts)
	case Decimal20:
		return len(v.Decimals)
	}
	return len(v.Numbers)
}

// Writer writes one file. One goroutine at a time may use it. After an error it is of no
// more use.
type Writer struct {
	*Scratch
	out     io.Writer
	columns []Column
	size    int64
	groups  []group
}

// Scratch is what Writers need while they write, and not in between: they may be many, and
// it is large. One goroutine at a time may use all that have the same.
type Scratch struct {
	zstd    *zstd.Encoder
	buffer  *bufio.Writer
	page    []byte
	packed  []byte
	indices []uint32
	numbers []int64
}

// NewScratch is one for any number of Writers.
func NewScratch() *Scratch {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // its options are wrong
	}
	return &Scratch{zstd: encoder, buffer: bufio.NewWriterSize(nil, 256<<10)}
}

type group struct {
	rows   int
	chunks []chunk
}

type chunk struct {
	encodings            []int32
	values               int
	dictionary, data     int64 // offsets of the first pages; dictionary 0: there is none
	uncompressed, packed int64
	nulls                int64
	least, most          []byte // nil: unknown
}

const magic = "PAR1"

// NewWriter begins a file.
func NewWriter(out io.Writer, columns []Column, scratch *Scratch) (*Writer, error) {
	w := &Writer{Scratch: scratch, out: out, columns: columns}
	w.buffer.Reset(out)
	w.write([]byte(magic))
	return w, w.flush()
}

// write keeps its error for flush.
func (w *Writer) write(b []byte) {
	n, _ := w.buffer.Write(b)
	w.size += int64(n)
}

func (w *Writer) flush() error {
	if err := w.buffer.Flush(); err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	return nil
}

// Size is how many bytes the file has so far.
func (w *Writer) Size() int64 { return w.size }

// pageRows bounds the rows of a page.
const pageRows = 1 << 16

// RowGroup writes rows, of which there is at least one, as a row group: the values of each column.
func (w *Writer) RowGroup(rows int, values []Values) error {
	g := group{rows: rows}
	w.buffer.Reset(w.out)
	for i, c := range w.columns {
		v := &values[i]
		if n := v.len(c.Type); c.Required && n != rows || !c.Required && len(v.Present) != rows {
			return fmt.Errorf("parquet: column %s has %d values for %d rows", c.Name, n, rows)
		}
		g.chunks = append(g.chunks, w.column(c, rows, v))
	}
	w.groups = append(w.groups, g)
	return w.flush()
}

func (w *Writer) column(c Column, rows int, v *Values) chunk {
	total := v.len(c.Type)
	ch := chunk{values: rows, nulls: int64(rows - total), encodings: []int32{encodingRLE}}
	ch.bounds(c.Type, v)
	encoding := int32(encodingPlain)
	var entries int
	if c.Type == Timestamp {
		encoding = encodingDelta
	} else if c.Type != Boolean {
		var dictionary []byte
		if dictionary, entries = w.dictionary(c.Type, v); entries > 0 {
			encoding = encodingDictionary
			ch.dictionary = w.size
			ch.encodings = append(ch.encodings, encodingPlain)
			w.pageOf(&ch, dictionary, func(t *thrift) {
				t.open(7)
				t.i32(1, int32(entries))
				t.i32(2, encodingPlain)
				t.end()
			}, pageDictionary)
		}
	}
	ch.encodings = append(ch.encodings, encoding)
	ch.data = w.size
	for row, at := 0, 0; row < rows; row += pageRows {
		n := min(pageRows, rows-row)
		w.page = w.page[:0]
		here := n
		if !c.Required {
			here = 0
			levels := make([]uint32, n)
			for i, present := range v.Present[row : row+n] {
				if present {
					levels[i] = 1
					here++
				}
			}
			w.page = appendHybrid(append(w.page, 0, 0, 0, 0), levels, 1)
			binary.LittleEndian.PutUint32(w.page, uint32(len(w.page)-4))
		}
		switch encoding {
		case encodingDictionary:
			width := bits.Len(uint(entries - 1))
			w.page = append(w.page, byte(width))
			w.page = appendHybrid(w.page, w.indices[at:at+here], width)
		case encodingDelta:
			w.numbers = w.numbers[:0]
			for _, x := range v.Numbers[at : at+here] {
				w.numbers = append(w.numbers, int64(x))
			}
			w.page = appendDeltas(w.page, w.numbers)
		default:
			w.page = appendPlain(w.page, c.Type, v, at, at+here)
		}
		at += here
		w.pageOf(&ch, w.page, func(t *thrift) {
			t.open(5)
			t.i32(1, int32(n))
			t.i32(2, encoding)
			t.i32(3, encodingRLE)
			t.i32(4, encodingRLE)
			t.end()
		}, pageData)
	}
	return ch
}

// pageOf compresses and writes a page.
func (w *Writer) pageOf(ch *chunk, page []byte, about func(*thrift), kind int32) {
	w.packed = w.zstd.EncodeAll(page, w.packed[:0])
	var t thrift
	t.begin()
	t.i32(1, kind)
	t.i32(2, int32(len(page)))
	t.i32(3, int32(len(w.packed)))
	about(&t)
	t.end()
	ch.uncompressed += int64(len(t.out) + len(page))
	ch.packed += int64(len(t.out) + len(w.packed))
	w.write(t.out)
	w.write(w.packed)
}

// mostEntries bounds a dictionary.
const mostEntries = 1 << 16

// dictionary makes one and sets w.indices, if that is worth it; else it has no entries.
func (w *Writer) dictionary(t Type, v *Values) (page []byte, entries int) {
	w.indices = w.indices[:0]
	switch t {
	case String:
		return index(&w.indices, v.Texts, func(page []byte, s string) []byte {
			return append(binary.LittleEndian.AppendUint32(page, uint32(len(s))), s...)
		})
	case Decimal20:
		return index(&w.indices, v.Decimals, appendDecimal)
	case Int:
		return index(&w.indices, v.Numbers, func(page []byte, n uint64) []byte { return binary.LittleEndian.AppendUint32(page, uint32(n)) })
	default:
		return index(&w.indices, v.Numbers, binary.LittleEndian.AppendUint64)
	}
}

func index[V comparable](indices *[]uint32, values []V, add func([]byte, V) []byte) (page []byte, entries int) {
	most := min(mostEntries, len(values)/2+1)
	known := map[V]uint32{}
	for i, v := range values {
		if i > 0 && v == values[i-1] {
			*indices = append(*indices, (*indices)[i-1])
			continue
		}
		at, ok := known[v]
		if !ok {
			if len(known) == most {
				return nil, 0
			}
			at = uint32(len(known))
			known[v] = at
			page = add(page, v)
		}
		*indices = append(*indices, at)
	}
	return page, len(known)
}

func appendDecimal(page []byte, d Decimal) []byte {
	sign := byte(0)
	if d.Negative {
		sign = 0xff
	}
	return binary.BigEndian.AppendUint64(append(page, sign), d.Bits)
}

func appendPlain(page []byte, t Type, v *Values, from, to int) []byte {
	switch t {
	case String:
		for _, s := range v.Texts[from:to] {
			page = append(binary.LittleEndian.AppendUint32(page, uint32(len(s))), s...)
		}
	case Decimal20:
		for _, d := range v.Decimals[from:to] {
			page = appendDecimal(page, d)
		}
	case Boolean:
		values := v.Numbers[from:to]
		page = appendPacked(page, values, (len(values)+7)/8*8, 1)
	case Int:
		for _, n := range v.Numbers[from:to] {
			page = binary.LittleEndian.AppendUint32(page, uint32(n))
		}
	default:
		for _, n := range v.Numbers[from:to] {
			page = binary.LittleEndian.AppendUint64(page, n)
		}
	}
	return page
}

// bounds sets the least and the greatest value, where readers use them to pass over row
// groups: of times, integers and short texts.
func (ch *chunk) bounds(t Type, v *Values) {
	switch {
	case t == String && len(v.Texts) > 0:
		least, most := v.Texts[0], v.Texts[0]
		for i, s := range v.Texts {
			if i > 0 && s == v.Texts[i-1] {
				continue
			}
			least, most = min(least, s), max(most, s)
		}
		if len(least) <= 64 && len(most) <= 64 {
			ch.least, ch.most = []byte(least), []byte(most)
		}
	case (t == Timestamp || t == Long) && len(v.Numbers) > 0:
		least, most := int64(math.MaxInt64), int64(math.MinInt64)
		for _, n := range v.Numbers {
			least, most = min(least, int64(n)), max(most, int64(n))
		}
		ch.least = binary.LittleEndian.AppendUint64(nil, uint64(least))
		ch.most = binary.LittleEndian.AppendUint64(nil, uint64(most))
	}
}

// Close writes the end of the file; the underlying writer stays open.
func (w *Writer) Close() error {
	footer := w.footer()
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	w.buffer.Reset(w.out)
	w.write(append(footer, magic...))
	return w.flush()
}
