package modbus

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// meter is a checked Device, ready to be read. It doesn't change.
type meter struct {
	Device
	endpoint Endpoint
	points   []Point   // the Device's, and after them the registers of their factors
	decoders []decoder // one a point
	factors  []int     // one a point: where in points its factor is, 0 if it has none
	items    []item
	limits   limits
	controls map[telemetry.SignalID]*control
}

func newMeter(d Device, e Endpoint) *meter {
	d = d.filled()
	m := &meter{Device: d, endpoint: e, points: slices.Clip(d.Points), limits: newLimits(d.Reads)}
	for _, p := range d.Points {
		m.factors = append(m.factors, m.factorOf(p))
	}
	for _, p := range m.points {
		m.decoders = append(m.decoders, newDecoder(p))
	}
	m.items = itemsOf(m.points)
	bind(m.items, m.factors)
	m.controls = m.newControls()
	return m
}

// factorOf is where in points the register of a point's factor is, which it adds
// if it isn't there.
func (m *meter) factorOf(p Point) int {
	if p.Factor == nil {
		return 0
	}
	register := Point{Name: "factor of " + p.Name, Table: p.Table, Address: *p.Factor, Type: Int16}
	if p.Order == BADC || p.Order == DCBA {
		register.Order = BADC
	}
	for i := len(m.Points); i < len(m.points); i++ {
		if f := m.points[i]; f.Table == register.Table && f.Address == register.Address && f.Order == register.Order {
			return i
		}
	}
	m.points = append(m.points, register)
	return len(m.points) - 1
}

// reader asks a meter for its values, and learns how it likes to be asked.
type reader struct {
	*meter
	learned  *learned
	scales   *scales
	requests []request
	now      func() time.Time
	known    int // the link's connection on which it was recognised; 0: none

	samples  []telemetry.Sample // one a point of the Device, in configured order
	outcomes []outcome          // of the last poll, in the order of the requests
	answered bool               // by the device, be it with an exception
	good     int                // samples with a value
	ended    time.Time
}

// outcome is a request and why it brought no data, if it didn't.
type outcome struct {
	request request
	err     error
}

// silence is why the device didn't answer in the last poll.
func (r *reader) silence() (request, error) {
	for _, o := range r.outcomes {
		if o.err != nil {
			return o.request, o.err
		}
	}
	return request{}, nil
}

// silentFor is the reason for it.
func (r *reader) silentFor() telemetry.Reason {
	_, err := r.silence()
	return reasonOf(err)
}

func (m *meter) newReader() *reader {
	r := &reader{
		meter: m, learned: newLearned(m.items, m.limits), scales: newScales(m), now: time.Now,
		samples: make([]telemetry.Sample, len(m.Points), len(m.Points)+1), // and one to say whether it lives
	}
	r.replan(time.Time{})
	return r
}

// replan makes the requests of the next poll from what is known of the device.
func (r *reader) replan(now time.Time) {
	r.requests = r.scales.first(r.learned.plan(now), r.parts)
}

// parts is the requests for some of the items.
func (r *reader) parts(items []item) []request {
	return plan(items, r.learned.limits, r.learned.isCut)
}

// maxParts bounds the refusals for which a poll asks in parts to find out what the
// device refuses. The next poll goes on from there.
const maxParts = 32

// maxScalings bounds how often a poll asks again for values whose factors have
// changed meanwhile.
const maxScalings = 4

// longestTrust is how long after its last answer a device is believed to be the same
// one on the same connection. Behind a serial gateway nothing else tells of a meter
// that was put in another's place between two polls; nobody does that faster.
const longestTrust = 2 * time.Minute

