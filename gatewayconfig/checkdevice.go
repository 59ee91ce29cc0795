package gatewayconfig

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/nut"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/profile"
)

func (k checker) checkDevices() {
	if len(k.config.Devices) == 0 && k.Has("devices") {
		k.Errorf("devices", "no device, expected at least one")
	}
	first := map[string]int{}
	buses := buses{endpoints: map[string]modbus.Endpoint{}, units: map[string]string{}}
	lines := map[line]string{}
	clients := map[client]string{}
	hosts := map[string]string{}
	stations, telecontrol := map[string]string{}, telecontrolLines{}
	meters := map[string]string{}
	for i, d := range k.config.Devices {
		path := configfile.Item("devices", i)
		k.checkPlace(path, i, d, first)
		within(k, path+".poll_every", d.PollEvery, shortestPoll, longestPoll)
		within(k, path+".timeout", d.Timeout, shortestTimeout, longestTimeout)
		by, given := k.protocol(path)
		if !given {
			continue
		}
		switch by {
		case profile.Modbus:
			k.checkModbus(path, d, buses, telecontrol)
		case profile.NUT:
			k.checkNUT(path, d)
		case profile.GPIO:
			k.checkGPIO(path, d, lines)
		case profile.OPCUA:
			k.checkOPCUA(path, d)
		case profile.MQTT:
			k.checkMQTT(path, d, clients)
		case profile.Sparkplug:
			k.checkSparkplug(path, d, hosts)
		case profile.IEC104:
			k.checkIEC104(path, d, stations)
		case profile.P1, profile.SML, profile.IEC62056:
			k.checkMeter(path, by, d, buses, meters)
		case profile.IEC101:
			k.checkIEC101(path, d, buses, telecontrol)
		}
		k.foreign(path, by)
		if has(by, "profile") && d.Profile != "" { // with which its signals have been checked
			continue
		}
		if has(by, "follow") {
			for j, f := range d.Follow {
				profile.CheckFollow(k.File, configfile.Item(path+".follow", j), by, f)
			}
		}
		switch {
		case by.Meter():
			profile.CheckSignals(k.File, path+".signals", by, d.Signals)
		case by != profile.Sparkplug:
			k.checkSignals(path, by, d)
		}
	}
}

