package modbus

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// Control is a point that can be written, and how.
type Control struct {
	Point string // its name
	// Method is how; the zero value is what the standard has for it.
	Method Method
	// Feedback names the point of the device that shows what was done; "" means the
	// point itself.
	Feedback string
	// Settle is how long the device may take until it shows it.
	Settle time.Duration
}

// Method is which function of the protocol writes a point.
type Method string

const (
	// Standard is function 5 for a coil, 6 for a register, 16 for several, and 22 for
	// bits of a register.
	Standard Method = ""
	// Multiple is function 15 for a coil and 16 for a register.
	Multiple Method = "multiple"
	// ReadModifyWrite is for bits of registers: function 22, and if the device hasn't
	// got that, the registers are read and written back with other bits. What the
	// device itself changes of them in between is then lost.
	ReadModifyWrite Method = "read-modify-write"
)

// MaxSettle bounds how long the device may take.
const MaxSettle = time.Minute

// CheckControl lists everything that is wrong with one of the device's controls.
// Each error begins with what it is about: signal, write, feedback or settle.
func (d Device) CheckControl(c Control) []error {
	var errs []error
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Settle < 0 || c.Settle > MaxSettle {
		report("settle: %v, expected 0s to %v", c.Settle, MaxSettle)
	}
	if c.Feedback != "" && d.point(c.Feedback) < 0 {
		report("feedback: the device has no signal %q", c.Feedback)
	}
	at := d.point(c.Point)
	if at < 0 {
		report("signal: the device has no signal %q", c.Point)
		return errs
	}
	p := d.Points[at]
	switch {
	case p.Table != Coil && p.Table != Holding:
		report("signal: %s is a value of table %s, which nobody can write, expected a coil or holding registers", c.Point, p.Table)
		return errs
	case p.Type == String:
		report("signal: %s is text, expected a number or a bool", c.Point)
		return errs
	}
	if e, err := ParseEndpoint(d.Endpoint); err == nil && e.Transport != TCP && d.Unit == 0 {
		report("signal: unit 0 of a line is all of its devices, and none of them answers")
	}
	parts := p.parts()
	switch {
	case c.Method == Multiple && parts != nil:
		report("write: %s is a part of a register, expected no %s", c.Point, Multiple)
	case c.Method == ReadModifyWrite && parts == nil:
		report("write: %s is all of its registers, expected no %s", c.Point, ReadModifyWrite)
	case c.Method != ReadModifyWrite && spread(parts):
		report("write: the bits of %s lie in several registers, which can't be written at once, expected %s", c.Point, ReadModifyWrite)
	case c.Method != Standard && c.Method != Multiple && c.Method != ReadModifyWrite:
		report("write: %q, expected %s or %s, or the key to be left out", c.Method, Multiple, ReadModifyWrite)
	}
	return errs
}

// point is where the point of that name is, -1 if there is none.
func (d Device) point(name string) int {
	return slices.IndexFunc(d.Points, func(p Point) bool { return p.Name == name })
}

// parts are the bits of the point's registers that are its own; nil if all are.
func (p Point) parts() []byte {
	d := newDecoder(p)
	var own uint64
	switch {
	case !p.Table.Registers():
		return nil
	case d.format == boolean:
		own = 1 << d.bit
	case d.mask != 0:
		own = d.mask
	case d.width == 8:
		own = 0xFF
	default:
		return nil
	}
	if bits.OnesCount64(own) == 16*int(d.registers) {
		return nil
	}
	parts := make([]byte, 2*int(d.registers))
	d.put(parts, own)
	return parts
}

// spread reports whether parts lie in more than one register.
func spread(parts []byte) bool {
	registers := 0
	for at := 0; at < len(parts); at += 2 {
		if parts[at]|parts[at+1] != 0 {
			registers++
		}
	}
	return registers > 1
}

// control is a Control that is ready.
type control struct {
	point    Point
	factor   *Point // the register of its power of ten
	feedback shown
	method   Method
	settle   time.Duration
	parts    []byte
}

// shown is a point that is read for its value alone.
type shown struct {
	point  Point
	factor *Point
}

// newControls are those of a meter, by signal.
func (m *meter) newControls() map[telemetry.SignalID]*control {
	controls := map[telemetry.SignalID]*control{}
	for _, c := range m.Controls {
		at := m.point(c.Point)
		back := at
		if c.Feedback != "" {
			back = m.point(c.Feedback)
		}
		controls[m.points[at].Signal] = &control{
			point: m.points[at], factor: m.factorPoint(at), feedback: shown{m.points[back], m.factorPoint(back)},
			method: c.Method, settle: c.Settle, parts: m.points[at].parts(),
		}
	}
	return controls
}

