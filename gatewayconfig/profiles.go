package gatewayconfig

import (
	"errors"
	"fmt"
	"math"
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
		if !k.Has(path+".profile") || k.Broken(path+".profile") || d.NUT != nil || d.ByChange() {
			continue
		}
		p, err := loadProfile(d.Profile, k.dir, k.read)
		if err != nil {
			k.Errorf(path+".profile", "%s", err)
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
