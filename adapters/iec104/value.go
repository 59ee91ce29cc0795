package iec104

import (
	"math"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// furthestAhead is how far the station's clock may be ahead of ours without being said to
// be wrong. What is told has the time of arrival in either case.
const furthestAhead = time.Minute

// rounding is how far a time may be ahead that is right: it is told in milliseconds, and
// some stations count in ticks.
const rounding = 10 * time.Millisecond

// sample makes a sample of an object. Bytes that say that a value isn't one, or a time
// none, make no value and no time of it.
func (p *Point) sample(a *asdu.ASDU, o asdu.Object, received time.Time, zone *time.Location) telemetry.Sample {
	s := telemetry.Sample{Signal: p.Signal, Time: telemetry.MicrosOf(received)}
	s.Value, s.Quality = p.value(a.Type, o)
	if a.Test {
		s.Quality |= telemetry.Test
	}
	if !changed(a.Cause) { // it is the present value, however long ago it has become that
		return s
	}
	switch at, told := instant(o.Time, received, zone); {
	case !told:
	case at.After(received.Add(furthestAhead)):
		s.Quality |= telemetry.ClockJumped
	case at.After(received.Add(rounding)): // nothing is told before it has happened
	default:
		s.Time, s.Quality = min(s.Time, telemetry.MicrosOf(at)), s.Quality.WithTime(telemetry.DeviceTime)
	}
	return s
}

// changed reports whether an object's time is when it has become what it is, and it is
// told because of that. What is told again and again, or when asked for, has the time of
// the last change, and means the present.
func changed(c asdu.Cause) bool {
	return c == asdu.Spontaneous || c == asdu.ReturnRemote || c == asdu.ReturnLocal
}

func instant(t asdu.Time, received time.Time, zone *time.Location) (at time.Time, told bool) {
	if !t.Believable() {
		return time.Time{}, false
	}
	if t.Form == asdu.Time24 {
		return t.Near(received)
	}
	return t.In(zone)
}

// value is what an object says, without when.
func (p *Point) value(t asdu.Type, o asdu.Object) (telemetry.Value, telemetry.Quality) {
	if o.Quality&asdu.Invalid != 0 {
		return telemetry.Value{}, session.Bad(telemetry.SensorFailure)
	}
	q := quality(o.Quality)
	switch {
	case p.Bool && isDouble(t):
		switch o.Value {
		case doubleOff, doubleOn:
			return telemetry.BoolValue(o.Value == doubleOn), q
		case doubleBetween:
			return telemetry.Value{}, session.Bad(telemetry.NotImplemented)
		}
		return telemetry.Value{}, session.Bad(telemetry.SensorFailure)
	case p.Bool:
		return telemetry.BoolValue(o.Value != 0), q
	case t.Whole() && p.Scale == 1 && p.Offset == 0:
		return telemetry.IntValue(int64(o.Value)), q
	}
	v := o.Value*p.Scale + p.Offset
	if math.IsNaN(v) || math.IsInf(v, 0) { // as it is told, or of a scale that is too large
		return telemetry.Value{}, session.Bad(telemetry.NotANumber)
	}
	return telemetry.FloatValue(v), q
}

// Positions of a double point, and of a double command.
const (
	doubleBetween = 0
	doubleOff     = 1
	doubleOn      = 2
)

func isDouble(t asdu.Type) bool {
	return t == asdu.DoublePoint || t == asdu.DoublePointTime24 || t == asdu.DoublePointTime56
}

// quality is what the flags of a value that isn't invalid say.
func quality(f asdu.Quality) telemetry.Quality {
	v, reason := telemetry.Good, telemetry.NoReason
	var flags telemetry.Quality
	if f&asdu.Substituted != 0 {
		flags |= telemetry.Substituted
	}
	if f&asdu.Overflow != 0 {
		v, flags = telemetry.Uncertain, flags|telemetry.Overflow
	}
	if f&asdu.NotTopical != 0 {
		v, flags = telemetry.Uncertain, flags|telemetry.Stale
	}
	if f&asdu.Blocked != 0 {
		v, reason, flags = telemetry.Uncertain, telemetry.OutOfService, flags|telemetry.Stale
	}
	return telemetry.MakeQuality(v, telemetry.GatewayTime, reason) | flags
}
