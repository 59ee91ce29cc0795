package telemetry

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

var errShort = errors.New("cut short, or a number of more than 64 bits")

// columnReader reads what a columnWriter wrote. Its memory is reused.
type columnReader struct {
	history
	bits       bitReader
	padded     []byte
	dictionary []string
	text       []byte
	numbers    [frameLen]uint64
}

// reset makes ready to read the columns in body.
func (r *columnReader) reset(body []byte) {
	r.history.reset()
	r.padded = append(r.padded[:0], body...)
	r.padded = append(r.padded, readerPadding[:]...)
	r.bits = bitReader{data: r.padded, end: uint(len(body)) * 8}
}

// column appends the samples of the next column, at most left of the total, to out.
func (r *columnReader) column(out []Sample, signal SignalID, left, total int) ([]Sample, error) {
	times, err := r.readTimes(left, total)
	if err != nil {
		return out, err
	}
	if err := r.readQuality(); err != nil {
		return out, err
	}
	ref := r.reference()
	c := r.readType(ref)
	if r.bits.short {
		return out, errShort
	}

	values, err := r.values(len(times), c)
	if err != nil {
		return out, err
	}
	start := len(out)
	out = slices.Grow(out, len(times))[:start+len(times)]
	column := out[start:]
	i := 0
	for _, run := range r.quality {
		end := i + run.length
		if run.length == 0 {
			end = len(times)
		}
		empty := Sample{Signal: signal, Quality: run.quality}
		if !run.none {
			empty.Value.kind = c.typ.kind()
		}
		for ; i < end; i++ {
			column[i] = empty
			column[i].Time = times[i]
		}
	}
	if c.typ == typeNone {
		c = ref
	} else if c.frame, err = r.readValues(column, values, c); err != nil {
		return out[:start], err
	}
	r.shapes = append(r.shapes, c)
	return out, nil
}

// skip passes over the next column, of at most left samples, and returns their
// number.
func (r *columnReader) skip(left, total int) (int, error) {
	times, err := r.readTimes(left, total)
	if err != nil {
		return 0, err
	}
	if err := r.readQuality(); err != nil {
		return 0, err
	}
	ref := r.reference()
	c := r.readType(ref)
	if r.bits.short {
		return 0, errShort
	}
	values, err := r.values(len(times), c)
	if err != nil {
		return 0, err
	}
	if c.typ == typeNone {
		c = ref
	} else if c.frame, err = r.skipValues(values, c); err != nil {
		return 0, err
	}
	r.shapes = append(r.shapes, c)
	return len(times), nil
}

// values is how many of n samples have a value, as the quality runs say.
func (r *columnReader) values(n int, c shape) (int, error) {
	values, i := 0, 0
	for _, run := range r.quality {
		end := i + run.length
		if run.length == 0 {
			end = n
		}
		if end > n || end == i {
			return 0, fmt.Errorf("quality runs don't fit %d samples", n)
		}
		if !run.none {
			values += end - i
		}
		i = end
	}
	if (c.typ == typeNone) != (values == 0) {
		return 0, fmt.Errorf("%d values of kind %v", values, c.typ.kind())
	}
	return values, nil
}

func (r *columnReader) readTimes(limit, total int) ([]Micros, error) {
	if r.bits.bit() {
		if r.current < 0 {
			return nil, errors.New("the first column has no times")
		}
		return r.limited(limit)
	}
	r.startRun()
	if back := r.bits.number(); back > 0 {
		if back > uint64(len(r.sequences)) {
			return nil, fmt.Errorf("times %d sequences back, of %d", back, len(r.sequences))
		}
		r.current = len(r.sequences) - int(back)
		return r.limited(limit)
	}
	before := total
	if last := len(r.sequences) - 1; last >= 0 {
		before = len(r.sequence(last))
	}
	n := int64(before) + int64(r.bits.signed())
	if r.bits.short {
		return nil, errShort
	}
	if n < 1 || n > int64(limit) {
		return nil, fmt.Errorf("%d times, expected 1 to %d", n, limit)
	}
	if unit := uint8(r.bits.bits(2)); unit != r.unit {
		r.unit, r.timeFrame = unit, frame{}
	}
	first := len(r.times)
	for ref, i := r.timeFrame, 0; i < int(n); i += frameLen {
		part := r.numbers[:min(frameLen, int(n)-i)]
		f, err := r.readFrame(part, ref, false)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			r.timeFrame = f
		}
		ref = f.next()
		for _, t := range part {
			r.times = append(r.times, Micros(t)*timeUnits[r.unit])
		}
	}
	r.current = len(r.sequences)
	r.sequences = append(r.sequences, timeSequence{first, len(r.times)})
	return r.sequence(r.current), nil
}

