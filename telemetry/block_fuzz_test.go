package telemetry

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func FuzzDecodeBlock(f *testing.F) {
	for _, v := range vectors() {
		b := v.encode(f)
		f.Add(b)
		f.Add(b[len(blockMagic) : len(b)-crcBytes])
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var d Decoder
		d.Block(src, nil)
		// With magic and CRC put right, to reach what they protect.
		sealed := seal(append(slices.Clone(blockMagic[:]), src...), 0)
		d.Only(sealed, []SignalID{0, 2, math.MaxUint32}, nil)
		table, out, err := d.Block(sealed, nil)
		if err != nil {
			return
		}
		checkOnly(t, new(Decoder), sealed, out)
		block, err := new(Encoder).AppendBlock(nil, table, out)
		if err != nil {
			t.Fatal(err)
		}
		again, back, err := d.Block(block, nil)
		if err != nil || again != table {
			t.Fatal(again, err)
		}
		checkSamples(t, back, out)
	})
}

// checkOnly reads each signal of a block alone, every other one, and one that it
// hasn't got.
func checkOnly(t rapid.TB, d *Decoder, block []byte, samples []Sample) {
	t.Helper()
	var ids, half []SignalID
	for _, s := range samples {
		if n := len(ids); n == 0 || ids[n-1] != s.Signal {
			ids = append(ids, s.Signal)
		}
	}
	asked := [][]SignalID{nil, ids, {math.MaxUint32 - 1}}
	for i, id := range ids {
		if i%2 == 1 {
			half = append(half, id)
		}
	}
	for i := range min(len(ids), 8) {
		asked = append(asked, ids[i:i+1], ids[len(ids)-1-i:len(ids)-i])
	}
	for _, ids := range append(asked, half) {
		want := slices.DeleteFunc(slices.Clone(samples), func(s Sample) bool { return !slices.Contains(ids, s.Signal) })
		got, err := d.Only(block, ids, nil)
		if err != nil {
			t.Fatal(ids, err)
		}
		checkSamples(t, got, want)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x08, 230, 0x48, 231, 0x88, 0, 0xc9, 1, 2, 3, 4, 5, 6, 7, 8, 0x2d, 3, 'a', 'b', 'c'})
	f.Fuzz(func(t *testing.T, data []byte) {
		samples := samplesFrom(data)
		var e Encoder
		var d Decoder
		checkBlock(t, &e, &d, samples)
		for i := range samples {
			samples[i].Signal = 3
		}
		checkBlock(t, &e, &d, samples)
	})
}

// samplesFrom makes samples of any bytes: a byte that says which signal, kind
// and size of number, then the number.
func samplesFrom(data []byte) (samples []Sample) {
	var at Micros
	take := func(n int) uint64 {
		var b [8]byte
		n = copy(b[:n], data)
		data = data[n:]
		return binary.LittleEndian.Uint64(b[:])
	}
	for len(data) > 0 {
		op := take(1)
		s := Sample{Signal: SignalID(op & 3)}
		size := int([]uint64{1, 2, 8, 0}[op>>6])
		switch kind := ValueKind(op >> 3 & 7); kind {
		case None:
			s.Quality = Quality(take(2))
		case Float64:
			s.Value = ValueFromBits(kind, take(size))
			if size < 8 {
				s.Value = FloatValue(float64(s.Value.bits) / 10)
			}
		case Int64, Uint64:
			s.Value = ValueFromBits(kind, take(size))
		case Bool:
			s.Value = BoolValue(op>>6 == 1)
		case Text:
			n := min(len(data), int(take(1)))
			n = min(n, len(data))
			s.Value = TextValue(string(data[:n]))
			data = data[n:]
		case 6:
			at += Micros(take(size))
			continue
		case 7:
			s.Value = FloatValue(float64(math.Float32frombits(uint32(take(4)))))
		}
		if op&4 != 0 {
			at++
		}
		s.Time = at
		samples = append(samples, s)
	}
	return samples
}
