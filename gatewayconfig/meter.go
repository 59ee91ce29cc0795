package gatewayconfig

import (
	"time"

	"github.com/busbar/busbar/adapters/iec62056"
	"github.com/busbar/busbar/adapters/meter"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/profile"
)

// P1 is the customer port of a smart meter.
type P1 struct {
	// Where it is: a serial port of this machine, as serial:///dev/ttyUSB0, or a serial
	// device server that passes bytes on, as tcp://host:port. The options of a serial port
	// are baud (115200), data_bits (8), parity (N) and stop_bits (1); meters of DSMR 2.2
	// and 3 have ?baud=9600&data_bits=7&parity=E. Example: serial:///dev/ttyUSB0.
	Endpoint string `yaml:"endpoint,required"`

	// The file with the key of encrypted telegrams, as in Luxembourg: 32 hexadecimal digits,
	// which the network operator gives to its customer. Default: they aren't encrypted.
	// Example: meter.key.
	KeyFile configfile.Path `yaml:"key_file"`

	// The file with the authentication key of encrypted telegrams, 32 hexadecimal digits.
	// Default: the key of all meters in Luxembourg, which is published.
	AuthenticationKeyFile configfile.Path `yaml:"authentication_key_file"`

	// The time zone of the meter's clock, by its name in the IANA database.
	// Default: Europe/Amsterdam. Example: Europe/Helsinki.
	TimeZone string `yaml:"time_zone"`
}

// SetDefaults is called before a port is read.
func (p *P1) SetDefaults() { p.TimeZone = "Europe/Amsterdam" }

// SML is a meter of the Smart Message Language.
type SML struct {
	// Where it is: a serial port of this machine, as serial:///dev/ttyUSB0, or a serial
	// device server that passes bytes on, as tcp://host:port. The options of a serial port
	// are baud (9600), data_bits (8), parity (N) and stop_bits (1).
	// Example: serial:///dev/ttyUSB0.
	Endpoint string `yaml:"endpoint,required"`
}

// IEC62056 is a meter that is read out by IEC 62056-21.
type IEC62056 struct {
	// Where it is: a serial port of this machine, as serial:///dev/ttyUSB0, or a serial
	// device server that passes bytes on, as tcp://host:port. The options of a serial port
	// are baud, at which it begins (300), data_bits (7), parity (E) and stop_bits (1); it goes
	// on at the speed that the meter offers. The option of a server is baud, the speed of
	// the line behind it (300), which stays. Example: serial:///dev/ttyUSB0.
	Endpoint string `yaml:"endpoint,required"`

	// The address of the meter, for one that answers to nothing else, or that isn't alone on
	// its line: at most 32 letters, digits and spaces. Others on the same line can't be read.
	// Default: none, which every meter hears.
	Address string `yaml:"address"`

	// How often it is read out; from 10s to 24h. A read-out may take a minute at 300 baud,
	// and costs a meter with a battery some of that. Default: 15m.
	ReadEvery configfile.Duration `yaml:"read_every"`
}

// SetDefaults is called before a meter is read.
func (i *IEC62056) SetDefaults() { i.ReadEvery = configfile.Duration(15 * time.Minute) }

// meterTimeouts are for how long nothing may come of a meter that says nothing else.
var meterTimeouts = map[meter.Protocol]configfile.Duration{
	meter.P1: millis(30_000), meter.SML: millis(30_000), meter.IEC62056: millis(5_000),
}

// Meter reports whether the device is a meter that tells its registers by OBIS codes.
func (d Device) Meter() bool { return d.P1 != nil || d.SML != nil || d.IEC62056 != nil }

// speaks is by what the device, a meter, is read.
func (d Device) speaks() meter.Protocol {
	switch {
	case d.P1 != nil:
		return meter.P1
	case d.SML != nil:
		return meter.SML
	}
	return meter.IEC62056
}

