// Package devices has simulated devices that speak for real: three-phase meters
// with the registers of any product, behind Modbus TCP, a serial line or a serial
// device server, and everything that such devices do wrong.
package devices

import "encoding/binary"

// Table is one of the four address spaces of a Modbus device. Its value is the
// function code that reads it.
type Table byte

const (
	Coils            Table = 1
	DiscreteInputs   Table = 2
	HoldingRegisters Table = 3
	InputRegisters   Table = 4
)

// Exception is a Modbus exception code; 0 is success.
type Exception byte

const (
	IllegalFunction     Exception = 1
	IllegalAddress      Exception = 2
	IllegalValue        Exception = 3
	DeviceFailure       Exception = 4
	DeviceBusy          Exception = 6
	PathUnavailable     Exception = 0x0A // the gateway's, which has no line to the unit
	TargetDoesNotAnswer Exception = 0x0B // the gateway's answer for a unit it doesn't have
)

// Largest quantities of one read, MODBUS Application Protocol V1.1b3 §6.1–6.4.
const (
	maxBits      = 2000
	maxRegisters = 125
)

// Unit is what answers behind a unit identifier. Read fills dst, which is zero
// and as long as the answer's data, with quantity values from address on:
// registers big-endian, or bits with the first in the lowest bit of the first
// byte. The values may reach past address 65535, where no unit has any. What dst
// holds is discarded if Read returns an exception. Read is called from many
// connections at once.
type Unit interface {
	Read(table Table, address, quantity int, dst []byte) Exception
}

// answer appends the reply to a request PDU, which has at least one byte.
func answer(reply []byte, u Unit, request []byte) []byte {
	switch function := request[0]; function {
	case byte(Coils), byte(DiscreteInputs), byte(HoldingRegisters), byte(InputRegisters):
		return answerRead(reply, u, request)
	case writeCoil, writeRegister, writeCoils, writeRegisters, maskRegister:
		return answerWrite(reply, u, request)
	case encapsulated:
		return identify(reply, u, request)
	default:
		return refuse(reply, function, IllegalFunction)
	}
}

func answerRead(reply []byte, u Unit, request []byte) []byte {
	table, address, quantity, e := readOf(request)
	if e != 0 {
		return refuse(reply, request[0], e)
	}
	size := sizeOf(table, quantity)
	start := len(reply)
	reply = append(reply, request[0], byte(size))
	reply = append(reply, make([]byte, size)...)
	if e := u.Read(table, address, quantity, reply[start+2:]); e != 0 {
		return refuse(reply[:start], request[0], e)
	}
	return reply
}

// readOf is what a PDU asks to read.
func readOf(request []byte) (table Table, address, quantity int, e Exception) {
	table = Table(request[0])
	limit := maxRegisters
	if !table.registers() {
		limit = maxBits
	}
	if len(request) != 5 {
		return 0, 0, 0, IllegalValue
	}
	address = int(binary.BigEndian.Uint16(request[1:]))
	quantity = int(binary.BigEndian.Uint16(request[3:]))
	if quantity == 0 || quantity > limit {
		return 0, 0, 0, IllegalValue
	}
	return table, address, quantity, 0
}

func (t Table) registers() bool { return t == HoldingRegisters || t == InputRegisters }

// sizeOf is how many bytes so many values of a table take.
func sizeOf(t Table, quantity int) int {
	if t.registers() {
		return 2 * quantity
	}
	return (quantity + 7) / 8
}

func refuse(reply []byte, function byte, e Exception) []byte {
	return append(reply, function|0x80, byte(e))
}

// Bank is a unit of fixed values, each table from address 0 on.
type Bank struct {
	Coils, DiscreteInputs            []bool
	HoldingRegisters, InputRegisters []uint16
}

// Read implements Unit.
func (b Bank) Read(table Table, address, quantity int, dst []byte) Exception {
	switch table {
	case Coils:
		return readBits(b.Coils, address, quantity, dst)
	case DiscreteInputs:
		return readBits(b.DiscreteInputs, address, quantity, dst)
	case HoldingRegisters:
		return readRegisters(b.HoldingRegisters, address, quantity, dst)
	default:
		return readRegisters(b.InputRegisters, address, quantity, dst)
	}
}

func readBits(bits []bool, address, quantity int, dst []byte) Exception {
	if address+quantity > len(bits) {
		return IllegalAddress
	}
	for i, set := range bits[address : address+quantity] {
		if set {
			dst[i/8] |= 1 << (i % 8)
		}
	}
	return 0
}

func readRegisters(registers []uint16, address, quantity int, dst []byte) Exception {
	if address+quantity > len(registers) {
		return IllegalAddress
	}
	for i, r := range registers[address : address+quantity] {
		binary.BigEndian.PutUint16(dst[2*i:], r)
	}
	return 0
}
