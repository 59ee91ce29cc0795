package iceberg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// avroWriter writes values in Avro's binary form.
type avroWriter struct{ out []byte }

func (w *avroWriter) long(v int64)   { w.out = binary.AppendVarint(w.out, v) }
func (w *avroWriter) bytes(b []byte) { w.long(int64(len(b))); w.out = append(w.out, b...) }
func (w *avroWriter) text(s string)  { w.long(int64(len(s))); w.out = append(w.out, s...) }

// avroReader reads them. After bytes that are none it is broken and gives zeros.
type avroReader struct {
	rest   []byte
	broken bool
}

func (r *avroReader) long() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.broken, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *avroReader) bytes() []byte {
	n := r.long()
	if n < 0 || n > int64(len(r.rest)) {
		r.broken, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *avroReader) text() string { return string(r.bytes()) }

var avroMagic = []byte{'O', 'b', 'j', 1}

const avroSchema = "avro.schema"

// writeAvro makes a file of objects that have been written already.
func writeAvro(schema string, about map[string]string, sync [16]byte, count int, objects []byte) []byte {
	w := avroWriter{slices.Clone(avroMagic)}
	w.long(int64(len(about)) + 2)
	w.text(avroSchema)
	w.text(schema)
	w.text("avro.codec")
	w.text("null")
	for _, key := range slices.Sorted(maps.Keys(about)) {
		w.text(key)
		w.text(about[key])
	}
	w.long(0)
	w.out = append(w.out, sync[:]...)
	if count > 0 {
		w.long(int64(count))
		w.bytes(objects)
		w.out = append(w.out, sync[:]...)
	}
	return w.out
}

// readAvro calls each with a reader at every object of a file that was written by this
// package under the same schema.
func readAvro(src []byte, schema string, each func(*avroReader)) error {
	rest, found := bytes.CutPrefix(src, avroMagic)
	if !found {
		return errors.New("it is no Avro file")
	}
	r := avroReader{rest: rest}
	known := false
	for n := r.long(); n > 0 && !r.broken; n = r.long() {
		for ; n > 0 && !r.broken; n-- {
			key, value := r.text(), r.text()
			known = known || key == avroSchema && value == schema
		}
	}
	if len(r.rest) < 16 || !known {
		return errors.New("another program wrote it, or it is cut short")
	}
	r.rest = r.rest[16:]
	for len(r.rest) > 0 {
		count := r.long()
		block := avroReader{rest: r.bytes()}
		if len(r.rest) < 16 {
			return errors.New("it is cut short")
		}
		r.rest = r.rest[16:]
		for ; count > 0 && !block.broken; count-- {
			if len(block.rest) == 0 {
				return errors.New("a block has fewer objects than it says")
			}
			each(&block)
		}
		if block.broken || count < 0 || len(block.rest) > 0 {
			return fmt.Errorf("a block isn't as it should be")
		}
	}
	return nil
}
