// Package ruletest tests rules: series of values in, the alarms that they are to
// raise and clear out. A file of tests has rules and the network that they are about,
// or names the configuration of a gateway that has both.
package ruletest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// content is a file of tests as it is written.
type content struct {
	// Configuration is the gateway's whose assets, devices and rules are tested,
	// relative to the file. The keys gateway, assets, devices and rules are then its.
	Configuration configfile.Path `yaml:"configuration"`
	// Gateway is the one that the rules run on.
	Gateway gateway `yaml:"gateway"`
	// Assets are as in a gateway's configuration.
	Assets []gatewayconfig.Asset `yaml:"assets"`
	// Devices have what rules know of a device. One with the id of the gateway is the
	// gateway itself, with its signals ClkSt and Mains.
	Devices []device `yaml:"devices"`
	// Rules are as in a gateway's configuration.
	Rules []rules.Rule `yaml:"rules"`
	// Tests are each on their own: none goes on from another.
	Tests []test `yaml:"tests,required"`
}

type gateway struct {
	// ID is the gateway's name. Default: gateway.
	ID string `yaml:"id"`
}

// device has keys of the same name and meaning as in a gateway's configuration.
type device struct {
	ID        string                  `yaml:"id,required"`
	Asset     string                  `yaml:"asset"`
	PoweredBy gatewayconfig.PoweredBy `yaml:"powered_by"`
	Supply    string                  `yaml:"supply"`
	// Bus is a name for what the device is reached by, which a configuration says by its
	// endpoint. Default: nothing that rules know of.
	Bus string `yaml:"bus"`
	// PollEvery is how often the device is read, after which rules know how old a value
	// may be; 0s if its values come by change only, and hold until the next. Default 1s.
	PollEvery configfile.Duration `yaml:"poll_every"`
	Signals   []signal            `yaml:"signals,required"`
}

// SetDefaults implements configfile.Defaulter.
func (d *device) SetDefaults() {
	d.PoweredBy, d.PollEvery = gatewayconfig.Unknown, configfile.Duration(time.Second)
}

type signal struct {
	Name   string            `yaml:"name,required"`
	Unit   string            `yaml:"unit"`
	Kind   telemetry.Kind    `yaml:"kind"`
	States map[string]string `yaml:"states"`
	Flags  map[string]string `yaml:"flags"`
}

// test is values and the alarms that they are to raise and clear.
type test struct {
	// Name says what is shown, to whoever reads that it isn't so any more.
	Name string `yaml:"name,required"`
	// Every is the time from one value of a series to the next; from 1ms to 24h.
	// Default 1s.
	Every configfile.Duration `yaml:"every"`
	// Start is when the first values are read. Default 2026-01-01T00:00:00Z.
	Start instant `yaml:"start"`
	// Series are values by device and signal. The test lasts as long as the longest.
	Series map[string]map[string]values `yaml:"series,required"`
	// Resets are what an operator resets, in the order of their times.
	Resets []reset `yaml:"resets"`
	// Alarms are all that are raised. Default: none.
	Alarms []alarm `yaml:"alarms"`
}

