package modbus

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Device is one unit behind an endpoint.
type Device struct {
	ID        string
	Endpoint  string        // as ParseEndpoint takes it
	Unit      uint8         // unit identifier
	PollEvery time.Duration // 0 means DefaultPollEvery
	// Timeout is for a connection, and for a whole answer, without the time that it
	// takes on a serial line; 0 means DefaultTimeout.
	Timeout time.Duration
	Points  []Point
	Live    telemetry.SignalID // the device's telemetry.ChannelLive

	// Pause is how long the device is left alone after each answer.
	// PauseAfterConnect is how long nothing is asked after a connection; of the
	// devices of an endpoint, the longest counts.
	Pause, PauseAfterConnect time.Duration

	Reads Reads

	// Identity is what tells this device from others, by which it is recognised
	// before it is read. Nil: whatever answers is the device.
	Identity []Register

	// Controls are the points that can be written. Nil: none.
	Controls []Control
}

// Register is a register that holds a fixed value.
type Register struct {
	Table   Table // Input or Holding
	Address uint16
	Value   uint16
}

// Reads is how a device likes to be asked. The zero value suits what keeps to
// the standard; what a device refuses beyond that is found out while it is polled.
type Reads struct {
	// MaxGap is how many registers that nobody asked for may be read along to
	// save a request, and 16 times as many coils or inputs. 0 means
	// DefaultMaxGap; negative means none.
	MaxGap int
	// MaxRegisters and MaxBits bound one request; 0 means what the standard
	// allows, 125 registers and 2,000 coils or inputs.
	MaxRegisters, MaxBits int
	// Single gives every point a request of its own, and every group.
	Single bool
	// BitsFromZero makes requests for coils and inputs begin at address 0, for
	// devices that ignore where they should begin.
	BitsFromZero bool
}

const (
	DefaultPollEvery = time.Second
	DefaultTimeout   = time.Second
	DefaultMaxGap    = 16

	// MinPollEvery bounds what a mistyped period can do to a device.
	MinPollEvery = time.Millisecond

	// MaxPause bounds the pauses that a device may need.
	MaxPause = 10 * time.Second
)

// filled is the device with the defaults for what is 0.
func (d Device) filled() Device {
	d.PollEvery, d.Timeout = cmp.Or(d.PollEvery, DefaultPollEvery), cmp.Or(d.Timeout, DefaultTimeout)
	return d
}

// Check lists everything that is wrong with the device itself, not with its
// points.
func (d Device) Check() []error {
	var errs []error
	if d.ID == "" {
		errs = append(errs, errors.New("id: missing"))
	}
	if _, err := ParseEndpoint(d.Endpoint); err != nil {
		errs = append(errs, fmt.Errorf("endpoint: %w", err))
	}
	if d.PollEvery != 0 && d.PollEvery < MinPollEvery {
		errs = append(errs, fmt.Errorf("poll every: %v is too short, at least %v", d.PollEvery, MinPollEvery))
	}
	if d.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %v is negative", d.Timeout))
	}
	for name, pause := range map[string]time.Duration{"pause": d.Pause, "pause after connect": d.PauseAfterConnect} {
		if pause < 0 || pause > MaxPause {
			errs = append(errs, fmt.Errorf("%s: %v, expected 0s to %v", name, pause, MaxPause))
		}
	}
	if len(d.Points) == 0 {
		errs = append(errs, errors.New("points: none, so there is nothing to read"))
	}
	if n := d.Reads.MaxRegisters; n < 0 || n > maxRegisters {
		errs = append(errs, fmt.Errorf("max registers: %d, expected 1 to %d", n, maxRegisters))
	}
	if n := d.Reads.MaxBits; n < 0 || n > maxBits {
		errs = append(errs, fmt.Errorf("max bits: %d, expected 1 to %d", n, maxBits))
	}
	for _, c := range d.Controls {
		for _, err := range d.CheckControl(c) {
			errs = append(errs, fmt.Errorf("control of %q: %w", c.Point, err))
		}
	}
	return append(errs, d.CheckRequests()...)
}
