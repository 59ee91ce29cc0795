package gpio

import (
	"encoding/binary"
	"slices"
	"testing"
)

// encode is an event as the kernel writes it: struct gpio_v2_line_event of linux/gpio.h.
func encode(at uint64, id, offset, seq, lineSeq uint32) []byte {
	b := binary.NativeEndian.AppendUint64(nil, at)
	for _, v := range []uint32{id, offset, seq, lineSeq, 0, 0, 0, 0, 0, 0} {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return b
}

func TestDecodeEvents(t *testing.T) {
	rising, falling := encode(1<<40, 1, 17, 5, 3), encode(1<<40+7, 2, 17, 6, 4)
	if len(rising) != eventSize {
		t.Fatalf("%d bytes", len(rising))
	}
	for name, c := range map[string]struct {
		data []byte
		want []event
	}{
		"one":          {rising, []event{{1 << 40, true, 3}}},
		"two":          {slices.Concat(rising, falling), []event{{1 << 40, true, 3}, {1<<40 + 7, false, 4}}},
		"none":         {nil, nil},
		"half":         {rising[:24], nil},
		"one and half": {slices.Concat(rising, falling[:24]), nil},
		"another kind": {encode(1, 3, 17, 5, 3), nil},
	} {
		got, err := decodeEvents(c.data)
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%s: %v, %v, expected %v", name, got, err, c.want)
		}
	}
}

// The same bytes as a little-endian machine has them, written out: a rising edge of line
// 17, 0x0102030405 ns after the boot, its third.
func TestDecodeEventVector(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("this machine is big-endian")
	}
	data := append([]byte{5, 4, 3, 2, 1, 0, 0, 0, 1, 0, 0, 0, 17, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0}, make([]byte, 24)...)
	if got, err := decodeEvents(data); err != nil || len(got) != 1 || got[0] != (event{0x0102030405, true, 3}) {
		t.Errorf("%v, %v", got, err)
	}
}

// FuzzDecodeEvents: whatever the bytes, they are whole events or refused.
func FuzzDecodeEvents(f *testing.F) {
	f.Add(encode(1<<40, 1, 17, 5, 3))
	f.Add(encode(1<<40, 2, 17, 5, 3)[:40])
	f.Fuzz(func(t *testing.T, data []byte) {
		events, err := decodeEvents(data)
		if err == nil && (len(events) == 0 || len(events)*eventSize != len(data)) {
			t.Errorf("%d events of %d bytes", len(events), len(data))
		}
	})
}
