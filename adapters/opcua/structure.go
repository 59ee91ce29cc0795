package opcua

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// encoded is the body of a structure that isn't OPC UA's own. How it is made up, the
// server says (OPC 10000-3, 8.48).
type encoded struct{ body []byte }

// Decode implements ua.BinaryDecoder.
func (e *encoded) Decode(b []byte) (int, error) {
	e.body = slices.Clone(b)
	return len(b), nil
}

// Encode implements ua.BinaryEncoder.
func (e *encoded) Encode() ([]byte, error) { return e.body, nil }

// mostStructures bounds the kinds of structures that are known, of all servers.
const mostStructures = 10_000

// taken are the encodings whose bodies gopcua keeps for us. It keeps those only that it
// has been told of, by ids that mean something else at each server.
var taken = struct {
	sync.Mutex
	ids map[string]bool
}{ids: map[string]bool{}}

// take has the bodies of structures with an encoding kept from the next message on. It
// reports whether they weren't before. gopcua panics about those that it knows itself.
func take(encoding *ua.NodeID) (fresh bool) {
	defer func() {
		if recover() != nil {
			fresh = false
		}
	}()
	taken.Lock()
	defer taken.Unlock()
	key := encoding.String()
	if taken.ids[key] || len(taken.ids) >= mostStructures {
		return false
	}
	taken.ids[key] = true
	ua.RegisterExtensionObject(encoding, new(encoded))
	return true
}

// library is the kinds of structures of a server that are known on one connection. It is
// safe for concurrent use.
type library struct {
	mu     sync.Mutex
	known  map[string]*structure // by encoding; nil: the server doesn't say how it is made up
	wanted map[string]*ua.NodeID
}

// structure is how a kind of structures is made up.
type structure struct {
	kind   ua.StructureType
	fields []field
}

type field struct {
	name     string
	builtin  ua.TypeID  // of what it is; 0: a structure
	of       *structure // of a structure
	array    bool
	optional bool
}

var (
	errUnknownStructure = errors.New("a structure that the server doesn't describe")
	errEmptyStructure   = errors.New("a structure of OPC UA's own without its members, or a newer one")
)

// structure is the value of one.
func (l *library) structure(e *ua.ExtensionObject) (any, error) {
	switch {
	case e == nil || e.EncodingMask == ua.ExtensionObjectEmpty:
		return nil, nil
	case e.TypeID == nil || e.TypeID.NodeID == nil:
		return nil, errUnknownStructure
	}
	at := e.TypeID.NodeID
	body, ours := e.Value.(*encoded)
	switch {
	case e.Value != nil && !ours:
		return e.Value, nil
	case e.Value == nil && at.Namespace() == 0: // gopcua knows it, and there is nothing in it
		return nil, errEmptyStructure
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known, l.wanted = map[string]*structure{}, map[string]*ua.NodeID{}
	}
	s, known := l.known[at.String()]
	if s == nil || !ours {
		if fresh := take(at); (!known || fresh) && len(l.wanted) < mostStructures {
			l.wanted[at.String()] = at
		}
		return nil, errUnknownStructure
	}
	v, err := s.value(body.body)
	if err != nil {
		return nil, fmt.Errorf("a structure of the type %s: %w", at, err)
	}
	e.Value = v // for the other signals in it
	return v, nil
}

// wanting reports whether something has come that isn't known.
func (l *library) wanting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.wanted) > 0
}

// takeWanted is what has come that isn't known.
func (l *library) takeWanted() []*ua.NodeID {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Collect(maps.Values(l.wanted))
	clear(l.wanted)
	return list
}

// keep takes how an encoding is made up; nil: the server doesn't say.
func (l *library) keep(encoding *ua.NodeID, s *structure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[encoding.String()] = s
}

// value is that of a body. gopcua's decoder panics on some of what a server may send.
func (s *structure) value(body []byte) (o object, err error) {
	defer func() {
		if p := recover(); p != nil {
			o, err = nil, fmt.Errorf("it can't be decoded: %v", p)
		}
	}()
	b := ua.NewBuffer(body)
	if o, err = s.decode(b, 0); err == nil {
		err = b.Error()
	}
	return o, err
}

