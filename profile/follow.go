package profile

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/mqtt"
	"github.com/busbar/busbar/configfile"
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
	Payload `yaml:",inline"`

	// By mqtt: what they are called, with {1} for what the first wildcard of topic matches,
	// {2} for the second. What can't be in a name becomes _. With a profile, an entry without
	// a topic replaces what it gives of the profile's of that name, and what {topic} in one
	// matches is in front of the name. Example: {1}.TotW.
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
	// By mqtt: the convention by which topics of a node and a property, at the end of topic,
	// say their type and unit: homie-4, by the attributes $datatype and $unit, or homie-5, by
	// the $description of the device. Nothing is read of one that doesn't. Default: none.
	DescribedBy mqtt.Convention `yaml:"described_by"`

	// Of sparkplug: what is read, as patterns of node/metric or node/device/metric in
	// which * stands for any text. Default: everything. Example: ["*/pump-1/*"].
	Metrics []string `yaml:"metrics"`

	// The unit of all of them after UCUM, for devices that don't say it. Default: what the
	// device says, or "1". Example: Cel.
	Unit string `yaml:"unit"`

	// How far a value may move before it is stored again, as of a signal.
	Deadband *Deadband `yaml:"deadband"`

	// How long after a value the next one is stored with a deadband; from 1s to 24h.
	// Default: 1m.
	ReportEvery configfile.Duration `yaml:"report_every"`

	// Sources is how many of the first wildcards of topic say which of many devices it is.
	Sources int `yaml:"-" json:"-"`
}

// SetDefaults is called before what is followed is read.
func (f *Follow) SetDefaults() { f.Scale = 1 }

// followKeys are the keys of follow that only one protocol has.
var followKeys = map[Protocol][]string{
	OPCUA: {"node", "match"},
	MQTT: {
		"topic", "json", "format", "measurement", "field", "tags", "time", "time_unit", "stale_after",
		"name", "type", "scale", "offset", "kind", "states", "described_by",
	},
	Sparkplug: {"metrics"},
}

// told are the keys of what a convention describes.
var told = []string{"json", "format", "time", "type", "scale", "offset", "kind", "states", "unit"}

// Signal is one of those that are found, with the name that all of them are given by.
func (f Follow) Signal() Signal {
	return Signal{
		Payload: f.Payload, Name: f.Name, Type: f.Type, Scale: f.Scale, Offset: f.Offset, Kind: f.Kind, States: f.States, Unit: f.Unit,
		Deadband: f.Deadband, ReportEvery: f.ReportEvery,
	}
}

// MQTT is what is followed, of a device that is read by mqtt.
func (f Follow) MQTT() mqtt.Follow {
	s := f.Signal()
	return mqtt.Follow{
		Topic: f.Topic, Name: f.Name, Sources: f.Sources, Described: f.DescribedBy,
		Selector: s.selector(), Kind: s.impliedKind(), StaleAfter: time.Duration(f.StaleAfter),
	}
}

// CheckFollow adds what is wrong with what of a device is followed, as it stands at path
// of f.
func CheckFollow(f *configfile.File, path string, by Protocol, follow Follow) {
	for _, other := range slices.Sorted(maps.Keys(followKeys)) {
		for _, key := range followKeys[other] {
			if other != by && f.Has(path+"."+key) {
				f.Errorf(path+"."+key, "the device is read by %s, which hasn't got this, expected the key to be left out", by)
			}
		}
	}
	if by == MQTT {
		checker{f}.followed(path, follow)
	} else {
		k := checker{f}
		s := Signal{Unit: cmp.Or(follow.Unit, "1"), Scale: 1, Deadband: follow.Deadband, ReportEvery: follow.ReportEvery}
		k.meaning(path, s)
		k.reports(path, s)
	}
}

// followed checks what is read of the topics of a filter.
func (k checker) followed(path string, f Follow) {
	switch {
	case k.Broken(path + ".topic"):
	case f.Topic == "":
		k.Errorf(path, "no address, expected topic")
	default:
		if err := mqtt.CheckFilter(f.Topic); err != nil {
			k.Errorf(path+".topic", "%q, %s", f.Topic, err)
			break
		}
		if f.Name == "" && !k.Broken(path+".name") {
			k.Errorf(path, "what they are called isn't said, expected name, such as {1}.TotW")
		} else if err := mqtt.CheckName(f.Name, f.Topic); err != nil {
			k.Errorf(path+".name", "%q, %s", f.Name, err)
		}
	}
	k.followedValue(path, f)
}

// followedValue checks what the values are.
func (k checker) followedValue(path string, f Follow) {
	s := f.Signal()
	CheckPayload(k.File, path, s)
	if f.DescribedBy != "" {
		k.described(path, f)
		s.Unit = cmp.Or(s.Unit, "1")
	}
	k.meaning(path, s)
	k.reports(path, s)
	if len(s.States) > 0 {
		k.messageStates(path, s)
	}
}

func (k checker) described(path string, f Follow) {
	if !slices.Contains(mqtt.Conventions, f.DescribedBy) {
		k.Errorf(path+".described_by", "%q, expected %s or %s", f.DescribedBy, mqtt.Homie4, mqtt.Homie5)
		return
	}
	if err := mqtt.CheckDescribed(f.Topic); err != nil && f.Topic != "" {
		k.Errorf(path+".topic", "%q, %s", f.Topic, err)
	}
	for _, key := range told {
		if k.Has(path + "." + key) {
			k.Errorf(path+"."+key, "what the values are is described by %s, expected the key to be left out", f.DescribedBy)
		}
	}
}

// OverrideFollow is what a profile follows with a device's own over it: one without a
// topic replaces what it gives of the profile's of the same name, others come after them.
// given says which keys the j-th of own has; place is, for each of the result, where in
// own it was, or -1. It leaves out what overrides nothing.
func OverrideFollow(follow, own []Follow, given func(j int, key string) bool) (merged []Follow, place []int, unknown []int) {
	merged = slices.Clone(follow)
	place = slices.Repeat([]int{-1}, len(follow))
	for j, f := range own {
		if given(j, "topic") {
			merged, place = append(merged, f), append(place, j)
			continue
		}
		i := slices.IndexFunc(merged, func(of Follow) bool { return of.Name == f.Name })
		if i < 0 {
			unknown = append(unknown, j)
			continue
		}
		place[i] = j
		overlay(reflect.ValueOf(&merged[i]).Elem(), reflect.ValueOf(f), func(key string) bool { return given(j, key) })
	}
	return merged, place, unknown
}

// TopicPlace stands in the topics of a profile for that of the device.
const TopicPlace = "{topic}"

// At is what is followed of a device, or of many, whose own topic is that; what has no
// place for it is as it is.
func (f Follow) At(topic string) Follow {
	if !strings.Contains(f.Topic, TopicPlace) {
		return f
	}
	f.Sources = wildcards(topic)
	own := wildcards(f.Topic)
	f.Topic = strings.ReplaceAll(f.Topic, TopicPlace, topic)
	if f.Sources == 0 {
		return f
	}
	for i := own; i > 0; i-- { // from the last, so that none is renamed twice
		f.Name = strings.ReplaceAll(f.Name, number(i), number(i+f.Sources))
	}
	var of strings.Builder
	for i := range f.Sources {
		of.WriteString(number(i+1) + ".")
	}
	f.Name = of.String() + f.Name
	return f
}

func wildcards(filter string) (n int) {
	for level := range strings.SplitSeq(filter, "/") {
		if level == "+" || level == "#" {
			n++
		}
	}
	return n
}
