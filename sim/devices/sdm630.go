package devices

import (
	"encoding/binary"
	"math"
)

// reading is what a meter has measured at one time.
type reading struct {
	voltage   [3]float64 // V, phase to neutral
	current   [3]float64 // A
	power     [3]float64 // W, imported
	apparent  [3]float64 // VA
	frequency float64    // Hz
	energy    float64    // J, imported
}

// imageSize is the size in bytes of the input registers 0x00 to 0x7F.
const imageSize = 256

// image lays a reading out in the input registers of an Eastron SDM630 (SDM630
// Modbus V2 protocol description): float32, big-endian, the high word first, at
// zero-based addresses. Registers without a quantity below are zero, as on a
// meter that doesn't use them.
func image(r reading) [imageSize]byte {
	var registers [imageSize]byte
	put := func(address int, v float64) {
		binary.BigEndian.PutUint32(registers[2*address:], math.Float32bits(float32(v)))
	}
	var power, apparent, reactive float64
	for i := range 3 {
		p, s := round(r.power[i], 10), round(r.apparent[i], 10)
		q := round(math.Sqrt(max(0, s*s-p*p)), 10)
		put(0x00+2*i, r.voltage[i]) // V
		put(0x06+2*i, r.current[i]) // A
		put(0x0C+2*i, p)            // W
		put(0x12+2*i, s)            // VA
		put(0x18+2*i, q)            // var
		put(0x1E+2*i, factor(p, s)) // 1
		power, apparent, reactive = power+p, apparent+s, reactive+q
	}
	put(0x34, power)                       // W
	put(0x38, apparent)                    // VA
	put(0x3C, reactive)                    // var
	put(0x3E, factor(power, apparent))     // 1
	put(0x46, r.frequency)                 // Hz
	put(0x48, round(r.energy/3.6e6, 1000)) // kWh imported
	put(0x4A, 0)                           // kWh exported
	return registers
}

func factor(power, apparent float64) float64 {
	if apparent == 0 {
		return 0
	}
	return round(power/apparent, 1000)
}
