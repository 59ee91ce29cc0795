package devices

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/profile"
)

// wide is a meter with 300 coils, and 300 holding registers from address 0 on, which
// nothing measures.
func wide(t testing.TB, readOnly ...Span) *Meter {
	t.Helper()
	p, err := profile.Parse("busbar/wide", "wide.yaml", []byte(`product: Busbar Wide 3
source: nobody
signals:
  - {name: A, coil: 0}
  - {name: B, coil: 299}
  - {name: C, holding: 0, type: uint16, unit: "1"}
  - {name: D, holding: 299, type: uint16, unit: "1"}
examples:
  - {holding: 0, registers: "0001", values: {C: "1"}}
`))
	if err != nil {
		t.Fatal(err)
	}
	c := testMeter(t, func() time.Duration { return time.Minute }).config
	if c.Product, err = NewProduct(Part{Profile: p}); err != nil {
		t.Fatal(err)
	}
	c.ReadOnly = readOnly
	return NewMeter(c)
}

// The first of each function is the example of the MODBUS Application Protocol
// Specification V1.1b3, 6.5, 6.6, 6.11, 6.12 and 6.16, followed by what is read
// afterwards.
func TestWrites(t *testing.T) {
	m := wide(t, Span{200, 209})
	for _, c := range []struct{ name, request, want string }{
		{"write coil", "0500acff00", "0500acff00"},
		{"read it", "0100ab0003", "010102"},
		{"write it off", "0500ac0000", "0500ac0000"},
		{"read it", "0100ab0003", "010100"},
		{"neither on nor off", "0500ac0001", "8503"},
		{"write register", "0600010003", "0600010003"},
		{"read it", "0300000003", "0306000000030000"},
		{"write coils", "0f0013000a02cd01", "0f0013000a"},
		{"read them", "0100120010", "01029a03"}, // one before, and five after
		{"coils with a byte too few", "0f0013000a01cd", "8f03"},
		{"no coils", "0f0013000000", "8f03"},
		{"1969 coils", "0f000007b1f7" + hexOf(make([]byte, 247)), "8f03"},
		{"write registers", "100001000204000a0102", "1000010002"},
		{"read them", "0300010002", "0304000a0102"},
		{"registers with a wrong count", "100001000203000a01", "9003"},
		{"124 registers", "100000007cf8" + hexOf(make([]byte, 248)), "9003"},
		{"cut off", "1000", "9003"},
		{"set for the mask", "0600040012", "0600040012"},
		{"mask", "16000400f20025", "16000400f20025"},
		{"read it", "0300040001", "03020017"},
		{"beyond the registers", "06012c0001", "8602"},
		{"beyond the coils", "05012cff00", "8502"},
		{"across the end", "10012b000204000a0102", "9002"},
		{"read only", "0600c90001", "8602"},
		{"into what is read only", "1000c7000204000a0102", "9002"},
		{"nothing of it was written", "0300c70002", "030400000000"},
	} {
		if got := answer(nil, m, bytesOf(t, c.request)); !bytes.Equal(got, bytesOf(t, c.want)) {
			t.Errorf("%s: % x, want %s", c.name, got, c.want)
		}
	}
	bank := Bank{Coils: make([]bool, 300), HoldingRegisters: make([]uint16, 300)}
	if got := answer(nil, bank, bytesOf(t, "0600010003")); !bytes.Equal(got, []byte{0x86, 1}) {
		t.Errorf("a unit that takes no writes: % x", got)
	}
}

// What is written stays when the meter measures again.
func TestWrittenStays(t *testing.T) {
	now := time.Minute
	c := testMeter(t, func() time.Duration { return now }).config
	c.Product = productOf(t, "janitza/b23")
	m := NewMeter(c)
	before := answer(nil, m, bytesOf(t, "034a380004"))
	if got := answer(nil, m, bytesOf(t, "104a38000204447a0000")); got[0] != 16 {
		t.Fatalf("% x", got)
	}
	now += time.Second
	after := answer(nil, m, bytesOf(t, "034a380004"))
	if !bytes.Equal(after[2:6], bytesOf(t, "447a0000")) || bytes.Equal(before[6:], after[6:]) {
		t.Errorf("% x, then % x", before, after)
	}
}

// The request is the example of V1.1b3, 6.21.
func TestIdentification(t *testing.T) {
	m := wide(t)
	want := slices.Concat([]byte{0x2B, 0x0E, 1, 0x82, 0, 0, 3},
		[]byte("\x00\x06Busbar"), []byte("\x01\x06Wide 3"), []byte("\x02\x031.0"))
	if got := answer(nil, m, bytesOf(t, "2b0e0100")); !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	for request, want := range map[string][]byte{
		"2b0e0104": want, // no basic object: from the first on
		"2b0e0401": slices.Concat([]byte{0x2B, 0x0E, 4, 0x82, 0, 0, 1}, []byte("\x01\x06Wide 3")),
		"2b0e0403": {0xAB, 2}, // no such object
		"2b0e0500": {0xAB, 3},
		"2b0e01":   {0xAB, 3},
		"2b0d0100": {0xAB, 1},
		"2b0e0204": slices.Concat([]byte{0x2B, 0x0E, 2, 0x82, 0, 0, 2}, []byte("\x04\x0dBusbar Wide 3"), []byte("\x05\x06Wide 3")),
	} {
		if got := answer(nil, m, bytesOf(t, request)); !bytes.Equal(got, want) {
			t.Errorf("%s: % x, want % x", request, got, want)
		}
	}
	// One that doesn't fit is told of, and is what the next request begins with.
	long := identified{Bank{}, []string{"V", string(bytes.Repeat([]byte{'p'}, 300)), "1"}}
	first := answer(nil, long, bytesOf(t, "2b0e0100"))
	if !bytes.Equal(first[:7], []byte{0x2B, 0x0E, 1, 0x82, 0xFF, 1, 1}) {
		t.Errorf("% x", first)
	}
	second := answer(nil, long, bytesOf(t, "2b0e0101"))
	if len(second) != maxPDU || !bytes.Equal(second[4:7], []byte{0xFF, 2, 1}) {
		t.Errorf("%d bytes, % x", len(second), second[:8])
	}
	if got := answer(nil, Bank{}, bytesOf(t, "2b0e0100")); !bytes.Equal(got, []byte{0xAB, 1}) {
		t.Errorf("a unit that says nothing of itself: % x", got)
	}
}

type identified struct {
	Bank
	objects []string
}

func (i identified) Identification() []string { return i.objects }

func hexOf(b []byte) (text string) {
	for range b {
		text += "00"
	}
	return text
}
