package gpio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/telemetry"
)

// The structs of linux/gpio.h. Their layout is the same on every architecture: 64-bit
// members lie at multiples of eight.

type lineAttribute struct {
	id      uint32
	padding uint32
	value   uint64 // flags, values, or the debounce period in µs in its first four bytes
}

type lineConfigAttribute struct {
	attribute lineAttribute
	mask      uint64
}

type lineConfig struct {
	flags      uint64
	count      uint32
	padding    [5]uint32
	attributes [10]lineConfigAttribute
}

type lineRequest struct {
	offsets         [64]uint32
	consumer        [32]byte
	config          lineConfig
	lines           uint32
	eventBufferSize uint32
	padding         [5]uint32
	fd              int32
}

type lineValues struct{ bits, mask uint64 }

// The sizes are part of the numbers below.
var (
	_ [592]byte = [unsafe.Sizeof(lineRequest{})]byte{}
	_ [288]byte = [unsafe.Offsetof(lineRequest{}.config)]byte{}
	_ [32]byte  = [unsafe.Offsetof(lineConfig{}.attributes)]byte{}
	_ [16]byte  = [unsafe.Sizeof(lineValues{})]byte{}
)

const (
	getLine       = 3<<30 | 592<<16 | 0xB4<<8 | 0x07 // GPIO_V2_GET_LINE_IOCTL
	getLineValues = 3<<30 | 16<<16 | 0xB4<<8 | 0x0E  // GPIO_V2_LINE_GET_VALUES_IOCTL

	flagActiveLow    = 1 << 1
	flagInput        = 1 << 2
	flagRising       = 1 << 4
	flagFalling      = 1 << 5
	flagPullUp       = 1 << 8
	flagPullDown     = 1 << 9
	flagBiasDisabled = 1 << 10

	attributeDebounce = 3
)

var biasFlags = map[Bias]uint64{PullUp: flagPullUp, PullDown: flagPullDown, None: flagBiasDisabled}

// request is what is asked of the kernel to hold a line.
func (l Line) request() lineRequest {
	r := lineRequest{lines: 1, eventBufferSize: eventBuffer}
	r.offsets[0] = l.Offset
	copy(r.consumer[:], "busbar-gateway")
	r.config.flags = flagInput | flagRising | flagFalling | biasFlags[l.Bias]
	if l.ActiveLow {
		r.config.flags |= flagActiveLow
	}
	if l.Debounce > 0 {
		r.config.count = 1
		a := &r.config.attributes[0]
		a.attribute.id, a.mask = attributeDebounce, 1
		*(*uint32)(unsafe.Pointer(&a.attribute.value)) = uint32(l.Debounce.Microseconds())
	}
	return r
}

// openLine implements opener.
func openLine(chip string, l Line) (input, error) {
	fd, err := unix.Open(chip, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, refused(&fs.PathError{Op: "open", Path: chip, Err: err})
	}
	defer unix.Close(fd)
	r := l.request()
	if err := ioctl(uintptr(fd), getLine, unsafe.Pointer(&r)); err != nil {
		return nil, refused(fmt.Errorf("take the line: %w", err))
	}
	unix.CloseOnExec(int(r.fd))
	if err := unix.SetNonblock(int(r.fd), true); err != nil {
		unix.Close(int(r.fd))
		return nil, refused(fmt.Errorf("take the line: %w", err))
	}
	return &heldLine{file: os.NewFile(uintptr(r.fd), fmt.Sprintf("%s line %d", chip, l.Offset))}, nil
}

// refused says what it means that a line can't be had: that there is no such chip, or
// that it doesn't give the line away, since somebody else holds it.
func refused(err error) error {
	reason := telemetry.Refused
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		reason = telemetry.NotConnected
	}
	return &failure{reason, err}
}

func ioctl(fd, number uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, number, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

// heldLine implements input.
type heldLine struct {
	file   *os.File
	buffer [64 * eventSize]byte
	seq    uint32 // of the last event
}

func (h *heldLine) close() { h.file.Close() }

func (h *heldLine) level() (bool, error) {
	var raw syscall.RawConn
	raw, err := h.file.SyscallConn()
	if err != nil {
		return false, err
	}
	values := lineValues{mask: 1}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = ioctl(fd, getLineValues, unsafe.Pointer(&values)) })
	if err = errors.Join(err, failed); err != nil {
		return false, refused(fmt.Errorf("read the line: %w", err))
	}
	return values.bits&1 != 0, nil
}

func (h *heldLine) edges() ([]edge, error) {
	n, err := h.file.Read(h.buffer[:])
	if err != nil {
		return nil, refused(err)
	}
	events, err := decodeEvents(h.buffer[:n])
	if err != nil {
		return nil, &failure{telemetry.Malformed, err}
	}
	// The kernel's moments, on the clock that time.Now has beside the wall clock's.
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return nil, refused(err)
	}
	here := time.Now()
	edges := make([]edge, len(events))
	for i, e := range events {
		age := time.Duration(now.Nano() - int64(e.at))
		edges[i] = edge{to: e.rising, at: here.Add(-max(0, age)), lost: e.lineSeq != h.seq+1}
		h.seq = e.lineSeq
	}
	return edges, nil
}
