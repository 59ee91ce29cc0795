// Package record is the envelope in which a gateway's data travels: its
// identity, its headers in the log, its form on disk, and the topics' names.
package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
)

// Stream is one of the two sequences that a gateway writes. A record's stream
// is fixed when it is committed.
type Stream string

const (
	Events    Stream = "events"
	Telemetry Stream = "telemetry"
)

// Epoch is drawn at random at every start of a gateway process; sequence
// numbers start at 0 in each.
type Epoch uint64

func (e Epoch) String() string { return fmt.Sprintf("%016x", uint64(e)) }

// ParseEpoch reads what String wrote.
func ParseEpoch(s string) (Epoch, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		return 0, fmt.Errorf("epoch %q: want 16 hexadecimal digits", s)
	}
	return Epoch(n), nil
}

// Formats of a payload.
const (
	FormatBlock   = "block/1"         // telemetry.Encoder
	FormatThinned = "block/1+thinned" // the same, with fewer samples than the record has sequence numbers
	FormatEvent   = "event/1"         // one telemetry.Event as JSON
	FormatBirth   = "birth/1"         // one Birth as JSON
)

// Identity names a record uniquely: the sequence numbers First to Last of one
// stream in one epoch of one gateway. Telemetry counts samples and events
// counts events, so a stream's numbers have no holes.
type Identity struct {
	Gateway     string
	Epoch       Epoch
	Stream      Stream
	First, Last uint64
}

func (id Identity) String() string {
	return fmt.Sprintf("%s/%s/%s/%d-%d", id.Gateway, id.Epoch, id.Stream, id.First, id.Last)
}

// Count is how many sequence numbers the record covers.
func (id Identity) Count() uint64 { return id.Last - id.First + 1 }

// Record is the unit of storage, transfer and acknowledgement.
type Record struct {
	Identity
	Format  string
	Payload []byte
	Seal
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C of identity, format and payload, whoever signed them.
// Two records of one identity that differ in it are a conflict.
func (r Record) Checksum() uint32 { return r.checksum(r.appendIdentity([]byte{unsignedVersion})) }

func (r Record) checksum(head []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, r.Payload)
}

// Header is one header of a record in the log.
type Header struct {
	Key   string
	Value []byte
}

// Headers are the record's headers in the log; ParseHeaders reads them back.
func (r Record) Headers() []Header {
	return append([]Header{
		{"gateway", []byte(r.Gateway)},
		{"epoch", []byte(r.Epoch.String())},
		{"stream", []byte(r.Stream)},
		{"seq_first", strconv.AppendUint(nil, r.First, 10)},
		{"seq_last", strconv.AppendUint(nil, r.Last, 10)},
		{"format", []byte(r.Format)},
	}, r.Seal.Headers()...)
}

// ParseHeaders makes the record whose headers and payload these are. Headers it
// doesn't know are ignored; a missing or malformed one is an error. With an
// ErrSeal comes the record that would have been signed.
func ParseHeaders(headers []Header, payload []byte) (Record, error) {
	r := Record{Payload: payload}
	seen := map[string]bool{}
	for _, h := range headers {
		v := string(h.Value)
		var err error
		switch h.Key {
		case "gateway":
			r.Gateway = v
		case "epoch":
			r.Epoch, err = ParseEpoch(v)
		case "stream":
			r.Stream = Stream(v)
		case "seq_first":
			r.First, err = strconv.ParseUint(v, 10, 64)
		case "seq_last":
			r.Last, err = strconv.ParseUint(v, 10, 64)
		case "format":
			r.Format = v
		default:
			continue
		}
		if err != nil {
			return Record{}, fmt.Errorf("header %s: %w", h.Key, err)
		}
		if seen[h.Key] {
			// Readers that take the first would read another record than those that take
			// the last.
			return Record{}, fmt.Errorf("header %s is there twice", h.Key)
		}
		seen[h.Key] = true
	}
	for _, key := range []string{"gateway", "epoch", "stream", "seq_first", "seq_last", "format"} {
		if !seen[key] {
			return Record{}, fmt.Errorf("header %s is missing", key)
		}
	}
	if err := r.check(); err != nil {
		return Record{}, err
	}
	var err error
	r.Seal, err = ParseSeal(headers)
	return r, err
}