func (r *columnReader) limited(limit int) ([]Micros, error) {
	times := r.sequence(r.current)
	if len(times) > limit {
		return nil, fmt.Errorf("%d samples, expected at most %d", len(times), limit)
	}
	return times, nil
}

func (r *columnReader) readQuality() error {
	if r.bits.bit() {
		return nil
	}
	r.quality = r.quality[:0]
	for {
		var run qualityRun
		last := r.bits.bit()
		if !last {
			n := r.bits.number()
			if n >= MaxBlockSamples {
				return fmt.Errorf("quality run of %d samples", n)
			}
			run.length = int(n) + 1
		}
		run.none = r.bits.bit()
		q := r.bits.number()
		if q > 0xffff {
			return fmt.Errorf("quality %#x of more than 16 bits", q)
		}
		run.quality = Quality(q)
		r.quality = append(r.quality, run)
		if r.bits.short {
			return errShort
		}
		if last {
			return nil
		}
	}
}

func (r *columnReader) readType(ref shape) shape {
	if r.bits.bit() {
		return ref
	}
	c := shape{typ: columnType(r.bits.bits(3))}
	if c.typ.decimal() {
		c.exponent = uint8(r.bits.bits(4))
	}
	return c
}

// readValues reads the values of those samples that have one, and returns the
// first frame.
func (r *columnReader) readValues(column []Sample, values int, c shape) (first frame, err error) {
	if c.typ == typeText {
		if err := r.readDictionary(values); err != nil {
			return first, err
		}
	}
	ref := c.frame
	for done := 0; done < values; done += frameLen {
		part := r.numbers[:min(frameLen, values-done)]
		f, err := r.readFrame(part, ref, c.typ == typeFloat)
		if err != nil {
			return first, err
		}
		if done == 0 {
			first = f
		}
		ref = f.next()
		if c.typ.decimal() {
			p, precision := pow10[c.exponent], c.typ.precision()
			for i, n := range part {
				part[i] = precision.decimalBits(int64(n), p)
			}
		}
		if err := r.check(part, c.typ); err != nil {
			return first, err
		}
		i := 0
		for _, v := range part {
			for column[i].Value.kind == None {
				i++
			}
			if c.typ == typeText {
				column[i].Value.text = r.dictionary[v]
			} else {
				column[i].Value.bits = v
			}
			i++
		}
		column = column[i:]
	}
	return first, nil
}

// skipValues is readValues of a column that nobody asks for.
func (r *columnReader) skipValues(values int, c shape) (first frame, err error) {
	if c.typ == typeText {
		if err := r.readDictionary(values); err != nil {
			return first, err
		}
	}
	ref := c.frame
	for done := 0; done < values; done += frameLen {
		f, err := r.bits.skipFrame(r.numbers[:min(frameLen, values-done)], ref, c.typ == typeFloat)
		if r.bits.short {
			err = errShort
		}
		if err != nil {
			return first, err
		}
		if done == 0 {
			first = f
		}
		ref = f.next()
	}
	return first, nil
}

// check refuses numbers that the type has no meaning for.
func (r *columnReader) check(numbers []uint64, typ columnType) error {
	limit := uint64(math.MaxUint64)
	switch typ {
	case typeBool:
		limit = 1
	case typeText:
		limit = uint64(len(r.dictionary) - 1)
	default:
		return nil
	}
	for _, n := range numbers {
		if n > limit {
			return fmt.Errorf("%d is no %v, at most %d is", n, typ.kind(), limit)
		}
	}
	return nil
}

// readDictionary reads the distinct texts of a column.
func (r *columnReader) readDictionary(values int) error {
	n := r.bits.number()
	if r.bits.short {
		return errShort
	}
	if n < 1 || n > uint64(values) {
		return fmt.Errorf("%d distinct texts in %d values", n, values)
	}
	r.dictionary = r.dictionary[:0]
	for range n {
		length := r.bits.number()
		if length > MaxTextBytes {
			return fmt.Errorf("text of %d bytes, at most %d are allowed", length, MaxTextBytes)
		}
		r.text = r.text[:0]
		for range length {
			r.text = append(r.text, byte(r.bits.bits(8)))
		}
		if r.bits.short {
			return errShort
		}
		if !utf8.Valid(r.text) {
			return errors.New("text that isn't UTF-8")
		}
		r.dictionary = append(r.dictionary, string(r.text))
	}
	return nil
}

func (r *columnReader) readFrame(out []uint64, ref frame, float bool) (frame, error) {
	f, err := r.bits.frame(out, ref, float)
	if r.bits.short {
		return f, errShort
	}
	return f, err
}
