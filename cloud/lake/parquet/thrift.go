package parquet

import "encoding/binary"

// thrift writes structures in Thrift's compact protocol, which Parquet's headers are in.
type thrift struct {
	out  []byte
	last []int16 // the number of the field before, of each open structure
}

// Types of the compact protocol.
const (
	typeTrue   = 1
	typeI32    = 5
	typeI64    = 6
	typeBinary = 8
	typeList   = 9
	typeStruct = 12
)

func (t *thrift) begin() { t.last = append(t.last, 0) }

func (t *thrift) end() {
	t.out = append(t.out, 0)
	t.last = t.last[:len(t.last)-1]
}

func (t *thrift) field(id int16, kind byte) {
	before := &t.last[len(t.last)-1]
	if d := id - *before; d > 0 && d < 16 {
		t.out = append(t.out, byte(d)<<4|kind)
	} else {
		t.out = binary.AppendVarint(append(t.out, kind), int64(id))
	}
	*before = id
}

func (t *thrift) i32(id int16, v int32) {
	t.field(id, typeI32)
	t.number(int64(v))
}

func (t *thrift) i64(id int16, v int64) {
	t.field(id, typeI64)
	t.number(v)
}

// set is a flag that is true.
func (t *thrift) set(id int16) { t.field(id, typeTrue) }

func (t *thrift) text(id int16, v string) {
	t.field(id, typeBinary)
	t.string(v)
}

// open begins a structure that is a field of another; end ends it.
func (t *thrift) open(id int16) {
	t.field(id, typeStruct)
	t.begin()
}

func (t *thrift) list(id int16, kind byte, n int) {
	t.field(id, typeList)
	if n < 15 {
		t.out = append(t.out, byte(n)<<4|kind)
	} else {
		t.out = binary.AppendUvarint(append(t.out, 0xf0|kind), uint64(n))
	}
}

// number and string are elements of a list.
func (t *thrift) number(v int64) { t.out = binary.AppendVarint(t.out, v) }

func (t *thrift) string(v string) {
	t.out = append(binary.AppendUvarint(t.out, uint64(len(v))), v...)
}