// poll asks for everything once. It fails only when ctx ends. Once
// the device doesn't answer, what remains isn't asked for: a dead device must
// cost its neighbours one timeout, not one a request. Between the requests others
// may have their turn.
func (r *reader) poll(ctx context.Context, l *link) error {
	r.answered, r.good, r.outcomes = false, 0, r.outcomes[:0]
	// One reading of the wall clock a poll: setting the clock meanwhile must not
	// tear the batch.
	p := polling{start: r.now()}
	if r.learned.due(p.start) {
		r.replan(p.start)
	}
	if p.start.Sub(r.ended) > longestTrust {
		r.known = 0
	}
	if r.stranger(l) {
		if ok, err := r.meet(ctx, l, p.start); !ok || err != nil {
			return err
		}
	}
	r.scales.begin()
	r.failAbsent(p.start)
	if ok, err := r.ask(ctx, l, &p, r.requests); !ok || err != nil {
		return err
	}
	for range maxScalings {
		values, factors := r.scales.todo()
		if p.silent != nil || len(factors) == 0 {
			break
		}
		if ok, err := r.ask(ctx, l, &p, append(r.parts(values), r.parts(factors)...)); !ok || err != nil {
			return err
		}
	}
	r.scales.giveUp(reasonOf(p.silent), r.scale)
	if p.silent == nil && (p.news || r.learned.settle(p.start)) {
		r.replan(p.start)
	}
	for i := range r.samples {
		if r.samples[i].Quality.Validity() == telemetry.Good {
			r.good++
		}
	}
	return nil
}

// polling is how far a poll has come.
type polling struct {
	start  time.Time
	silent error // why the rest isn't asked for
	met    bool  // the device was recognised on another connection
	parts  int   // refusals for which was asked in parts
	news   bool  // about what the device has
}

// ask makes requests, and others in their place where they are refused. It reports
// false if the poll has failed as a whole.
func (r *reader) ask(ctx context.Context, l *link, p *polling, todo []request) (ok bool, err error) {
	for len(todo) > 0 {
		req := todo[0]
		todo = todo[1:]
		if p.silent != nil {
			r.fail(req, p.silent)
			continue
		}
		data, err := l.read(ctx, r.meter, req)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		r.ended = p.start.Add(l.received.Sub(p.start))
		if err == nil && r.stranger(l) && !p.met {
			// Another connection was made for this request. One that doesn't outlive
			// an answer can't be told from it, so only once.
			p.met = true
			if ok, err := r.meet(ctx, l, p.start); !ok || err != nil {
				return false, err
			}
			todo = append([]request{req}, todo...)
			continue
		}
		if err == nil {
			r.answered = true
			r.outcomes = append(r.outcomes, outcome{req, nil})
			p.news = r.learned.has(req) || p.news
			r.decode(req, data, telemetry.MicrosOf(p.start.Add(l.taken.Sub(p.start))))
			continue
		}
		switch reasonOf(err) {
		case telemetry.Timeout, telemetry.NotConnected:
			p.silent, r.known = err, 0
		case telemetry.Refused:
			r.answered = true
			if exceptionOf(err) == goburrow.ExceptionCodeAcknowledge {
				p.silent = err // it is at something long: in the next slot
				break
			}
			p.news = true
			if p.parts < maxParts {
				if instead := r.learned.part(req, err, p.start); instead != nil {
					p.parts++
					todo = append(instead, todo...)
					continue
				}
				r.learned.lacks(req, err, p.start, r.PollEvery)
			}
		}
		r.fail(req, err)
	}
	return true, nil
}

// stranger reports whether it isn't known what answers on the link's connection.
func (r *reader) stranger(l *link) bool {
	return len(r.Identity) > 0 && (r.known == 0 || r.known != l.dialled)
}

// meet recognises the device. It reports false, and the poll has failed, if that is
// another's.
func (r *reader) meet(ctx context.Context, l *link, start time.Time) (ok bool, err error) {
	req, err := r.recognise(ctx, l)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		r.failAll(req, err, start.Add(l.received.Sub(start)))
		return false, nil
	}
	r.known = l.dialled
	return true, nil
}

