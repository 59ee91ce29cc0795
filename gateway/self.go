package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// self is the gateway as a device of its own: how far it knows the time, whether its
// supply is there, how full its buffer is, and which version it is. It stands between the adapters and the pipeline, so that a last
// gasp is sent before anything else that the failure of the supply brings about.
type self struct {
	sink   adapters.Sink // the pipeline
	clock  *clock.Clock
	supply *supply
	// What it tells, and how often.
	report  func() buffer.Report
	version string
	every   time.Duration

	mu    sync.Mutex
	ids   selfIDs
	mains telemetry.Sample // as delivered last; its Signal is 0 before the first
}

// selfIDs are the signals that it delivers and watches; 0: there is none.
type selfIDs struct {
	device                string
	clock, mains          telemetry.SignalID
	use, left, revision   telemetry.SignalID
	watched               string // the device that says whether the supply is there
	there, batteryRuntime telemetry.SignalID
}

// selfIDs are those of the configuration.
func (d *devices) selfIDs() selfIDs {
	ids := selfIDs{device: d.config.Gateway.ID, clock: d.own(rules.ClockState), mains: d.own(rules.Mains),
		use: d.own(gatewayconfig.BufferUse), left: d.own(gatewayconfig.BufferLeft), revision: d.own(gatewayconfig.SoftwareRevision)}
	m := d.config.Gateway.Mains
	if m == nil {
		return ids
	}
	ids.watched, ids.there = m.Device, d.signal(m.Device, m.Signal)
	for _, c := range d.config.Devices {
		for _, s := range c.Signals {
			if c.ID == m.Device && s.Variable == batteryRuntime && s.Scale == 1 && s.Offset == 0 {
				ids.batteryRuntime = d.signal(c.ID, s.Name)
			}
		}
	}
	return ids
}

// batteryRuntime is the variable of a UPS that says how long it lasts, in s, if it is
// taken as it is.
const batteryRuntime = "battery.runtime"

// change has it watch the signals of another configuration.
func (s *self) change(ids selfIDs) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = ids
}

// Deliver implements adapters.Sink.
func (s *self) Deliver(ctx context.Context, b adapters.Batch) error {
	own, changed := s.watch(b)
	if err := s.sink.Deliver(ctx, b); err != nil || !changed {
		return err
	}
	return s.sink.Deliver(ctx, own)
}

// watch looks for what a batch says about the supply, and tells when that fails or is
// back. If it says something new, that is a batch of the gateway's own.
func (s *self) watch(b adapters.Batch) (own adapters.Batch, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids.there == 0 || b.Device != s.ids.watched {
		return own, false
	}
	own = adapters.Batch{Device: s.ids.device, Received: b.Received}
	for _, v := range b.Samples { // a last gasp says how long the battery lasts by the same reading
		if v.Signal == s.ids.batteryRuntime {
			s.supply.lasts(number(v))
		}
	}
	for _, v := range b.Samples {
		if v.Signal != s.ids.there {
			continue
		}
		mains := telemetry.Sample{Time: v.Time, Signal: s.ids.mains, Quality: v.Quality}
		if n, known := number(v); known {
			mains.Value = telemetry.BoolValue(n != 0)
			s.supply.is(n != 0, b.Received.Add(v.Time.Sub(telemetry.MicrosOf(b.Received))))
		} else {
			s.supply.unknown()
		}
		if mains.Value != s.mains.Value || mains.Quality != s.mains.Quality || s.mains.Signal != mains.Signal {
			s.mains = mains
			own.Samples = append(own.Samples, mains)
		}
	}
	return own, len(own.Samples) > 0
}

// number is what a sample says, if it does.
func number(v telemetry.Sample) (n float64, known bool) {
	n, known = v.Value.Float()
	return n, known && v.Quality.Validity() != telemetry.Bad
}

// tellEvery is how often the gateway tells how full its buffer is, at most.
const tellEvery = time.Minute

// run tells of the clock whenever its state changes, and at the start, and of the
// buffer each minute, until ctx ends.
func (s *self) run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	minutes := time.NewTicker(s.every)
	defer minutes.Stop()
	version := s.version
	var told telemetry.ClockState
	for {
		if state := s.clock.Stats().State; state != told {
			told = state
			if s.tellClock(ctx, state) != nil {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.supply.settle()
		case now := <-minutes.C:
			if s.tellBuffer(ctx, now, version) != nil {
				return
			}
			version = ""
		case <-s.supply.unsaved:
			s.supply.save()
		}
	}
}

func (s *self) tellClock(ctx context.Context, state telemetry.ClockState) error {
	s.mu.Lock()
	ids := s.ids
	s.mu.Unlock()
	now := time.Now()
	return s.sink.Deliver(ctx, adapters.Batch{Device: ids.device, Received: now, Samples: []telemetry.Sample{{
		Time: telemetry.MicrosOf(now), Signal: ids.clock, Value: telemetry.IntValue(gatewayconfig.ClockStates[state]),
	}}})
}

// tellBuffer tells how full the buffer is, and the version unless it is empty.
func (s *self) tellBuffer(ctx context.Context, now time.Time, version string) error {
	s.mu.Lock()
	ids := s.ids
	s.mu.Unlock()
	r, at := s.report(), telemetry.MicrosOf(now)
	b := adapters.Batch{Device: ids.device, Received: now, Samples: []telemetry.Sample{
		{Time: at, Signal: ids.use, Value: telemetry.IntValue(r.Telemetry + r.Events + r.Books + r.SetAside)},
	}}
	if r.Left >= 0 {
		b.Samples = append(b.Samples, telemetry.Sample{Time: at, Signal: ids.left, Value: telemetry.IntValue(int64(r.Left.Seconds()))})
	}
	if version != "" {
		b.Samples = append(b.Samples, telemetry.Sample{Time: at, Signal: ids.revision, Value: telemetry.TextValue(version)})
	}
	return s.sink.Deliver(ctx, b)
}
