package gpio

import (
	"errors"
	"os"
	"testing"
	"time"
	"unsafe"

	"github.com/busbar/busbar/telemetry"
)

// What the kernel is asked for is at the offsets of struct gpio_v2_line_request of
// linux/gpio.h, on every architecture.
func TestRequest(t *testing.T) {
	r := Line{Offset: 17, ActiveLow: true, Bias: PullUp, Debounce: 10 * time.Millisecond}.request()
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&r)), unsafe.Sizeof(r))
	u32 := func(at int) uint32 { return *(*uint32)(unsafe.Pointer(&raw[at])) }
	for at, want := range map[int]uint32{
		0:        17,                               // offsets[0]
		288:      1<<1 | 1<<2 | 1<<4 | 1<<5 | 1<<8, // config.flags
		296:      1,                                // config.num_attrs
		288 + 32: 3, 288 + 40: 10_000, 288 + 48: 1, // config.attrs[0]: id, debounce_period_us, mask
		560: 1, 564: eventBuffer, // num_lines, event_buffer_size
	} {
		if got := u32(at); got != want {
			t.Errorf("at %d is %#x, expected %#x", at, got, want)
		}
	}
	if len(raw) != 592 || string(raw[256:270]) != "busbar-gateway" {
		t.Errorf("%d bytes, consumer %q", len(raw), raw[256:288])
	}
	if r := (Line{Bias: AsIs}).request(); r.config.flags != 1<<2|1<<4|1<<5 || r.config.count != 0 {
		t.Errorf("%+v", r.config)
	}
}

// The numbers are those that linux/gpio.h makes of its sizes.
func TestNumbers(t *testing.T) {
	if getLine != 0xC250B407 || getLineValues != 0xC010B40E {
		t.Errorf("%#x, %#x", uint32(getLine), uint32(getLineValues))
	}
}

func TestAChipThatIsNone(t *testing.T) {
	ordinary := t.TempDir() + "/file"
	if err := os.WriteFile(ordinary, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for chip, want := range map[string]telemetry.Reason{"/dev/gpiochip-none": telemetry.NotConnected, ordinary: telemetry.Refused} {
		_, err := openLine(chip, Line{})
		if f, ok := errors.AsType[*failure](err); !ok || f.reason != want {
			t.Errorf("%s: %v", chip, err)
		}
	}
}
