package telemetry

import (
	"fmt"
	"slices"
)

// columnWriter writes columns one after the other. Its memory is reused.
type columnWriter struct {
	history
	bits bitWriter

	columnTimes   []Micros
	columnQuality []qualityRun
	numbers       []uint64 // of the column's values, as they are
	integers      []uint64 // the same as integers of a decimal or a time
	dictionary    []string
	textIndex     map[string]int
	sequenceAt    map[uint64]int // by the hash of its times
}

func (w *columnWriter) reset(dst []byte) {
	w.history.reset()
	w.bits.dst, w.bits.acc, w.bits.n = dst, 0, 0
	clear(w.sequenceAt)
}

// column writes the samples of one signal that keys select, up to the first
// that holds another kind of value, and returns their number.
func (w *columnWriter) column(samples []Sample, keys []uint64) (int, error) {
	n, kind, err := w.gather(samples, keys)
	if err != nil {
		return 0, err
	}
	w.writeTimes(len(samples))
	w.writeQuality()
	ref := w.reference()
	c := w.writeType(kind, ref)
	if c.typ != typeNone {
		if c.typ != ref.typ || c.exponent != ref.exponent {
			ref.frame = frame{}
		}
		c.frame = w.writeFrames(w.numbers, ref.frame, c.typ == typeFloat)
	} else {
		c = ref // a failed device doesn't cost the next one its reference
	}
	w.shapes = append(w.shapes, c)
	return n, nil
}

// gather copies the column out of the samples.
func (w *columnWriter) gather(samples []Sample, keys []uint64) (int, ValueKind, error) {
	w.columnTimes, w.columnQuality, w.numbers = w.columnTimes[:0], w.columnQuality[:0], w.numbers[:0]
	kind := None
	run := qualityRun{}
	for i, key := range keys {
		s := &samples[uint32(key)]
		none := s.Value.kind == None
		if !none && s.Value.kind != kind {
			if kind != None {
				keys = keys[:i]
				break
			}
			if kind = s.Value.kind; kind == Text {
				w.dictionary = w.dictionary[:0]
				clear(w.textIndex)
			}
		}
		if i == 0 {
			run.quality, run.none = s.Quality, none
		} else if s.Quality != run.quality || none != run.none {
			w.columnQuality = append(w.columnQuality, run)
			run = qualityRun{0, s.Quality, none}
		}
		run.length++
		w.columnTimes = append(w.columnTimes, s.Time)
		switch {
		case none:
		case kind == Text:
			w.numbers = append(w.numbers, uint64(w.indexOf(s.Value.text)))
		case kind > Text || kind == Bool && s.Value.bits > 1:
			return 0, kind, fmt.Errorf("sample %d of signal %d: a %v of bits %x is no value", uint32(key), s.Signal, kind, s.Value.bits)
		default:
			w.numbers = append(w.numbers, s.Value.bits)
		}
	}
	run.length = 0
	w.columnQuality = append(w.columnQuality, run)
	return len(keys), kind, nil
}

func (w *columnWriter) indexOf(text string) int {
	index, ok := w.textIndex[text]
	if !ok {
		if w.textIndex == nil {
			w.textIndex = map[string]int{}
		}
		index = len(w.dictionary)
		w.textIndex[text] = index
		w.dictionary = append(w.dictionary, text)
	}
	return index
}