// recognise reads the device's identity. It fails if that is another's, too.
func (r *reader) recognise(ctx context.Context, l *link) (request, error) {
	for _, want := range r.Identity {
		req := request{table: want.Table, first: want.Address, count: 1}
		data, err := l.read(ctx, r.meter, req)
		switch {
		case exceptionOf(err) == goburrow.ExceptionCodeIllegalDataAddress:
			return req, &failure{telemetry.WrongDevice, fmt.Errorf("this is another device: it hasn't got the register, expected %d in it", want.Value)}
		case err != nil:
			return req, err
		}
		if got := binary.BigEndian.Uint16(data); got != want.Value {
			return req, &failure{telemetry.WrongDevice, fmt.Errorf("this is another device: the register holds %d, expected %d", got, want.Value)}
		}
	}
	return request{}, nil
}

// failAll fails a poll as a whole because of one request.
func (r *reader) failAll(req request, err error, at time.Time) {
	reason := reasonOf(err)
	r.ended = at
	r.answered = reason == telemetry.WrongDevice || reason == telemetry.Refused
	r.good, r.known = 0, 0
	r.outcomes = append(r.outcomes, outcome{req, err})
	r.failItems(r.items, telemetry.MicrosOf(at), reason)
}

func (r *reader) decode(req request, data []byte, at telemetry.Micros) {
	r.scales.turn++
	for _, it := range req.items {
		for _, i := range it.points {
			if i >= len(r.Points) {
				continue
			}
			d := &r.decoders[i]
			value, reason := d.value(data, int(d.address)-int(req.first))
			if !r.scales.wait(i, value, reason, at) {
				r.samples[i] = r.sample(i, at, value, reason)
			}
		}
	}
	if len(r.points) == len(r.Points) {
		return
	}
	for _, it := range req.items { // with their values there
		if i := it.points[0]; i >= len(r.Points) {
			d := &r.decoders[i]
			r.scales.read(i, newFactor(d.value(data, int(d.address)-int(req.first))), r.scale)
		}
	}
}

// scale gives a point the value that has waited for its factor.
func (r *reader) scale(w *scaling, f factor) {
	r.samples[w.point] = r.sample(w.point, w.at, telemetry.FloatValue(r.decoders[w.point].scale(f.apply(w.raw))), f.reason)
}

func (r *reader) sample(i int, at telemetry.Micros, value telemetry.Value, reason telemetry.Reason) telemetry.Sample {
	s := telemetry.Sample{Time: at, Signal: r.decoders[i].signal}
	if reason == telemetry.NoReason {
		s.Value = value
		s.Quality = telemetry.MakeQuality(telemetry.Good, telemetry.GatewayTime, telemetry.NoReason)
	} else {
		s.Quality = telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, reason)
	}
	return s
}

// fail gives a request's points the reason why they have no value.
func (r *reader) fail(req request, err error) {
	r.outcomes = append(r.outcomes, outcome{req, err})
	r.failItems(req.items, telemetry.MicrosOf(r.ended), reasonOf(err))
}

func (r *reader) failItems(items []item, at telemetry.Micros, reason telemetry.Reason) {
	r.scales.turn++
	for _, it := range items {
		for _, i := range it.points {
			if i >= len(r.Points) {
				r.scales.read(i, factor{reason: reason}, r.scale)
				continue
			}
			r.scales.wait(i, telemetry.Value{}, reason, at)
			r.samples[i] = r.sample(i, at, telemetry.Value{}, reason)
		}
	}
}

// failAbsent fails what the device refused when it was asked last; what is asked
// for again in this poll overwrites it.
func (r *reader) failAbsent(at time.Time) {
	if r.learned.lacking == 0 {
		return
	}
	for i, a := range r.learned.absent {
		if a.err != nil {
			r.failItems(r.items[i:i+1], telemetry.MicrosOf(at), reasonOf(a.err))
		}
	}
}

func (m *meter) wrap(req request, err error) error {
	return fmt.Errorf("modbus: read %v of meter %s at %s: %w", req, m.ID, m.endpoint.Address, err)
}
