package telemetry

import (
	"fmt"
	"math"
	"math/bits"
)

// A column's numbers are cut into frames, so that an outlier widens only its
// own. All arithmetic wraps at 64 bits.
const frameLen = 64

// form is how the numbers of one frame are written after its base.
type form uint8

const (
	offsets form = iota // each minus the least, which is the base: noise
	deltas              // differences to the one before, zigzag: drift
	ramp                // differences minus the least difference: counters, times
	runs                // run lengths and differences: states
)

// layout is what frames of alike columns have in common.
type layout struct {
	form  form
	width uint8 // bits a number; 0 for runs
	shift uint8 // trailing zeros cut off every number; only bit patterns of floats have them
}

const layoutBits = 2 + 7
const shiftBits = 6

type frame struct {
	layout
	base uint64 // the first number, or the least for offsets
	step uint64 // the least difference of a ramp, the first of others
	last uint64
}

// next is the reference of the frame that follows f in its column.
func (f frame) next() frame {
	f.base = f.last
	if f.form == ramp {
		f.base += f.step
	}
	return f
}

type extent struct {
	low, high         int64 // of the differences to the first number
	stepLow, stepHigh int64
	steps             uint64 // every zigzag difference, or-ed
	changes           int
}

func extentOf(x []uint64) extent {
	var low, high int64
	var stepLow, stepHigh int64 = math.MaxInt64, math.MinInt64
	var steps uint64
	changes := 0
	first, prev := x[0], x[0]
	for _, v := range x[1:] {
		away, step := int64(v-first), int64(v-prev)
		low, high = min(low, away), max(high, away)
		stepLow, stepHigh = min(stepLow, step), max(stepHigh, step)
		steps |= zigzag(uint64(step))
		if step != 0 {
			changes++
		}
		prev = v
	}
	return extent{low, high, stepLow, stepHigh, steps, changes}
}

// appendFrame writes x, at most frameLen numbers and at least one, in its
// smallest form, described relative to ref.
func (w *bitWriter) appendFrame(x []uint64, ref frame, float bool) frame {
	shift, explicit := uint8(0), layoutBits
	if float {
		explicit += shiftBits
		if shift = commonZeros(x, ref.shift); shift > 0 {
			for i, v := range x {
				w.shifted[i] = v >> shift
			}
			x = w.shifted[:len(x)]
		}
	}
	predicted, predictedStep := ref.base>>shift, uint64(int64(ref.step)>>shift)
	e := extentOf(x)

	// The candidates, smallest wins. A layout equal to ref's costs one bit.
	best, bestBits := layout{}, math.MaxInt
	consider := func(f form, width, packed, extra int) {
		if ref.form == f && ref.shift == shift && width <= int(ref.width) {
			if n := extra + packed*int(ref.width); n < bestBits {
				best, bestBits = ref.layout, n
			}
		}
		if n := extra + packed*width + explicit; n < bestBits {
			best, bestBits = layout{f, uint8(width), shift}, n
		}
	}
	n := len(x)
	least := x[0] + uint64(e.low)
	consider(offsets, bits.Len64(uint64(e.high-e.low)), n, signedBits(least-predicted))
	if n > 1 {
		first := signedBits(x[0] - predicted)
		consider(deltas, bits.Len64(e.steps), n-1, first)
		consider(ramp, bits.Len64(uint64(e.stepHigh-e.stepLow)), n-1, first+signedBits(uint64(e.stepLow)-predictedStep))
		if e.changes*8 <= n {
			consider(runs, 0, 0, first+runsBits(x))
		}
	}

	w.bit(best == ref.layout)
	if best != ref.layout {
		w.bits(uint64(best.form)|uint64(best.width)<<2, layoutBits)
		if float {
			w.bits(uint64(best.shift), shiftBits)
		}
	}
	f := frame{layout: best, base: x[0], step: x[min(1, n-1)] - x[0], last: x[n-1] << shift}
	if best.form == offsets {
		f.base = least
	}
	w.signed(f.base - predicted)
	switch best.form {
	case offsets:
		if best.width > 0 {
			for i, v := range x {
				w.packed[i] = v - least
			}
			w.pack(w.packed[:n], uint(best.width))
		}
	case deltas:
		prev := x[0]
		for i, v := range x[1:] {
			w.packed[i], prev = zigzag(v-prev), v
		}
		w.pack(w.packed[:n-1], uint(best.width))
	case ramp:
		f.step = uint64(e.stepLow)
		w.signed(f.step - predictedStep)
		prev := x[0]
		for i, v := range x[1:] {
			w.packed[i], prev = v-prev-f.step, v
		}
		w.pack(w.packed[:n-1], uint(best.width))
	case runs:
		eachRun(x, func(length int, step uint64) {
			w.number(uint64(length - 1))
			if step != 0 {
				w.signed(step)
			}
		})
	}
	f.base <<= shift
	f.step <<= shift
	return f
}

