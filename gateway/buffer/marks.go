package buffer

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/busbar/busbar/telemetry/record"
)

// mark is how far a stream has come, as meta.db knows it.
type mark struct {
	done      ranges
	epoch     record.Epoch
	committed uint64
}

func (m mark) equal(n mark) bool {
	return m.epoch == n.epoch && m.committed == n.committed && slices.Equal(m.done, n.done)
}

// append appends the mark's form in meta.db: the position up to which everything
// is done, epoch, count of committed numbers, the spans done behind that, and a checksum.
func (m mark) append(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint64(b, uint64(m.done.through()))
	b = binary.BigEndian.AppendUint64(b, uint64(m.epoch))
	b = binary.BigEndian.AppendUint64(b, m.committed)
	for _, s := range m.done {
		if s.first > 1 {
			b = binary.BigEndian.AppendUint64(b, uint64(s.first))
			b = binary.BigEndian.AppendUint64(b, uint64(s.last))
		}
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// markIn reads what append wrote, and what earlier versions did, without a checksum
// or spans. Anything else is no mark, and what is on disk is sent again: a wrong one
// would have it removed.
func markIn(v []byte) (m mark) {
	if n := len(v) - crcBytes; n >= 24 && n%16 == 8 {
		if crc32.Checksum(v[:n], castagnoli) != binary.BigEndian.Uint32(v[n:]) {
			return m
		}
		v = v[:n]
	}
	if len(v) < 24 || len(v)%16 != 8 || positionOf(v) > farthest {
		return m
	}
	m.done.add(1, positionOf(v))
	m.epoch, m.committed = record.Epoch(binary.BigEndian.Uint64(v[8:])), binary.BigEndian.Uint64(v[16:])
	for v = v[24:]; len(v) > 0; v = v[16:] {
		if last := positionOf(v[8:]); last <= farthest {
			m.done.add(max(1, positionOf(v)), last)
		}
	}
	return m
}

// farthest is beyond every position that a chain can come to.
const farthest Position = 1 << 62
