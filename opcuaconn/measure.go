package opcuaconn

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/gopcua/opcua/ua"
)

// Bounds of what one message may hold. gopcua makes room for as many elements of an array
// as a message says, before it looks whether they are there, and follows values within
// values as deep as they go: 6 kB could have 500 MB for their answer.
const (
	mostValues     = 1 << 19 // structures, variants and texts
	deepest        = 64      // values within values
	mostDimensions = 8       // of an array
)

var errBounds = fmt.Errorf("%w: a message that says it has more than it has, or more than %d values", errWire, mostValues)

// bounded checks that a message holds what it says, by the types that it is going to be
// decoded into.
func bounded(body []byte) error {
	m := measure{rest: body, left: mostValues}
	id, ok := m.take(m.expandedNodeID)
	if !ok {
		return errBounds
	}
	service := registered(&services, id, func(id []byte) any {
		_, v, _ := ua.DecodeService(id)
		return v
	})
	if service != nil && !m.value(service, 0) {
		return errBounds
	}
	return nil
}

// measure goes through an encoded value (OPC 10000-6, 5.2) without keeping anything of it.
// Its methods return false if the value isn't all there.
type measure struct {
	rest []byte
	left int // how many values there may be yet
}

// take is the bytes that a method goes through.
func (m *measure) take(through func() bool) ([]byte, bool) {
	before := m.rest
	ok := through()
	return before[:len(before)-len(m.rest)], ok
}

func (m *measure) skip(n int) bool {
	if n < 0 || n > len(m.rest) {
		return false
	}
	m.rest = m.rest[n:]
	return true
}

func (m *measure) octet() (byte, bool) {
	if len(m.rest) == 0 {
		return 0, false
	}
	b := m.rest[0]
	m.rest = m.rest[1:]
	return b, true
}

// length reads a length or a count; -1: there is nothing.
func (m *measure) length() (int, bool) {
	if len(m.rest) < 4 {
		return 0, false
	}
	n := int32(binary.LittleEndian.Uint32(m.rest))
	m.rest = m.rest[4:]
	return int(n), n >= -1
}

func (m *measure) text() bool {
	n, ok := m.length()
	return ok && m.skip(max(n, 0))
}

var (
	timeType    = reflect.TypeFor[time.Time]()
	decoderType = reflect.TypeFor[ua.BinaryDecoder]()
)

