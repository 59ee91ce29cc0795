package parquet

import (
	"encoding/binary"
	"math/bits"
)

// appendHybrid appends values of width bits as runs and packed groups of eight.
func appendHybrid(dst []byte, values []uint32, width int) []byte {
	run := func(from int) int {
		n := from + 1
		for n < len(values) && values[n] == values[from] {
			n++
		}
		return n - from
	}
	for at := 0; at < len(values); {
		if n := run(at); n >= 8 {
			dst = binary.AppendUvarint(dst, uint64(n)<<1)
			for b := 0; b < width; b += 8 {
				dst = append(dst, byte(values[at]>>b))
			}
			at += n
			continue
		}
		begin := at
		for at < len(values) && (at == begin || run(at) < 8) {
			at += 8
		}
		groups := (at - begin) / 8
		at = min(at, len(values)) // the last group is filled up with zeros
		dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
		dst = appendPacked(dst, values[begin:at], groups*8, width)
	}
	return dst
}

// appendPacked appends values of width bits one after another, least significant bit
// first, and zeros until they are n.
func appendPacked[V uint32 | uint64](dst []byte, values []V, n, width int) []byte {
	end := len(dst) + n*width/8
	var acc uint64
	held := 0
	for _, v := range values {
		left := uint64(v)
		for w := width; w > 0; {
			take := min(w, 56-held) // acc never overflows
			acc |= (left & (1<<take - 1)) << held
			left >>= take
			held, w = held+take, w-take
			for ; held >= 8; held -= 8 {
				dst = append(dst, byte(acc))
				acc >>= 8
			}
		}
	}
	if held > 0 {
		dst = append(dst, byte(acc))
	}
	for len(dst) < end {
		dst = append(dst, 0)
	}
	return dst
}

const (
	deltaBlock = 128
	deltaMini  = 32
)

// appendDeltas appends integers by DELTA_BINARY_PACKED. Differences wrap around, as they
// do when they are read.
func appendDeltas(dst []byte, values []int64) []byte {
	dst = binary.AppendUvarint(dst, deltaBlock)
	dst = binary.AppendUvarint(dst, deltaBlock/deltaMini)
	dst = binary.AppendUvarint(dst, uint64(len(values)))
	if len(values) == 0 {
		return binary.AppendVarint(dst, 0)
	}
	dst = binary.AppendVarint(dst, values[0])
	var deltas [deltaBlock]int64
	var offsets [deltaBlock]uint64
	for at := 1; at < len(values); {
		n := min(deltaBlock, len(values)-at)
		least := values[at] - values[at-1]
		for i := range n {
			deltas[i] = values[at+i] - values[at+i-1]
			least = min(least, deltas[i])
		}
		clear(offsets[:])
		for i := range n {
			offsets[i] = uint64(deltas[i]) - uint64(least)
		}
		at += n
		dst = binary.AppendVarint(dst, least)
		widths := len(dst)
		dst = append(dst, make([]byte, deltaBlock/deltaMini)...)
		for m := range deltaBlock / deltaMini {
			if m*deltaMini >= n {
				break
			}
			mini := offsets[m*deltaMini : (m+1)*deltaMini]
			var all uint64
			for _, v := range mini {
				all |= v
			}
			dst[widths+m] = byte(bits.Len64(all))
			dst = appendPacked(dst, mini, deltaMini, bits.Len64(all))
		}
	}
	return dst
}
