package gatewayconfig

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/iec104"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
)

// IEC104 is a controlled station of IEC 60870-5-104, or several behind the same link, such
// as those of a data concentrator.
type IEC104 struct {
	// Where it is: tcp://host or tcp://host:port, or tls:// for an encrypted link; the port
	// is 2404 if it is left out, and 19998 of tls. Example: tcp://10.0.0.20.
	Endpoint string `yaml:"endpoint,required"`

	// Further endpoints of the same station, which make a redundancy group: all of them are
	// connected, and one is started. Default: none. Example: ["tcp://10.0.1.20"].
	Redundant []string `yaml:"redundant"`

	// The certificates of a tls:// endpoint. A station that asks for a certificate of ours
	// gets cert. Default: the certificate authorities of the operating system.
	TLS *kafkaconn.TLS `yaml:"tls"`

	Telecontrol `yaml:",inline"`

	// How long a connection may take to be made; from 1s to 255s. Default: 30s.
	T0 configfile.Duration `yaml:"t0"`

	// How long the station may take to acknowledge what was sent; from 1s to 255s. Default: 15s.
	T1 configfile.Duration `yaml:"t1"`

	// How long what has come may stay unacknowledged; less than t1. Default: 10s.
	T2 configfile.Duration `yaml:"t2"`

	// After how long without anything from the station it is asked whether it is there; from
	// 1s to 48h. Default: 20s.
	T3 configfile.Duration `yaml:"t3"`

	// How many messages may be sent that aren't acknowledged; from 1 to 32767. Default: 12.
	K uint16 `yaml:"k"`

	// After how many messages they are acknowledged; from 1 to 32767, and no more than two
	// thirds of the station's k. Default: 8.
	W uint16 `yaml:"w"`

	// What of that which the station tells of its own accord is on disk before it is
	// acknowledged, so that none is lost if the gateway fails: states is everything but measured
	// values; all is those, too, which costs the disk a write every w messages. Default: states.
	Acknowledge Acknowledge `yaml:"acknowledge"`
}

// Acknowledge is what is on disk before a station has an acknowledgement of it.
type Acknowledge string

const (
	AcknowledgeStates Acknowledge = "states"
	AcknowledgeAll    Acknowledge = "all"
)

// SetDefaults is called before a station is read.
func (i *IEC104) SetDefaults() {
	i.Acknowledge = AcknowledgeStates
	i.Telecontrol = defaultTelecontrol(asdu.IEC104)
	i.T0, i.K, i.W = configfile.Duration(30*time.Second), uint16(link.Default.K), uint16(link.Default.W)
	i.T1, i.T2, i.T3 = configfile.Duration(link.Default.T1), configfile.Duration(link.Default.T2), configfile.Duration(link.Default.T3)
}

// Command is the command of IEC 60870-5-104 by which a signal is operated.
type Command struct {
	// The address of the object that is commanded. Example: 2001.
	IOA uint32 `yaml:"ioa,required"`

	// What it is: single, double or step, a command; normalized, scaled or float, a set point;
	// or bitstring. A bool's values are 1 and 0; a number's of double 2, on, and 1, off; those
	// of step 2, higher, and 1, lower.
	Type CommandType `yaml:"type,required"`

	// Whether the station wants it to be selected before it is executed. Default: true.
	Select bool `yaml:"select"`

	// Sends it with the time. Default: false.
	Time bool `yaml:"time"`

	// The qualifier: of a command 0, or 1 short pulse, 2 long pulse, 3 persistent; from 0 to
	// 31, of a set point to 127. Default: 0.
	Qualifier uint8 `yaml:"qualifier"`
}

// SetDefaults is called before a command is read.
func (c *Command) SetDefaults() { c.Select = true }

// CommandType is what a command is.
type CommandType string

const (
	CommandSingle     CommandType = "single"
	CommandDouble     CommandType = "double"
	CommandStep       CommandType = "step"
	CommandNormalized CommandType = "normalized"
	CommandScaled     CommandType = "scaled"
	CommandFloat      CommandType = "float"
	CommandBitstring  CommandType = "bitstring"
)

