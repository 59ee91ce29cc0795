package gatewayconfig

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/telemetry"
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

	// Where they lie in messages, of a device that is read by mqtt: one signal at each topic
	// that topic matches.
	profile.Payload `yaml:",inline"`

	// By mqtt: what they are called, with {1} for what the first wildcard of topic matches,
	// {2} for the second. What can't be in a name becomes _. Example: {1}.TotW.
	Name string `yaml:"name"`
	// By mqtt: what their values are: string, a text, or bool. Default: a number.
	Type modbus.Type `yaml:"type"`
	// By mqtt: what the raw value is multiplied by to be in unit; not 0. Default: 1.
	Scale float64 `yaml:"scale"`
	// By mqtt: what is then added, in unit. Default: 0.
	Offset float64 `yaml:"offset"`
	// By mqtt: what values mean over time: gauge, counter or state. Default: gauge for
	// numbers, else state.
	Kind telemetry.Kind `yaml:"kind"`
	// By mqtt: what the values of a state are called, as of a signal.
	States map[string]string `yaml:"states"`

	// Of sparkplug: what is read, as patterns of node/metric or node/device/metric in
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

// followKeys are the keys of follow that only one protocol has.
var followKeys = map[profile.Protocol][]string{
	profile.OPCUA: {"node", "match"},
	profile.MQTT: {
		"topic", "json", "format", "measurement", "field", "tags", "time", "time_unit", "stale_after",
		"name", "type", "scale", "offset", "kind", "states",
	},
	profile.Sparkplug: {"metrics"},
}

// checkFollow checks what all protocols have of follow, and that it has nothing of
// another one.
func (k checker) checkFollow(path string, by profile.Protocol, d Device) {
	for i, f := range d.Follow {
		at := configfile.Item(path+".follow", i)
		for _, other := range slices.Sorted(maps.Keys(followKeys)) {
			for _, key := range followKeys[other] {
				if other != by && k.Has(at+"."+key) {
					k.Errorf(at+"."+key, "the device is read by %s, which hasn't got this, expected the key to be left out", by)
				}
			}
		}
		if by != profile.MQTT { // whose follow is a signal in all but its name
			profile.CheckMeaning(k.File, at, Signal{Unit: cmp.Or(f.Unit, "1"), Scale: 1, Deadband: f.Deadband, ReportEvery: f.ReportEvery})
		}
	}
}

// Open reports whether the device tells by itself which signals it has.
func (d Device) Open() bool {
	return len(d.Follow) > 0 || len(d.Alarms) > 0 || d.Sparkplug != nil
}

// Fingerprint changes with what decides which signals a device tells of itself.
func (d Device) Fingerprint() string {
	decides := struct {
		Follow []Follow
		Server string   `json:",omitempty"`
		Groups []string `json:",omitempty"`
		Alarms []Alarms `json:",omitempty"`
	}{Follow: d.Follow, Alarms: d.Alarms}
	switch {
	case d.OPCUA != nil:
		decides.Server = d.OPCUA.Endpoint
	case d.Sparkplug != nil:
		decides.Groups = d.Sparkplug.Groups
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
			s.Fill()
			d.Signals = append(d.Signals, s)
		}
	}
	return c
}
