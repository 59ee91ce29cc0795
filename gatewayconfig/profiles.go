package gatewayconfig

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/profile"
)

// resolveProfiles gives each device the signals of its profile.
func (k checker) resolveProfiles() {
	for i := range k.config.Devices {
		d := &k.config.Devices[i]
		path := configfile.Item("devices", i)
		if !k.Has(path+".profile") || k.Broken(path+".profile") || d.NUT != nil || d.ByChange() && d.MQTT == nil {
			continue
		}
		p, err := loadProfile(d.Profile, k.dir, k.read)
		if err != nil {
			k.Errorf(path+".profile", "%s", err)
			continue
		}
		if by := d.by(); by != "" && by != p.By() {
			k.Errorf(path+".profile", "%s is read by %s, and the device by %s, expected a profile of that", d.Profile, p.By(), by)
			continue
		}
		if d.MQTT != nil {
			k.resolvePublishing(path, d, p)
			continue
		}
		own := path + ".signals"
		given := func(j int, key string) bool { return k.Has(configfile.Item(own, j) + "." + key) }
		var base uint16
		if d.Modbus != nil {
			base = d.Modbus.Base
			d.Modbus.Reading = d.Modbus.Over(p.Modbus, func(key string) bool { return k.Has(path + ".modbus." + key) })
		}
		if end := p.End() - 1; int(base)+end > math.MaxUint16 {
			k.Errorf(path+".modbus.base", "%d, but the profile's addresses reach %d and the last address is %d", base, end, math.MaxUint16)
			continue
		}
		profile.CheckNames(k.File, own, d.Signals)
		signals, place := profile.Override(p.At(base), d.Signals, given)
		for j, s := range signals {
			if place[j] >= 0 {
				profile.CheckSignal(k.File, configfile.Item(own, place[j]), profile.Modbus, s)
			}
		}
		d.Signals = signals
		d.Identity = p.Identify
	}
}

// by is how the device is read, of those that have profiles; "" if that isn't said.
func (d Device) by() profile.Protocol {
	switch {
	case d.Modbus != nil:
		return profile.Modbus
	case d.MQTT != nil:
		return profile.MQTT
	}
	return ""
}

// resolvePublishing gives a device what its profile says of messages.
func (k checker) resolvePublishing(path string, d *Device, p profile.Profile) {
	topic := cmp.Or(d.MQTT.Topic, profile.EveryTopic)
	if err := profile.CheckDeviceTopic(topic); err != nil {
		k.Errorf(path+".mqtt.topic", "%q, %s", topic, err)
		return
	}
	if many := strings.Contains(topic, "+"); many && len(p.Signals) > 0 {
		k.Errorf(path+".profile", "%s has signals of one device, expected its topic in mqtt, without +", d.Profile)
		return
	}
	d.MQTT.Publishing = *p.AtTopic(topic).MQTT
	if a := d.MQTT.Available; a != nil && strings.Contains(a.Topic, profile.TopicPlace) {
		profile.CheckPlace(k.File, path+".mqtt.available.topic", a.Topic, true)
		own := *a
		own.Topic = strings.ReplaceAll(a.Topic, profile.TopicPlace, topic)
		d.MQTT.Publishing.Available = []profile.Availability{own}
		a.Check(k.File, path+".mqtt.available")
		d.MQTT.Available = nil
	}
	if k.Has(path + ".mqtt.stale_after") { // for all of it
		for i := range p.Follow {
			p.Follow[i].StaleAfter = 0
		}
	}
	given := func(list string) func(int, string) bool {
		return func(j int, key string) bool { return k.Has(configfile.Item(path+"."+list, j) + "." + key) }
	}
	signals, follow := pinned(p, d.Signals, given("signals"))
	var place, unknown []int
	d.Follow, place, unknown = profile.OverrideFollow(follow, d.Follow, given("follow"))
	for _, j := range unknown {
		k.Errorf(configfile.Item(path+".follow", j), "no topic, and %s follows nothing of that name, expected topic, or the name of what it follows", d.Profile)
	}
	for i := range d.Follow {
		f := &d.Follow[i]
		raw := f.Topic
		*f = f.At(topic)
		if place[i] >= 0 {
			at := configfile.Item(path+".follow", place[i])
			profile.CheckPlace(k.File, at+".topic", raw, false)
			profile.CheckFollow(k.File, at, profile.MQTT, *f)
		}
	}
	profile.CheckNames(k.File, path+".signals", d.Signals)
	d.Signals, place = profile.Override(signals, d.Signals, given("signals"))
	for i := range d.Signals {
		s := &d.Signals[i]
		raw := s.Topic
		s.Topic = strings.ReplaceAll(raw, profile.TopicPlace, topic)
		if place[i] >= 0 {
			at := configfile.Item(path+".signals", place[i])
			profile.CheckPlace(k.File, at+".topic", raw, false)
			profile.CheckSignal(k.File, at, profile.MQTT, *s)
		}
	}
}

