package gatewayconfig

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/profile"
)

// Follow is what of a device is read without being written down signal by signal: all
// that it has, or comes to have, at a place. Names, and units that aren't given here, are
// the device's own.
type Follow struct {
	// Of edge nodes: what is read, as patterns of node/metric or node/device/metric in
	// which * stands for any text. Default: everything. Example: ["*/pump-1/*"].
	Metrics []string `yaml:"metrics"`
	// The unit of all of them after UCUM, for devices that don't say it. Default: what the
	// device says, or "1". Example: Cel.
	Unit string `yaml:"unit"`
	// How far a value may move before it is stored again, as of a signal.
	Deadband *profile.Deadband `yaml:"deadband"`
	// How long after a value the next one is stored with a deadband; from 1s to 24h.
	// Default: 1m.
	ReportEvery configfile.Duration `yaml:"report_every"`
}

// Open reports whether the device tells by itself which signals it has.
func (d Device) Open() bool { return len(d.Follow) > 0 || d.Sparkplug != nil }

// Fingerprint changes with what decides which signals a device tells of itself.
func (d Device) Fingerprint() string {
	decides := struct {
		Follow []Follow
		Groups []string `json:",omitempty"`
	}{Follow: d.Follow}
	if d.Sparkplug != nil {
		decides.Groups = d.Sparkplug.Groups
	}
	text, err := json.Marshal(decides)
	if err != nil {
		panic(err) // it has nothing but texts and numbers
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// With is the configuration with the signals that its devices have told of themselves
// behind those that are written down.
func (c Config) With(found func(Device) []adapters.Found) Config {
	c.Devices = slices.Clone(c.Devices)
	for i := range c.Devices {
		d := &c.Devices[i]
		list := found(*d)
		if len(list) == 0 {
			continue
		}
		d.Signals = slices.Clone(d.Signals)
		for _, f := range list {
			s := Signal{Name: f.Name, Unit: f.Unit, Kind: f.Kind, Scale: 1, Found: f.Encoding}
			for value, name := range f.States {
				if s.States == nil {
					s.States = map[string]string{}
				}
				s.States[fmt.Sprint(value)] = name
			}
			if f.Follow < len(d.Follow) {
				from := d.Follow[f.Follow]
				if from.Unit != "" {
					s.Unit = from.Unit
				}
				s.Deadband, s.ReportEvery = from.Deadband, from.ReportEvery
			}
			s.Fill()
			d.Signals = append(d.Signals, s)
		}
	}
	return c
}