// checkPlace checks what a device is called and what it belongs to, however it is read.
// first is where each id stands first.
func (k checker) checkPlace(path string, i int, d Device, first map[string]int) {
	k.fleetName(path+".id", d.ID)
	switch j, twice := first[d.ID]; {
	case twice && d.ID != "":
		k.Errorf(path+".id", "%q is devices[%d] already, expected an id of its own", d.ID, j)
	case d.ID == k.config.Gateway.ID && d.ID != "":
		k.Errorf(path+".id", "%q is the gateway itself, which is a device with signals of its own; expected another id", d.ID)
	default:
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
}

// checkMains checks which signal is the gateway's supply, of devices that have been
// checked.
func (k checker) checkMains() {
	m := k.config.Gateway.Mains
	if m == nil || k.Broken("devices") {
		return
	}
	const device, signal = "gateway.mains.device", "gateway.mains.signal"
	at := slices.IndexFunc(k.config.Devices, func(d Device) bool { return d.ID == m.Device })
	switch {
	case !k.Has(device):
		return
	case at < 0:
		var ids []string
		for _, d := range k.config.Devices {
			ids = append(ids, d.ID)
		}
		k.Errorf(device, "there is no device %q%s", m.Device, orNearest(m.Device, ids))
		return
	case !k.Has(signal):
		return
	}
	d := k.config.Devices[at]
	s, known := d.Signal(m.Signal)
	var names []string
	for _, s := range d.Signals {
		names = append(names, s.Name)
	}
	switch {
	case !known:
		k.Errorf(signal, "%s has no signal %q%s", m.Device, m.Signal, orNearest(m.Signal, names))
	case s.Type == modbus.String:
		k.Errorf(signal, "%s is a text, expected one that is a number, and not 0 while the supply is there", m.Signal)
	}
}

func orNearest(name string, known []string) string {
	if nearest := configfile.Nearest(name, known); nearest != "" {
		return fmt.Sprintf(", did you mean %q?", nearest)
	}
	return ", expected one that is configured"
}

// protocol is the one by which the device at path is read; given is false if it isn't
// exactly one.
func (k checker) protocol(path string) (by profile.Protocol, given bool) {
	for _, p := range profile.Protocols {
		switch key := path + "." + string(p); {
		case !k.Has(key):
		case given:
			k.Errorf(key, "%s is given too, expected exactly one of %s", by, profile.ProtocolNames)
			return by, false
		default:
			by, given = p, true
		}
	}
	misspelt := func(p profile.Protocol) bool { return k.Broken(path + "." + string(p)) }
	if !given && !slices.ContainsFunc(profile.Protocols, misspelt) {
		k.Errorf(path, "how it is read isn't said, expected one of %s, such as modbus: {endpoint: tcp://host:port, unit: 1}", profile.ProtocolNames)
	}
	return by, given
}

// ownKeys are the keys of devices that only some protocols have.
var ownKeys = []struct {
	key string
	of  []profile.Protocol
}{
	{"profile", []profile.Protocol{profile.Modbus, profile.MQTT}},
	{"control", []profile.Protocol{profile.Modbus, profile.OPCUA, profile.IEC104, profile.IEC101}},
	{"follow", []profile.Protocol{profile.OPCUA, profile.MQTT, profile.Sparkplug}},
	{"alarms", []profile.Protocol{profile.OPCUA}},
	{"signals_from", []profile.Protocol{profile.IEC104, profile.IEC101}},
}

// has reports whether devices read by the protocol have one of ownKeys.
func has(by profile.Protocol, key string) bool {
	for _, own := range ownKeys {
		if own.key == key {
			return slices.Contains(own.of, by)
		}
	}
	return false
}

// foreign adds the keys that a device read by the protocol hasn't got.
func (k checker) foreign(path string, by profile.Protocol) {
	for _, own := range ownKeys {
		if k.Has(path+"."+own.key) && !has(by, own.key) {
			k.Errorf(path+"."+own.key, "the device is read by %s, which hasn't got this, expected the key to be left out", by)
		}
	}
}

func (k checker) checkNUT(path string, d Device) {
	if d.NUT == nil {
		return
	}
	at := path + ".nut"
	var elsewhere string // another machine
	if k.Has(at + ".endpoint") {
		address, err := nut.ParseEndpoint(d.NUT.Endpoint)
		if err != nil {
			k.Errorf(at+".endpoint", "%s", err)
		} else if host, _, _ := net.SplitHostPort(address); !kafkaconn.ThisMachine(host) {
			elsewhere = host
		}
	}
	for key, name := range map[string]string{"ups": d.NUT.UPS, "username": d.NUT.Username} {
		if !k.Has(at + "." + key) {
			continue
		}
		if err := nut.CheckName(name); err != nil {
			k.Errorf(at+"."+key, "%q, %s", name, err)
		}
	}
	switch user, password := k.Has(at+".username"), k.Has(at+".password_file"); {
	case user && !password:
		k.Errorf(at+".username", "there is no password for it, expected password_file beside it")
	case password && !user:
		k.Errorf(at+".password_file", "whose it is isn't said, expected username beside it")
	case password && d.NUT.PasswordFile == "":
		k.Errorf(at+".password_file", "empty, expected the name of a file")
	case d.NUT.Insecure && (!user || elsewhere == "") && !k.Broken(at+".endpoint"):
		k.Errorf(at+".insecure", "has no effect without a user at a upsd on another machine, expected it to be left out")
	case user && elsewhere != "" && !d.NUT.Insecure && !k.Broken(at+".insecure"):
		k.Errorf(at+".username", "its password would be sent to %s unencrypted, expected no user, or upsd on this machine; insecure: true sends it all the same", elsewhere)
	}
}

// line is a GPIO line of this machine.
type line struct {
	chip   string
	number uint16
}

// checkGPIO checks a device of contacts. lines are those of the devices before it, and
// what each is.
func (k checker) checkGPIO(path string, d Device, lines map[line]string) {
	if d.GPIO == nil {
		return
	}
	if at := path + ".gpio.chip"; k.Has(at) && !filepath.IsAbs(d.GPIO.Chip) {
		k.Errorf(at, "%q, expected the file of a chip, like /dev/gpiochip0", d.GPIO.Chip)
	}
	k.notPolled(path, "lines aren't polled, they are told of when they change")
	for j, s := range d.Signals {
		if s.Line == nil {
			continue
		}
		l := line{d.GPIO.Chip, *s.Line}
		if other, twice := lines[l]; twice {
			k.Errorf(configfile.Item(path+".signals", j)+".line", "line %d of %s is %s already, and can be read once only", l.number, l.chip, other)
			continue
		}
		lines[l] = fmt.Sprintf("%s of %s", s.Name, d.ID)
	}
}

// notPolled refuses what only devices have that are asked.
func (k checker) notPolled(path, why string) {
	for _, key := range []string{"poll_every", "timeout"} {
		if k.Has(path + "." + key) {
			k.Errorf(path+"."+key, "%s; expected the key to be left out", why)
		}
	}
}

// buses is what devices share, by address.
type buses struct {
	endpoints map[string]modbus.Endpoint
	units     map[string]string // the device of each, with its base
}

func (k checker) checkModbus(path string, d Device, buses buses, telecontrol telecontrolLines) {
	if d.Modbus == nil {
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
	if l := telecontrol[endpoint.Address]; l != nil {
		k.Errorf(at, "%s is read by iec101 already, expected a line for each protocol", l.config.Endpoint)
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
func (k checker) checkSignals(path string, by profile.Protocol, d Device) {
	if len(d.Signals) == 0 && d.SignalsFrom == "" && len(d.Follow) == 0 && len(d.Alarms) == 0 {
		other := ""
		for _, key := range []string{"profile", "follow", "alarms", "signals_from"} {
			if has(by, key) {
				other += ", or " + key
			}
		}
		k.Errorf(path+".signals", "no signal, expected at least one%s", other)
	}
	profile.CheckSignals(k.File, path+".signals", by, d.Signals)
}
