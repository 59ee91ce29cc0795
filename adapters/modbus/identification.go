package modbus

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	goburrow "github.com/goburrow/modbus"
)

// Identification is what a device says of itself (function 43, MEI type 14: Modbus
// Application Protocol V1.1b3, 6.21). The zero value says nothing.
type Identification struct {
	// Conformity is the level that the device claims: 1 basic, 2 regular and 3
	// extended objects; 0x80 is added if each can be asked for alone.
	Conformity byte
	// Objects are in the order of their ids.
	Objects []Object
	// Incomplete says why objects may be missing that the device announced; "" if
	// none are.
	Incomplete string
}

// Object is one of a device's texts about itself.
type Object struct {
	ID    byte
	Value []byte // text up to ObjectUserApplication, what the maker likes from 0x80 on
}

// The objects that the standard names.
const (
	ObjectVendor          byte = 0
	ObjectProductCode     byte = 1
	ObjectRevision        byte = 2
	ObjectURL             byte = 3
	ObjectProductName     byte = 4
	ObjectModel           byte = 5
	ObjectUserApplication byte = 6
)

// Text is an object in printable characters on one line, "" if there is none.
func (i Identification) Text(id byte) string {
	at, found := slices.BinarySearchFunc(i.Objects, id, func(o Object, id byte) int { return int(o.ID) - int(id) })
	if !found {
		return ""
	}
	return Printable(i.Objects[at].Value)
}

// add takes an object, unless there is one of its id already.
func (i *Identification) add(o Object) {
	at, found := slices.BinarySearchFunc(i.Objects, o.ID, func(have Object, id byte) int { return int(have.ID) - int(id) })
	if !found {
		i.Objects = slices.Insert(i.Objects, at, o)
	}
}

// Printable is what a device says as text that is safe to show: one line of
// printable characters without spaces around it. What isn't UTF-8 is read as
// Latin-1, and what can't be printed, such as what steers a terminal, becomes a
// space.
func Printable(b []byte) string {
	shown := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, textOf(b))
	return strings.Join(strings.Fields(shown), " ")
}

// How a device is asked to identify itself: by all objects of a level from one on,
// or by one alone.
const (
	accessBasic      byte = 1
	accessRegular    byte = 2
	accessExtended   byte = 3
	accessIndividual byte = 4
)

// individually is the bit of Conformity for objects that can be asked for alone.
const individually = 0x80

const (
	encapsulated       = 43   // the function
	readIdentification = 0x0E // the MEI type
)

// page is one answer about a device's identity.
type page struct {
	conformity byte
	more       bool
	next       byte // the object to go on with, if more
	objects    []Object
}

// parsePage reads the PDU of an answer to a request of that access. It fails if the
// objects don't fill it exactly, or if it isn't about that.
func parsePage(access byte, pdu []byte) (page, error) {
	if len(pdu) < objectsAt {
		return page{}, fmt.Errorf("an identification of %d bytes, expected at least %d", len(pdu), objectsAt)
	}
	if pdu[0] != encapsulated || pdu[1] != readIdentification || pdu[2] != access {
		return page{}, fmt.Errorf("an identification that begins with % x, expected % x", pdu[:3], []byte{encapsulated, readIdentification, access})
	}
	p := page{conformity: pdu[3], more: pdu[4] != 0, next: pdu[5]}
	rest := pdu[objectsAt:]
	for n := range int(pdu[objectCountAt]) {
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			return page{}, fmt.Errorf("object %d of %d reaches beyond the answer's end", n+1, pdu[objectCountAt])
		}
		size := int(rest[1])
		p.objects = append(p.objects, Object{rest[0], slices.Clone(rest[2 : 2+size])})
		rest = rest[2+size:]
	}
	if len(rest) > 0 {
		return page{}, fmt.Errorf("%d bytes after the last object", len(rest))
	}
	return p, nil
}

// maxPages bounds the answers that one level takes: 256 objects of 245 bytes would
// need more, but no device has them, and one that announces more for ever must not
// hold up its line.
const maxPages = 32

// identify asks for everything that a device says of itself: its basic objects, and
// those of the higher levels that it claims. ask gets one answer's PDU. What fails
// after the basic objects is Identification.Incomplete; before that, it is the
// error.
func identify(ask func(access, object byte) ([]byte, error)) (Identification, error) {
	var id Identification
	if err := id.collect(accessBasic, ask); err != nil {
		code := exceptionOf(err)
		if code != goburrow.ExceptionCodeIllegalDataAddress && code != goburrow.ExceptionCodeIllegalDataValue {
			return Identification{}, err
		}
		// It knows the function, and not this access to it.
		if id.alone(ask); len(id.Objects) == 0 {
			return Identification{}, err
		}
		return id, nil
	}
	for _, access := range []byte{accessRegular, accessExtended} {
		if id.Incomplete != "" || id.Conformity&^individually < access {
			break
		}
		if err := id.collect(access, ask); err != nil {
			id.Incomplete = err.Error()
		}
	}
	return id, nil
}

// collect adds the objects of a level. It fails only before the first of them.
func (i *Identification) collect(access byte, ask func(access, object byte) ([]byte, error)) error {
	var object byte
	for n := 0; ; n++ {
		pdu, err := ask(access, object)
		var p page
		if err == nil {
			p, err = parsePage(access, pdu)
		}
		switch {
		case err != nil && n == 0:
			return err
		case err != nil:
			i.Incomplete = err.Error()
			return nil
		}
		if i.Conformity == 0 {
			i.Conformity = p.conformity
		}
		for _, o := range p.objects {
			i.add(o)
		}
		switch {
		case !p.more:
			return nil
		case p.next <= object:
			i.Incomplete = fmt.Sprintf("it goes on with object %d after object %d", p.next, object)
			return nil
		case n == maxPages-1:
			i.Incomplete = fmt.Sprintf("more than %d answers", maxPages)
			return nil
		}
		object = p.next
	}
}

// alone adds the basic objects by asking for each.
func (i *Identification) alone(ask func(access, object byte) ([]byte, error)) {
	for object := ObjectVendor; object <= ObjectRevision; object++ {
		pdu, err := ask(accessIndividual, object)
		if err != nil {
			if exceptionOf(err) == 0 {
				return
			}
			continue
		}
		p, err := parsePage(accessIndividual, pdu)
		if err != nil || len(p.objects) != 1 || p.objects[0].ID != object {
			continue
		}
		i.Conformity = p.conformity
		i.add(p.objects[0])
	}
}
