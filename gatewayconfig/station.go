package gatewayconfig

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// Station is the gateway as a controlled station of IEC 60870-5-104: it offers signals to
// control rooms, tells them what changes, and takes their commands. Events wait on disk for
// a control room that is away.
type Station struct {
	// Where it listens, as host:port. An address that other machines reach needs tls, or
	// insecure. Default: 127.0.0.1:19998, without tls 127.0.0.1:2404. Example: 10.1.0.2:19998.
	Listen string `yaml:"listen"`

	// The certificates by which control rooms and this gateway prove who they are.
	TLS *StationTLS `yaml:"tls"`

	// Listens without encryption on an address that other machines reach: whoever is on the
	// network between can read and change everything, and command what is listed. It needs
	// groups. Default: false.
	Insecure bool `yaml:"insecure"`

	// The common address of the station; from 1 to 65534. Default: 1.
	CommonAddress uint16 `yaml:"common_address"`

	// The control rooms, each of which is told everything. Of the connections of one, one is
	// started at a time: a redundancy group. At most 16. Default: one, whose connections come
	// from anywhere.
	Groups []StationGroup `yaml:"groups"`

	// The time zone of the times that it tells and is told, by its name in the IANA database.
	// Default: UTC. Example: Europe/Berlin.
	TimeZone string `yaml:"time_zone"`

	// How many events wait for each group at most; of more, the oldest are lost, and entered
	// into the ledger. From 100 to 100000. Default: 10000.
	Events int `yaml:"events"`

	// Takes the time that control rooms set as a source of the gateway's own, beside those of
	// time. Else it is refused. Default: false.
	TakeTime bool `yaml:"take_time"`

	// How long the control room may take to acknowledge what was sent; from 1s to 255s.
	// Default: 15s.
	T1 configfile.Duration `yaml:"t1"`

	// How long what has come may stay unacknowledged; less than t1. Default: 10s.
	T2 configfile.Duration `yaml:"t2"`

	// After how long without anything from the control room it is asked whether it is there;
	// from 1s to 48h. Default: 20s.
	T3 configfile.Duration `yaml:"t3"`

	// How many messages may be sent that aren't acknowledged; from 1 to 32767. As many may come
	// twice when the gateway or a link fails. Default: 12.
	K uint16 `yaml:"k"`

	// After how many messages they are acknowledged; from 1 to 32767. Default: 8.
	W uint16 `yaml:"w"`

	// How many octets the cause of transmission takes, 1 or 2. Default: 2.
	CauseOctets uint8 `yaml:"cause_octets"`

	// How many octets the common address takes, 1 or 2. Default: 2.
	AddressOctets uint8 `yaml:"address_octets"`

	// How many octets the address of an object takes; from 1 to 3. Default: 3.
	ObjectOctets uint8 `yaml:"object_octets"`

	// What is offered; at least one signal.
	Signals []Served `yaml:"signals,required"`
}

// StationTLS is the certificates of a station and its control rooms.
type StationTLS struct {
	// The certificate authorities that the control rooms' certificates must come from. One
	// without a certificate is refused. Example: scada-ca.crt.
	CA configfile.Path `yaml:"ca,required"`

	// The gateway's own certificate. Example: gw.crt.
	Cert configfile.Path `yaml:"cert,required"`

	// Its private key. Example: gw.key.
	Key configfile.Path `yaml:"key,required"`
}

// StationGroup is a control room.
type StationGroup struct {
	// Its name: letters, digits, dots, underscores and hyphens. What it hasn't been told is
	// kept under it. Example: control-room.
	Name string `yaml:"name,required"`

	// Where its connections come from: addresses or networks. Default: anywhere.
	// Example: [10.1.0.5, 10.2.0.0/24].
	Masters []string `yaml:"masters"`
}

// Served is a signal that is offered, and as what.
type Served struct {
	// The device. Example: bay-rtu.
	Device string `yaml:"device,required"`

	// The name of its signal, or ChLiv: whether it answers. Example: Pos.
	Signal string `yaml:"signal,required"`

	// The address of the information object. Example: 1001.
	IOA uint32 `yaml:"ioa,required"`

	// The common address, if it isn't that of the station. Default: that of the station.
	CommonAddress uint16 `yaml:"common_address"`

	// What it is told as: single, double, step, bitstring, normalized, scaled, float or total.
	// Default: single if it is a bool, total if it is a counter, scaled if it is a state, else
	// float.
	Type ServedType `yaml:"type"`

	// What the value is multiplied by before it is told. Default: 1. Example: 0.001.
	Scale float64 `yaml:"scale"`

	// By how much what is told has to change to be told again, in the unit that it has after
	// scale. Not of events. Default: 0.
	Deadband float64 `yaml:"deadband"`

	// Makes every change of a normalized, scaled or float value an event, which waits on disk
	// until it was told, as every change of single, double, step and bitstring is. Else of
	// changes that wait the last is told. Default: false.
	Events bool `yaml:"events"`

	// The group of interrogation that it is in, from 1 to 16; of a total to 4. Default: 0, none.
	Group uint8 `yaml:"group"`

	// The command by which it is operated. It has to be listed under control of the device,
	// which says within which bounds, and whether it has to be selected first. Default: it
	// can't be.
	Command *ServedCommand `yaml:"command"`
}

// ServedCommand is a command that is taken.
type ServedCommand struct {
	// The address of the object that is commanded. Example: 5001.
	IOA uint32 `yaml:"ioa,required"`

	// What it is: single, double or step, a command; normalized, scaled or float, a set point.
	// Set points are divided by scale. Default: single of a bool, else float.
	Type CommandType `yaml:"type"`
}

// ServedType is what a signal is told as.
type ServedType string

