package gatewayconfig

import (
	"fmt"
	"slices"
	"strings"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/profile"
)

func (k checker) checkDevices() {
	if len(k.config.Devices) == 0 && k.Has("devices") {
		k.Errorf("devices", "no device, expected at least one")
	}
	first := map[string]int{}
	units := map[string]string{}
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
			k.checkModbus(path, d, units)
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

func (k checker) checkModbus(path string, d Device, units map[string]string) {
	if d.Modbus == nil {
		k.Errorf(path+".modbus", "the key is missing, expected modbus: {endpoint: tcp://host:port, unit: 1}")
		return
	}
	d.Modbus.Check(k.File, path+".modbus")
	at := path + ".modbus.endpoint"
	if !k.Has(at) {
		return
	}
	address, err := modbus.ParseEndpoint(d.Modbus.Endpoint)
	if err != nil {
		if scheme, _, _ := strings.Cut(d.Modbus.Endpoint, "://"); strings.HasPrefix(scheme, "rtu") {
			k.Errorf(at, "%q, this version reads Modbus TCP only, expected tcp://host:port", d.Modbus.Endpoint)
			return
		}
		k.Errorf(at, "%s", err)
		return
	}
	if k.Broken(path+".modbus.unit") || k.Broken(at) {
		return
	}
	unit := fmt.Sprintf("unit %d at tcp://%s", d.Modbus.Unit, address)
	if other, twice := units[unit]; twice {
		k.Errorf(path+".modbus", "%s is device %q already, expected one device for each unit", unit, other)
		return
	}
	units[unit] = d.ID
}

// checkSignals checks the signals of a device that has no profile.
func (k checker) checkSignals(path string, d Device) {
	if len(d.Signals) == 0 {
		k.Errorf(path+".signals", "no signal, expected at least one, or a profile")
	}
	profile.CheckSignals(k.File, path+".signals", d.Signals)
}
