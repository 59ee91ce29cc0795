package gatewayconfig

import (
	"fmt"
	"net/url"
	"time"

	"github.com/busbar/busbar/adapters/iec104"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/ft12"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
)

// IEC101 is a controlled station of IEC 60870-5-101, or several behind the same link.
type IEC101 struct {
	// The line: a serial port of this machine, rtu:///dev/ttyUSB0, with the options of modbus,
	// of which the defaults are 19200 baud and even parity; or a serial device server that
	// passes octets on, rtu+tcp://host:port, with the option baud, the speed of the line behind
	// it. Devices with the same one share the line, and have to give it the same options, mode,
	// link_address_octets, link_timeout, link_retries and request_every.
	// Example: "rtu:///dev/ttyUSB0?baud=9600".
	Endpoint string `yaml:"endpoint,required"`

	// Who begins on the line: unbalanced, the gateway alone, which asks one station after
	// another; or balanced, either end, of which there are two. Default: unbalanced.
	Mode IEC101Mode `yaml:"mode"`

	// The address of the station's link, if it has octets. Default: 1.
	LinkAddress uint16 `yaml:"link_address"`

	// How many octets the address of a link takes; 1 or 2, or 0 if mode is balanced. Default: 1.
	LinkAddressOctets uint8 `yaml:"link_address_octets"`

	// How long the station may take to begin its answer, without the time on the line; from
	// 10ms to 1m. Default: 500ms.
	LinkTimeout configfile.Duration `yaml:"link_timeout"`

	// How often what isn't answered is sent again, before the link counts as lost; from 0 to
	// 10. Default: 3.
	LinkRetries uint8 `yaml:"link_retries"`

	// How often a station is asked for data that had none the last time; from 10ms to 1h. If
	// mode is balanced, how long nothing may come before the link is tested. Default: 500ms,
	// if balanced 20s.
	RequestEvery configfile.Duration `yaml:"request_every"`

	Telecontrol `yaml:",inline"`
}

// IEC101Mode is who begins on a line.
type IEC101Mode string

const (
	Unbalanced IEC101Mode = "unbalanced"
	Balanced   IEC101Mode = "balanced"
)

// IEC101Modes are all of them.
var IEC101Modes = []IEC101Mode{Unbalanced, Balanced}

// SetDefaults is called before a station is read.
func (i *IEC101) SetDefaults() {
	i.Mode, i.LinkAddress, i.LinkAddressOctets, i.LinkRetries = Unbalanced, 1, 1, 3
	i.LinkTimeout = configfile.Duration(500 * time.Millisecond)
	i.Telecontrol = defaultTelecontrol(asdu.IEC101)
}

// fill sets what depends on the mode.
func (i *IEC101) fill() {
	switch {
	case i.RequestEvery != 0:
	case i.Mode == Balanced:
		i.RequestEvery = configfile.Duration(20 * time.Second)
	default:
		i.RequestEvery = configfile.Duration(500 * time.Millisecond)
	}
}

// config is the line, of an endpoint that is right.
func (i *IEC101) config(e modbus.Endpoint) ft12.Config {
	return ft12.Config{
		Endpoint: e, Balanced: i.Mode == Balanced, Octets: int(i.LinkAddressOctets), Timeout: time.Duration(i.LinkTimeout),
		Retries: int(i.LinkRetries), Poll: time.Duration(i.RequestEvery),
	}
}

// telecontrolLines are the lines of 60870-5-101 that were seen, by address.
type telecontrolLines map[string]*telecontrolLine

type telecontrolLine struct {
	config ft12.Config
	first  string            // device
	links  map[uint16]string // the device of each
}

func (k checker) checkIEC101(path string, d Device, buses buses, lines telecontrolLines) {
	i := d.IEC101
	if i == nil {
		return
	}
	at := path + ".iec101"
	k.checkTelecontrol(path, at, d)
	if i.Mode != Unbalanced && i.Mode != Balanced {
		k.Errorf(at+".mode", "%q, expected %s or %s", i.Mode, Unbalanced, Balanced)
	}
	least := uint8(1)
	if i.Mode == Balanced {
		least = 0
	}
	if i.LinkAddressOctets < least || i.LinkAddressOctets > 2 {
		k.Errorf(at+".link_address_octets", "%d, expected %d to 2 of a link that is %s", i.LinkAddressOctets, least, i.Mode)
	} else if most := uint32(1)<<(8*i.LinkAddressOctets) - 1; uint32(i.LinkAddress) > most && k.Has(at+".link_address") {
		k.Errorf(at+".link_address", "%d, expected at most %d in %d octets", i.LinkAddress, most, i.LinkAddressOctets)
	}
	within(k, at+".link_timeout", i.LinkTimeout, millis(10), millis(60_000))
	within(k, at+".request_every", i.RequestEvery, millis(10), millis(3_600_000))
	if i.LinkRetries > 10 {
		k.Errorf(at+".link_retries", "%d, expected 0 to 10", i.LinkRetries)
	}
	if !k.Has(at + ".endpoint") {
		return
	}
	e, err := lineEndpoint(i.Endpoint)
	if err != nil {
		k.Errorf(at+".endpoint", "%s", err)
		return
	}
	if other, taken := buses.endpoints[e.Address]; taken {
		k.Errorf(at+".endpoint", "%s is read by modbus already, expected a line for each protocol", other)
		return
	}
	l := lines[e.Address]
	switch {
	case l == nil:
		lines[e.Address] = &telecontrolLine{i.config(e), d.ID, map[uint16]string{i.LinkAddress: d.ID}}
		return
	case l.config != i.config(e):
		k.Errorf(at, "the line is that of device %q, with other settings, expected the same endpoint, mode, link_address_octets, link_timeout, link_retries and request_every", l.first)
	case i.Mode == Balanced:
		k.Errorf(at+".endpoint", "%s is device %q already, expected one station on a line that is balanced", e, l.first)
	case l.links[i.LinkAddress] != "":
		k.Errorf(at+".link_address", "%d is device %q already, expected one device for each link; common_address of a signal tells stations behind one link apart", i.LinkAddress, l.links[i.LinkAddress])
	default:
		l.links[i.LinkAddress] = d.ID
	}
}

// lineEndpoint is where a line is. A server has no port that is usual.
func lineEndpoint(endpoint string) (modbus.Endpoint, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != string(modbus.RTU) && (u.Scheme != string(modbus.RTUOverTCP) || u.Port() == "") {
		return modbus.Endpoint{}, fmt.Errorf("%q, expected rtu:///dev/ttyUSB0?baud=9600 or rtu+tcp://host:port", endpoint)
	}
	return modbus.ParseEndpoint(endpoint)
}

// IEC101Device is a device that is read by iec101.
func (d Device) IEC101Device() iec104.Device {
	e, err := lineEndpoint(d.IEC101.Endpoint)
	if err != nil {
		panic(err) // it has been checked
	}
	o := d.station()
	o.Serial = &ft12.Station{Config: d.IEC101.config(e)}
	if d.IEC101.LinkAddressOctets > 0 {
		o.Serial.Address = d.IEC101.LinkAddress
	}
	return o
}
