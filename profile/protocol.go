package profile

import (
	"slices"
	"strings"

	"github.com/busbar/busbar/adapters/gpio"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/nut"
	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/adapters/opcua"
	"github.com/busbar/busbar/configfile"
)

// Protocol is how a device is read. It is the key under which a configuration says
// how the device is reached.
type Protocol string

const (
	Modbus Protocol = "modbus"
	NUT    Protocol = "nut"
	GPIO   Protocol = "gpio"
	OPCUA  Protocol = "opcua"
	MQTT   Protocol = "mqtt"

	IEC104 Protocol = "iec104"
	IEC101 Protocol = "iec101"

	P1       Protocol = "p1"
	SML      Protocol = "sml"
	IEC62056 Protocol = "iec62056"

	// Sparkplug has no signals that are written down.
	Sparkplug Protocol = "sparkplug"
)

// Protocols are all of them.
var Protocols = []Protocol{Modbus, NUT, GPIO, OPCUA, MQTT, Sparkplug, IEC104, IEC101, P1, SML, IEC62056}

// ProtocolNames are all of them, for people.
var ProtocolNames = protocolNames()

func protocolNames() string {
	var names []string
	for _, p := range Protocols {
		names = append(names, string(p))
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// addresses are the keys by which the signals of a protocol say where they lie; one of
// each protocol's is needed.
var addresses = map[Protocol]string{
	Modbus: "input, holding, coil and discrete",
	NUT:    "variable and status",
	GPIO:   "line",
	OPCUA:  "node",
	MQTT:   "topic",
	IEC104: "ioa",
	IEC101: "ioa",
	P1:     "obis", SML: "obis", IEC62056: "obis",
}

// Meter reports whether its devices are meters that tell their registers by OBIS codes.
func (p Protocol) Meter() bool { return p == P1 || p == SML || p == IEC62056 }

// ownKeys are the keys of signals that only some protocols have.
var ownKeys = []struct {
	key string
	of  []Protocol
}{
	{"input", []Protocol{Modbus}}, {"holding", []Protocol{Modbus}}, {"coil", []Protocol{Modbus}}, {"discrete", []Protocol{Modbus}},
	{"order", []Protocol{Modbus}}, {"length", []Protocol{Modbus}}, {"bit", []Protocol{Modbus}}, {"mask", []Protocol{Modbus}},
	{"absent", []Protocol{Modbus}}, {"factor", []Protocol{Modbus}}, {"group", []Protocol{Modbus}}, {"flags", []Protocol{Modbus}},
	{"writable", []Protocol{Modbus}},
	{"variable", []Protocol{NUT}}, {"status", []Protocol{NUT}},
	{"line", []Protocol{GPIO}}, {"active_low", []Protocol{GPIO}}, {"bias", []Protocol{GPIO}}, {"debounce", []Protocol{GPIO}},
	{"node", []Protocol{OPCUA}}, {"element", []Protocol{OPCUA}},
	{"topic", []Protocol{MQTT}}, {"json", []Protocol{MQTT}}, {"format", []Protocol{MQTT}}, {"measurement", []Protocol{MQTT}}, {"field", []Protocol{MQTT}},
	{"tags", []Protocol{MQTT}}, {"time", []Protocol{MQTT}}, {"time_unit", []Protocol{MQTT}}, {"stale_after", []Protocol{MQTT}},
	{"ioa", []Protocol{IEC104, IEC101}}, {"common_address", []Protocol{IEC104, IEC101}},
	{"obis", []Protocol{P1, SML, IEC62056}},
	{"type", []Protocol{Modbus, NUT, OPCUA, MQTT, IEC104, IEC101, P1, SML, IEC62056}}, {"scale", []Protocol{Modbus, NUT, OPCUA, MQTT, IEC104, IEC101, P1, SML, IEC62056}},
	{"offset", []Protocol{Modbus, NUT, OPCUA, MQTT, IEC104, IEC101, P1, SML, IEC62056}},
}

// foreign adds the keys that a signal of the protocol hasn't got.
func (k checker) foreign(path string, by Protocol) {
	for _, own := range ownKeys {
		if !k.Has(path + "." + own.key) {
			continue
		}
		if !slices.Contains(own.of, by) {
			k.Errorf(path+"."+own.key, "the device is read by %s, whose signals haven't got this, expected the key to be left out", by)
		}
	}
}

// variable checks where a signal of a UPS lies.
func (k checker) variable(path string, s Signal) {
	switch variable, status := k.Has(path+".variable"), k.Has(path+".status"); {
	case variable && status:
		k.Errorf(path+".status", "variable is given too, expected one of them")
		return
	case !variable && !status:
		k.Errorf(path, "no address, expected one of %s", addresses[NUT])
		return
	}
	for key, name := range map[string]string{"variable": s.Variable, "status": s.Status} {
		if !k.Has(path + "." + key) {
			continue
		}
		if err := nut.CheckName(name); err != nil {
			k.Errorf(path+"."+key, "%q, %s", name, err)
		}
	}
	switch {
	case s.Status != "" && k.Has(path+".type"):
		k.Errorf(path+".type", "a flag is always a bool, expected the key to be left out")
	case s.Variable != "" && s.Type != "" && s.Type != modbus.String:
		k.Errorf(path+".type", "%q, expected string for a text, or the key to be left out for a number", s.Type)
	}
	if s.bit() || s.Type == modbus.String {
		for _, key := range []string{"scale", "offset"} {
			if k.Has(path + "." + key) {
				k.Errorf(path+"."+key, "this isn't a number, expected the key to be left out")
			}
		}
	}
}

// line checks where a signal of a contact lies.
func (k checker) line(path string, s Signal) {
	if s.Line == nil {
		if !k.Broken(path + ".line") {
			k.Errorf(path, "no address, expected %s, the number of a line", addresses[GPIO])
		}
		return
	}
	switch s.Bias {
	case "", gpio.AsIs, gpio.PullUp, gpio.PullDown, gpio.None:
	default:
		k.Errorf(path+".bias", "%q, expected %s, %s, %s or %s", s.Bias, gpio.PullUp, gpio.PullDown, gpio.None, gpio.AsIs)
	}
	if longest := configfile.Duration(gpio.MaxDebounce); s.Debounce > longest {
		k.Errorf(path+".debounce", "%s is out of range, expected 0s to %s", s.Debounce, longest)
	}
}

// node checks where a signal of an OPC UA server lies.
func (k checker) node(path string, s Signal) {
	if !k.Has(path + ".node") {
		if !k.Broken(path + ".node") {
			k.Errorf(path, "no address, expected %s, like nsu=urn:example;s=T1.TopOil", addresses[OPCUA])
		}
		return
	}
	if _, err := opcua.ParseNode(s.Node); err != nil {
		k.Errorf(path+".node", "%s", err)
	}
	if err := opcua.CheckElement(s.Element); err != nil {
		k.Errorf(path+".element", "%s", err)
	}
	text := s.Type == modbus.String
	switch s.Type {
	case "", modbus.Bool, modbus.String:
	default:
		k.Errorf(path+".type", "%q, but the server says what numbers it has, expected bool or string, or the key to be left out for a number", s.Type)
	}
	if s.Type == modbus.Bool || text {
		for _, key := range []string{"scale", "offset", "swinging_door"} {
			if k.Has(path + "." + key) {
				k.Errorf(path+"."+key, "this isn't a number, expected the key to be left out")
			}
		}
	}
}

// code checks where a signal of a meter lies.
func (k checker) code(path string, s Signal) {
	if !k.Has(path + ".obis") {
		if !k.Broken(path + ".obis") {
			k.Errorf(path, "no address, expected obis, like \"1-0:1.8.0\"")
		}
		return
	}
	if _, err := obis.ParseCode([]byte(s.OBIS)); err != nil {
		k.Errorf(path+".obis", "%s", err)
	}
	switch s.Type {
	case "":
	case modbus.String:
		for _, key := range []string{"scale", "offset", "swinging_door"} {
			if k.Has(path + "." + key) {
				k.Errorf(path+"."+key, "this isn't a number, expected the key to be left out")
			}
		}
	default:
		k.Errorf(path+".type", "%q, expected string for a text, or the key to be left out for a number", s.Type)
	}
}

// highestObject is the highest address of an object, of three octets.
const highestObject = 1<<24 - 1

// object checks where a signal of a station of IEC 60870-5-101 or -104 lies.
func (k checker) object(path string, s Signal) {
	switch {
	case s.IOA == nil && !k.Broken(path+".ioa"):
		k.Errorf(path, "no address, expected %s, that of an information object", addresses[IEC104])
	case s.IOA != nil && *s.IOA > highestObject:
		k.Errorf(path+".ioa", "%d, expected at most %d", *s.IOA, highestObject)
	}
	if k.Has(path+".common_address") && (s.CommonAddress == 0 || s.CommonAddress == 65535) {
		k.Errorf(path+".common_address", "%d, expected 1 to 65534", s.CommonAddress)
	}
	switch s.Type {
	case "":
	case modbus.Bool:
		for _, key := range []string{"scale", "offset", "swinging_door"} {
			if k.Has(path + "." + key) {
				k.Errorf(path+"."+key, "this isn't a number, expected the key to be left out")
			}
		}
	default:
		k.Errorf(path+".type", "%q, but the station says what numbers it has, expected bool, or the key to be left out for a number", s.Type)
	}
}
