package meter

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// reading is all that a meter has told at one moment.
type reading struct {
	registers []obis.Register
	at        time.Time // when its last byte came
	clock     time.Time // the meter's; zero: it doesn't say
	failures  []adapters.Interruption
}

// trusted reports whether the times that the meter tells are to be believed.
func (t reading) trusted() bool {
	off := t.clock.Sub(t.at)
	return !t.clock.IsZero() && off <= tolerance && off >= -tolerance
}

// registers are the signals of a meter, as far as it has told of them.
type registers struct {
	device  Device
	session *session.Session // nil: it is read once, for its points alone
	byCode  map[obis.Code]*entry
	list    []*entry
	names   map[string]obis.Code
	clock   clockError
	derived obis.Derivation
	result  []telemetry.Sample
}

// entry is a register with a signal.
type entry struct {
	Point
	unit string
	last telemetry.Sample
	seen time.Time
	lost bool // it has been said that it isn't told any more
	// bad is when it was said last that it has no value: what is told again of before counts
	// from now.
	bad time.Time
}

// mostRegisters bounds the registers of a meter. Real ones have up to 200.
const mostRegisters = 1000

func newRegisters(d Device, s *session.Session) *registers {
	r := &registers{device: d, session: s, byCode: map[obis.Code]*entry{}, names: map[string]obis.Code{telemetry.ChannelLive: {}, clockErrorName: {}}}
	for _, p := range d.Points {
		e := &entry{Point: p}
		r.list = append(r.list, e)
		r.byCode[p.Code] = e
		r.names[p.Name] = p.Code
		r.derived.Knows(p.Code)
	}
	if s == nil {
		return r
	}
	for _, f := range s.Earlier() {
		if c, is := codeOf(f.Encoding); is {
			r.derived.Knows(c)
		}
	}
	r.derived.Forgotten = func(c obis.Code) {
		s.Log().Warn("a tariff isn't told any more: the total is made without it from now on", "obis", c.String(), "missing", obis.Forget)
	}
	return r
}

// encoding is how the values of a register come about that the meter tells of itself.
func encoding(t obis.Register) string { return fmt.Sprintf("obis %s %s", t.Code, t.Value.Kind()) }

// codeOf is the code of such a register.
func codeOf(encoding string) (obis.Code, bool) {
	text, is := strings.CutPrefix(encoding, "obis ")
	text, _, _ = strings.Cut(text, " ")
	c, err := obis.ParseCode([]byte(text))
	return c, is && err == nil
}

// take is the samples of a reading. It registers what the meter tells for the first time,
// and fails only if ctx ends.
func (r *registers) take(ctx context.Context, t reading) ([]telemetry.Sample, error) {
	all := r.derived.Derive(t.registers, t.at)
	if r.session != nil {
		if err := r.find(ctx, all, !t.clock.IsZero()); err != nil {
			return nil, err
		}
	}
	samples := r.result[:0]
	trusted := t.trusted()
	for i := range all {
		e := r.byCode[all[i].Code]
		if e == nil {
			continue
		}
		e.seen, e.lost = t.at, false
		s := e.sample(all[i], t.at, trusted && !all[i].Time.Before(e.bad))
		if !all[i].Time.IsZero() && s == e.last { // the meter repeats it until there is a newer one
			continue
		}
		e.last = s
		if e.Signal != 0 {
			samples = append(samples, s)
		}
	}
	for _, e := range r.list {
		if e.lost || !e.seen.IsZero() && t.at.Sub(e.seen) < r.device.Timeout {
			continue
		}
		e.lost, e.bad = true, t.at
		e.last = telemetry.Sample{Time: telemetry.MicrosOf(t.at), Signal: e.Signal, Quality: session.Bad(telemetry.NotImplemented)}
		if e.Signal != 0 {
			samples = append(samples, e.last)
		}
	}
	if s, due := r.clock.sample(t); due {
		samples = append(samples, s)
	}
	r.result = samples
	return samples, nil
}

// sample is a register's value.
func (e *entry) sample(told obis.Register, at time.Time, trusted bool) telemetry.Sample {
	s := telemetry.Sample{Time: telemetry.MicrosOf(at), Signal: e.Signal, Value: told.Value}
	if !told.Time.IsZero() && !told.Time.After(at.Add(tolerance)) && trusted {
		s.Time = telemetry.MicrosOf(told.Time)
		s.Quality = s.Quality.WithTime(telemetry.DeviceTime)
	}
	if v, number := told.Value.Float(); number && told.Value.Kind() == telemetry.Float64 {
		v = v*e.Scale + e.Offset
		if math.IsNaN(v) || math.IsInf(v, 0) {
			s.Value, s.Quality = telemetry.Value{}, session.Bad(telemetry.NotANumber)
			return s
		}
		s.Value = telemetry.FloatValue(v)
	}
	return s
}

// find has the registers that the meter tells of for the first time get their signals.
func (r *registers) find(ctx context.Context, told []obis.Register, clock bool) error {
	var found []adapters.Found
	var fresh []*entry
	for _, t := range told {
		known := r.byCode[t.Code]
		if known != nil || len(r.byCode) >= mostRegisters {
			continue
		}
		name, kind := t.Name()
		if of, taken := r.names[name]; taken && of != t.Code { // such as the same quantity on another channel
			name = obis.Register{Code: t.Code}.Unnamed()
			if _, taken := r.names[name]; taken {
				continue
			}
		}
		e := &entry{Point: Point{Name: name, Code: t.Code, Scale: 1}, unit: t.Unit}
		r.names[name], r.byCode[t.Code] = t.Code, e
		r.list = append(r.list, e)
		fresh = append(fresh, e)
		found = append(found, adapters.Found{Name: name, Follow: adapters.NoFollow, Unit: t.Unit, Kind: kind, Encoding: encoding(t)})
	}
	if clock && !r.clock.asked {
		found = append(found, adapters.Found{Name: clockErrorName, Follow: adapters.NoFollow, Unit: "s", Kind: telemetry.Gauge, Encoding: "meter clock"})
	}
	if len(found) == 0 {
		return nil
	}
	ids, err := r.session.Register(ctx, found)
	if err != nil {
		return err
	}
	for i, e := range fresh {
		e.Signal = ids[i]
	}
	if len(found) > len(fresh) {
		r.clock.signal, r.clock.asked = ids[len(fresh)], true
	}
	return nil
}

// lacking says once of all registers that they have no value.
func (r *registers) lacking(at time.Time, reason telemetry.Reason) []telemetry.Sample {
	samples := r.result[:0]
	q := session.Bad(reason)
	for _, e := range r.list {
		e.bad = at
		e.last = telemetry.Sample{Time: telemetry.MicrosOf(at), Signal: e.Signal, Quality: q}
		if e.Signal != 0 {
			samples = append(samples, e.last)
		}
	}
	if r.clock.signal != 0 {
		r.clock.told = time.Time{}
		samples = append(samples, telemetry.Sample{Time: telemetry.MicrosOf(at), Signal: r.clock.signal, Quality: q})
	}
	r.result = samples
	return samples
}

// latest is what is known of all registers, for who asks.
func (r *registers) latest() []telemetry.Sample {
	var samples []telemetry.Sample
	for _, e := range r.list {
		if e.Signal == 0 {
			continue
		}
		s := e.last
		if s.Signal == 0 {
			s = telemetry.Sample{Time: telemetry.MicrosOf(time.Now()), Signal: e.Signal, Quality: session.Bad(telemetry.Timeout)}
		}
		samples = append(samples, s)
	}
	return samples
}
