package telemetry

import "strings"

// Quality says how far a sample can be trusted, and why: two bits of validity,
// two of time quality, four of reason and eight independent flags. The zero
// Quality is a good value stamped by the gateway.
type Quality uint16

// Validity follows OPC UA's severity and IEC 61850's validity.
type Validity uint8

const (
	Good Validity = iota
	Uncertain
	Bad
)

// TimeQuality says whose clock stamped the sample.
type TimeQuality uint8

const (
	GatewayTime        TimeQuality = iota // the gateway's synchronised clock
	DeviceTime                            // the device's own clock
	UnsynchronisedTime                    // the gateway's clock, which nothing confirmed
	SinceBoot                             // the time counts from the gateway's boot; no such sample leaves the gateway
)

// Reason says why a sample isn't good.
type Reason uint8

const (
	NoReason       Reason = iota
	Timeout               // the device didn't answer in time
	NotConnected          // no connection to the device
	Malformed             // the answer broke the protocol
	Refused               // the device answered with an exception
	NotImplemented        // the device's own mark for "no such value"
	NotANumber            // a floating-point NaN, or other digits than decimal, where a number is expected
	SensorFailure         // the device reports its sensor as failed
	OutOfService          // the device reports the point as taken out of service
	WrongDevice           // what answers is another device than the one that is configured
)

var reasonNames = [...]string{"", "timeout", "not connected", "malformed answer", "refused by device",
	"not implemented", "not a number", "sensor failure", "out of service", "wrong device"}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown reason"
}

// Flags that may accompany any validity.
const (
	Stale       Quality = 1 << (8 + iota) // older than its source promises
	Substituted                           // entered by a person or a default
	Estimated                             // computed, not measured
	Overflow                              // beyond the device's range
	OutOfRange                            // outside the configured range
	Oscillatory                           // changing too fast to be believed
	Test                                  // produced by a test
	ClockJumped                           // the clock was stepped while sampling
)

var flagNames = [...]string{"stale", "substituted", "estimated", "overflow", "out of range", "oscillatory", "test", "clock jumped"}

// MakeQuality combines a validity, the clock that stamped the time, and the
// reason for a validity that isn't Good.
func MakeQuality(v Validity, t TimeQuality, r Reason) Quality {
	return Quality(v&3) | Quality(t&3)<<2 | Quality(r&15)<<4
}

func (q Quality) Validity() Validity       { return Validity(q & 3) }
func (q Quality) TimeQuality() TimeQuality { return TimeQuality(q >> 2 & 3) }
func (q Quality) Reason() Reason           { return Reason(q >> 4 & 15) }

// WithValidity is q with another validity.
func (q Quality) WithValidity(v Validity) Quality { return q&^3 | Quality(v&3) }

// WithTime is q with another clock.
func (q Quality) WithTime(t TimeQuality) Quality { return q&^(3<<2) | Quality(t&3)<<2 }

// Has reports whether every flag of f is set.
func (q Quality) Has(f Quality) bool { return q&f == f }

func (v Validity) String() string {
	switch v {
	case Good:
		return "good"
	case Uncertain:
		return "uncertain"
	}
	return "bad"
}

// String is the quality as a person reads it: "good", "bad (timeout)",
// "uncertain (stale, unsynchronised clock)".
func (q Quality) String() string {
	why := q.Why()
	if why == "" {
		return q.Validity().String()
	}
	return q.Validity().String() + " (" + why + ")"
}

// Why is what a quality says beside its validity: "stale, unsynchronised clock"; "" if
// that is nothing.
func (q Quality) Why() string {
	var why []string
	if r := q.Reason(); r != NoReason {
		why = append(why, r.String())
	}
	for i, name := range flagNames {
		if q.Has(1 << (8 + i)) {
			why = append(why, name)
		}
	}
	switch q.TimeQuality() {
	case UnsynchronisedTime:
		why = append(why, "unsynchronised clock")
	case SinceBoot:
		why = append(why, "time since boot")
	}
	return strings.Join(why, ", ")
}
