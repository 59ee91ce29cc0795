package gatewayconfig

import (
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// Model is what the configuration's rules are about. The signals come device by
// device in the order of the configuration, each device's own followed by its
// telemetry.ChannelLive; a signal's ID is its index here plus 1, until the
// caller replaces it.
func (c Config) Model() rules.Model {
	m := rules.Model{Gateway: c.Gateway.ID}
	for _, a := range c.Assets {
		m.Assets = append(m.Assets, rules.Asset{
			ID: a.ID, Kind: a.Kind, Parent: a.Parent,
			NominalVoltage: base(a.NominalVoltage), RatedCurrent: base(a.RatedCurrent),
		})
	}
	signals := 0
	for _, d := range c.Devices {
		signals += len(d.Signals) + 1
	}
	m.Signals = make([]telemetry.Signal, 0, signals)
	for _, d := range c.Devices {
		m.Devices = append(m.Devices, rules.Device{
			ID: d.ID, Asset: d.Asset, PoweredBy: rules.PoweredBy(d.PoweredBy), Supply: d.Supply, Bus: d.bus(),
			PollEvery: time.Duration(d.PollEvery),
		})
		add := func(s telemetry.Signal) {
			s.ID, s.Device, s.Asset = telemetry.SignalID(len(m.Signals)+1), d.ID, d.Asset
			m.Signals = append(m.Signals, s)
		}
		for _, s := range d.Signals {
			states, flags := s.Names()
			add(telemetry.Signal{Name: s.Name, Unit: s.Unit, Kind: s.Kind, States: states, Flags: flags})
		}
		add(telemetry.Signal{Name: telemetry.ChannelLive, Unit: "1", Kind: telemetry.State})
	}
	return m
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
