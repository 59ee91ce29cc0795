package telemetry

// columnType is what a column's numbers mean.
type columnType uint8

const (
	typeNone      columnType = iota // no numbers
	typeFloat                       // the bits of a float64
	typeDecimal64                   // n/10^k is the float64
	typeDecimal32                   // n/10^k, rounded to binary32, is the float64
	typeInt
	typeUint
	typeBool
	typeText // index into the column's dictionary
)

func (t columnType) decimal() bool { return t == typeDecimal64 || t == typeDecimal32 }

func (t columnType) precision() precision {
	if t == typeDecimal32 {
		return binary32
	}
	return binary64
}

func (t columnType) kind() ValueKind {
	switch t {
	case typeNone:
		return None
	case typeInt:
		return Int64
	case typeUint:
		return Uint64
	case typeBool:
		return Bool
	case typeText:
		return Text
	}
	return Float64
}

// shape is what a column takes from the column it is described relative to.
type shape struct {
	typ      columnType
	exponent uint8
	frame    frame // its first
}

// qualityRun is a number of samples with one quality, all of them with or all
// without a value.
type qualityRun struct {
	length  int // 0 for a column's last run: to its end
	quality Quality
	none    bool
}

// timeSequence is times[first:end] of a history.
type timeSequence struct{ first, end int }

var timeUnits = [4]Micros{1, 1e3, 1e6, 60e6}

// history is what columns refer back to. Encoder and decoder keep it alike.
type history struct {
	shapes []shape
	// A run is consecutive columns of one time sequence, such as the points read
	// in one exchange. Column i of a run is like column i of the run before.
	run, lastRun int

	quality []qualityRun // of the last column

	times     []Micros
	sequences []timeSequence
	current   int // sequence of the last column
	unit      uint8
	timeFrame frame // the first of the last sequence written
}

func (h *history) reset() {
	h.shapes, h.run, h.lastRun = h.shapes[:0], 0, 0
	h.quality = append(h.quality[:0], qualityRun{})
	h.times, h.sequences, h.current = h.times[:0], h.sequences[:0], -1
	h.unit, h.timeFrame = 0, frame{}
}

// startRun notes that the next column has another time sequence than the last.
func (h *history) startRun() { h.lastRun, h.run = h.run, len(h.shapes) }

// reference is the shape that the next column is described relative to.
func (h *history) reference() shape {
	i := len(h.shapes)
	if like := h.lastRun + i - h.run; like < h.run {
		return h.shapes[like]
	}
	if i > 0 {
		return h.shapes[i-1]
	}
	return shape{}
}

func (h *history) sequence(i int) []Micros {
	return h.times[h.sequences[i].first:h.sequences[i].end]
}

func (h *history) addSequence(times []Micros) {
	first := len(h.times)
	h.times = append(h.times, times...)
	h.sequences = append(h.sequences, timeSequence{first, len(h.times)})
}