// MeterDevice is a device that is read by p1, sml or iec62056, as the adapter takes it. dir is
// what file names are relative to.
func (d Device) MeterDevice(dir string) meter.Device {
	m := meter.Device{ID: d.ID, Protocol: d.speaks(), Endpoint: d.meterEndpoint(), Timeout: time.Duration(d.Timeout)}
	if d.P1 != nil {
		m.Zone = d.P1.TimeZone
		if d.P1.KeyFile != "" {
			m.KeyFile = d.P1.KeyFile.In(dir)
		}
		if d.P1.AuthenticationKeyFile != "" {
			m.AuthenticationKeyFile = d.P1.AuthenticationKeyFile.In(dir)
		}
	}
	if d.IEC62056 != nil {
		m.Address, m.ReadEvery = d.IEC62056.Address, time.Duration(d.IEC62056.ReadEvery)
	}
	for _, s := range d.Signals {
		code, err := obis.ParseCode([]byte(s.OBIS))
		if err != nil {
			panic(err) // it has been checked
		}
		m.Points = append(m.Points, meter.Point{Name: s.Name, Code: code, Scale: s.Scale, Offset: s.Offset})
	}
	return m
}

// checkMeter checks a meter. meters are the devices before it by where they are, and buses
// what Modbus has.
func (k checker) checkMeter(path string, by profile.Protocol, d Device, buses buses, meters map[string]string) {
	at := path + "." + string(by)
	if !d.Meter() {
		return
	}
	if k.Has(path + ".poll_every") {
		expected := "the key to be left out"
		if by == profile.IEC62056 {
			expected = "read_every in iec62056"
		}
		k.Errorf(path+".poll_every", "a meter isn't polled for its values one by one, expected %s", expected)
	}
	if k.Has(at + ".endpoint") {
		k.checkMeterEndpoint(at+".endpoint", d, buses, meters)
	}
	if p := d.P1; p != nil {
		k.timeZone(at+".time_zone", p.TimeZone)
		for key, file := range map[string]configfile.Path{"key_file": p.KeyFile, "authentication_key_file": p.AuthenticationKeyFile} {
			if k.Has(at+"."+key) && file == "" {
				k.Errorf(at+"."+key, "empty, expected the name of a file")
			}
		}
		if k.Has(at+".authentication_key_file") && !k.Has(at+".key_file") {
			k.Errorf(at+".authentication_key_file", "has no effect without an encryption key, expected key_file beside it")
		}
	}
	if i := d.IEC62056; i != nil {
		within(k, at+".read_every", i.ReadEvery, millis(10_000), longestPoll)
		if err := iec62056.CheckAddress(i.Address); err != nil {
			k.Errorf(at+".address", "%q, %s", i.Address, err)
		}
	}
	codes := map[obis.Code]string{}
	for j, s := range d.Signals {
		code, err := obis.ParseCode([]byte(s.OBIS))
		if err != nil {
			continue
		}
		if other, twice := codes[code]; twice {
			k.Errorf(configfile.Item(path+".signals", j)+".obis", "%s is %s already, expected one signal for each register", code, other)
			continue
		}
		codes[code] = s.Name
	}
}

func (k checker) checkMeterEndpoint(at string, d Device, buses buses, meters map[string]string) {
	e, err := d.speaks().ParseEndpoint(d.meterEndpoint())
	if err != nil {
		k.Errorf(at, "%s", err)
		return
	}
	place := e.Path + e.Address
	if other, taken := meters[place]; taken {
		k.Errorf(at, "%s is device %q already, expected one device for each line", place, other)
		return
	}
	if other, taken := buses.endpoints[place]; taken && other.Transport == modbus.RTU {
		k.Errorf(at, "%s is spoken to by Modbus, expected a port of its own", place)
		return
	}
	meters[place] = d.ID
}

// meterEndpoint is where the device, a meter, is.
func (d Device) meterEndpoint() string {
	switch d.speaks() {
	case meter.P1:
		return d.P1.Endpoint
	case meter.SML:
		return d.SML.Endpoint
	}
	return d.IEC62056.Endpoint
}
