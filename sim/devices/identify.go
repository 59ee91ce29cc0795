package devices

// Read Device Identification (MODBUS Application Protocol V1.1b3, 6.21).
const (
	encapsulated   = 43
	identification = 14

	basicObjects, regularObjects, extendedObjects, oneObject = 1, 2, 3, 4

	firstRegular  = 3
	firstExtended = 0x80

	// conformity: objects up to the regular ones, in a stream or one by one.
	conformity = 0x82

	maxPDU = 253
	// maxObject is what fits into an answer of its own, with its number and length.
	maxObject = maxPDU - 7 - 2
)

// Identified is a unit that says what it is.
type Identified interface {
	Unit
	// Identification is the objects from 0 on: vendor, product code and revision,
	// which every device has, and then the vendor's URL, product, model and
	// application; "" is one that it hasn't got.
	Identification() []string
}

func identify(reply []byte, u Unit, request []byte) []byte {
	id, ok := u.(Identified)
	if !ok || len(request) < 2 || request[1] != identification {
		return refuse(reply, request[0], IllegalFunction)
	}
	if len(request) != 4 || request[2] < basicObjects || request[2] > oneObject {
		return refuse(reply, request[0], IllegalValue)
	}
	code, first := request[2], int(request[3])
	objects := id.Identification()
	has := func(i int) bool { return i < len(objects) && (i < firstRegular || objects[i] != "") }
	end := min(len(objects), firstExtended)
	switch {
	case code == oneObject && !has(first):
		return refuse(reply, request[0], IllegalAddress)
	case code == oneObject:
		end = first + 1
	case code == basicObjects:
		end = firstRegular
	}
	if !has(first) || first >= end {
		first = 0 // as the standard wants it
	}
	start := len(reply)
	reply = append(reply, encapsulated, identification, code, conformity, 0, 0, 0)
	for i := first; i < end; i++ {
		if !has(i) {
			continue
		}
		text := objects[i]
		text = text[:min(len(text), maxObject)]
		if len(reply)-start+2+len(text) > maxPDU {
			reply[start+4], reply[start+5] = 0xFF, byte(i)
			break
		}
		reply[start+6]++
		reply = append(append(reply, byte(i), byte(len(text))), text...)
	}
	return reply
}
