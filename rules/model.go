package rules

import (
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Model is what rules are compiled against.
type Model struct {
	Gateway string
	// Assets need not list those that only devices and signals name.
	Assets []Asset
	// Devices may have the gateway itself among them, by its own id.
	Devices []Device
	// Signals include each device's ChLiv. A signal's name is unique within its
	// device.
	Signals []telemetry.Signal
}

// Asset is one piece of the network.
type Asset struct {
	ID, Kind, Parent string
	NominalVoltage   float64 // V, 0 if unknown
	RatedCurrent     float64 // A, 0 if unknown
}

// PoweredBy says what feeds a device.
type PoweredBy string

const (
	PoweredByMeasured  PoweredBy = "measured"  // the voltage it measures: it falls silent with it
	PoweredByAuxiliary PoweredBy = "auxiliary" // a supply of its own
	PoweredByUnknown   PoweredBy = "unknown"   // so is ""
)

// Device is one source of signals.
type Device struct {
	ID, Asset string
	PoweredBy PoweredBy
	// Supply names the source of voltage that devices share; "" if unknown.
	Supply string
	// Bus is what it is reached by, together with the other devices that have the same:
	// an address or a line; "" if by nothing of the kind.
	Bus string
	// PollEvery is the period in which every signal of the device but ChLiv
	// brings a sample, good or bad; 0 if samples come by change only and hold
	// until the next.
	PollEvery time.Duration
	// Open says that it tells by itself which signals it has. A rule doesn't apply to what
	// lacks one, until it has come.
	Open bool
}
