package telemetry

import (
	"encoding/binary"
	"math/bits"
)

// bitWriter appends bits to dst, filling each byte from its lowest bit up.
type bitWriter struct {
	dst []byte
	acc uint64 // the last n bits, not yet in dst
	n   uint

	shifted, packed [frameLen]uint64 // scratch of appendFrame
}

// bits appends the low width bits of v, whose higher bits are 0.
func (w *bitWriter) bits(v uint64, width uint) {
	w.acc |= v << w.n
	if w.n+width < 64 {
		w.n += width
		return
	}
	w.dst = binary.LittleEndian.AppendUint64(w.dst, w.acc)
	w.acc = v >> (64 - w.n)
	w.n = w.n + width - 64
}

func (w *bitWriter) bit(b bool) {
	if b {
		w.bits(1, 1)
	} else {
		w.bits(0, 1)
	}
}

// number appends v in as many groups of 4 bits as it needs: a 1 for each group,
// a 0, the groups.
func (w *bitWriter) number(v uint64) {
	groups := uint(bits.Len64(v)+3) / 4
	w.bits(1<<groups-1, groups+1)
	w.bits(v, 4*groups)
}

func numberBits(v uint64) int { return 1 + (bits.Len64(v)+3)/4*5 }

// signed appends the number of v read as two's complement, small for small
// magnitudes.
func (w *bitWriter) signed(v uint64) { w.number(zigzag(v)) }

func signedBits(v uint64) int { return numberBits(zigzag(v)) }

func (w *bitWriter) pack(x []uint64, width uint) {
	dst, acc, n := w.dst, w.acc, w.n
	for _, v := range x {
		acc |= v << (n & 63)
		if n += width; n >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, acc)
			n -= 64
			acc = v >> (width - n)
		}
	}
	w.dst, w.acc, w.n = dst, acc, n
}

// bytes pads the last byte with 0 and returns everything written.
func (w *bitWriter) bytes() []byte {
	for ; w.n > 0; w.n -= min(w.n, 8) {
		w.dst = append(w.dst, byte(w.acc))
		w.acc >>= 8
	}
	return w.dst
}

func zigzag(v uint64) uint64   { return v<<1 ^ uint64(int64(v)>>63) }
func unzigzag(v uint64) uint64 { return v>>1 ^ -(v & 1) }

// bitReader reads what bitWriter wrote. Past its end it reads zeros and sets
// short.
type bitReader struct {
	data  []byte // followed by readerPad bytes, so that every load is in bounds
	pos   uint   // in bits
	end   uint
	short bool
}

const readerPad = 16

var readerPadding [readerPad]byte

func (r *bitReader) advance(width uint) (pos uint, ok bool) {
	if r.short || width > r.end-r.pos {
		r.short = true
		return 0, false
	}
	pos = r.pos
	r.pos += width
	return pos, true
}

func load(data []byte, pos uint) uint64 {
	b := data[pos/8:]
	return binary.LittleEndian.Uint64(b)>>(pos%8) | uint64(b[8])<<(64-pos%8)
}

func (r *bitReader) bits(width uint) uint64 {
	pos, ok := r.advance(width)
	if !ok {
		return 0
	}
	return load(r.data, pos) & (1<<width - 1)
}

func (r *bitReader) bit() bool { return r.bits(1) == 1 }

func (r *bitReader) number() uint64 {
	groups := uint(bits.TrailingZeros64(^load(r.data, r.pos)))
	if groups > 16 {
		r.short = true
		return 0
	}
	r.advance(groups + 1)
	return r.bits(4 * groups)
}

func (r *bitReader) signed() uint64 { return unzigzag(r.number()) }

func (r *bitReader) unpack(out []uint64, width uint) {
	pos, ok := r.advance(uint(len(out)) * width)
	if !ok || width == 0 {
		clear(out)
		return
	}
	mask := uint64(1)<<width - 1
	for i := range out {
		out[i] = load(r.data, pos) & mask
		pos += width
	}
}
