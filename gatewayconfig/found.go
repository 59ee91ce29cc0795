package gatewayconfig

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/profile"
)

// Follow is what of a device is read without being written down signal by signal.
type Follow = profile.Follow

// Open reports whether the device tells by itself which signals it has.
func (d Device) Open() bool {
	return len(d.Follow) > 0 || len(d.Alarms) > 0 || d.Sparkplug != nil || d.Meter()
}

// Fingerprint changes with what decides which signals a device tells of itself.
func (d Device) Fingerprint() string {
	decides := struct {
		Follow []Follow
		Server string   `json:",omitempty"`
		Groups []string `json:",omitempty"`
		Alarms []Alarms `json:",omitempty"`
		Codes  []string `json:",omitempty"`
	}{Follow: d.Follow, Alarms: d.Alarms}
	switch {
	case d.OPCUA != nil:
		decides.Server = d.OPCUA.Endpoint
	case d.Sparkplug != nil:
		decides.Groups = d.Sparkplug.Groups
	case d.Meter():
		decides.Server = string(d.speaks())
		for _, s := range d.Written() {
			decides.Codes = append(decides.Codes, s.Name+" "+s.OBIS)
		}
	}
	text, err := json.Marshal(decides)
	if err != nil {
		panic(err) // it has nothing but texts and numbers
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// Written are the signals that are written down, which come first.
func (d Device) Written() []Signal {
	n := slices.IndexFunc(d.Signals, func(s Signal) bool { return s.Found != "" })
	if n < 0 {
		n = len(d.Signals)
	}
	return d.Signals[:n:n]
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
		d.Signals = append(make([]Signal, 0, len(d.Signals)+len(list)), d.Signals...)
		for _, f := range list {
			s := Signal{Name: f.Name, Unit: f.Unit, Kind: f.Kind, Scale: 1, Found: f.Encoding}
			for value, name := range f.States {
				if s.States == nil {
					s.States = map[string]string{}
				}
				s.States[fmt.Sprint(value)] = name
			}
			if f.Follow >= 0 && f.Follow < len(d.Follow) {
				from := d.Follow[f.Follow]
				if from.Unit != "" {
					s.Unit = from.Unit
				}
				s.Deadband, s.ReportEvery = from.Deadband, from.ReportEvery
			}
			if d.Meter() { // it tells the same again and again
				s.Deadband = &profile.Deadband{}
			}
			s.Fill()
			d.Signals = append(d.Signals, s)
		}
	}
	return c
}
