package telemetry

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// craft is a sealed block of any bits.
func craft(write func(w *bitWriter)) []byte {
	w := bitWriter{dst: slices.Clone(blockMagic[:])}
	write(&w)
	return seal(w.bytes(), 0)
}

// craftOf is one that announces samples.
func craftOf(samples uint64, columns func(w *bitWriter)) []byte {
	return craft(func(w *bitWriter) {
		w.bits(1, 64)
		w.number(1)
		w.number(samples)
		columns(w)
	})
}

func TestBlockRefuses(t *testing.T) {
	whole, err := new(Encoder).AppendBlock(nil, TableRef{1, 2}, fleet(volts, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	body := whole[:len(whole)-crcBytes]
	block := func(columns func(w *bitWriter)) []byte { return craftOf(2, columns) }
	one := func(w *bitWriter) { // a column of one sample without a value
		w.bit(false)
		w.number(0)
		w.signed(^uint64(0))
		w.bits(0, 2)
		w.bit(true)
		w.signed(0)
		w.bit(false)
		w.bit(true)
		w.bit(true)
		w.number(0)
		w.bit(true)
	}
	if _, samples, err := new(Decoder).Block(block(func(w *bitWriter) { w.bit(true); one(w); w.bit(false); w.number(8); w.bits(7, 3) }), nil); err != nil ||
		!slices.Equal(samples, []Sample{{}, {Signal: 8}}) {
		t.Fatalf("the crafted block itself: %v, %v", samples, err)
	}

	for _, c := range []struct {
		src  []byte
		want string
	}{
		{nil, "byte 0: 0 bytes are too few"},
		{whole[:7], "byte 0: 7 bytes are too few"},
		{append([]byte("JSON"), whole[4:]...), "byte 0: starts with 4a534f4e, expected 42424b01"},
		{append([]byte("BBK\x02"), whole[4:]...), "byte 0: starts with 42424b02, expected 42424b01"},
		{append(slices.Clone(body), 0, 0, 0, 0), "00000000 was stored"},
		{seal(slices.Clone(body[:len(body)-9]), 0), "cut short, or a number of more than 64 bits"},
		{seal(append(slices.Clone(body), 0), 0), "more than the samples announced"},
		{craft(func(w *bitWriter) { w.bits(1, 64); w.number(1 << 32) }), "table version 4294967296"},
		{craftOf(MaxBlockSamples+1, func(w *bitWriter) {}), "1048577 samples, at most 1048576 are allowed"},
		{block(func(w *bitWriter) { w.bit(false); w.number(0) }), "signal id -1+0"},
		{block(func(w *bitWriter) { w.bit(false); w.number(1<<32 + 1) }), "signal id -1+4294967297"},
		{block(func(w *bitWriter) { w.bit(true); one(w); w.bit(false); w.number(1 << 32) }), "signal id 0+4294967296"},
		{block(func(w *bitWriter) { w.bit(false); w.number(6); one(w); w.bit(false); w.number(math.MaxUint64) }), "signal id 5+18446744073709551615"},
	} {
		table, samples, err := new(Decoder).Block(c.src, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "block: byte ") || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("error %v, expected %q", err, c.want)
		}
		if samples != nil || table != (TableRef{}) {
			t.Errorf("%q came with samples", c.want)
		}
	}
}

func TestColumnRefuses(t *testing.T) {
	times := func(w *bitWriter) { // of all 4 samples
		w.bit(false)
		w.number(0)
		w.signed(0)
		w.bits(0, 2)
		w.bit(true)
		w.signed(0)
	}
	typed := func(typ columnType, rest func(w *bitWriter)) func(w *bitWriter) {
		return func(w *bitWriter) {
			times(w)
			w.bit(true) // good
			w.bit(false)
			w.bits(uint64(typ), 3)
			rest(w)
		}
	}
	form := func(f form, width uint64) func(w *bitWriter) {
		return typed(typeInt, func(w *bitWriter) {
			w.bit(false)
			w.bits(uint64(f), 2)
			w.bits(width, 7)
			w.signed(0)
			w.number(4)
			w.bits(0, 64)
		})
	}
	constant := func(x uint64) func(w *bitWriter) { return func(w *bitWriter) { w.bit(true); w.signed(x) } }
	for _, c := range []struct {
		columns func(w *bitWriter)
		want    string
	}{
		{typed(typeInt, constant(5)), ""},
		{func(w *bitWriter) { w.bit(true); w.bits(0, 32) }, "the first column has no times"},
		{func(w *bitWriter) { w.bit(false); w.number(3); w.bits(0, 32) }, "times 3 sequences back, of 0"},
		{func(w *bitWriter) { w.bit(false); w.number(0); w.signed(1); w.bits(0, 32) }, "5 times, expected 1 to 4"},
		{func(w *bitWriter) { w.bit(false); w.number(0); w.signed(^uint64(3)); w.bits(0, 32) }, "0 times, expected 1 to 4"},
		{func(w *bitWriter) { // all right but for a number of 17 groups
			w.bit(false)
			w.bits(1<<17-1, 18)
			w.bits(0, 64)
			w.bits(0, 4)
			w.signed(0)
			w.bits(0, 2)
			w.bit(true)
			w.signed(0)
			w.bit(true)
			w.bit(false)
			w.bits(uint64(typeInt), 3)
			w.bit(true)
			w.signed(5)
		}, errShort.Error()},
		{func(w *bitWriter) { // 3 samples, then another signal of the same times
			w.bit(false)
			w.number(0)
			w.signed(^uint64(0))
			w.bits(0, 2)
			w.bit(true)
			w.signed(0)
			w.bit(true)
			w.bit(false)
			w.bits(uint64(typeInt), 3)
			w.bit(true)
			w.signed(5)
			w.bit(true)
			w.bit(true)
			w.bits(0, 32)
		}, "3 samples, expected at most 1"},
		{func(w *bitWriter) {
			times(w)
			w.bit(false)
			w.bit(false)
			w.number(4)
			w.bit(true)
			w.number(0)
			w.bits(1, 32)
		}, "quality runs don't fit 4 samples"},
		{func(w *bitWriter) {
			times(w)
			w.bit(false)
			w.bit(false)
			w.number(3)
			w.bit(true)
			w.number(0)
			w.bits(1, 32)
		}, "quality runs don't fit 4 samples"},
		{func(w *bitWriter) { times(w); w.bit(false); w.bit(false); w.number(MaxBlockSamples); w.bits(0, 32) }, "quality run of 1048576 samples"},
		{func(w *bitWriter) {
			times(w)
			w.bit(false)
			w.bit(true)
			w.bit(true)
			w.number(1 << 16)
			w.bits(0, 32)
		}, "quality 0x10000 of more than 16 bits"},
		{typed(typeNone, func(w *bitWriter) { w.bits(0, 32) }), "4 values of kind none"},
		{func(w *bitWriter) {
			times(w)
			w.bit(false)
			w.bit(true)
			w.bit(true)
			w.number(0)
			w.bit(false)
			w.bits(uint64(typeInt), 3)
			w.bits(0, 32)
		}, "0 values of kind int64"},
		{typed(typeBool, constant(2)), "2 is no bool, at most 1 is"},
		{typed(typeText, func(w *bitWriter) { w.number(1); w.number(0); constant(1)(w) }), "1 is no text, at most 0 is"},
		{typed(typeText, func(w *bitWriter) { w.number(0); w.bits(0, 32) }), "0 distinct texts in 4 values"},
		{typed(typeText, func(w *bitWriter) { w.number(5); w.bits(0, 32) }), "5 distinct texts in 4 values"},
		{typed(typeText, func(w *bitWriter) { w.number(1); w.number(257); w.bits(0, 32) }), "text of 257 bytes, at most 256 are allowed"},
		{typed(typeText, func(w *bitWriter) { w.number(1); w.number(1); w.bits(0xff, 8); w.bits(0, 32) }), "text that isn't UTF-8"},
		{form(offsets, 65), "frame of form 0 with 65 bits a number"},
		{form(runs, 1), "frame of form 3 with 1 bits a number"},
		{form(runs, 0), "run of 5 numbers where 4 are left"},
		{form(offsets, 64), errShort.Error()},
	} {
		block := craftOf(4, func(w *bitWriter) { w.bit(true); c.columns(w) })
		_, samples, err := new(Decoder).Block(block, nil)
		if c.want == "" {
			if err != nil || len(samples) != 4 {
				t.Fatalf("the crafted column itself: %v, %v", samples, err)
			}
			continue
		}
		if err == nil || samples != nil || !strings.HasPrefix(err.Error(), "block: byte ") || !strings.HasSuffix(err.Error(), ": "+c.want) {
			t.Errorf("error %v, expected %q", err, c.want)
		}
	}
}

// TestShortInputTakesLittle: memory follows the bits that are there, not the
// numbers that they announce.
func TestShortInputTakesLittle(t *testing.T) {
	for _, lead := range []func(w *bitWriter){
		func(w *bitWriter) {},
		func(w *bitWriter) { w.bit(true); w.signed(0) }, // one frame of times
	} {
		var d Decoder
		_, samples, err := d.Block(craftOf(MaxBlockSamples, func(w *bitWriter) {
			w.bit(true)
			w.bit(false)
			w.number(0)
			w.signed(0)
			w.bits(0, 2)
			lead(w)
		}), nil)
		if err == nil || !strings.HasSuffix(err.Error(), errShort.Error()) || samples != nil || cap(d.columns.times) > 1000 {
			t.Errorf("%d samples, %d times, %v", len(samples), cap(d.columns.times), err)
		}
	}
}