// factorPoint is the register of a point's factor; nil if it has none.
func (m *meter) factorPoint(at int) *Point {
	if m.factors[at] == 0 {
		return nil
	}
	return &m.points[m.factors[at]]
}

// encode is the registers, or the byte of the coil, that hold a value, in which old
// are what the registers hold now, and the value that they then are. It fails if they
// can't hold the value as it is: what is written is what was asked for, not what is near it.
func (c *control) encode(v telemetry.Value, old []byte, f factor) (data []byte, held telemetry.Value, err error) {
	want, ok := v.Float()
	if !ok || want-want != 0 {
		return nil, held, fmt.Errorf("%v is no number", v)
	}
	if !c.point.Table.Registers() {
		if want != 0 && want != 1 {
			return nil, held, fmt.Errorf("%v is neither 0 nor 1", v)
		}
		return []byte{byte(want)}, telemetry.BoolValue(want == 1), nil
	}
	data = slices.Clone(old)
	d := newDecoder(c.point)
	p := c.point
	if c.factor != nil {
		// What the power of ten multiplies is the raw value.
		raw := (want*d.divisor - d.addend) / d.multiplier
		v = telemetry.FloatValue(factor{exponent: -f.exponent}.apply(raw))
		p.Factor, p.Scale, p.Offset = nil, 0, 0
	}
	if err := p.Encode(v, data); err != nil {
		return nil, held, err
	}
	held, reason := d.value(data, 0)
	if reason == telemetry.NoReason && c.factor != nil {
		number, _ := held.Float()
		held = telemetry.FloatValue(d.scale(f.apply(number)))
	}
	got, _ := held.Float()
	switch {
	case reason != telemetry.NoReason:
		return nil, held, fmt.Errorf("%v is what stands for no value here (%v)", v, reason)
	case !near(got, want, d.exactness()):
		return nil, held, fmt.Errorf("%v can't be held exactly, the nearest is %v", telemetry.FloatValue(want), held)
	}
	return data, held, nil
}

// exactness is how exact a value in the registers is, of 1.
func (d *decoder) exactness() float64 {
	switch {
	case d.format == floating && d.width == 16:
		return 1.0 / (1 << 11)
	case d.format == floating && d.width == 32:
		return 1.0 / (1 << 23)
	}
	return 1e-12
}

func near(a, b, of float64) bool { return math.Abs(a-b) <= of*math.Max(math.Abs(a), math.Abs(b)) }

// request is what writes the data; masks says by function 22.
func (c *control) request(data []byte, masks bool) goburrow.ProtocolDataUnit {
	address := c.point.Address
	switch {
	case c.point.Table == Coil && c.method == Multiple:
		return writeRequest(goburrow.FuncCodeWriteMultipleCoils, address, 1, []byte{1, data[0]})
	case c.point.Table == Coil:
		return writeRequest(goburrow.FuncCodeWriteSingleCoil, address, uint16(data[0])*0xFF00, nil)
	case masks:
		at := 0
		for c.parts[at]|c.parts[at+1] == 0 {
			at += 2
		}
		own := binary.BigEndian.Uint16(c.parts[at:])
		or := binary.BigEndian.AppendUint16(nil, binary.BigEndian.Uint16(data[at:])&own)
		return writeRequest(goburrow.FuncCodeMaskWriteRegister, address+uint16(at/2), ^own, or)
	case len(data) == 2 && c.method != Multiple:
		return writeRequest(goburrow.FuncCodeWriteSingleRegister, address, binary.BigEndian.Uint16(data), nil)
	}
	return writeRequest(goburrow.FuncCodeWriteMultipleRegisters, address, uint16(len(data)/2), append([]byte{byte(len(data))}, data...))
}

// writeRequest is a request to write: function, address, and a value or a count
// (Modbus Application Protocol V1.1b3, 6.5, 6.6, 6.11, 6.12, 6.16).
func writeRequest(function byte, address, value uint16, rest []byte) goburrow.ProtocolDataUnit {
	data := binary.BigEndian.AppendUint16(nil, address)
	data = binary.BigEndian.AppendUint16(data, value)
	return goburrow.ProtocolDataUnit{FunctionCode: function, Data: append(data, rest...)}
}
