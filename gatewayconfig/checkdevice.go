package gatewayconfig

import (
	"fmt"
	"slices"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/profile"
)

func (k checker) checkDevices() {
	if len(k.config.Devices) == 0 && k.Has("devices") {
		k.Errorf("devices", "no device, expected at least one")
	}
	first := map[string]int{}
	buses := buses{endpoints: map[string]modbus.Endpoint{}, units: map[string]string{}}
	for i, d := range k.config.Devices {
		path := configfile.Item("devices", i)
		k.fleetName(path+".id", d.ID)
		if j, twice := first[d.ID]; twice && d.ID != "" {
			k.Errorf(path+".id", "%q is devices[%d] already, expected an id of its own", d.ID, j)
		} else {
			first[d.ID] = i
		}
		if k.Has(path + ".asset") {
			k.assetExists(path+".asset", d.Asset)
		}
		switch d.PoweredBy {
		case Measured, Auxiliary, Unknown:
		default:
			k.Errorf(path+".powered_by", "%q, expected %s, %s or %s", d.PoweredBy, Measured, Auxiliary, Unknown)
		}
		k.name(path+".supply", d.Supply)
		within(k, path+".poll_every", d.PollEvery, shortestPoll, longestPoll)
		within(k, path+".timeout", d.Timeout, shortestTimeout, longestTimeout)
		if k.Has(path+".modbus") || !k.foreign(path) {
			k.checkModbus(path, d, buses)
			if d.Profile == "" {
				k.checkSignals(path, d)
			}
		}
	}
}

// foreign reports whether the device is of a protocol that has been refused.
func (k checker) foreign(path string) bool {
	return slices.ContainsFunc(protocols, func(p string) bool { return k.Has(path + "." + p) })
}

// buses is what devices share, by address.
type buses struct {
	endpoints map[string]modbus.Endpoint
	units     map[string]string // the device of each, with its base
}

func (k checker) checkModbus(path string, d Device, buses buses) {
	if d.Modbus == nil {
		k.Errorf(path+".modbus", "the key is missing, expected modbus: {endpoint: tcp://host:port, unit: 1}")
		return
	}
	d.Modbus.Check(k.File, path+".modbus")
	if k.Has(path+".modbus.base") && d.Profile == "" {
		k.Errorf(path+".modbus.base", "the device has no profile whose addresses it could be added to, expected one beside it")
	}
	at := path + ".modbus.endpoint"
	if !k.Has(at) {
		return
	}
	endpoint, err := modbus.ParseEndpoint(d.Modbus.Endpoint)
	if err != nil {
		k.Errorf(at, "%s", err)
		return
	}
	if k.Broken(path+".modbus.unit") || k.Broken(at) {
		return
	}
	if other, shared := buses.endpoints[endpoint.Address]; !shared {
		buses.endpoints[endpoint.Address] = endpoint
	} else if err := endpoint.Conflict(other); err != nil {
		k.Errorf(at, "%s", err)
		return
	}
	// The parts of one unit, such as a SunSpec device's models, differ in their bases.
	unit := fmt.Sprintf("unit %d at %s", d.Modbus.Unit, endpoint)
	part := fmt.Sprintf("%s, base %d", unit, d.Modbus.Base)
	if other, twice := buses.units[part]; twice {
		k.Errorf(path+".modbus", "%s is device %q already, expected one device for each unit, or profiles with different bases", unit, other)
		return
	}
	buses.units[part] = d.ID
}

// checkSignals checks the signals of a device that has no profile.
func (k checker) checkSignals(path string, d Device) {
	if len(d.Signals) == 0 {
		k.Errorf(path+".signals", "no signal, expected at least one, or a profile")
	}
	profile.CheckSignals(k.File, path+".signals", d.Signals)
}