// SetDefaults implements configfile.Defaulter.
func (t *test) SetDefaults() {
	t.Every = configfile.Duration(time.Second)
	t.Start = instant(telemetry.MicrosOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
}

// subject is what an alarm is about: the asset, or the device of a rule that is about
// devices, which is the bus of one about buses.
type subject struct {
	Rule   string `yaml:"rule,required"`
	Asset  string `yaml:"asset"`
	Device string `yaml:"device"`
}

// reset is an active alarm that an operator resets, before what is read at that time.
type reset struct {
	subject `yaml:",inline"`
	At      *configfile.Duration `yaml:"at,required"`
}

// alarm is one that is to be raised. Its times count from the start of the test.
type alarm struct {
	subject `yaml:",inline"`
	// Raised is when the first sample was read on which the condition was true.
	Raised *configfile.Duration `yaml:"raised,required"`
	// Cleared is when the first sample was read on which it was over. Default: the alarm
	// is active at the end of the test.
	Cleared *configfile.Duration `yaml:"cleared"`
	// Confirmed is when the condition had held for the rule's time. Default: any time.
	Confirmed *configfile.Duration `yaml:"confirmed"`
	// Priority and Summary are the alarm's when it is raised. Default: any.
	Priority telemetry.Priority `yaml:"priority"`
	Summary  string             `yaml:"summary"`
	// FirstUp is the rule of the alarm that came first in its group. Default: any.
	FirstUp string `yaml:"first_up"`
}

// instant is a time in RFC 3339.
type instant telemetry.Micros

func (i *instant) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil || t.Year() < 1970 || t.Year() > 9000 {
		return fmt.Errorf("%q is no time, expected one such as 2026-01-01T00:00:00Z", text)
	}
	*i = instant(telemetry.MicrosOf(t))
	return nil
}

// Suite is a file of tests.
type Suite struct {
	file  *configfile.File
	tests []test
	rules []rules.Rule
	model rules.Model
}

// Load reads the file of tests at path. The error is configfile.Errors, with
// everything that is wrong, or configfile.ReadError if the file can't be read.
func Load(path string) (*Suite, error) {
	src, err := configfile.Read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, src)
}

