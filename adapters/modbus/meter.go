package modbus

import (
	"context"
	"fmt"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// meter is a checked Device, ready to be read. It doesn't change.
type meter struct {
	Device
	endpoint Endpoint
	decoders []decoder // one a point
	requests []request
}

func newMeter(d Device, e Endpoint) *meter {
	if d.PollEvery == 0 {
		d.PollEvery = DefaultPollEvery
	}
	if d.Timeout == 0 {
		d.Timeout = DefaultTimeout
	}
	switch {
	case d.MaxGap == 0:
		d.MaxGap = DefaultMaxGap
	case d.MaxGap < 0:
		d.MaxGap = 0
	}
	m := &meter{Device: d, endpoint: e, requests: plan(d.Points, d.MaxGap)}
	for _, p := range d.Points {
		m.decoders = append(m.decoders, newDecoder(p))
	}
	return m
}

// reading is what one poll of a meter brought.
type reading struct {
	samples  []telemetry.Sample // one a point, in configured order
	errs     []error            // one a request, nil where it was answered with data
	answered bool               // by the device, be it with an exception
	good     int                // samples with a value
	ended    time.Time
}

func (m *meter) newReading() reading {
	return reading{
		samples: make([]telemetry.Sample, len(m.Points), len(m.Points)+1), // and one to say whether it lives
		errs:    make([]error, len(m.requests)),
	}
}

// poll makes every request of the meter once. It fails only when ctx ends. Once
// the device doesn't answer, what remains isn't asked for: a dead device must
// cost its neighbours one timeout, not one a request. Between the requests others
// may have their turn.
func (m *meter) poll(ctx context.Context, l *link, r *reading) error {
	r.answered, r.good = false, 0
	// One reading of the wall clock a poll: setting the clock meanwhile must not
	// tear the batch.
	start := time.Now()
	var silent error
	for i, req := range m.requests {
		if silent != nil {
			r.errs[i] = silent
			r.fail(m, req, silent)
			continue
		}
		data, err := l.read(ctx, m, req)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.errs[i], r.ended = err, start.Add(l.received.Sub(start))
		if err == nil {
			r.answered = true
			r.decode(m, req, data, telemetry.MicrosOf(start.Add(l.taken.Sub(start))))
			continue
		}
		r.fail(m, req, err)
		switch reasonOf(err) {
		case telemetry.Timeout, telemetry.NotConnected:
			silent = err
		case telemetry.Refused:
			r.answered = true
			if exceptionOf(err) == goburrow.ExceptionCodeAcknowledge {
				silent = err // it is at something long: in the next slot
			}
		}
	}
	return nil
}

func (r *reading) decode(m *meter, req request, data []byte, at telemetry.Micros) {
	for _, p := range req.points {
		value, reason := m.decoders[p.point].value(data, p.offset)
		quality := telemetry.MakeQuality(telemetry.Good, telemetry.GatewayTime, telemetry.NoReason)
		if reason == telemetry.NoReason {
			r.good++
		} else {
			quality = telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, reason)
		}
		r.samples[p.point] = telemetry.Sample{Time: at, Value: value, Signal: m.Points[p.point].Signal, Quality: quality}
	}
}

func (r *reading) fail(m *meter, req request, err error) {
	at := telemetry.MicrosOf(r.ended)
	quality := telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, reasonOf(err))
	for _, p := range req.points {
		r.samples[p.point] = telemetry.Sample{Time: at, Signal: m.Points[p.point].Signal, Quality: quality}
	}
}

func (m *meter) wrap(req request, err error) error {
	return fmt.Errorf("modbus: read %v of meter %s at %s: %w", req, m.ID, m.endpoint.Address, err)
}
