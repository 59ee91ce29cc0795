package devices

import "encoding/binary"

// The functions that write (MODBUS Application Protocol V1.1b3, 6.5, 6.6, 6.11,
// 6.12 and 6.16).
const (
	writeCoil      = 5
	writeRegister  = 6
	writeCoils     = 15
	writeRegisters = 16
	maskRegister   = 22

	maxWrittenBits      = 1968
	maxWrittenRegisters = 123
)

// Changer is a unit whose coils and holding registers can be written.
type Changer interface {
	Unit
	// Change has quantity values from address on changed. The function gets them as
	// Read gives them, and leaves in their place what they are to be; no other
	// request comes between. It isn't called if Change returns an exception.
	Change(table Table, address, quantity int, change func(data []byte)) Exception
}

// written is what a request wants changed.
type written struct {
	table             Table
	address, quantity int
	change            func(data []byte)
}

func answerWrite(reply []byte, u Unit, request []byte) []byte {
	function := request[0]
	c, ok := u.(Changer)
	if !ok {
		return refuse(reply, function, IllegalFunction)
	}
	w, e := writtenBy(request)
	if e == 0 {
		e = c.Change(w.table, w.address, w.quantity, w.change)
	}
	switch {
	case e != 0:
		return refuse(reply, function, e)
	case function == writeCoils || function == writeRegisters:
		return append(reply, request[:5]...)
	}
	return append(reply, request...)
}

func writtenBy(request []byte) (w written, e Exception) {
	if len(request) < 5 {
		return w, IllegalValue
	}
	first, second := binary.BigEndian.Uint16(request[1:]), binary.BigEndian.Uint16(request[3:])
	w = written{HoldingRegisters, int(first), 1, func(data []byte) { copy(data, request[3:5]) }}
	valid := len(request) == 5
	switch request[0] {
	case writeCoil:
		w.table = Coils
		w.change = func(data []byte) { data[0] = min(1, byte(second>>8)) }
		valid = valid && (second == 0 || second == 0xFF00)
	case writeCoils, writeRegisters:
		w.quantity = int(second)
		limit := maxWrittenRegisters
		if request[0] == writeCoils {
			w.table, limit = Coils, maxWrittenBits
		}
		size := sizeOf(w.table, w.quantity)
		valid = w.quantity > 0 && w.quantity <= limit && len(request) == 6+size && int(request[5]) == size
		w.change = func(data []byte) { copy(data, request[6:]) }
	case maskRegister:
		valid = len(request) == 7
		w.change = func(data []byte) {
			or := binary.BigEndian.Uint16(request[5:])
			binary.BigEndian.PutUint16(data, binary.BigEndian.Uint16(data)&second|or&^second)
		}
	}
	if !valid {
		return w, IllegalValue
	}
	return w, 0
}
