package gatewayconfig

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

var (
	signalName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*$`)
	unitText   = regexp.MustCompile(`^[!-~]{1,32}$`)
)

const maxSignalName = 64

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
			k.checkSignals(path, d)
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
	units     map[string]string // the device of each
}

func (k checker) checkModbus(path string, d Device, buses buses) {
	if d.Modbus == nil {
		k.Errorf(path+".modbus", "the key is missing, expected modbus: {endpoint: tcp://host:port, unit: 1}")
		return
	}
	within(k, path+".modbus.pause", d.Modbus.Pause, 0, configfile.Duration(modbus.MaxPause))
	within(k, path+".modbus.pause_after_connect", d.Modbus.PauseAfterConnect, 0, configfile.Duration(modbus.MaxPause))
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
	unit := fmt.Sprintf("unit %d at %s", d.Modbus.Unit, endpoint)
	if other, twice := buses.units[unit]; twice {
		k.Errorf(path+".modbus", "%s is device %q already, expected one device for each unit", unit, other)
		return
	}
	buses.units[unit] = d.ID
}

func (k checker) checkSignals(path string, d Device) {
	if len(d.Signals) == 0 {
		k.Errorf(path+".signals", "no signal, expected at least one")
	}
	first := map[string]int{}
	for j, s := range d.Signals {
		at := configfile.Item(path+".signals", j)
		if k.Has(at + ".name") {
			k.checkSignalName(at+".name", s.Name)
			if other, twice := first[s.Name]; twice {
				k.Errorf(at+".name", "%q is signals[%d] of this device already, expected a name of its own", s.Name, other)
			} else {
				first[s.Name] = j
			}
		}
		k.checkAddress(at, s)
		k.checkMeaning(at, s)
	}
}

func (k checker) checkSignalName(path, name string) {
	switch {
	case name == telemetry.ChannelLive:
		k.Errorf(path, "%s is the gateway's own signal for whether the device answers, expected another name", name)
	case !signalName.MatchString(name) || len(name) > maxSignalName:
		k.Errorf(path, "%q, expected letters, digits and underscores in words with dots between, at most %d characters, like PhV.phsA", name, maxSignalName)
	}
}

// checkAddress checks where a signal lies and how it is stored there.
func (k checker) checkAddress(path string, s Signal) {
	given, unclear := "", false
	for _, a := range s.addresses() {
		key := path + "." + string(a.table)
		unclear = unclear || k.Broken(key)
		switch {
		case a.value == nil:
		case given == "":
			given = string(a.table)
		default:
			k.Errorf(key, "%s is given too, expected exactly one of input, holding, coil and discrete", given)
			unclear = true
		}
	}
	switch {
	case unclear:
		return
	case given == "":
		k.Errorf(path, "no address, expected one of input, holding, coil and discrete")
		return
	case s.impliedType() == "":
		k.Errorf(path+".type", "the key is missing, expected int16, uint16, int32, uint32, int64, uint64, float32 or float64")
		return
	}
	table, at := s.Register()
	point := modbus.Point{Table: table, Address: at, Type: s.impliedType(), Order: s.Order, Scale: s.Scale, Offset: s.Offset}
	for _, err := range point.Check() {
		key, message, _ := strings.Cut(err.Error(), ": ")
		if key == "address" {
			key = given
		}
		k.Errorf(path+"."+key, "%s", message)
	}
}

func (k checker) checkMeaning(path string, s Signal) {
	if s.Scale == 0 {
		k.Errorf(path+".scale", "0 would make every value the same, expected another number")
	}
	kind := s.impliedKind()
	switch kind {
	case telemetry.Gauge, telemetry.Counter, telemetry.State:
	default:
		k.Errorf(path+".kind", "%q, expected %s, %s or %s", s.Kind, telemetry.Gauge, telemetry.Counter, telemetry.State)
		return
	}
	switch {
	case k.Has(path+".unit") && !unitText.MatchString(s.Unit):
		k.Errorf(path+".unit", "%q, expected a unit of UCUM without spaces, like V, kW.h or %%", s.Unit)
	case s.Unit == "" && kind != telemetry.State && !k.Broken(path+".kind"):
		k.Errorf(path+".unit", `the key is missing, expected a unit of UCUM like V or kW.h, or "1" if there is none`)
	}
}
