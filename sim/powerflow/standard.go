package powerflow

import (
	"cmp"
	"math"
	"slices"

	"github.com/busbar/busbar/grid"
)

// What holds for equipment whose model says no impedance. The values are those
// of pandapower 3.5.6's standard types, which has them of cables to DIN VDE 0276,
// overhead lines to EN 50182 and transformers from makers' data.

// lineType is a conductor with its ohm/km, nF/km and A.
type lineType struct {
	above                  float64 // nominal voltage in V
	kind                   grid.LineType
	r, x, capacitance, amp float64
}

// lineTypes is in the order of voltage, kind and rated current.
var lineTypes = []lineType{
	{0, grid.Cable, 0.642, 0.083, 210, 142},     // NAYY 4x50 SE
	{0, grid.Cable, 0.225, 0.080, 264, 242},     // NAYY 4x120 SE
	{0, grid.Cable, 0.208, 0.080, 261, 270},     // NAYY 4x150 SE
	{0, grid.Overhead, 1.8769, 0.350, 11, 105},  // 15-AL1/3-ST1A
	{0, grid.Overhead, 1.2012, 0.335, 11, 140},  // 24-AL1/4-ST1A
	{0, grid.Overhead, 0.5939, 0.300, 12, 210},  // 48-AL1/8-ST1A
	{0, grid.Overhead, 0.3060, 0.290, 13, 350},  // 94-AL1/15-ST1A
	{1e3, grid.Cable, 0.443, 0.132, 190, 220},   // NA2XS2Y 1x70 RM/25 12/20 kV
	{1e3, grid.Cable, 0.313, 0.132, 216, 252},   // 1x95
	{1e3, grid.Cable, 0.253, 0.119, 230, 283},   // 1x120
	{1e3, grid.Cable, 0.206, 0.116, 250, 319},   // 1x150
	{1e3, grid.Cable, 0.161, 0.117, 273, 362},   // 1x185
	{1e3, grid.Cable, 0.122, 0.112, 304, 421},   // 1x240
	{1e3, grid.Overhead, 0.8342, 0.382, 9, 170}, // 34-AL1/6-ST1A 20.0
	{1e3, grid.Overhead, 0.5939, 0.372, 9.5, 210},
	{1e3, grid.Overhead, 0.4132, 0.360, 9.7, 290},
	{1e3, grid.Overhead, 0.3060, 0.350, 10, 350},
	{1e3, grid.Overhead, 0.2376, 0.344, 10.3, 410},
	{1e3, grid.Overhead, 0.1940, 0.337, 10.5, 470}, // 149-AL1/24-ST1A 20.0
	{45e3, grid.Cable, 0.153, 0.166, 112, 366},     // N2XS(FL)2Y 1x120 RM/35 64/110 kV
	{45e3, grid.Cable, 0.060, 0.144, 144, 588},     // 1x300
	{45e3, grid.Overhead, 0.1571, 0.400, 8.8, 535}, // 184-AL1/30-ST1A 110.0
	{45e3, grid.Overhead, 0.1188, 0.390, 9, 645},   // 243-AL1/39-ST1A 110.0
	{45e3, grid.Overhead, 0.0949, 0.380, 9.2, 740}, // 305-AL1/39-ST1A 110.0
}

// standardLine is the type that a line is taken for: of its voltage and kind, a
// cable if that isn't known, the smallest that carries its rated current, or the
// largest there is; the middle one if that isn't known.
func standardLine(l *grid.Line, voltage float64) lineType {
	kind := l.Type
	if kind == grid.UnknownLine {
		kind = grid.Cable
	}
	level := 0.0
	for _, t := range lineTypes {
		if voltage > t.above {
			level = t.above
		}
	}
	first := slices.IndexFunc(lineTypes, func(t lineType) bool { return t.above == level && t.kind == kind })
	end := first
	for end < len(lineTypes) && lineTypes[end].above == level && lineTypes[end].kind == kind {
		end++
	}
	of := lineTypes[first:end]
	if l.RatedCurrent == 0 {
		return of[len(of)/2]
	}
	for _, t := range of {
		if t.amp >= float64(l.RatedCurrent) {
			return t
		}
	}
	return of[len(of)-1]
}

// transformerType is a transformer's VA, and its %, W, W and %.
type transformerType struct {
	power, shortCircuit, loadLoss, noLoadLoss, noLoadCurrent float64
}

var transformerTypes = []transformerType{
	{250e3, 4, 3000, 600, 0.24},
	{400e3, 4, 5300, 950, 0.2375},
	{630e3, 4, 6800, 1180, 0.1873},
	{25e6, 12, 102500, 14e3, 0.07},
	{40e6, 16.2, 136e3, 18e3, 0.05},
	{63e6, 18, 201600, 22e3, 0.04},
}

// standardTransformer is the type that is nearest by rated power, scaled to it.
func standardTransformer(power float64) transformerType {
	t := slices.MinFunc(transformerTypes, func(a, b transformerType) int {
		return cmp.Compare(math.Abs(math.Log(a.power/power)), math.Abs(math.Log(b.power/power)))
	})
	by := power / t.power
	return transformerType{power, t.shortCircuit, t.loadLoss * by, t.noLoadLoss * by, t.noLoadCurrent}
}
