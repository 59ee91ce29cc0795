package gatewayconfig

import (
	"errors"
	"math"
	"strings"
	"time"

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
		if !k.Has(path+".profile") || k.Broken(path+".profile") {
			continue
		}
		p, ok := k.loadProfile(path+".profile", d.Profile)
		if !ok {
			continue
		}
		own := path + ".signals"
		given := func(j int, key string) bool { return k.Has(configfile.Item(own, j) + "." + key) }
		var base uint16
		if d.Modbus != nil {
			base = d.Modbus.Base
			d.Modbus.Reading = d.Modbus.Over(p.Modbus)
		}
		if end := p.End() - 1; int(base)+end > math.MaxUint16 {
			k.Errorf(path+".modbus.base", "%d, but the profile's addresses reach %d and the last address is %d", base, end, math.MaxUint16)
			continue
		}
		signals, place := profile.Override(p.At(base), d.Signals, given)
		for j, s := range signals {
			if place[j] >= 0 {
				profile.CheckSignal(k.File, configfile.Item(own, place[j]), s)
			}
		}
		d.Signals = signals
		d.Identity = p.Identify
	}
}

func (k checker) loadProfile(path, name string) (p profile.Profile, ok bool) {
	var err error
	if strings.HasSuffix(name, ".yaml") {
		p, err = profile.LoadFile(configfile.Path(name).In(k.Dir()))
	} else {
		p, err = firmware.Profiles().Load(name)
	}
	if errors.Is(err, profile.ErrUnknown) {
		if nearest := configfile.Nearest(name, firmware.Profiles().Names()); nearest != "" {
			k.Errorf(path, "there is no profile %q, did you mean %q?", name, nearest)
		} else {
			k.Errorf(path, "there is no profile %q, expected one that busbar profile list prints, or a file that ends in .yaml", name)
		}
		return p, false
	}
	if wrong, ok := errors.AsType[configfile.Errors](err); ok {
		k.Errorf(path, "%s is no valid profile: %s; busbar profile test prints all of it", name, wrong[0].Message)
		return p, false
	}
	if unreadable, ok := errors.AsType[*configfile.ReadError](err); ok {
		k.Errorf(path, "%s", unreadable.Err)
		return p, false
	}
	if err != nil {
		k.Errorf(path, "%s", err)
		return p, false
	}
	return p, true
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

// ModbusDevice is the device as the adapter takes it, without ids of signals.
func (d Device) ModbusDevice() modbus.Device {
	m := modbus.Device{
		ID: d.ID, Endpoint: d.Modbus.Endpoint, Unit: d.Modbus.Unit, Reads: d.Modbus.Reads(),
		PollEvery: time.Duration(d.PollEvery), Timeout: time.Duration(d.Timeout),
		Pause: time.Duration(d.Modbus.Pause), PauseAfterConnect: time.Duration(d.Modbus.PauseAfterConnect),
	}
	for _, id := range d.Identity {
		m.Identity = append(m.Identity, id.Register(d.Modbus.Base))
	}
	for _, s := range d.Signals {
		m.Points = append(m.Points, s.Point())
	}
	return m
}
