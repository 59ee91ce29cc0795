package gpio

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

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

// Edges have the kernel's moments, on the clock of time.Now, and say what is missing
// before them.
func TestEdges(t *testing.T) {
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	h := &heldLine{file: from}
	defer h.close()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	here := time.Now()
	write := func(events ...[]byte) {
		t.Helper()
		if _, err := to.Write(slices.Concat(events...)); err != nil {
			t.Fatal(err)
		}
	}
	ago := func(age time.Duration) uint64 { return uint64(now.Nano() - age.Nanoseconds()) }
	expect := func(want ...edge) {
		t.Helper()
		got, err := h.edges()
		if err != nil || len(got) != len(want) {
			t.Fatalf("%v, %v, expected %d", got, err, len(want))
		}
		for i, e := range got {
			// The two clocks are read one after the other.
			if off := e.at.Sub(want[i].at); e.to != want[i].to || e.lost != want[i].lost || off.Abs() > 500*time.Millisecond {
				t.Errorf("%d: %+v, expected %+v", i, e, want[i])
			}
		}
	}
	write(encode(ago(time.Hour), risingEdge, 17, 9, 1), encode(ago(time.Minute), fallingEdge, 17, 10, 2))
	expect(edge{true, here.Add(-time.Hour), false}, edge{false, here.Add(-time.Minute), false})
	// The third was lost; the number of all lines' events doesn't say so.
	write(encode(ago(10*time.Second), risingEdge, 17, 11, 4), encode(ago(5*time.Second), fallingEdge, 17, 20, 5))
	expect(edge{true, here.Add(-10 * time.Second), true}, edge{false, here.Add(-5 * time.Second), false})
	// One that claims to come later than now has come now.
	write(encode(ago(-time.Hour), risingEdge, 17, 21, 6))
	expect(edge{true, here, false})
	write(encode(ago(0), 7, 17, 22, 7))
	if _, err := h.edges(); reasonOf(err) != telemetry.Malformed {
		t.Errorf("%v", err)
	}
	to.Close()
	if _, err := h.edges(); err == nil {
		t.Error("a line that is gone has edges")
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