// value goes through a value that is decoded into t.
func (m *measure) value(t reflect.Type, depth int) bool {
	if depth++; depth > deepest {
		return false
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if size := fixed(t); size > 0 {
		return m.skip(size)
	}
	if m.left--; m.left < 0 {
		return false
	}
	switch t {
	case reflect.TypeFor[ua.Variant]():
		return m.variant(depth)
	case reflect.TypeFor[ua.DataValue]():
		return m.dataValue(depth)
	case reflect.TypeFor[ua.DiagnosticInfo]():
		return m.diagnosticInfo(depth)
	case reflect.TypeFor[ua.ExtensionObject]():
		return m.extensionObject(depth)
	case reflect.TypeFor[ua.NodeID]():
		return m.nodeID()
	case reflect.TypeFor[ua.ExpandedNodeID]():
		return m.expandedNodeID()
	case reflect.TypeFor[ua.LocalizedText]():
		return m.localizedText()
	case reflect.TypeFor[ua.GUID]():
		return m.skip(16)
	}
	if reflect.PointerTo(t).Implements(decoderType) {
		m.rest = nil // it decodes itself, all that there is
		return true
	}
	switch t.Kind() {
	case reflect.String:
		return m.text()
	case reflect.Slice:
		n, ok := m.length()
		return ok && m.elements(t.Elem(), n, depth)
	case reflect.Struct:
		for i := range t.NumField() {
			if !m.value(t.Field(i).Type, depth) {
				return false
			}
		}
		return true
	}
	return false
}

// elements goes through n values of the same type.
func (m *measure) elements(t reflect.Type, n, depth int) bool {
	if size := fixed(t); size > 0 {
		return n <= len(m.rest) && m.skip(max(n, 0)*size)
	}
	if n > len(m.rest) {
		return false
	}
	for range n {
		if !m.value(t, depth) {
			return false
		}
	}
	return true
}

// fixed is the size of a type that always has the same, otherwise 0.
func fixed(t reflect.Type) int {
	switch t.Kind() {
	case reflect.Bool, reflect.Int8, reflect.Uint8:
		return 1
	case reflect.Int16, reflect.Uint16:
		return 2
	case reflect.Int32, reflect.Uint32, reflect.Float32:
		return 4
	case reflect.Int64, reflect.Uint64, reflect.Float64:
		return 8
	}
	if t == timeType {
		return 8
	}
	return 0
}

// builtIn are the types of a variant's values, by their number (OPC 10000-6, 5.1.2).
var builtIn = [...]reflect.Type{
	1: reflect.TypeFor[bool](), 2: reflect.TypeFor[int8](), 3: reflect.TypeFor[byte](), 4: reflect.TypeFor[int16](), 5: reflect.TypeFor[uint16](),
	6: reflect.TypeFor[int32](), 7: reflect.TypeFor[uint32](), 8: reflect.TypeFor[int64](), 9: reflect.TypeFor[uint64](),
	10: reflect.TypeFor[float32](), 11: reflect.TypeFor[float64](), 12: reflect.TypeFor[string](), 13: timeType, 14: reflect.TypeFor[ua.GUID](),
	15: reflect.TypeFor[string](), 16: reflect.TypeFor[string](), 17: reflect.TypeFor[ua.NodeID](), 18: reflect.TypeFor[ua.ExpandedNodeID](),
	19: reflect.TypeFor[ua.StatusCode](), 20: reflect.TypeFor[ua.QualifiedName](), 21: reflect.TypeFor[ua.LocalizedText](),
	22: reflect.TypeFor[ua.ExtensionObject](), 23: reflect.TypeFor[ua.DataValue](), 24: reflect.TypeFor[ua.Variant](), 25: reflect.TypeFor[ua.DiagnosticInfo](),
}

// variant follows OPC 10000-6, 5.2.2.16.
func (m *measure) variant(depth int) bool {
	mask, ok := m.octet()
	kind := int(mask & 0x3F)
	if !ok || kind >= len(builtIn) {
		return false
	}
	if kind == 0 {
		return true
	}
	if mask&ua.VariantArrayValues == 0 {
		return m.value(builtIn[kind], depth)
	}
	n, ok := m.length()
	if !ok || n > ua.MaxVariantArrayLength || !m.elements(builtIn[kind], n, depth) {
		return false
	}
	if mask&ua.VariantArrayDimensions == 0 {
		return true
	}
	dimensions, ok := m.length()
	if !ok || dimensions < 0 || dimensions > mostDimensions {
		return false
	}
	product := 1
	for range dimensions {
		size, ok := m.length()
		if !ok || size < 1 || product > ua.MaxVariantArrayLength {
			return false
		}
		product *= size
	}
	return dimensions == 0 || product == n
}

// dataValue follows OPC 10000-6, 5.2.2.17.
func (m *measure) dataValue(depth int) bool {
	mask, ok := m.octet()
	if !ok || mask&ua.DataValueValue != 0 && !m.value(reflect.TypeFor[ua.Variant](), depth) {
		return false
	}
	size := 0
	for _, part := range [...]struct {
		bit  byte
		size int
	}{{ua.DataValueStatusCode, 4}, {ua.DataValueSourceTimestamp, 8}, {ua.DataValueSourcePicoseconds, 2}, {ua.DataValueServerTimestamp, 8}, {ua.DataValueServerPicoseconds, 2}} {
		if mask&part.bit != 0 {
			size += part.size
		}
	}
	return m.skip(size)
}

// diagnosticInfo follows OPC 10000-6, 5.2.2.12.
func (m *measure) diagnosticInfo(depth int) bool {
	mask, ok := m.octet()
	if !ok {
		return false
	}
	for _, bit := range []byte{ua.DiagnosticInfoSymbolicID, ua.DiagnosticInfoNamespaceURI, ua.DiagnosticInfoLocale, ua.DiagnosticInfoLocalizedText} {
		if mask&bit != 0 && !m.skip(4) {
			return false
		}
	}
	return (mask&ua.DiagnosticInfoAdditionalInfo == 0 || m.text()) &&
		(mask&ua.DiagnosticInfoInnerStatusCode == 0 || m.skip(4)) &&
		(mask&ua.DiagnosticInfoInnerDiagnosticInfo == 0 || m.value(reflect.TypeFor[ua.DiagnosticInfo](), depth))
}

// extensionObject follows OPC 10000-6, 5.2.2.15.
func (m *measure) extensionObject(depth int) bool {
	id, ok := m.take(m.expandedNodeID)
	if !ok {
		return false
	}
	mask, ok := m.octet()
	if !ok || mask == ua.ExtensionObjectEmpty {
		return ok
	}
	n, ok := m.length()
	if !ok || n <= 0 {
		return ok
	}
	body, ok := m.take(func() bool { return m.skip(n) })
	if !ok || mask == ua.ExtensionObjectXML {
		return ok
	}
	t := registered(&structures, id, func(id []byte) any {
		e := new(ua.ExtensionObject)
		e.Decode(append(append([]byte(nil), id...), ua.ExtensionObjectBinary, 1, 0, 0, 0, 0))
		return e.Value
	})
	if t == nil {
		return true // gopcua leaves it out
	}
	within := measure{rest: body, left: m.left}
	ok = within.value(t, depth)
	m.left = within.left
	return ok
}

// nodeID follows OPC 10000-6, 5.2.2.9.
func (m *measure) nodeID() bool {
	kind, ok := m.octet()
	if !ok {
		return false
	}
	switch ua.NodeIDType(kind & 0x0F) {
	case ua.NodeIDTypeTwoByte:
		return m.skip(1)
	case ua.NodeIDTypeFourByte:
		return m.skip(3)
	case ua.NodeIDTypeNumeric:
		return m.skip(6)
	case ua.NodeIDTypeGUID:
		return m.skip(18)
	case ua.NodeIDTypeString, ua.NodeIDTypeByteString:
		return m.skip(2) && m.text()
	}
	return false
}

// expandedNodeID follows OPC 10000-6, 5.2.2.10.
func (m *measure) expandedNodeID() bool {
	if len(m.rest) == 0 {
		return false
	}
	const namespace, server = 0x80, 0x40
	mask := m.rest[0]
	return m.nodeID() && (mask&namespace == 0 || m.text()) && (mask&server == 0 || m.skip(4))
}

func (m *measure) localizedText() bool {
	mask, ok := m.octet()
	return ok && (mask&ua.LocalizedTextLocale == 0 || m.text()) && (mask&ua.LocalizedTextText == 0 || m.text())
}

// services and structures are the types of messages and of structures that gopcua knows,
// by their encoded id.
var services, structures sync.Map

// registered is the type that make makes for an id, nil: none.
func registered(known *sync.Map, id []byte, make func(id []byte) any) (t reflect.Type) {
	if t, ok := known.Load(string(id)); ok {
		return t.(reflect.Type)
	}
	defer func() {
		if recover() != nil {
			t = nil
		}
	}()
	if v := make(id); v != nil {
		t = reflect.TypeOf(v)
		if plain := id[0] < 0x40 && len(id) <= 7; plain { // of others there are too many that mean the same
			known.Store(string(id), t)
		}
	}
	return t
}