// CommandTypes are all of them.
var CommandTypes = []CommandType{CommandSingle, CommandDouble, CommandStep, CommandNormalized, CommandScaled, CommandFloat, CommandBitstring}

// commandTypes are their types, without and with a time.
var commandTypes = map[CommandType][2]asdu.Type{
	CommandSingle: {asdu.SingleCommand, asdu.SingleCommandTime}, CommandDouble: {asdu.DoubleCommand, asdu.DoubleCommandTime},
	CommandStep: {asdu.StepCommand, asdu.StepCommandTime}, CommandNormalized: {asdu.SetNormalized, asdu.SetNormalizedTime},
	CommandScaled: {asdu.SetScaled, asdu.SetScaledTime}, CommandFloat: {asdu.SetShortFloat, asdu.SetShortFloatTime},
	CommandBitstring: {asdu.SetBitstring, asdu.SetBitstringTime},
}

const (
	iec104Timeout = configfile.Duration(10 * time.Second)
	iec104Port    = "2404"
	// iec104PortTLS is what IANA has registered for it.
	iec104PortTLS = "19998"
)

// iec104Address is an endpoint as host:port.
func iec104Address(endpoint string) (address string, encrypted bool, err error) {
	scheme, rest, _ := strings.Cut(endpoint, "://")
	port := iec104Port
	switch scheme {
	case "tcp":
	case "tls":
		encrypted, port = true, iec104PortTLS
	default:
		return "", false, fmt.Errorf("%q, expected tcp://host, tcp://host:port or tls://host", endpoint)
	}
	host := rest
	if h, p, err := net.SplitHostPort(rest); err == nil {
		host, port = h, p
	}
	host = strings.Trim(host, "[]")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || net.ParseIP(host) == nil && !hostName.MatchString(host) {
		return "", false, fmt.Errorf("%q, expected tcp://host, tcp://host:port or tls://host", endpoint)
	}
	return net.JoinHostPort(host, port), encrypted, nil
}

// endpoints are all of them.
func (i *IEC104) endpoints() []string { return append([]string{i.Endpoint}, i.Redundant...) }

func (k checker) checkIEC104(path string, d Device, addresses map[string]string) {
	i := d.IEC104
	if i == nil {
		return
	}
	at := path + ".iec104"
	k.checkIEC104Endpoints(at, d, addresses)
	k.checkTelecontrol(path, at, d)
	within(k, at+".t0", i.T0, millis(1000), millis(255_000))
	within(k, at+".t1", i.T1, millis(1000), millis(255_000))
	within(k, at+".t2", i.T2, millis(1), millis(255_000))
	within(k, at+".t3", i.T3, millis(1000), configfile.Duration(48*time.Hour))
	if i.T2 >= i.T1 {
		k.Errorf(at+".t2", "%s isn't less than t1, %s", i.T2, i.T1)
	}
	for key, v := range map[string]uint16{"k": i.K, "w": i.W} {
		if v < 1 || v > 32767 {
			k.Errorf(at+"."+key, "%d, expected 1 to 32767", v)
		}
	}
	if a := i.Acknowledge; a != AcknowledgeStates && a != AcknowledgeAll {
		k.Errorf(at+".acknowledge", "%q, expected %s or %s", a, AcknowledgeStates, AcknowledgeAll)
	}
}

func (k checker) checkIEC104Endpoints(at string, d Device, addresses map[string]string) {
	encryptedAny, plainAny := false, false
	for n, endpoint := range d.IEC104.endpoints() {
		place := at + ".endpoint"
		if n > 0 {
			place = configfile.Item(at+".redundant", n-1)
		}
		if !k.Has(place) {
			continue
		}
		address, encrypted, err := iec104Address(endpoint)
		if err != nil {
			k.Errorf(place, "%s", err)
			return
		}
		if other, twice := addresses[address]; twice {
			k.Errorf(place, "%s is device %q already, expected one device for each station; common_address of a signal tells stations behind one link apart", address, other)
		}
		addresses[address] = d.ID
		encryptedAny, plainAny = encryptedAny || encrypted, plainAny || !encrypted
	}
	switch t := d.IEC104.TLS; {
	case encryptedAny && plainAny:
		k.Errorf(at+".redundant", "some of the endpoints are encrypted and some aren't, expected all of them to be tls:// or tcp://")
	case t != nil && plainAny:
		k.Errorf(at+".tls", "has no effect with a tcp:// endpoint, expected a tls:// one")
	case t != nil && (t.Cert == "") != (t.Key == ""):
		k.Errorf(at+".tls", "cert and key belong together, expected both or neither")
	}
}

