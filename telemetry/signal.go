package telemetry

import "time"

// SignalID names a signal within one signal table of a gateway. It is never
// reused: a changed unit, scale, type or asset is a new id.
type SignalID uint32

// Kind is what a signal's values mean over time.
type Kind string

const (
	Gauge   Kind = "gauge"   // a level: voltage, temperature
	Counter Kind = "counter" // a register that only rises: energy
	State   Kind = "state"   // one of a few discrete positions: a breaker
)

// Signal is one measured quantity of one device on one asset.
type Signal struct {
	ID     SignalID `json:"id"`
	Device string   `json:"device"`
	Name   string   `json:"name"` // after IEC 61850 where it has one: PhV.phsA, TotW
	Unit   string   `json:"unit"` // UCUM, and var/varh
	Asset  string   `json:"asset"`
	Kind   Kind     `json:"kind"`
}

// Micros is an instant in µs since 1970-01-01 UTC.
type Micros int64

func MicrosOf(t time.Time) Micros           { return Micros(t.UnixMicro()) }
func (m Micros) Time() time.Time            { return time.UnixMicro(int64(m)).UTC() }
func (m Micros) Sub(n Micros) time.Duration { return time.Duration(m-n) * time.Microsecond }

// Sample is one value of one signal at one instant of its source.
type Sample struct {
	Time    Micros
	Value   Value
	Signal  SignalID
	Quality Quality
}

// ChannelLive is the name of the state signal that the gateway adds to every
// device: whether the device answers (IEC 61850 LCCH.ChLiv).
const ChannelLive = "ChLiv"