func (r Record) check() error {
	switch {
	case r.Gateway == "":
		return errors.New("the record names no gateway")
	case len(r.Gateway) > maxString || len(r.Format) > maxString:
		return fmt.Errorf("gateway or format longer than %d bytes", maxString)
	case r.Stream != Events && r.Stream != Telemetry:
		return fmt.Errorf("unknown stream %q", r.Stream)
	case r.First > r.Last || r.Last-r.First >= MaxCount:
		return fmt.Errorf("sequence numbers %d to %d are no range of at most %d", r.First, r.Last, MaxCount)
	}
	return nil
}

// MaxCount bounds the sequence numbers of one record.
const MaxCount = 1 << 24

// MaxMinutes bounds the minutes of UTC that a record's samples lie in: for whoever
// stores them, each minute is a piece of its own.
const MaxMinutes = 2000

// The form on disk: version, identity, format, seal, CRC-32C, payload. Integers
// are big-endian, strings have a one-byte length. The version before had no seal.
const (
	unsignedVersion = 1
	diskVersion     = 2
)

// maxString is the longest string in it.
const maxString = 255

func (r Record) appendIdentity(dst []byte) []byte {
	dst = appendString(dst, r.Gateway)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Epoch))
	dst = appendString(dst, string(r.Stream))
	dst = binary.BigEndian.AppendUint64(dst, r.First)
	dst = binary.BigEndian.AppendUint64(dst, r.Last)
	return appendString(dst, r.Format)
}

func appendString(dst []byte, s string) []byte {
	return append(append(dst, byte(len(s))), s...)
}

// AppendBinary appends the record's form on disk.
func (r Record) AppendBinary(dst []byte) ([]byte, error) {
	if len(r.Gateway) > maxString || len(r.Format) > maxString {
		return dst, fmt.Errorf("record %s: gateway or format longer than %d bytes", r.Identity, maxString)
	}
	begin := len(dst)
	dst = r.appendIdentity(append(dst, diskVersion))
	if r.Signed() {
		dst = append(dst, byte(len(r.KeyID)+len(r.Signature)))
		dst = append(append(dst, r.KeyID[:]...), r.Signature[:]...)
	} else {
		dst = append(dst, 0)
	}
	dst = binary.BigEndian.AppendUint32(dst, r.checksum(dst[begin:]))
	return append(dst, r.Payload...), nil
}

// UnmarshalBinary reads what AppendBinary wrote, or the version before, and
// checks its CRC. The payload aliases src.
func (r *Record) UnmarshalBinary(src []byte) error {
	d := decoder{rest: src}
	version := d.byte()
	if !d.short && version != unsignedVersion && version != diskVersion {
		return fmt.Errorf("record: version %d, this program reads up to %d", version, diskVersion)
	}
	var rec Record
	rec.Gateway = d.string()
	rec.Epoch = Epoch(d.uint64())
	rec.Stream = Stream(d.string())
	rec.First, rec.Last = d.uint64(), d.uint64()
	rec.Format = d.string()
	if version == diskVersion {
		if err := rec.readSeal(&d); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	head := src[:len(src)-len(d.rest)]
	sum := d.uint32()
	if d.short {
		return fmt.Errorf("record: cut short at %d bytes", len(src))
	}
	rec.Payload = d.rest
	if err := rec.check(); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if got := rec.checksum(head); got != sum {
		return fmt.Errorf("record %s: CRC is %08x, %08x was stored", rec.Identity, got, sum)
	}
	*r = rec
	return nil
}

func (r *Record) readSeal(d *decoder) error {
	n := int(d.byte())
	if n == 0 {
		return nil
	}
	if n != len(r.KeyID)+len(r.Signature) {
		return fmt.Errorf("%w of %d bytes", ErrSeal, n)
	}
	copy(r.KeyID[:], d.take(len(r.KeyID)))
	copy(r.Signature[:], d.take(len(r.Signature)))
	if !d.short && !r.Signed() {
		return fmt.Errorf("%w: it names no key", ErrSeal)
	}
	return nil
}

type decoder struct {
	rest  []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if len(d.rest) < n {
		d.short = true
		d.rest = nil
		return make([]byte, n)
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte     { return d.take(1)[0] }
func (d *decoder) uint32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) uint64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) string() string { return string(d.take(int(d.byte()))) }
