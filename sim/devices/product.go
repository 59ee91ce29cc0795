package devices

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/telemetry"
)

// Part is a profile, and the address from which its own addresses count.
type Part struct {
	Profile profile.Profile
	Base    uint16
}

// Product is what a device has in its registers: that of its profiles. What
// they don't mention between their addresses is zero, as on a device that doesn't
// use it.
type Product struct {
	spans          [tables]span
	shown          []shown
	fixed          []modbus.Register
	parts          []Part
	identification []string
}

// Parts are the profiles that it has, and where they begin.
func (p *Product) Parts() []Part { return p.parts }

// tables is one more than the last Table.
const tables = InputRegisters + 1

// span is the addresses that a table has; end is the one after the last.
type span struct{ first, end int }

// shown is a signal that a device shows.
type shown struct {
	name     string
	point    modbus.Point
	table    Table
	quantity quantity // nil: it doesn't measure it
	exponent int      // of its factor
	// rollsOver is where a counter begins at 0 again, in the signal's unit; 0: nowhere.
	rollsOver float64
}

var tableOf = map[modbus.Table]Table{
	modbus.Coil: Coils, modbus.Discrete: DiscreteInputs, modbus.Holding: HoldingRegisters, modbus.Input: InputRegisters,
}

// NewProduct is the registers of several profiles together.
func NewProduct(parts ...Part) (*Product, error) {
	p := &Product{parts: parts}
	for _, part := range parts {
		if int(part.Base)+part.Profile.End() > 1<<16 {
			return nil, fmt.Errorf("profile %s from %d on goes beyond the last address", part.Profile.Name, part.Base)
		}
		for _, s := range part.Profile.At(part.Base) {
			p.add(s, part.Profile.Product)
		}
		for _, id := range part.Profile.Identify {
			r := id.Register(part.Base)
			p.fixed = append(p.fixed, r)
			p.spans[tableOf[r.Table]].cover(int(r.Address), int(r.Address)+1)
		}
		p.identification = identificationOf(part.Profile)
	}
	return p, nil
}

// identificationOf is what a product says of itself. The vendor has as many words
// as in the profile's name.
func identificationOf(p profile.Profile) []string {
	words := strings.Fields(p.Product)
	n := 1
	if vendor, _, named := strings.Cut(p.Name, "/"); named {
		n += strings.Count(vendor, "-")
	}
	n = min(n, len(words))
	model := strings.Join(words[n:], " ")
	return []string{strings.Join(words[:n], " "), model, "1.0", "", p.Product, model}
}

// SunSpecBase is where a device's SunSpec models begin, after the mark by which
// they are found.
const SunSpecBase = 40002

// NewSunSpec is the registers of SunSpec models, one after the other.
func NewSunSpec(models ...profile.Profile) (*Product, error) {
	var parts []Part
	base := SunSpecBase
	fixed := []modbus.Register{{Table: modbus.Holding, Address: SunSpecBase - 2, Value: 'S'<<8 | 'u'}, {Table: modbus.Holding, Address: SunSpecBase - 1, Value: 'n'<<8 | 'S'}}
	for _, m := range models {
		end := base + m.End()
		if end+2 > 1<<16 {
			return nil, fmt.Errorf("model %s goes beyond the last address", m.Name)
		}
		parts = append(parts, Part{m, uint16(base)})
		fixed = append(fixed, modbus.Register{Table: modbus.Holding, Address: uint16(base + 1), Value: uint16(m.End() - 2)})
		base = end
	}
	fixed = append(fixed, modbus.Register{Table: modbus.Holding, Address: uint16(base), Value: 0xFFFF}, modbus.Register{Table: modbus.Holding, Address: uint16(base + 1)})
	p, err := NewProduct(parts...)
	if err != nil {
		return nil, err
	}
	p.fixed = append(p.fixed, fixed...)
	p.spans[HoldingRegisters].cover(SunSpecBase-2, base+2)
	return p, nil
}

func (p *Product) add(s profile.Signal, product string) {
	point := s.Point()
	shows := shown{name: s.Name, point: point, table: tableOf[point.Table], quantity: quantityOf(s, product)}
	p.spans[shows.table].cover(int(point.Address), int(point.Address)+point.Size())
	if s.Factor != nil {
		p.spans[shows.table].cover(int(*s.Factor), int(*s.Factor)+1)
		shows.exponent = exponentOf(s.Unit)
		p.fixed = append(p.fixed, modbus.Register{Table: point.Table, Address: *s.Factor, Value: uint16(int16(shows.exponent))})
	}
	if s.Kind == telemetry.Counter {
		shows.rollsOver = s.RollsOverAt
		if ranges := point.Ranges(); shows.rollsOver == 0 && len(ranges) > 0 {
			shows.rollsOver = ranges[0].Span * math.Pow10(shows.exponent)
		}
	}
	p.shown = append(p.shown, shows)
}

func (s *span) cover(first, end int) {
	if s.end == 0 {
		*s = span{first, end}
		return
	}
	s.first, s.end = min(s.first, first), max(s.end, end)
}

// image is the product's tables: registers of two bytes, and bits of one.
type image [tables][]byte

func (p *Product) newImage() image {
	var i image
	for t, s := range p.spans {
		size := s.end - s.first
		if Table(t) == HoldingRegisters || Table(t) == InputRegisters {
			size *= 2
		}
		i[t] = make([]byte, size)
	}
	return i
}

