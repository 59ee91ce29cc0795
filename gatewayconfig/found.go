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
	// Of opcua: the node below which everything is read that can be, by its id, as node of
	// a signal has it. The signals have the names on the way to it from there, with dots
	// between. Default: the server's Objects folder, i=85.
	// Example: nsu=urn:example;s=Plant.
	Node string `yaml:"node"`

	// Of opcua: which of that: names on the way with dots between, in which * stands for
	// any part of a name and ** for any number of names. Default: "**".
	// Example: "**.Temperature".
	Match string `yaml:"match"`

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
func (d Device) Open() bool { return len(d.Follow) > 0 }

// Fingerprint changes with what decides which signals a device tells of itself.
func (d Device) Fingerprint() string {
	server := ""
	if d.OPCUA != nil {
		server = d.OPCUA.Endpoint
	}
	text, err := json.Marshal(struct {
		Follow []Follow
		Server string
	}{d.Follow, server})
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