// checkIEC104Control checks what only the control of a station has.
func (k checker) checkIEC104Control(at string, d Device, c Control) {
	var names []string
	for _, s := range d.Signals {
		names = append(names, s.Name)
	}
	s, known := d.Signal(c.Signal)
	if !known {
		k.Errorf(at+".signal", "%s has no signal %q%s", d.ID, c.Signal, orNearest(c.Signal, names))
	}
	if _, known := d.Signal(c.Feedback); c.Feedback != "" && !known {
		k.Errorf(at+".feedback", "%s has no signal %q%s", d.ID, c.Feedback, orNearest(c.Feedback, names))
	}
	for _, key := range []string{"write", "call"} {
		if k.Has(at + "." + key) {
			k.Errorf(at+"."+key, "the device is read by %s, which hasn't got this, expected command", d.telecontrolled())
		}
	}
	within(k, at+".settle", c.Settle, 0, configfile.Duration(time.Minute))
	m := c.Command
	if m == nil {
		if !k.Broken(at + ".command") {
			k.Errorf(at, "how it is commanded isn't said, expected command: {ioa: 2001, type: %s}", CommandDouble)
		}
		return
	}
	at += ".command"
	if !slices.Contains(CommandTypes, m.Type) {
		if m.Type != "" {
			k.Errorf(at+".type", "%q, expected single, double, step, normalized, scaled, float or bitstring", m.Type)
		}
		return
	}
	if most := uint32(1)<<(8*d.telecontrol().ObjectOctets) - 1; m.IOA > most {
		k.Errorf(at+".ioa", "%d, expected at most %d", m.IOA, most)
	}
	most := uint8(31)
	switch m.Type {
	case CommandNormalized, CommandScaled, CommandFloat:
		most = 127
	case CommandBitstring:
		most = 0
		if m.Select && k.Has(at+".select") {
			k.Errorf(at+".select", "a bitstring can't be selected, expected false, or the key to be left out")
		}
	}
	if m.Qualifier > most {
		k.Errorf(at+".qualifier", "%d, expected 0 to %d", m.Qualifier, most)
	}
	if known && s.Type == modbus.Bool && m.Type != CommandSingle && m.Type != CommandDouble {
		k.Errorf(at+".type", "%s is a bool, expected single or double", s.Name)
	}
}

// iec104 is the control as the adapter takes it, of one that has been checked.
func (c Control) iec104(station uint16) iec104.Control {
	types := commandTypes[c.Command.Type]
	t := types[0]
	if c.Command.Time {
		t = types[1]
	}
	return iec104.Control{
		Point: c.Signal, Station: station, Object: c.Command.IOA, Type: t, Qualifier: c.Command.Qualifier,
		Select:   c.Command.Select && c.Command.Type != CommandBitstring,
		Feedback: c.Feedback, Settle: time.Duration(c.Settle),
	}
}

// IEC104Device is a device that is read by iec104. dir is what file names are relative to.
func (d Device) IEC104Device(dir string) iec104.Device {
	i := d.IEC104
	o := d.station()
	o.TLS, o.Dir, o.T0, o.KeepAll = i.TLS, dir, time.Duration(i.T0), i.Acknowledge == AcknowledgeAll
	o.Link = link.Config{T1: time.Duration(i.T1), T2: time.Duration(i.T2), T3: time.Duration(i.T3), K: int(i.K), W: int(i.W)}
	for _, endpoint := range i.endpoints() {
		address, encrypted, err := iec104Address(endpoint)
		if err != nil {
			panic(err) // it has been checked
		}
		if encrypted && o.TLS == nil {
			o.TLS = &kafkaconn.TLS{}
		}
		o.Addresses = append(o.Addresses, address)
	}
	return o
}
