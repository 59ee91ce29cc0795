package buffer

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"slices"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// salvaged is a record that was found without the tree.
type salvaged struct {
	position Position // 0 if it isn't known
	identity record.Identity
	at       int64 // of its disk form in the file
	length   int64
}

// read reads a record that salvage found.
func (s salvaged) read(p *pageReader) (r record.Record, err error) {
	form := make([]byte, s.length)
	if _, err := p.file.ReadAt(form, s.at); err != nil {
		return r, err
	}
	return r, r.UnmarshalBinary(form)
}

// salvager finds records where the tree can't be followed. bbolt copies pages when
// it changes them, so a record may be there several times, and may be one whose
// commit failed.
type salvager struct {
	pages *pageReader
	list  []salvaged
	known map[record.Identity]int // index in list, plus 1
}

// salvage returns the records with a correct CRC, in the order of their numbers:
// those of everything that looks like a page of records, and then those whose
// head is found elsewhere.
func (p *pageReader) salvage() []salvaged {
	s := salvager{pages: p, known: map[record.Identity]int{}}
	s.windows(0, s.leafPages)
	s.windows(maxHead, s.heads)
	slices.SortStableFunc(s.list, func(a, b salvaged) int {
		return cmp.Or(cmp.Compare(a.identity.Epoch, b.identity.Epoch), cmp.Compare(a.identity.First, b.identity.First))
	})
	return s.list
}

// windows calls look for the whole file piece by piece, each with so many bytes of
// the one before.
func (s *salvager) windows(overlap int64, look func(start int64, window []byte)) {
	window := make([]byte, 1<<20)
	for start := int64(0); start < s.pages.size; start += int64(len(window)) - overlap {
		n, _ := s.pages.file.ReadAt(window, start)
		look(start, window[:n])
	}
}

func (s *salvager) add(found salvaged) {
	n := s.known[found.identity]
	if n == 0 {
		s.list = append(s.list, found)
		s.known[found.identity] = len(s.list)
	} else if first := &s.list[n-1]; first.position == 0 {
		first.position = found.position
	}
}

// leafPages looks at every sector for a page of records.
func (s *salvager) leafPages(start int64, window []byte) {
	const sector = 512
	for at := 0; at+boltHeader <= len(window); at += sector {
		header := window[at : at+boltHeader]
		if binary.LittleEndian.Uint16(header[8:]) != leafPage || binary.LittleEndian.Uint16(header[10:]) == 0 {
			continue
		}
		page, err := s.pages.pageAt(start+int64(at), header)
		if err != nil {
			continue
		}
		ignore := func(int) {}
		page.leaves(func(l leaf) {
			s.take(start+int64(at)+l.at, l)
			if inline, ok := inlineBucket(l.value); ok && l.bucket {
				inline.leaves(func(own leaf) { s.take(start+int64(at)+l.at+16+own.at, own) }, ignore)
			}
		}, ignore)
	}
}

// take adds the record of an element, if it is one.
func (s *salvager) take(at int64, l leaf) {
	var r record.Record
	if l.bucket || len(l.key) != 8 && !bytes.Equal(l.key, keyRecord) || r.UnmarshalBinary(l.value) != nil {
		return
	}
	found := salvaged{identity: r.Identity, at: at, length: int64(len(l.value))}
	if len(l.key) == 8 {
		found.position = positionOf(l.key)
	}
	s.add(found)
}

const (
	maxHead    = 1 << 10 // bytes before a record's payload
	maxPayload = 2 << 20 // twice what a log usually takes
)

// heads looks for what a record begins with: its stream's name, and before that
// an epoch, a gateway's name and a version.
func (s *salvager) heads(start int64, window []byte) {
	for _, stream := range []record.Stream{record.Events, record.Telemetry} {
		name := append([]byte{byte(len(stream))}, stream...)
		for from := 0; ; {
			i := bytes.Index(window[from:], name)
			if i < 0 {
				break
			}
			epoch := from + i - 8
			from += i + 1
			for length := 1; length <= 255 && epoch-length-2 >= 0; length++ {
				if window[epoch-length-1] == byte(length) && isRecordVersion(window[epoch-length-2]) {
					s.behindHead(start + int64(epoch-length-2))
				}
			}
		}
	}
}

func isRecordVersion(v byte) bool { return v == 1 || v == 2 }

// behindHead adds the record whose head may begin at an offset. The head doesn't
// say where its payload ends: every end at which the CRC is right is tried.
func (s *salvager) behindHead(at int64) {
	form := make([]byte, min(maxHead, s.pages.size-at))
	if _, err := s.pages.file.ReadAt(form, at); err != nil {
		return
	}
	head, id := recordHead(form)
	if head == 0 || s.known[id] != 0 {
		return
	}
	form = make([]byte, min(int64(head)+crcBytes+maxPayload, s.pages.size-at))
	if _, err := s.pages.file.ReadAt(form, at); err != nil {
		return
	}
	want := binary.BigEndian.Uint32(form[head:])
	sum := ^crc32.Checksum(form[:head], castagnoli)
	for end := head + crcBytes; ; end++ {
		if ^sum == want && s.complete(form[:end]) {
			s.add(salvaged{identity: id, at: at, length: int64(end)})
			return
		}
		if end == len(form) {
			return
		}
		sum = castagnoli[byte(sum)^form[end]] ^ sum>>8
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const crcBytes = 4

// recordHead reads the identity at the start of a record's disk form and returns
// the length of everything before its CRC; 0 if it is no record.
func recordHead(form []byte) (length int, id record.Identity) {
	rest, short := form, false
	take := func(n int) []byte {
		if short = short || n+crcBytes > len(rest); short {
			return make([]byte, n)
		}
		taken := rest[:n]
		rest = rest[n:]
		return taken
	}
	text := func() string { return string(take(int(take(1)[0]))) }
	version := take(1)[0]
	id.Gateway = text()
	id.Epoch = record.Epoch(binary.BigEndian.Uint64(take(8)))
	id.Stream = record.Stream(text())
	id.First, id.Last = binary.BigEndian.Uint64(take(8)), binary.BigEndian.Uint64(take(8))
	text()
	if version > 1 {
		text() // key and signature
	}
	if short || id.First > id.Last || id.Last-id.First >= record.MaxCount {
		return 0, id
	}
	return len(form) - len(rest), id
}

// complete reports whether the bytes are a record to its end: of 2³² payloads that
// are cut anywhere one has a correct CRC, so what a payload says of itself must
// be right too.
func (s *salvager) complete(form []byte) bool {
	var r record.Record
	if r.UnmarshalBinary(form) != nil {
		return false
	}
	if r.Stream == record.Events {
		return json.Valid(r.Payload)
	}
	var d telemetry.Decoder
	_, _, err := decodeBlock(&d, r, nil)
	return err == nil
}
