// Package sim plays meters and the faults of their feeders, and keeps a log of
// the truth beside.
//
// The truth log is JSON lines. Each has time_us (µs UTC) and what:
//
//	start, stop              the simulation's own
//	fault-begin, fault-end   kind, and feeder, or device and how it misbehaves
//	device-off, device-on    device and feeder: a self-powered meter stops and works again
//	answers                  answers: how often each device has answered a read of register 0x1000
//
// The time of a fault is just before its first effect. The answers are written
// every second, and once more when nothing is answered any longer, before stop.
package sim

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/sim/script"
	"github.com/busbar/busbar/sim/simbench"
)

const snapshotEvery = time.Second

// Simulator is a simulation that runs once.
type Simulator struct {
	log     *slog.Logger
	truth   *truthLog
	script  *script.Script
	faults  []*fault
	meters  []*meter
	servers map[string]*devices.Server // by the address as configured
	began   time.Time
}

type fault struct {
	script.Fault
	active bool
}

type meter struct {
	Device
	*devices.Meter
	condition script.Condition
}

// New checks the configuration, and opens the ports and the truth log, which Run
// closes. Its error has everything that is wrong with the configuration.
func New(c Config, log *slog.Logger) (*Simulator, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	plan, err := c.script()
	if err != nil {
		return nil, err
	}
	s := &Simulator{log: log, script: plan, servers: map[string]*devices.Server{}}
	for _, f := range c.faults() {
		s.faults = append(s.faults, &fault{Fault: f})
	}
	units := map[string]map[byte]devices.Unit{}
	for _, d := range c.Devices {
		profile, err := simbench.Load(d.Profile)
		if err != nil {
			return nil, err
		}
		product, err := d.product()
		if err != nil {
			return nil, err
		}
		m := &meter{
			Device: d,
			Meter: devices.NewMeter(devices.MeterConfig{
				ID: d.ID, Seed: c.Sim.Seed, Product: product, Profile: profile, Speed: c.Sim.Speed,
				RatedPower: d.RatedPower.Value * watts[d.RatedPower.Unit],
				Clock:      func() time.Duration { return time.Since(s.began) },
			}),
			condition: script.Condition{Live: true, Powered: true},
		}
		s.meters = append(s.meters, m)
		if units[d.Listen] == nil {
			units[d.Listen] = map[byte]devices.Unit{}
		}
		units[d.Listen][byte(d.Unit)] = m.Meter
	}
	if s.truth, err = openTruthLog(string(c.Sim.TruthLog)); err != nil {
		return nil, err
	}
	for address, units := range units {
		if s.servers[address], err = devices.NewBus(units, c.Sim.Seed).Listen(address, log); err != nil {
			delete(s.servers, address)
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

func (s *Simulator) close() error {
	for _, server := range s.servers {
		_ = server.Close()
	}
	return s.truth.close()
}

// Address is where a device listens, "" for one that isn't there. It differs
// from the configured address if that asked for port 0. It is safe for
// concurrent use.
func (s *Simulator) Address(device string) string {
	for _, m := range s.meters {
		if m.ID == device {
			return s.servers[m.Listen].Addr().String()
		}
	}
	return ""
}

// Answers is how often each device has answered a read of register 0x1000. It is
// safe for concurrent use.
func (s *Simulator) Answers() map[string]uint32 {
	answers := map[string]uint32{}
	for _, m := range s.meters {
		answers[m.ID] = m.Answers()
	}
	return answers
}

// Run simulates until ctx ends, and returns when the ports are closed and the
// truth log is complete. Its error is that of the truth log, without which it
// doesn't go on. It must be called once.
func (s *Simulator) Run(ctx context.Context) error {
	s.began = time.Now()
	err := errors.Join(s.truth.write(s.began, truth{What: "start"}), s.apply(0))

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err == nil {
		var serving sync.WaitGroup
		for _, server := range s.servers {
			serving.Go(func() { server.Serve(ctx) })
		}
		s.log.Info("simulation started", "devices", len(s.meters), "faults", len(s.faults))
		err = s.play(ctx)
		cancel()
		serving.Wait()
		s.log.Info("simulation stopped")
	}
	return errors.Join(err, s.snapshot(), s.truth.write(time.Now(), truth{What: "stop"}), s.close())
}

// play applies the script until ctx ends.
func (s *Simulator) play(ctx context.Context) error {
	snapshots := time.NewTicker(snapshotEvery)
	defer snapshots.Stop()
	var at time.Duration
	for {
		var change <-chan time.Time
		next, ok := s.script.Next(at)
		if ok {
			change = time.After(time.Until(s.began.Add(next)))
		}
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-change:
			at = next
			err = s.apply(at)
		case <-snapshots.C:
			err = s.snapshot()
		}
		if err != nil {
			return err
		}
	}
}

func (s *Simulator) snapshot() error {
	return s.truth.write(time.Now(), truth{What: "answers", Answers: s.Answers()})
}

// apply brings everything into the state of a time since the start, and says
// what has changed.
func (s *Simulator) apply(at time.Duration) error {
	now := time.Now()
	wasDark := s.dark()
	var changed, behaves []*meter
	for _, m := range s.meters {
		was := m.condition
		m.condition = s.script.Condition(m.ID, at)
		m.SetSupply(m.condition.Live)
		if m.condition.Powered != was.Powered {
			changed = append(changed, m)
		}
		if m.condition.Powered != was.Powered || m.condition.How != was.How {
			behaves = append(behaves, m)
		}
	}
	isDark := s.dark()
	for address, server := range s.servers {
		if wasDark[address] && !isDark[address] {
			server.Reset() // before its meters answer anything on a connection that they can't know
		}
	}
	for _, m := range behaves {
		s.servers[m.Listen].Misbehave(byte(m.Unit), misbehaviour(m.condition)...)
	}

	var errs []error
	for _, f := range s.faults {
		if f.Active(at) == f.active {
			continue
		}
		f.active = !f.active
		what, message := "fault-end", "fault ends"
		if f.active {
			what, message = "fault-begin", "fault begins"
		}
		if f.Kind == script.Outage {
			s.log.Info(message, "kind", f.Kind, "feeder", f.Feeder)
		} else {
			s.log.Info(message, "kind", f.Kind, "device", f.Device, "how", f.How)
		}
		errs = append(errs, s.truth.write(now, truth{What: what, Kind: string(f.Kind), How: f.How, Feeder: f.Feeder, Device: f.Device}))
	}
	for _, m := range changed {
		what, message := "device-off", "device lost its power"
		if m.condition.Powered {
			what, message = "device-on", "device works again"
		}
		s.log.Info(message, "device", m.ID, "feeder", m.Feeder)
		errs = append(errs, s.truth.write(now, truth{What: what, Device: m.ID, Feeder: m.Feeder}))
	}
	return errors.Join(errs...)
}

// misbehaviour is how a device answers.
func misbehaviour(c script.Condition) []devices.Misbehaviour {
	if !c.Powered {
		return []devices.Misbehaviour{{Kind: devices.Silent}}
	}
	list, _ := parseHow(c.How)
	return list
}

// parseHow reads what a device does wrong, which all listen for Modbus TCP.
func parseHow(how string) ([]devices.Misbehaviour, error) {
	return devices.ParseMisbehaviours(how, devices.OnTCP, devices.OnConnections)
}

// dark are the addresses where no device has power: those hosts are off, and
// forget their connections.
func (s *Simulator) dark() map[string]bool {
	dark := map[string]bool{}
	for address := range s.servers {
		dark[address] = true
	}
	for _, m := range s.meters {
		if m.condition.Powered {
			delete(dark, m.Listen)
		}
	}
	return dark
}
