package devices

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/busbar/busbar/profile"
)

// A counter begins at 0 again where its registers end: an int32 of 100 W.h, a uint16 of
// kW.h, and six digits of 10 W.h.
func TestCountersRollOver(t *testing.T) {
	p, err := profile.Parse("busbar/counters", "counters.yaml", []byte(`product: Busbar Counters
source: nobody
signals:
  - {name: DmdWh,    holding: 0, type: int32, scale: 100, unit: W.h, kind: counter}
  - {name: TotWhImp, holding: 2, type: uint16, unit: kW.h, kind: counter}
  - {name: WH,       holding: 4, type: bcd32, scale: 10, unit: W.h, kind: counter}
examples:
  - {holding: 2, registers: "0001", values: {TotWhImp: "1"}}
`))
	if err != nil {
		t.Fatal(err)
	}
	product, err := NewProduct(Part{Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	var now time.Duration
	read := func(m *Meter) [3]uint32 {
		dst := make([]byte, 12)
		if e := m.Read(HoldingRegisters, 0, 6, dst); e != 0 {
			t.Fatalf("exception %d", e)
		}
		return [3]uint32{binary.BigEndian.Uint32(dst), uint32(binary.BigEndian.Uint16(dst[4:])), binary.BigEndian.Uint32(dst[8:])}
	}
	for _, c := range []struct {
		kWh  float64
		want [3]uint32
	}{
		{1, [3]uint32{10, 1, 0x100}},
		{65535, [3]uint32{655350, 65535, 0x6553500}},
		{65536, [3]uint32{655360, 0, 0x6553600}},
		{1e6, [3]uint32{1e7, 1e6 - 15*65536, 0}},
		{214748364.7, [3]uint32{math.MaxInt32, uint32(214748365 % 65536), 0x74836470}},
		{214748364.8, [3]uint32{0, uint32(214748365 % 65536), 0x74836480}},
	} {
		config := testMeter(t, func() time.Duration { return now }).config
		config.Product, config.Energy = product, c.kWh*3.6e6
		if got := read(NewMeter(config)); got != c.want {
			t.Errorf("%v kW.h: %#x, want %#x", c.kWh, got, c.want)
		}
	}
}

// A reset begins at 0, whenever it comes, and counts on from there.
func TestCountersAreReset(t *testing.T) {
	now := time.Duration(0)
	c := testMeter(t, func() time.Duration { return now }).config
	c.Energy, c.RatedPower = 5e6*3.6e6, 60e6
	m := NewMeter(c)
	bus := NewBus(map[byte]Unit{1: m}, 1)
	bus.Misbehave(1, parse(t, "counter-reset,every=3")...)
	p := bus.units[1]
	var kWh []float64
	for range 5 {
		now += 1070 * time.Millisecond
		r := p.respond(p.behaviour.Load(), mbap{}, frame(1, 1, readRequest(InputRegisters, 0, 0x4A)))
		kWh = append(kWh, float(r.pieces[0].bytes[headerSize+2:], 0x48))
	}
	if kWh[0] < 5e6 || kWh[1] <= kWh[0] || kWh[2] != 0 || kWh[3] <= 0 || kWh[3] > 1e5 || kWh[4] <= kWh[3] {
		t.Errorf("%v kW.h, expected a reset at the third request", kWh)
	}
}
