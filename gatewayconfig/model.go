package gatewayconfig

import (
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// Model is what the configuration's rules are about. The signals come device by
// device in the order of the configuration, each device's own followed by its
// telemetry.ChannelLive, and then the gateway's own; a signal's ID is its index here
// plus 1, until the caller replaces it.
func (c Config) Model() rules.Model {
	m := rules.Model{Gateway: c.Gateway.ID}
	for _, a := range c.Assets {
		m.Assets = append(m.Assets, rules.Asset{
			ID: a.ID, Kind: a.Kind, Parent: a.Parent,
			NominalVoltage: base(a.NominalVoltage), RatedCurrent: base(a.RatedCurrent),
		})
	}
	own := c.Gateway.signals()
	signals := len(own)
	for _, d := range c.Devices {
		signals += len(d.Signals) + 1
	}
	m.Signals = make([]telemetry.Signal, 0, signals)
	add := func(device, asset string, s telemetry.Signal) {
		s.ID, s.Device, s.Asset = telemetry.SignalID(len(m.Signals)+1), device, asset
		m.Signals = append(m.Signals, s)
	}
	for _, d := range c.Devices {
		m.Devices = append(m.Devices, rules.Device{
			ID: d.ID, Asset: d.Asset, PoweredBy: rules.PoweredBy(d.PoweredBy), Supply: d.Supply, Bus: d.bus(),
			PollEvery: time.Duration(d.PollEvery), Open: d.Open(),
		})
		for _, s := range d.Signals {
			states, flags := s.Names()
			add(d.ID, d.Asset, telemetry.Signal{Name: s.Name, Unit: s.Unit, Kind: s.Kind, States: states, Flags: flags})
		}
		add(d.ID, d.Asset, telemetry.Signal{Name: telemetry.ChannelLive, Unit: "1", Kind: telemetry.State})
	}
	if len(own) > 0 {
		m.Devices = append(m.Devices, rules.Device{ID: c.Gateway.ID, Asset: c.Gateway.ID})
	}
	for _, s := range own {
		add(c.Gateway.ID, c.Gateway.ID, s)
	}
	return m
}

// ClockStates are the values of rules.ClockState.
var ClockStates = map[telemetry.ClockState]int64{telemetry.ClockUnset: 0, telemetry.ClockFreeRunning: 1, telemetry.ClockSynchronised: 2}

// What a gateway tells of itself each minute, beside what rules read.
const (
	BufferUse        = "BufUse"  // bytes that its buffer takes
	BufferLeft       = "BufLeft" // how long the buffer lasts without the log, in s; not while the rate at which it fills isn't known
	SoftwareRevision = "SwRev"   // its version, as text; once after each start
)

// signals are the gateway's own; none of a configuration for one device without a
// gateway.
func (g Gateway) signals() []telemetry.Signal {
	if g.ID == "" {
		return nil
	}
	states := telemetry.States{}
	for state, value := range ClockStates {
		states[value] = string(state)
	}
	list := []telemetry.Signal{
		{Name: rules.ClockState, Unit: "1", Kind: telemetry.State, States: states},
		{Name: BufferUse, Unit: "By", Kind: telemetry.Gauge},
		{Name: BufferLeft, Unit: "s", Kind: telemetry.Gauge},
		{Name: SoftwareRevision, Unit: "1", Kind: telemetry.State},
	}
	if g.Mains != nil {
		list = append(list, telemetry.Signal{Name: rules.Mains, Unit: "1", Kind: telemetry.State})
	}
	return list
}

// base is a voltage in V or a current in A, 0 if there is none.
func base(q *configfile.Quantity) float64 {
	switch {
	case q == nil:
		return 0
	case q.Unit == "kV" || q.Unit == "kA":
		return q.Value * 1000
	}
	return q.Value
}
