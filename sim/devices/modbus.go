// Package devices has simulated devices that speak for real: a Modbus TCP
// server and a three-phase meter behind it. It is test equipment: exact rather
// than configurable.
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
	table := Table(request[0])
	limit := maxRegisters
	switch table {
	case Coils, DiscreteInputs:
		limit = maxBits
	case HoldingRegisters, InputRegisters:
	default:
		return refuse(reply, request[0], IllegalFunction)
	}
	if len(request) != 5 {
		return refuse(reply, request[0], IllegalValue)
	}
	address := int(binary.BigEndian.Uint16(request[1:]))
	quantity := int(binary.BigEndian.Uint16(request[3:]))
	if quantity == 0 || quantity > limit {
		return refuse(reply, request[0], IllegalValue)
	}
	size := 2 * quantity
	if limit == maxBits {
		size = (quantity + 7) / 8
	}
	start := len(reply)
	reply = append(reply, request[0], byte(size))
	reply = append(reply, make([]byte, size)...)
	if e := u.Read(table, address, quantity, reply[start+2:]); e != 0 {
		return refuse(reply[:start], request[0], e)
	}
	return reply
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
