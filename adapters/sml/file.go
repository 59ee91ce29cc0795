package sml

import (
	"errors"
	"fmt"

	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/telemetry"
)

// getListResponse is the body of the messages that have registers.
const getListResponse = 0x0701

// Parse appends the registers in a file to those that are given. A message whose checksum is
// wrong is an error, as is a file without a register.
func Parse(registers []obis.Register, file []byte) ([]obis.Register, error) {
	before := len(registers)
	c := cursor{file}
	for n := 1; ; n++ {
		for len(c.rest) > 0 && c.rest[0] == 0 { // padding
			c.rest = c.rest[1:]
		}
		if len(c.rest) == 0 {
			break
		}
		var err error
		if registers, err = message(registers, &c); err != nil {
			return registers[:before], fmt.Errorf("message %d: %w", n, err)
		}
	}
	if len(registers) == before {
		return registers, errors.New("a file without a register")
	}
	return registers, nil
}

// message takes one message: its transaction, group and what to do on an error, the body, the
// checksum over all of that, and an end.
func message(registers []obis.Register, c *cursor) ([]obis.Register, error) {
	start := c.rest
	if err := c.list(6, "a message"); err != nil {
		return registers, err
	}
	for range 3 {
		if err := c.skip(); err != nil {
			return registers, err
		}
	}
	if err := c.list(2, "the body"); err != nil {
		return registers, err
	}
	tag, err := c.next()
	if err != nil {
		return registers, err
	}
	is, ok := tag.signed()
	if !ok {
		return registers, errors.New("a body that doesn't say what it is")
	}
	body := *c
	if err := c.skip(); err != nil {
		return registers, err
	}
	checked := start[:len(start)-len(c.rest)]
	crc, err := c.next()
	if err != nil {
		return registers, err
	}
	// Its bytes are the other way round; leading zeros may be left out.
	told, ok := crc.signed()
	swapped := func(v uint16) int64 { return int64(v>>8 | v<<8) }
	if !ok || told != swapped(x25(checked)) && told != swapped(kermit(checked)) {
		return registers, errors.New("the checksum is wrong")
	}
	if len(c.rest) == 0 || c.rest[0] != 0 {
		return registers, errors.New("the message has no end")
	}
	c.rest = c.rest[1:]
	if is != getListResponse {
		return registers, nil
	}
	return values(registers, &body)
}

// values takes the registers of a list: client, server, name of the list, time, values,
// signature and time of the gateway.
func values(registers []obis.Register, c *cursor) ([]obis.Register, error) {
	if err := c.list(7, "a list of registers"); err != nil {
		return registers, err
	}
	for range 4 {
		if err := c.skip(); err != nil {
			return registers, err
		}
	}
	entries, err := c.next()
	if err != nil || entries.kind != list {
		return registers, errors.Join(err, errors.New("a list of registers has none"))
	}
	for range entries.elements {
		r, has, err := entry(c)
		if err != nil {
			return registers, err
		}
		if has {
			registers = append(registers, r)
		}
	}
	return registers, nil
}

// entry takes one register: its code, status, time, unit, scaler, value and signature. It
// reports whether it has a value that can be read.
func entry(c *cursor) (r obis.Register, has bool, err error) {
	if err := c.list(7, "a register"); err != nil {
		return r, false, err
	}
	var part [7]element
	for i := range part {
		if part[i], err = c.next(); err == nil {
			err = c.skipElements(part[i], 0)
		}
		if err != nil {
			return r, false, err
		}
	}
	name, unit, scaler, value := part[0].content, part[3], part[4], part[5]
	if part[0].kind != octets || len(name) != 6 {
		return r, false, nil
	}
	code := obis.Code{A: name[0], B: name[1], C: name[2], D: name[3], E: name[4], F: name[5]}
	switch value.kind {
	case octets:
		if value.absent() {
			return r, false, nil
		}
		return obis.Octets(code, value.content), true, nil
	case boolean:
		r = obis.Register{Code: code, Value: telemetry.BoolValue(len(value.content) > 0 && value.content[0] != 0)}
		return r, true, nil
	case integer, unsigned:
	default:
		return r, false, nil
	}
	mantissa, ok := value.signed()
	if !ok {
		return r, false, nil
	}
	exponent := int64(0)
	if !scaler.absent() {
		if exponent, ok = scaler.signed(); !ok || exponent < -22 || exponent > 22 {
			return r, false, nil
		}
	}
	r = obis.Register{Code: code, Value: telemetry.FloatValue(obis.Number{Mantissa: mantissa, Exponent: int(exponent)}.Float())}
	if u, ok := unit.signed(); ok && u >= 0 && u < 256 {
		r.Unit = units[uint8(u)]
	}
	return r, true, nil
}

// units are those of DLMS (IEC 62056-6-2, table 4), as UCUM has them.
var units = map[uint8]string{
	4: "d", 5: "h", 6: "min", 7: "s", 8: "deg", 9: "Cel", 13: "m3", 14: "m3", 15: "m3/h", 16: "m3/h", 23: "Pa", 24: "bar", 25: "J",
	27: "W", 28: "V.A", 29: "var", 30: "W.h", 31: "V.A.h", 32: "varh", 33: "A", 34: "C", 35: "V", 38: "Ohm", 44: "Hz", 52: "K",
}