// commonZeros is the shift for x: ref's, if it isn't much worse than the best.
func commonZeros(x []uint64, ref uint8) uint8 {
	var or uint64
	for _, v := range x {
		or |= v
	}
	zeros := uint8(min(bits.TrailingZeros64(or), 63))
	if ref <= zeros && zeros <= ref+4 {
		return ref
	}
	return zeros
}

// eachRun calls f with the length of each run of equal numbers and the step to
// the next run, 0 after the last.
func eachRun(x []uint64, f func(length int, step uint64)) {
	start := 0
	for i := 1; i < len(x); i++ {
		if x[i] != x[i-1] {
			f(i-start, x[i]-x[i-1])
			start = i
		}
	}
	f(len(x)-start, 0)
}

func runsBits(x []uint64) int {
	n := 0
	eachRun(x, func(length int, step uint64) {
		n += numberBits(uint64(length - 1))
		if step != 0 {
			n += signedBits(step)
		}
	})
	return n
}

// frame reads into out what appendFrame wrote. If r came up short, the frame means
// nothing.
func (r *bitReader) frame(out []uint64, ref frame, float bool) (frame, error) {
	f, first, err := r.frameHead(ref, float)
	if err != nil {
		return f, err
	}
	return r.frameBody(out, f, first, ref)
}

// skipFrame passes over a frame as long as scratch, which it may use.
func (r *bitReader) skipFrame(scratch []uint64, ref frame, float bool) (frame, error) {
	f, first, err := r.frameHead(ref, float)
	if err != nil {
		return f, err
	}
	if f.form != offsets {
		return r.frameBody(scratch, f, first, ref)
	}
	// Offsets don't build on one another: those that the next frame refers to do.
	n, width := len(scratch), uint(f.width)
	pos, ok := r.advance(uint(n) * width)
	if !ok {
		return f, nil
	}
	at := func(i int) uint64 {
		if width == 0 {
			return first << f.shift
		}
		return (load(r.data, pos+uint(i)*width)&(1<<width-1) + first) << f.shift
	}
	f.base, f.step, f.last = first<<f.shift, at(min(1, n-1))-at(0), at(n-1)
	return f, nil
}

// frameHead reads what comes before a frame's numbers: its layout and its base,
// without the zeros that are cut off.
func (r *bitReader) frameHead(ref frame, float bool) (f frame, first uint64, err error) {
	f.layout = ref.layout
	if !r.bit() {
		v := r.bits(layoutBits)
		f.form, f.width, f.shift = form(v&3), uint8(v>>2), 0
		if float {
			f.shift = uint8(r.bits(shiftBits))
		}
	}
	if f.width > 64 || f.form == runs && f.width != 0 {
		return f, 0, fmt.Errorf("frame of form %d with %d bits a number", f.form, f.width)
	}
	return f, ref.base>>f.shift + r.signed(), nil
}

func (r *bitReader) frameBody(out []uint64, f frame, first uint64, ref frame) (frame, error) {
	v, step := first, uint64(0)
	switch f.form {
	case offsets:
		r.unpack(out, uint(f.width))
		for i := range out {
			out[i] += first
		}
	case deltas:
		out[0] = v
		r.unpack(out[1:], uint(f.width))
		for i, d := range out[1:] {
			v += unzigzag(d)
			out[i+1] = v
		}
	case ramp:
		step = uint64(int64(ref.step)>>f.shift) + r.signed()
		out[0] = v
		r.unpack(out[1:], uint(f.width))
		for i, d := range out[1:] {
			v += step + d
			out[i+1] = v
		}
	case runs:
		for i := 0; ; {
			length := r.number()
			if length >= uint64(len(out)-i) {
				return f, fmt.Errorf("run of %d numbers where %d are left", length+1, len(out)-i)
			}
			for end := i + int(length); i <= end; i++ {
				out[i] = v
			}
			if i == len(out) {
				break
			}
			v += r.signed()
		}
	}
	if f.form != ramp {
		step = out[min(1, len(out)-1)] - out[0]
	}
	if f.shift > 0 {
		for i := range out {
			out[i] <<= f.shift
		}
	}
	f.base, f.step, f.last = first<<f.shift, step<<f.shift, out[len(out)-1]
	return f, nil
}
