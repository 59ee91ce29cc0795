package gpio

import (
	"encoding/binary"
	"fmt"
)

// event is struct gpio_v2_line_event of linux/gpio.h, as far as it says something.
type event struct {
	at      uint64 // ns, on CLOCK_MONOTONIC
	rising  bool   // to 1, after active_low
	lineSeq uint32 // counts the events of the line; those that are missing were lost
}

const (
	eventSize = 48 // bytes, on every architecture
	// eventBuffer is how many events of a line the kernel keeps; then the oldest is lost.
	eventBuffer = 1024

	risingEdge  = 1
	fallingEdge = 2
)

// decodeEvents is the events in what was read from a line.
func decodeEvents(data []byte) ([]event, error) {
	if len(data) == 0 || len(data)%eventSize != 0 {
		return nil, fmt.Errorf("%d bytes of events, expected a multiple of %d", len(data), eventSize)
	}
	events := make([]event, 0, len(data)/eventSize)
	for ; len(data) > 0; data = data[eventSize:] {
		id := binary.NativeEndian.Uint32(data[8:])
		if id != risingEdge && id != fallingEdge {
			return nil, fmt.Errorf("an event of kind %d, expected %d or %d", id, risingEdge, fallingEdge)
		}
		events = append(events, event{
			at: binary.NativeEndian.Uint64(data), rising: id == risingEdge, lineSeq: binary.NativeEndian.Uint32(data[20:]),
		})
	}
	return events, nil
}