// show brings what was measured into the image.
func (p *Product) show(r *Reading, into image) {
	for _, f := range p.fixed {
		t := tableOf[f.Table]
		binary.BigEndian.PutUint16(into[t][2*(int(f.Address)-p.spans[t].first):], f.Value)
	}
	for i := range p.shown {
		s := &p.shown[i]
		switch {
		case !s.point.Table.Registers(): // no bit is measured
		case s.quantity == nil:
			s.put(telemetry.Value{}, false, p, into)
		default:
			s.put(s.quantity(r), true, p, into)
		}
	}
}

// put brings a value into the image, or that there is none.
func (s *shown) put(v telemetry.Value, is bool, p *Product, into image) {
	at := int(s.point.Address) - p.spans[s.table].first
	if !s.table.registers() {
		into[s.table][at] = byte(v.Bits() & 1)
		return
	}
	data := into[s.table][2*at:][:2*s.point.Size()]
	if is {
		if number, ok := v.Float(); ok && s.rollsOver > 0 {
			v = telemetry.FloatValue(math.Mod(number, s.rollsOver))
		}
		if number, ok := v.Float(); ok && s.exponent != 0 {
			v = telemetry.FloatValue(number / math.Pow10(s.exponent))
		}
		if s.point.Encode(v, data) == nil {
			return
		}
	}
	if len(s.point.Absent) > 0 {
		s.point.PutRaw(s.point.Absent[0], data)
	}
}

// has reports whether a table has these addresses.
func (p *Product) has(table Table, address, quantity int) bool {
	return address >= p.spans[table].first && address+quantity <= p.spans[table].end
}

// read is addresses that the table has.
func (p *Product) read(from image, table Table, address, quantity int, dst []byte) {
	at := address - p.spans[table].first
	if table.registers() {
		copy(dst, from[table][2*at:])
		return
	}
	for i, bit := range from[table][at:][:quantity] {
		dst[i/8] |= bit << (i % 8)
	}
}

// quantity is one of those that a meter measures, in the signal's unit.
type quantity func(*Reading) telemetry.Value

// exponentOf is what a device scales a quantity of a unit by, so that two bytes
// hold it.
func exponentOf(unit string) int {
	switch unit {
	case "V", "Cel", "%":
		return -1
	case "A", "Hz":
		return -2
	}
	return 0
}

// quantityOf is what a signal of that name measures, nil if a meter doesn't.
func quantityOf(s profile.Signal, product string) quantity {
	if s.Type == modbus.String {
		return func(*Reading) telemetry.Value { return telemetry.TextValue(product[:min(len(product), 2*s.Length)]) }
	}
	name, phase, _ := strings.Cut(s.Name, ".phs")
	measure := measures[name]
	at := strings.Index("ABC", phase)
	if measure == nil || len(phase) > 1 && name != "PPV" || phase != "" && at < 0 && name != "PPV" {
		return nil
	}
	if phase == "" || name == "PPV" {
		at = -1
	}
	per := 1.0
	if strings.HasPrefix(s.Unit, "k") {
		per = 1000
	}
	if s.Unit == "%" {
		per = 0.01
	}
	return func(r *Reading) telemetry.Value { return telemetry.FloatValue(measure(r, at) / per) }
}

// measures are the quantities by their names, of a phase from 0, or of all
// together at -1.
var measures = map[string]func(r *Reading, phase int) float64{
	"PhV": func(r *Reading, phase int) float64 {
		if phase < 0 {
			return round(mean(r), 10)
		}
		return round(r.Voltage[phase], 10)
	},
	"PPV":    func(r *Reading, _ int) float64 { return round(math.Sqrt(3)*mean(r), 10) },
	"A":      func(r *Reading, phase int) float64 { return round(of(&r.Current, phase), 1000) },
	"W":      func(r *Reading, phase int) float64 { return of(&r.Active, phase) },
	"VA":     func(r *Reading, phase int) float64 { return of(&r.Apparent, phase) },
	"VAr":    func(r *Reading, phase int) float64 { return round(of(&r.Reactive, phase), 10) },
	"PF":     func(r *Reading, phase int) float64 { return factor(of(&r.Active, phase), of(&r.Apparent, phase)) },
	"TotW":   func(r *Reading, _ int) float64 { return of(&r.Active, -1) },
	"TotVA":  func(r *Reading, _ int) float64 { return of(&r.Apparent, -1) },
	"TotVAr": func(r *Reading, _ int) float64 { return round(of(&r.Reactive, -1), 10) },
	"TotPF":  func(r *Reading, _ int) float64 { return factor(of(&r.Active, -1), of(&r.Apparent, -1)) },
	"Hz":     func(r *Reading, _ int) float64 { return r.Frequency },
	"DmdWh":  imported, "TotWhImp": imported, "WH": imported,
	"SupWh": exported, "TotWhExp": exported,
}

// mean is the voltage of the phases that there are, on average.
func mean(r *Reading) float64 {
	n := r.Phases
	if n == 0 {
		n = 3
	}
	var sum float64
	for _, v := range r.Voltage[:n] {
		sum += v
	}
	return sum / float64(n)
}

// imported is the energy in W.h, to whole ones.
func imported(r *Reading, phase int) float64 { return counts(r.Imported, r, phase) }

func exported(r *Reading, phase int) float64 { return counts(r.Exported, r, phase) }

func counts(energy float64, r *Reading, phase int) float64 {
	if phase >= 0 {
		energy *= r.Shares[phase]
	}
	return math.Round(energy)
}

func of(phases *[3]float64, phase int) float64 {
	if phase >= 0 {
		return phases[phase]
	}
	return phases[0] + phases[1] + phases[2]
}

func factor(power, apparent float64) float64 {
	if apparent == 0 {
		return 0
	}
	return round(power/apparent, 1000)
}
