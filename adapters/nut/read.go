package nut

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// Run implements session.Device.
func (d Device) Run(ctx context.Context, s *session.Session) {
	var r reader
	defer r.close()
	s.Poll(ctx, d.PollEvery, func(ctx context.Context) session.Result { return r.read(ctx, d) })
}

// Read implements session.Device.
func (d Device) Read(ctx context.Context) session.Result {
	var r reader
	defer r.close()
	return r.read(ctx, d)
}

// reader keeps the connection between two readings.
type reader struct{ connection *connection }

func (r *reader) close() {
	if r.connection != nil {
		r.connection.Close()
		r.connection = nil
	}
}

// read asks for everything once. A connection that upsd has closed meanwhile, as one
// does that was restarted, costs no reading.
func (r *reader) read(ctx context.Context, d Device) session.Result {
	kept := r.connection != nil
	variables, sent, err := r.ask(ctx, d)
	if f, ok := errors.AsType[*failure](err); kept && ok && f.quality.Reason() == telemetry.NotConnected && r.connection == nil {
		variables, sent, err = r.ask(ctx, d)
	}
	if err != nil {
		f, _ := errors.AsType[*failure](err)
		return d.About().Failed(err, f.quality)
	}
	received := time.Now()
	// As a poll of a meter, in the middle between request and answer.
	at := telemetry.MicrosOf(received) - telemetry.Micros(received.Sub(sent).Microseconds()/2)
	result := session.Result{Received: received, Samples: make([]telemetry.Sample, len(d.Points))}
	for i, p := range d.Points {
		result.Samples[i] = telemetry.Sample{Time: at, Signal: p.Signal}
		value, reason := p.value(variables)
		if reason == telemetry.NoReason {
			result.Samples[i].Value = value
		} else {
			result.Samples[i].Quality = bad(reason)
		}
	}
	return result
}

// ask makes one exchange. Where the answer stopped halfway, the connection is closed:
// what comes next on it would be taken for the next answer.
func (r *reader) ask(ctx context.Context, d Device) (variables map[string]string, sent time.Time, err error) {
	if r.connection == nil {
		if r.connection, err = d.dial(ctx); err != nil {
			r.connection = nil
			return nil, sent, err
		}
	}
	c := r.connection
	stop := context.AfterFunc(ctx, func() { c.Close() })
	sent = time.Now()
	variables, err = c.variables(d.UPS, d.Timeout)
	f, wrong := errors.AsType[*failure](err)
	if !stop() || wrong && !f.refused {
		r.close()
	}
	return variables, sent, err
}

// value is what the variables say of a point.
func (p Point) value(variables map[string]string) (telemetry.Value, telemetry.Reason) {
	if p.Status != "" {
		return p.flag(strings.Fields(variables["ups.status"]))
	}
	text, told := variables[p.Variable]
	switch {
	case !told:
		return telemetry.Value{}, telemetry.NotImplemented
	case p.Text:
		return telemetry.TextValue(text), telemetry.NoReason
	}
	number, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	number = number*p.Scale + p.Offset // may be too large for a number
	if err != nil || math.IsNaN(number) || math.IsInf(number, 0) {
		return telemetry.Value{}, telemetry.NotANumber
	}
	return telemetry.FloatValue(number), telemetry.NoReason
}

// The flags of ups.status that say how the UPS is supplied, and that its driver has yet
// to hear of it.
const (
	onLine      = "OL"
	onBattery   = "OB"
	waiting     = "WAIT"
	calibration = "CAL"
	selfTest    = "TEST"
)

// flag is whether a point's is among those that are set. Where neither of those is set
// that say how the UPS is supplied, as in bypass, that isn't known. Nor is it where the
// UPS runs from its battery because it tests that.
func (p Point) flag(set []string) (telemetry.Value, telemetry.Reason) {
	has := func(flag string) bool { return slices.Contains(set, flag) }
	supply := has(onLine) || has(onBattery) && !has(calibration) && !has(selfTest)
	switch {
	case has(waiting):
		return telemetry.Value{}, telemetry.NotConnected
	case len(set) == 0, !supply && (p.Status == onLine || p.Status == onBattery):
		return telemetry.Value{}, telemetry.NotImplemented
	}
	return telemetry.BoolValue(has(p.Status)), telemetry.NoReason
}

func bad(reason telemetry.Reason) telemetry.Quality { return session.Bad(reason) }
