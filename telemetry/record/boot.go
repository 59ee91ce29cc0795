package record

import (
	"encoding/hex"
	"fmt"
)

// FormatBootBlock is a block whose times count from the gateway's boot, behind
// the boot's id. Such a record waits in the buffer until the time of the boot is
// known, and is sent as a FormatBlock.
const FormatBootBlock = "block/1+boot"

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

// AppendBoot appends the payload of a FormatBootBlock.
func AppendBoot(dst []byte, b Boot, block []byte) []byte {
	return append(append(dst, b[:]...), block...)
}

// CutBoot takes the payload of a FormatBootBlock apart. The block aliases it.
func CutBoot(payload []byte) (b Boot, block []byte, err error) {
	if len(payload) < len(b) {
		return b, nil, fmt.Errorf("%s of %d bytes, a boot's id alone has %d", FormatBootBlock, len(payload), len(b))
	}
	return Boot(payload[:len(b)]), payload[len(b):], nil
}
