package station

import (
	"math"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/telemetry"
)

// point is a signal that is offered. It belongs to who calls Take.
type point struct {
	Signal
	last       float64 // that was told, for when there is no value
	complained bool
}

// Positions of a double point.
const (
	doubleOff = 1
	doubleOn  = 2
)

// change is what a sample means for the point.
func (p *point) change(s telemetry.Sample, doubted, past bool) controlled.Change {
	c := controlled.Change{
		Station: p.Point.Station, Address: p.Point.Address, At: s.Time.Time(), Past: past, Quality: quality(s.Quality),
		Doubted: doubted || s.Quality.TimeQuality() == telemetry.UnsynchronisedTime || s.Quality.TimeQuality() == telemetry.SinceBoot,
	}
	value, known := s.Value.Float()
	if known && c.Quality&asdu.Invalid == 0 {
		v, q := p.told(value)
		c.Value, c.Quality = v, c.Quality|q
	} else {
		c.Quality |= asdu.Invalid
	}
	if c.Quality&asdu.Invalid != 0 {
		c.Value = p.last
	} else if !past {
		p.last = c.Value
	}
	return c
}

// told is a value as the point's type has it. One that it can't hold is its nearest, with
// an overflow, or invalid.
func (p *point) told(v float64) (float64, asdu.Quality) {
	whole := func(least, most float64) (float64, asdu.Quality) {
		if v != math.Trunc(v) || v < least || v > most {
			return 0, asdu.Invalid
		}
		return v, 0
	}
	within := func(v, least, most float64) (float64, asdu.Quality) {
		switch {
		case v < least:
			return least, asdu.Overflow
		case v > most:
			return most, asdu.Overflow
		}
		return v, 0
	}
	if math.IsNaN(v) {
		return 0, asdu.Invalid
	}
	switch p.Point.Type {
	case asdu.SinglePoint:
		if v != 0 {
			v = 1
		}
		return v, 0
	case asdu.DoublePoint:
		if p.Bool {
			return doubleOff + (doubleOn-doubleOff)*v, 0
		}
		return whole(0, 3)
	case asdu.StepPosition:
		return whole(-64, 63)
	case asdu.Bitstring:
		return whole(0, math.MaxUint32)
	case asdu.Normalized:
		return within(v*p.Scale, -1, 1-1.0/32768)
	case asdu.Scaled:
		return within(math.Round(v*p.Scale), math.MinInt16, math.MaxInt16)
	case asdu.Totals: // which counts in 31 bits, and then begins again
		return math.Mod(math.Round(v*p.Scale), 1<<31), 0
	}
	return within(v*p.Scale, -math.MaxFloat32, math.MaxFloat32)
}

// quality is what the flags of 60870-5 say of a quality. A test's value isn't to be acted
// on, so that it is invalid.
func quality(q telemetry.Quality) (f asdu.Quality) {
	switch {
	case q.Validity() == telemetry.Bad && (q.Reason() == telemetry.Timeout || q.Reason() == telemetry.NotConnected):
		f |= asdu.Invalid | asdu.NotTopical
	case q.Validity() == telemetry.Bad, q.Has(telemetry.Test):
		f |= asdu.Invalid
	case q.Reason() == telemetry.OutOfService:
		f |= asdu.Blocked
	case q.Validity() == telemetry.Uncertain && !q.Has(telemetry.Overflow):
		f |= asdu.NotTopical
	}
	if q.Has(telemetry.Stale) && f&asdu.Blocked == 0 {
		f |= asdu.NotTopical
	}
	if q.Has(telemetry.Substituted) {
		f |= asdu.Substituted
	}
	if q.Has(telemetry.Overflow) {
		f |= asdu.Overflow
	}
	return f
}