// writeTimes refers to the time sequence of the column, or writes it if it is
// the first that has it. total is the length of the whole.
func (w *columnWriter) writeTimes(total int) {
	if w.current >= 0 && slices.Equal(w.sequence(w.current), w.columnTimes) {
		w.bits.bit(true)
		return
	}
	w.bits.bit(false)
	w.startRun()
	if w.sequenceAt == nil {
		w.sequenceAt = map[uint64]int{}
	}
	hash := hashTimes(w.columnTimes)
	if at, ok := w.sequenceAt[hash]; ok && slices.Equal(w.sequence(at), w.columnTimes) {
		w.bits.number(uint64(len(w.sequences) - at))
		w.current = at
		return
	}
	w.bits.number(0)
	before := total
	if last := len(w.sequences) - 1; last >= 0 {
		before = len(w.sequence(last))
	}
	w.bits.signed(uint64(len(w.columnTimes) - before))
	w.sequenceAt[hash] = len(w.sequences)
	w.current = len(w.sequences)
	w.addSequence(w.columnTimes)

	unit := unitOf(w.columnTimes)
	w.bits.bits(uint64(unit), 2)
	if unit != w.unit {
		w.unit, w.timeFrame = unit, frame{}
	}
	w.integers = w.integers[:0]
	for _, t := range w.columnTimes {
		w.integers = append(w.integers, uint64(t/timeUnits[unit]))
	}
	w.timeFrame = w.writeFrames(w.integers, w.timeFrame, false)
}

func hashTimes(times []Micros) uint64 {
	h := uint64(len(times))
	for _, t := range times {
		h = (h ^ uint64(t)) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	return h
}

// unitOf is the largest unit of which all times are multiples.
func unitOf(times []Micros) uint8 {
	unit := uint8(len(timeUnits) - 1)
	for _, t := range times {
		for t%timeUnits[unit] != 0 {
			unit--
		}
		if unit == 0 {
			break
		}
	}
	return unit
}

func (w *columnWriter) writeQuality() {
	same := slices.Equal(w.quality, w.columnQuality)
	w.bits.bit(same)
	if same {
		return
	}
	w.quality, w.columnQuality = w.columnQuality, w.quality
	for _, run := range w.quality {
		w.bits.bit(run.length == 0)
		if run.length > 0 {
			w.bits.number(uint64(run.length - 1))
		}
		w.bits.bit(run.none)
		w.bits.number(uint64(run.quality))
	}
}

// writeType chooses what the column's numbers are, makes them so, and writes it.
func (w *columnWriter) writeType(kind ValueKind, ref shape) (c shape) {
	switch kind {
	case Float64:
		c = w.toDecimals(ref)
	case Int64:
		c.typ = typeInt
	case Uint64:
		c.typ = typeUint
	case Bool:
		c.typ = typeBool
	case Text:
		c.typ = typeText
	}
	same := c.typ == ref.typ && c.exponent == ref.exponent
	w.bits.bit(same)
	if !same {
		w.bits.bits(uint64(c.typ), 3)
		if c.typ.decimal() {
			w.bits.bits(uint64(c.exponent), 4)
		}
	}
	if c.typ == typeText {
		w.bits.number(uint64(len(w.dictionary)))
		for _, text := range w.dictionary {
			w.bits.number(uint64(len(text)))
			for i := range len(text) {
				w.bits.bits(uint64(text[i]), 8)
			}
		}
	}
	return c
}

func (w *columnWriter) toDecimals(ref shape) shape {
	w.integers = slices.Grow(w.integers[:0], len(w.numbers))[:len(w.numbers)]
	first, second := typeDecimal64, typeDecimal32
	if ref.typ == typeDecimal32 {
		first, second = second, first
	}
	for _, typ := range [2]columnType{first, second} {
		hint := uint8(0)
		if typ == ref.typ {
			hint = ref.exponent
		}
		if k, ok := typ.precision().integers(w.integers, w.numbers, hint); ok {
			w.numbers, w.integers = w.integers, w.numbers
			return shape{typ: typ, exponent: k}
		}
	}
	return shape{typ: typeFloat}
}

func (w *columnWriter) writeFrames(x []uint64, ref frame, float bool) (first frame) {
	for i := 0; i < len(x); i += frameLen {
		f := w.bits.appendFrame(x[i:min(i+frameLen, len(x))], ref, float)
		if i == 0 {
			first = f
		}
		ref = f.next()
	}
	return first
}
