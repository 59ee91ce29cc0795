package telemetry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
)

// MaxBlockSamples bounds the samples of one block, and so the memory that reading
// one takes whatever its bytes.
const MaxBlockSamples = 1 << 20

// TableRef names the signal table, and its version, that signal ids belong to.
type TableRef struct {
	Table   uint64
	Version uint32
}

// The start of a block; docs/formats.md describes it.
var blockMagic = [4]byte{'B', 'B', 'K', 1}

const crcBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encoder writes samples as blocks. The zero Encoder is ready; it keeps its
// memory for the next call, so one goroutine at a time may use it.
type Encoder struct {
	columns columnWriter
	keys    signalOrder
}

// AppendBlock appends samples of any signals and times as one block. More than
// MaxBlockSamples samples, and a Value that no function of this package makes,
// are errors, with which dst comes back as it was.
func (e *Encoder) AppendBlock(dst []byte, table TableRef, samples []Sample) ([]byte, error) {
	if len(samples) > MaxBlockSamples {
		return dst, fmt.Errorf("block: %d samples, at most %d fit", len(samples), MaxBlockSamples)
	}
	start := len(dst)
	w := &e.columns
	w.reset(append(dst, blockMagic[:]...))
	w.bits.bits(table.Table, 64)
	w.bits.number(uint64(table.Version))
	w.bits.number(uint64(len(samples)))
	previous := int64(-1)
	for keys := e.keys.of(samples); len(keys) > 0; {
		id := int64(keys[0] >> 32)
		n := 1
		for n < len(keys) && int64(keys[n]>>32) == id {
			n++
		}
		for n > 0 {
			w.bits.bit(id == previous+1)
			if id != previous+1 {
				w.bits.number(uint64(id - previous))
			}
			taken, err := w.column(samples, keys[:n])
			if err != nil {
				return dst, fmt.Errorf("block: %w", err)
			}
			keys, n = keys[taken:], n-taken
			previous = id
		}
	}
	return seal(w.bits.bytes(), start), nil
}

func seal(dst []byte, start int) []byte {
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// Decoder reads what an Encoder wrote. The zero Decoder is ready; it keeps its
// memory for the next call, so one goroutine at a time may use it.
type Decoder struct {
	columns columnReader
}

// Block reads a block: samples grouped by signal, ids ascending, those of one
// signal in the order in which they were given. It puts them into reuse's memory
// where they fit. Bytes that are no whole block give an error that names the
// byte, and no samples.
func (d *Decoder) Block(src []byte, reuse []Sample) (TableRef, []Sample, error) {
	r := &d.columns
	table, samples, err := r.block(src, nil, reuse[:0])
	if err != nil {
		return TableRef{}, nil, fmt.Errorf("block: byte %d: %w", r.bits.pos/8, err)
	}
	return table, samples, nil
}

// Only is Block of those samples alone whose signals are named by ids, which are
// ascending. What comes before the last of them is passed over, in a small part of
// the time that reading it would take; what comes behind isn't looked at.
func (d *Decoder) Only(src []byte, ids []SignalID, reuse []Sample) ([]Sample, error) {
	if len(ids) == 0 {
		return reuse[:0], nil
	}
	r := &d.columns
	_, samples, err := r.block(src, ids, reuse[:0])
	if err != nil {
		return nil, fmt.Errorf("block: byte %d: %w", r.bits.pos/8, err)
	}
	return samples, nil
}

// block reads the samples of the signals named by ids, or of all if ids is nil.
func (r *columnReader) block(src []byte, ids []SignalID, out []Sample) (table TableRef, _ []Sample, _ error) {
	if err := r.open(src); err != nil {
		return table, nil, err
	}
	table.Table = r.bits.bits(64)
	version := r.bits.number()
	if version > math.MaxUint32 {
		return table, nil, fmt.Errorf("table version %d", version)
	}
	table.Version = uint32(version)
	total := r.bits.number()
	if total > MaxBlockSamples {
		return table, nil, fmt.Errorf("%d samples, at most %d are allowed", total, MaxBlockSamples)
	}
	all := ids == nil
	if all {
		out = slices.Grow(out, min(int(total), 2*len(src))) // most blocks have no more
	}
	for id, left := int64(-1), int(total); left > 0; {
		step := uint64(1)
		if !r.bits.bit() {
			step = r.bits.number()
		}
		if step > 1<<32 || id+int64(step) < 0 || id+int64(step) > math.MaxUint32 {
			return table, nil, fmt.Errorf("signal id %d+%d", id, step)
		}
		id += int64(step)
		for len(ids) > 0 && int64(ids[0]) < id {
			ids = ids[1:]
		}
		if !all && len(ids) == 0 {
			return table, out, nil
		}
		n, err := 0, error(nil)
		if before := len(out); all || int64(ids[0]) == id {
			out, err = r.column(out, SignalID(id), left, int(total))
			n = len(out) - before
		} else {
			n, err = r.skip(left, int(total))
		}
		if err != nil {
			return table, nil, err
		}
		left -= n
	}
	return table, out, r.close()
}

// open checks magic and CRC and makes r ready to read what is between them.
func (r *columnReader) open(src []byte) error {
	r.reset(nil)
	if len(src) < len(blockMagic)+crcBytes {
		return fmt.Errorf("%d bytes are too few", len(src))
	}
	if start := src[:len(blockMagic)]; string(start) != string(blockMagic[:]) {
		return fmt.Errorf("starts with %x, expected %x", start, blockMagic)
	}
	body := src[:len(src)-crcBytes]
	stored := binary.LittleEndian.Uint32(src[len(body):])
	if sum := crc32.Checksum(body, castagnoli); sum != stored {
		r.bits.pos = uint(len(body)) * 8
		return fmt.Errorf("CRC is %08x, %08x was stored", sum, stored)
	}
	r.reset(body)
	r.bits.pos = uint(len(blockMagic)) * 8
	return nil
}

// close checks that nothing is left.
func (r *columnReader) close() error {
	if r.bits.short {
		return errShort
	}
	if left := r.bits.end - r.bits.pos; left >= 8 || r.bits.bits(left) != 0 {
		return errors.New("more than the samples announced")
	}
	return nil
}