// pinned is the signals and what is followed of a profile, where what it follows of a name
// is a signal, there before it comes, if a device lists that among its own.
func pinned(p profile.Profile, own []Signal, given func(j int, key string) bool) (signals []Signal, follow []Follow) {
	signals = slices.Clone(p.Signals)
	for _, f := range p.Follow {
		j := slices.IndexFunc(own, func(s Signal) bool { return s.Name == f.Name })
		if j >= 0 && f.DescribedBy == "" && !given(j, "topic") {
			signals = append(signals, f.Signal())
		} else {
			follow = append(follow, f)
		}
	}
	return signals, follow
}

// loadProfile is the profile that a configuration in dir names.
func loadProfile(name, dir string, read func(file string) ([]byte, error)) (p profile.Profile, err error) {
	if strings.HasSuffix(name, ".yaml") {
		file := configfile.Path(name).In(dir)
		var src []byte
		if src, err = read(file); err == nil {
			p, err = profile.ParseFile(file, src)
		}
	} else {
		p, err = firmware.Profiles().Load(name)
	}
	if errors.Is(err, profile.ErrUnknown) {
		if nearest := configfile.Nearest(name, firmware.Profiles().Names()); nearest != "" {
			return p, fmt.Errorf("there is no profile %q, did you mean %q?", name, nearest)
		}
		return p, fmt.Errorf("there is no profile %q, expected one that busbar profile list prints, or a file that ends in .yaml", name)
	}
	if wrong, ok := errors.AsType[configfile.Errors](err); ok {
		return p, fmt.Errorf("%s is no valid profile: %s; busbar profile test prints all of it", name, wrong[0].Message)
	}
	if unreadable, ok := errors.AsType[*configfile.ReadError](err); ok {
		return p, unreadable.Err
	}
	return p, err
}

// ForDevice is a configuration with nothing but one device, which a profile
// describes, to try it before anything is written down.
func ForDevice(endpoint string, unit uint8, profileName string, base uint16) (Config, error) {
	if _, err := modbus.ParseEndpoint(endpoint); err != nil {
		return Config{}, err
	}
	p, err := loadProfile(profileName, "", configfile.Read)
	if err != nil {
		return Config{}, err
	}
	if p.By() != profile.Modbus {
		return Config{}, fmt.Errorf("%s is read by %s, expected a profile of what is read by %s", profileName, p.By(), profile.Modbus)
	}
	if int(base)+p.End() > math.MaxUint16+1 {
		return Config{}, fmt.Errorf("base %d: the profile's addresses reach %d and the last address is %d", base, p.End()-1, math.MaxUint16)
	}
	c := defaults()
	d := Device{ID: "device", Modbus: &Modbus{Endpoint: endpoint, Unit: unit, Base: base, Reading: p.Modbus}, Signals: p.At(base), Identity: p.Identify}
	d.SetDefaults()
	c.Devices = []Device{d}
	c.fill()
	return c, nil
}

// checkRequests checks what can't be seen in a single signal.
func (k checker) checkRequests() {
	for i, d := range k.config.Devices {
		path := configfile.Item("devices", i)
		if d.Modbus == nil || k.Broken(path) {
			continue
		}
		for _, err := range d.ModbusDevice().CheckRequests() {
			k.Errorf(path, "%s", err)
		}
	}
}