const (
	ServedSingle     ServedType = "single"
	ServedDouble     ServedType = "double"
	ServedStep       ServedType = "step"
	ServedBitstring  ServedType = "bitstring"
	ServedNormalized ServedType = "normalized"
	ServedScaled     ServedType = "scaled"
	ServedFloat      ServedType = "float"
	ServedTotal      ServedType = "total"
)

// ServedTypes are all of them.
var ServedTypes = []ServedType{ServedSingle, ServedDouble, ServedStep, ServedBitstring, ServedNormalized, ServedScaled, ServedFloat, ServedTotal}

var servedTypes = map[ServedType]asdu.Type{
	ServedSingle: asdu.SinglePoint, ServedDouble: asdu.DoublePoint, ServedStep: asdu.StepPosition, ServedBitstring: asdu.Bitstring,
	ServedNormalized: asdu.Normalized, ServedScaled: asdu.Scaled, ServedFloat: asdu.ShortFloat, ServedTotal: asdu.Totals,
}

// SetDefaults is called before a station is read.
func (s *Station) SetDefaults() {
	s.CommonAddress, s.TimeZone, s.Events = 1, "UTC", controlled.Default.Events
	s.T1, s.T2, s.T3 = configfile.Duration(link.Default.T1), configfile.Duration(link.Default.T2), configfile.Duration(link.Default.T3)
	s.K, s.W = uint16(link.Default.K), uint16(link.Default.W)
	s.CauseOctets, s.AddressOctets, s.ObjectOctets = uint8(asdu.IEC104.Cause), uint8(asdu.IEC104.Address), uint8(asdu.IEC104.Object)
}

// SetDefaults is called before a signal is read.
func (s *Served) SetDefaults() { s.Scale = 1 }

// MostGroups is how many control rooms there are at most.
const MostGroups = 16

// Address is where it listens.
func (s *Station) Address() string {
	switch {
	case s.Listen != "":
		return s.Listen
	case s.TLS != nil:
		return "127.0.0.1:" + iec104PortTLS
	}
	return "127.0.0.1:" + iec104Port
}

// Controlled is the station as it is served, of one that has been checked.
func (s *Station) Controlled() controlled.Config {
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		panic(err) // it has been checked
	}
	c := controlled.Config{
		Params: asdu.Params{Cause: int(s.CauseOctets), Address: int(s.AddressOctets), Object: int(s.ObjectOctets)}, Zone: zone,
		Link:   link.Config{T1: time.Duration(s.T1), T2: time.Duration(s.T2), T3: time.Duration(s.T3), K: int(s.K), W: int(s.W)},
		Events: s.Events, Select: time.Duration(longestSelection), // the control of each says how long
	}
	for _, g := range s.Groups {
		group := controlled.Group{Name: g.Name}
		for _, m := range g.Masters {
			prefix, err := parsePrefix(m)
			if err != nil {
				panic(err) // it has been checked
			}
			group.Masters = append(group.Masters, prefix)
		}
		c.Groups = append(c.Groups, group)
	}
	return c
}

func parsePrefix(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// ServedPoint is a signal as the station has it.
type ServedPoint struct {
	Device, Signal string
	Bool           bool // the signal is one
	Scale          float64
	Point          controlled.Point
	Control        *controlled.Control // nil: it can't be commanded
}

// ServedPoints are the signals of the station, of a configuration that has been checked.
func (c Config) ServedPoints() (list []ServedPoint) {
	station := c.Serve.IEC104
	for _, s := range station.Signals {
		signal, device := c.served(s)
		t := s.typeOf(signal)
		address := cmp.Or(s.CommonAddress, station.CommonAddress)
		p := ServedPoint{
			Device: s.Device, Signal: s.Signal, Bool: signal.Type == modbus.Bool, Scale: s.Scale,
			Point: controlled.Point{
				Station: address, Address: s.IOA, Type: servedTypes[t], Group: s.Group, Quiet: t == ServedTotal,
				Latest: !s.Events && !s.isEvent(t), Deadband: s.Deadband, Quality: asdu.Invalid | asdu.NotTopical,
			},
		}
		if m := s.Command; m != nil {
			o, _ := device.ControlOf(s.Signal)
			p.Control = &controlled.Control{
				Station: address, Address: m.IOA, Type: commandTypes[m.typeOf(signal)][0], Select: o.Mode == ControlSelected,
			}
		}
		list = append(list, p)
	}
	return list
}

// served is what the station serves; what isn't there is empty.
func (c Config) served(s Served) (signal Signal, d Device) {
	i := slices.IndexFunc(c.Devices, func(d Device) bool { return d.ID == s.Device })
	if i < 0 {
		return signal, d
	}
	if s.Signal == telemetry.ChannelLive {
		return Signal{Name: s.Signal, Type: modbus.Bool}, c.Devices[i]
	}
	signal, _ = c.Devices[i].Signal(s.Signal)
	return signal, c.Devices[i]
}

// typeOf is what a signal is told as.
func (s Served) typeOf(signal Signal) ServedType {
	switch {
	case s.Type != "":
		return s.Type
	case signal.Type == modbus.Bool:
		return ServedSingle
	case signal.Kind == telemetry.Counter:
		return ServedTotal
	case signal.Kind == telemetry.State:
		return ServedScaled
	}
	return ServedFloat
}

// isEvent reports whether every change of such a signal is an event by default.
func (s Served) isEvent(t ServedType) bool {
	return t == ServedSingle || t == ServedDouble || t == ServedStep || t == ServedBitstring
}

func (m ServedCommand) typeOf(signal Signal) CommandType {
	switch {
	case m.Type != "":
		return m.Type
	case signal.Type == modbus.Bool:
		return CommandSingle
	}
	return CommandFloat
}
