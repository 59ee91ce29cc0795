package iec104

import (
	"math"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/telemetry"
)

// Quality, positions and times are taken for what they say, and nothing is believed that
// can't be.
func TestSample(t *testing.T) {
	received := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	tag := asdu.TimeOf(received.Add(-time.Second))
	with := func(change func(*asdu.Time)) asdu.Time { at := tag; change(&at); return at }
	number, switched := Point{Scale: 2, Offset: 1}, Point{Scale: 1, Bool: true}
	plain := Point{Scale: 1}
	good := telemetry.MakeQuality(telemetry.Good, telemetry.GatewayTime, telemetry.NoReason)
	bad := func(r telemetry.Reason) telemetry.Quality {
		return telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, r)
	}
	uncertain := telemetry.MakeQuality(telemetry.Uncertain, telemetry.GatewayTime, telemetry.NoReason)
	for _, c := range []struct {
		name   string
		point  Point
		header asdu.Header
		object asdu.Object
		value  telemetry.Value
		q      telemetry.Quality
		at     time.Time
	}{
		{"a number", number, asdu.Header{Type: asdu.ShortFloat, Cause: asdu.Spontaneous}, asdu.Object{Value: 1.5}, telemetry.FloatValue(4), good, received},
		{"whole", plain, asdu.Header{Type: asdu.Totals, Cause: asdu.Spontaneous}, asdu.Object{Value: -7}, telemetry.IntValue(-7), good, received},
		{"no number", number, asdu.Header{Type: asdu.ShortFloat, Cause: asdu.Spontaneous}, asdu.Object{Value: math.NaN()}, telemetry.Value{}, bad(telemetry.NotANumber), received},
		{"infinite", plain, asdu.Header{Type: asdu.ShortFloat, Cause: asdu.Spontaneous}, asdu.Object{Value: math.Inf(1)}, telemetry.Value{}, bad(telemetry.NotANumber), received},
		{"beyond numbers", Point{Scale: 1e308}, asdu.Header{Type: asdu.Scaled, Cause: asdu.Spontaneous}, asdu.Object{Value: 100}, telemetry.Value{}, bad(telemetry.NotANumber), received},
		{"invalid", number, asdu.Header{Type: asdu.ShortFloat, Cause: asdu.Spontaneous}, asdu.Object{Quality: asdu.Invalid}, telemetry.Value{}, bad(telemetry.SensorFailure), received},
		{"substituted", plain, asdu.Header{Type: asdu.Scaled, Cause: asdu.Spontaneous}, asdu.Object{Quality: asdu.Substituted}, telemetry.IntValue(0), good | telemetry.Substituted, received},
		{"old", plain, asdu.Header{Type: asdu.Scaled, Cause: asdu.Spontaneous}, asdu.Object{Quality: asdu.NotTopical}, telemetry.IntValue(0), uncertain | telemetry.Stale, received},
		{"too much", plain, asdu.Header{Type: asdu.Scaled, Cause: asdu.Spontaneous}, asdu.Object{Quality: asdu.Overflow}, telemetry.IntValue(0), uncertain | telemetry.Overflow, received},
		{"blocked", plain, asdu.Header{Type: asdu.Scaled, Cause: asdu.Spontaneous}, asdu.Object{Quality: asdu.Blocked}, telemetry.IntValue(0),
			telemetry.MakeQuality(telemetry.Uncertain, telemetry.GatewayTime, telemetry.OutOfService) | telemetry.Stale, received},
		{"a test", plain, asdu.Header{Type: asdu.Scaled, Cause: asdu.Spontaneous, Test: true}, asdu.Object{}, telemetry.IntValue(0), good | telemetry.Test, received},
		{"on", switched, asdu.Header{Type: asdu.DoublePoint, Cause: asdu.Spontaneous}, asdu.Object{Value: 2}, telemetry.BoolValue(true), good, received},
		{"off", switched, asdu.Header{Type: asdu.DoublePoint, Cause: asdu.Spontaneous}, asdu.Object{Value: 1}, telemetry.BoolValue(false), good, received},
		{"in between", switched, asdu.Header{Type: asdu.DoublePoint, Cause: asdu.Spontaneous}, asdu.Object{Value: 0}, telemetry.Value{}, bad(telemetry.NotImplemented), received},
		{"faulty", switched, asdu.Header{Type: asdu.DoublePointTime56, Cause: asdu.InterrogatedStation}, asdu.Object{Value: 3}, telemetry.Value{}, bad(telemetry.SensorFailure), received},
		{"single", switched, asdu.Header{Type: asdu.SinglePoint, Cause: asdu.Spontaneous}, asdu.Object{Value: 1}, telemetry.BoolValue(true), good, received},
		{"a position as a number", plain, asdu.Header{Type: asdu.DoublePoint, Cause: asdu.Spontaneous}, asdu.Object{Value: 3}, telemetry.IntValue(3), good, received},

		{"its time", plain, asdu.Header{Type: asdu.ScaledTime56, Cause: asdu.Spontaneous}, asdu.Object{Time: tag}, telemetry.IntValue(0), good.WithTime(telemetry.DeviceTime), received.Add(-time.Second)},
		{"its minute", plain, asdu.Header{Type: asdu.ScaledTime24, Cause: asdu.Spontaneous}, asdu.Object{Time: tag.Short()}, telemetry.IntValue(0), good.WithTime(telemetry.DeviceTime), received.Add(-time.Second)},
		{"when it was asked for", plain, asdu.Header{Type: asdu.ScaledTime56, Cause: asdu.InterrogatedStation}, asdu.Object{Time: tag}, telemetry.IntValue(0), good, received},
		{"again and again", plain, asdu.Header{Type: asdu.ScaledTime56, Cause: asdu.Periodic}, asdu.Object{Time: tag}, telemetry.IntValue(0), good, received},
		{"a time that the station doesn't believe", plain, asdu.Header{Type: asdu.ScaledTime56, Cause: asdu.Spontaneous}, asdu.Object{Time: with(func(a *asdu.Time) { a.Invalid = true })}, telemetry.IntValue(0), good, received},
		{"a time that can't be", plain, asdu.Header{Type: asdu.ScaledTime56, Cause: asdu.Spontaneous}, asdu.Object{Time: with(func(a *asdu.Time) { a.Month = 15 })}, telemetry.IntValue(0), good, received},
		{"a clock that is a little fast", plain, asdu.Header{Type: asdu.ScaledTime56, Cause: asdu.Spontaneous}, asdu.Object{Time: with(func(a *asdu.Time) { a.Hour, a.Minute, a.Millisecond = 12, 0, 30_000 })}, telemetry.IntValue(0), good, received},
		{"the future", plain, asdu.Header{Type: asdu.ScaledTime56, Cause: asdu.Spontaneous}, asdu.Object{Time: with(func(a *asdu.Time) { a.Year = 2090 })}, telemetry.IntValue(0), good | telemetry.ClockJumped, received},
	} {
		c.header.Address, c.object.Address, c.header.Cause = 1, 1, max(c.header.Cause, 1)
		if c.object.Time.Form == asdu.NoTime && c.header.Type.Timed() == 7 {
			c.object.Time = tag
		}
		b, err := asdu.IEC104.Append(nil, c.header, []asdu.Object{c.object})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		a, err := asdu.IEC104.Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		s := c.point.sample(&a, a.Object(0), received, time.UTC)
		if s.Value != c.value || s.Quality != c.q || s.Time != telemetry.MicrosOf(c.at) {
			t.Errorf("%s: %v (%v) at %v, expected %v (%v) at %v", c.name, s.Value, s.Quality, s.Time, c.value, c.q, c.at)
		}
	}
}
