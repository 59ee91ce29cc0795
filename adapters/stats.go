package adapters

import (
	"time"

	"github.com/busbar/busbar/telemetry"
)

// DeviceStats is what reading one device has come to since its adapter was made. A
// device that was changed goes on counting.
type DeviceStats struct {
	Device     string
	Polls      uint64
	Failed     uint64    // polls without any answer
	Timeouts   uint64    // of these, because none came in time
	Missed     uint64    // slots that passed while an earlier read of the endpoint went on
	Late       uint64    // polls that were answered after the next slot had come
	Values     uint64    // samples that carried a value
	Delivered  uint64    // polls that brought a value
	LastAnswer time.Time // zero: never
}

// Last is what the last poll of a device brought, or what it sent by itself.
type Last struct {
	Polled  bool                         // there was one since the device is configured as it is
	Quality map[string]telemetry.Quality // of the points, by name
	Cause   error                        // why the device didn't answer, if it didn't
}

const (
	// DeadAfter is how many polls in a row must bring no answer before a device
	// that has answered is reported as not living. The first poll ever decides
	// alone.
	DeadAfter = 2

	// LiveEvery is how often the live signal is repeated when it doesn't
	// change, or at the next poll after that.
	LiveEvery = time.Minute
)
