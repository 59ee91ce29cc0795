package record

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// FormatHeld is a block whose times count from the gateway's boot, behind the
// boot's id and what the gateway counts of the polls that brought it. Such a record
// waits in the buffer until the time of the boot is known, and is sent as a
// FormatBlock. FormatBootBlock is the same without the polls, which earlier versions
// wrote.
const (
	FormatHeld      = "block/1+held"
	FormatBootBlock = "block/1+boot"
)

// IsHeld reports whether a record has one of these formats.
func IsHeld(format string) bool { return format == FormatHeld || format == FormatBootBlock }

// Boot is the id that a kernel draws at random when it boots.
type Boot [16]byte

// String is the id as /proc/sys/kernel/random/boot_id has it.
func (b Boot) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// ParseBoot reads what String wrote.
func ParseBoot(s string) (b Boot, err error) {
	plain := make([]byte, 0, 32)
	for i := range len(s) {
		if s[i] != '-' {
			plain = append(plain, s[i])
		}
	}
	if len(plain) != 32 {
		return b, fmt.Errorf("boot id %q: want 32 hexadecimal digits", s)
	}
	if _, err := hex.Decode(b[:], plain); err != nil {
		return Boot{}, fmt.Errorf("boot id %q: %w", s, err)
	}
	return b, nil
}

// AppendHeld appends the payload of a FormatHeld.
func AppendHeld(dst []byte, b Boot, polls, block []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, b[:]...), uint32(len(polls)))
	return append(append(dst, polls...), block...)
}

// CutHeld takes the payload of a record apart that IsHeld. The parts alias it.
func CutHeld(format string, payload []byte) (b Boot, polls, block []byte, err error) {
	if len(payload) < len(b) {
		return b, nil, nil, fmt.Errorf("%s of %d bytes, a boot's id alone has %d", format, len(payload), len(b))
	}
	b, rest := Boot(payload[:len(b)]), payload[len(b):]
	if format == FormatBootBlock {
		return b, nil, rest, nil
	}
	if len(rest) < 4 || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-4) {
		return b, nil, nil, fmt.Errorf("%s of %d bytes: its polls have more", format, len(payload))
	}
	n := 4 + int(binary.BigEndian.Uint32(rest))
	return b, rest[4:n], rest[n:], nil
}