func (s *structure) decode(b *ua.Buffer, depth int) (object, error) {
	if depth == deepest {
		return nil, errDeep
	}
	var present uint32
	switch s.kind {
	case ua.StructureTypeUnion, ua.StructureTypeStructureWithOptionalFields:
		present = b.ReadUint32()
	}
	var o object
	bit := 0
	for i, f := range s.fields {
		switch {
		case s.kind == ua.StructureTypeUnion:
			if present != uint32(i+1) {
				continue
			}
		case s.kind == ua.StructureTypeStructureWithOptionalFields && f.optional:
			bit++
			if bit > 32 || present&(1<<(bit-1)) == 0 {
				continue
			}
		}
		v, err := f.decode(b, depth)
		if err != nil {
			return nil, err
		}
		if b.Error() != nil {
			return nil, b.Error()
		}
		o = append(o, member{f.name, v})
	}
	return o, nil
}

func (f field) decode(b *ua.Buffer, depth int) (any, error) {
	if !f.array {
		return f.one(b, depth)
	}
	n := int(b.ReadInt32())
	if n <= 0 || b.Error() != nil {
		return nil, b.Error()
	}
	if n > b.Len() || n > mostElements {
		return nil, ua.StatusBadEncodingLimitsExceeded
	}
	list := make([]any, n)
	for i := range list {
		v, err := f.one(b, depth)
		if err != nil {
			return nil, err
		}
		list[i] = v
	}
	return list, nil
}

func (f field) one(b *ua.Buffer, depth int) (any, error) {
	if f.of != nil {
		return f.of.decode(b, depth+1)
	}
	if read, is := builtins[f.builtin]; is {
		v := read(b)
		return v, b.Error()
	}
	return nil, fmt.Errorf("a member of the built-in type %d", f.builtin)
}

// read reads a structure of gopcua's, which a Buffer takes by a pointer.
func read[T any](b *ua.Buffer) any {
	v := new(T)
	b.ReadStruct(v)
	return v
}

// builtins are how members are read. Variants and what has them aren't, nor structures that
// may be any: gopcua's decoder bounds neither how deep they are nested nor what they take.
var builtins = map[ua.TypeID]func(*ua.Buffer) any{
	ua.TypeIDBoolean:        func(b *ua.Buffer) any { return b.ReadBool() },
	ua.TypeIDSByte:          func(b *ua.Buffer) any { return b.ReadInt8() },
	ua.TypeIDByte:           func(b *ua.Buffer) any { return b.ReadByte() },
	ua.TypeIDInt16:          func(b *ua.Buffer) any { return b.ReadInt16() },
	ua.TypeIDUint16:         func(b *ua.Buffer) any { return b.ReadUint16() },
	ua.TypeIDInt32:          func(b *ua.Buffer) any { return b.ReadInt32() },
	ua.TypeIDUint32:         func(b *ua.Buffer) any { return b.ReadUint32() },
	ua.TypeIDInt64:          func(b *ua.Buffer) any { return b.ReadInt64() },
	ua.TypeIDUint64:         func(b *ua.Buffer) any { return b.ReadUint64() },
	ua.TypeIDFloat:          func(b *ua.Buffer) any { return b.ReadFloat32() },
	ua.TypeIDDouble:         func(b *ua.Buffer) any { return b.ReadFloat64() },
	ua.TypeIDString:         func(b *ua.Buffer) any { return b.ReadString() },
	ua.TypeIDDateTime:       func(b *ua.Buffer) any { return b.ReadTime() },
	ua.TypeIDGUID:           read[ua.GUID],
	ua.TypeIDByteString:     func(b *ua.Buffer) any { return slices.Clone(b.ReadBytes()) },
	ua.TypeIDXMLElement:     func(b *ua.Buffer) any { return ua.XMLElement(b.ReadString()) },
	ua.TypeIDNodeID:         read[ua.NodeID],
	ua.TypeIDExpandedNodeID: read[ua.ExpandedNodeID],
	ua.TypeIDStatusCode:     func(b *ua.Buffer) any { return ua.StatusCode(b.ReadUint32()) },
	ua.TypeIDQualifiedName:  read[ua.QualifiedName],
	ua.TypeIDLocalizedText:  read[ua.LocalizedText],
}

// abstractTypes are those of OPC UA's own data types that are encoded as another one.
var abstractTypes = map[uint32]ua.TypeID{id.Enumeration: ua.TypeIDInt32, id.Number: ua.TypeIDVariant, id.Integer: ua.TypeIDVariant, id.UInteger: ua.TypeIDVariant}