// Parse is Load of a file whose bytes are src; path is where they come from.
func Parse(path string, src []byte) (*Suite, error) {
	var c content
	f, _ := configfile.Decode(path, src, &c)
	s := &Suite{file: f, tests: c.Tests}
	if f.Has("configuration") {
		s.configured(c.Configuration)
	} else {
		s.described(c)
	}
	s.check()
	if err := f.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// configured takes rules and network from the configuration of a gateway.
func (s *Suite) configured(path configfile.Path) {
	for _, key := range []string{"gateway", "assets", "devices", "rules"} {
		if s.file.Has(key) {
			s.file.Errorf(key, "configuration is given too, expected one of them")
		}
	}
	config, err := gatewayconfig.Load(path.In(s.file.Dir()))
	if err == nil {
		s.rules, s.model = config.Rules, config.Model()
		return
	}
	if wrong, ok := errors.AsType[configfile.Errors](err); ok {
		err = fmt.Errorf("%s is no valid configuration: %s; busbar config validate prints all of it", path, wrong[0].Message)
	} else if unreadable, ok := errors.AsType[*configfile.ReadError](err); ok {
		err = unreadable.Err
	}
	s.file.Errorf("configuration", "%s", err)
}

// described takes them from the file itself.
func (s *Suite) described(c content) {
	// The configuration names no gateway, whose signals are those that the file gives it.
	config := gatewayconfig.Config{Assets: c.Assets, Rules: c.Rules}
	for i, d := range c.Devices {
		path := configfile.Item("devices", i)
		to := gatewayconfig.Device{ID: d.ID, Asset: d.Asset, PoweredBy: d.PoweredBy, Supply: d.Supply, PollEvery: d.PollEvery}
		if to.Asset == "" {
			to.Asset = d.ID
		}
		for _, signal := range d.Signals {
			to.Signals = append(to.Signals, signal.configured())
		}
		profile.CheckSignals(s.file, path+".signals", profile.Modbus, to.Signals)
		for j := range to.Signals {
			to.Signals[j].Fill()
		}
		config.Devices = append(config.Devices, to)
	}
	config.CheckNetwork(s.file)
	s.rules, s.model = config.Rules, config.Model()
	s.model.Gateway = "gateway"
	if s.file.Has("gateway.id") {
		s.model.Gateway = c.Gateway.ID
	}
	for i, d := range c.Devices {
		s.model.Devices[i].Bus = d.Bus
	}
	if len(c.Rules) == 0 && !s.file.Broken("rules") {
		s.file.Errorf("rules", "there is no rule, expected rules, or the configuration that has them")
	}
	if s.networkIsRight() {
		_, problems := rules.Compile(s.rules, s.model)
		rules.Report(s.file, problems)
	}
}

// networkIsRight reports whether assets and devices are: a rule or a series of a signal
// that isn't there yet would only be said to be wrong.
func (s *Suite) networkIsRight() bool {
	found, _ := errors.AsType[configfile.Errors](s.file.Err())
	return !slices.ContainsFunc(found, func(e *configfile.Error) bool {
		return e.Path == "" || slices.ContainsFunc([]string{"configuration", "gateway", "assets", "devices"}, func(key string) bool { return strings.HasPrefix(e.Path, key) })
	})
}

// configured is the signal as a configuration has it. Where it lies doesn't matter
// to a rule.
func (s signal) configured() profile.Signal {
	to := profile.Signal{Name: s.Name, Unit: s.Unit, Kind: s.Kind, States: s.States, Flags: s.Flags, Holding: new(uint16), Type: modbus.Float64, Scale: 1}
	switch {
	case len(s.States) > 0:
		to.Type = modbus.Int64
	case len(s.Flags) > 0:
		to.Type = modbus.Uint64
	}
	return to
}

const (
	shortestEvery = configfile.Duration(time.Millisecond)
	longestEvery  = configfile.Duration(24 * time.Hour)
)

// check adds what is wrong with the tests.
func (s *Suite) check() {
	if len(s.tests) == 0 && s.file.Has("tests") {
		s.file.Errorf("tests", "there is no test, expected at least one")
	}
	networkIsRight := s.networkIsRight()
	for i, t := range s.tests {
		path := configfile.Item("tests", i)
		if t.Every < shortestEvery || t.Every > longestEvery {
			s.file.Errorf(path+".every", "%s is out of range, expected %s to %s", t.Every, shortestEvery, longestEvery)
		}
		if networkIsRight {
			s.checkSeries(path+".series", t.Series)
		}
		for j, r := range t.Resets {
			s.checkSubject(configfile.Item(path+".resets", j), r.subject)
		}
		for j, a := range t.Alarms {
			at := configfile.Item(path+".alarms", j)
			s.checkSubject(at, a.subject)
			if a.Cleared != nil && a.Raised != nil && *a.Cleared < *a.Raised {
				s.file.Errorf(at+".cleared", "%s is before %s, at which it is raised", a.Cleared, a.Raised)
			}
		}
	}
}

func (s *Suite) checkSubject(path string, of subject) {
	if of.Asset == "" && of.Device == "" {
		s.file.Errorf(path, "neither asset nor device is given, expected what the alarm is about")
	}
}

func (s *Suite) checkSeries(path string, all map[string]map[string]values) {
	for device, series := range all {
		at := configfile.Join(path, device)
		known := s.signals(device)
		if len(known) == 0 {
			s.file.Errorf(at, "there is no device %s%s", device, nearest(device, s.devices()))
			continue
		}
		for name := range series {
			if !slices.Contains(known, name) {
				s.file.Errorf(configfile.Join(at, name), "device %s has no signal %s%s", device, name, nearest(name, known))
			}
		}
	}
}

func (s *Suite) devices() (ids []string) {
	for _, d := range s.model.Devices {
		ids = append(ids, d.ID)
	}
	return ids
}

func (s *Suite) signals(device string) (names []string) {
	for _, signal := range s.model.Signals {
		if signal.Device == device {
			names = append(names, signal.Name)
		}
	}
	return names
}

// nearest is the end of a message about a name that isn't known.
func nearest(name string, known []string) string {
	if n := configfile.Nearest(name, known); n != "" {
		return ", did you mean " + n + "?"
	}
	if len(known) == 0 {
		return ""
	}
	return ", expected one of " + strings.Join(known[:min(len(known), 12)], ", ")
}
