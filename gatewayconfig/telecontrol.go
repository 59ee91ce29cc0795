package gatewayconfig

import (
	"cmp"
	"time"

	"github.com/busbar/busbar/adapters/iec104"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/profile"
)

// Telecontrol is what stations of IEC 60870-5-101 and -104 have alike: how they are asked,
// and the sizes of fields.
type Telecontrol struct {
	// The common address of the station; from 1 to 65534. Default: 1.
	CommonAddress uint16 `yaml:"common_address"`

	// The originator address of this gateway, for stations that tell their masters apart; from
	// 0 to 255. Default: 0, none.
	Originator uint8 `yaml:"originator"`

	// How often everything is asked for, beside whenever a link is started and when the
	// station says that it has been; from 10s to 24h. Default: 1h.
	InterrogateEvery configfile.Duration `yaml:"interrogate_every"`

	// How often counters are asked for; from 10s to 24h. Default: never.
	CountersEvery configfile.Duration `yaml:"counters_every"`

	// How often the station's clock is set, the first time when a link is started; from 10s to
	// 24h. Default: never.
	SyncEvery configfile.Duration `yaml:"sync_every"`

	// The time zone of the station's clock, by its name in the IANA database. In one with
	// summer time, SU of each time says whether that is in it. Default: UTC.
	// Example: Europe/Berlin.
	TimeZone string `yaml:"time_zone"`

	// How many octets the cause of transmission takes, 1 or 2, for stations that have been
	// ones of 60870-5-101. Default: 2.
	CauseOctets uint8 `yaml:"cause_octets"`

	// How many octets the common address takes, 1 or 2. Default: 2.
	AddressOctets uint8 `yaml:"address_octets"`

	// How many octets the address of an object takes; from 1 to 3. Default: 3.
	ObjectOctets uint8 `yaml:"object_octets"`
}

func defaultTelecontrol(p asdu.Params) Telecontrol {
	return Telecontrol{
		CommonAddress: 1, TimeZone: "UTC", InterrogateEvery: configfile.Duration(time.Hour),
		CauseOctets: uint8(p.Cause), AddressOctets: uint8(p.Address), ObjectOctets: uint8(p.Object),
	}
}

// telecontrol is what is said of the device if it is read by iec104 or iec101; nil: it isn't.
func (d Device) telecontrol() *Telecontrol {
	switch {
	case d.IEC104 != nil:
		return &d.IEC104.Telecontrol
	case d.IEC101 != nil:
		return &d.IEC101.Telecontrol
	}
	return nil
}

// telecontrolled is which of them it is read by.
func (d Device) telecontrolled() profile.Protocol {
	if d.IEC101 != nil {
		return profile.IEC101
	}
	return profile.IEC104
}

// checkTelecontrol checks what is said of a device's stations at the path at.
func (k checker) checkTelecontrol(path, at string, d Device) {
	t := d.telecontrol()
	if k.Has(path + ".poll_every") {
		k.Errorf(path+".poll_every", "a station tells by itself what changes, expected interrogate_every in %s", d.telecontrolled())
	}
	if k.Has(at+".common_address") && (t.CommonAddress == 0 || t.CommonAddress == 65535) {
		k.Errorf(at+".common_address", "%d, expected 1 to 65534", t.CommonAddress)
	} else if t.AddressOctets == 1 && t.CommonAddress > 254 {
		k.Errorf(at+".common_address", "%d, expected 1 to 254 in one octet", t.CommonAddress)
	}
	least := millis(10_000)
	within(k, at+".interrogate_every", t.InterrogateEvery, least, longestPoll)
	within(k, at+".counters_every", t.CountersEvery, least, longestPoll)
	within(k, at+".sync_every", t.SyncEvery, least, longestPoll)
	for key, v := range map[string]struct{ octets, most uint8 }{"cause_octets": {t.CauseOctets, 2}, "address_octets": {t.AddressOctets, 2}, "object_octets": {t.ObjectOctets, 3}} {
		if v.octets < 1 || v.octets > v.most {
			k.Errorf(at+"."+key, "%d, expected 1 to %d", v.octets, v.most)
		}
	}
	k.timeZone(at+".time_zone", t.TimeZone)
	places := map[[2]uint32]string{}
	for j, s := range d.Signals {
		item := configfile.Item(path+".signals", j)
		if s.IOA == nil {
			continue
		}
		if t.AddressOctets == 1 && s.CommonAddress > 254 {
			k.Errorf(item+".common_address", "%d, expected 1 to 254 in one octet", s.CommonAddress)
		}
		if most := uint32(1)<<(8*t.ObjectOctets) - 1; *s.IOA > most && t.ObjectOctets < 3 && t.ObjectOctets > 0 {
			k.Errorf(item+".ioa", "%d doesn't fit into object_octets, %d, expected at most %d", *s.IOA, t.ObjectOctets, most)
		}
		place := [2]uint32{uint32(cmp.Or(s.CommonAddress, t.CommonAddress)), *s.IOA}
		if other, twice := places[place]; twice {
			k.Errorf(item+".ioa", "%d is %s already, expected one signal for each object", *s.IOA, other)
			continue
		}
		places[place] = s.Name
	}
}

// station is a device as the adapter takes it, but for how it is reached.
func (d Device) station() iec104.Device {
	t := d.telecontrol()
	o := iec104.Device{
		ID: d.ID, Params: asdu.Params{Cause: int(t.CauseOctets), Address: int(t.AddressOctets), Object: int(t.ObjectOctets)}, Originator: t.Originator,
		Interrogate: time.Duration(t.InterrogateEvery), Counters: time.Duration(t.CountersEvery), Sync: time.Duration(t.SyncEvery),
		Zone: t.TimeZone, Timeout: time.Duration(d.Timeout),
	}
	o.Points = make([]iec104.Point, 0, len(d.Signals))
	for _, s := range d.Signals {
		o.Points = append(o.Points, iec104.Point{
			Name: s.Name, Station: cmp.Or(s.CommonAddress, t.CommonAddress), Object: *s.IOA, Scale: s.Scale, Offset: s.Offset,
			Bool: s.Type == modbus.Bool, Counter: s.Kind == "counter",
		})
	}
	for _, c := range d.Control {
		s, _ := d.Signal(c.Signal)
		o.Controls = append(o.Controls, c.iec104(cmp.Or(s.CommonAddress, t.CommonAddress)))
	}
	return o
}

// TelecontrolDevice is a device that is read by iec104 or iec101. dir is what file names are
// relative to.
func (d Device) TelecontrolDevice(dir string) iec104.Device {
	if d.IEC101 != nil {
		return d.IEC101Device()
	}
	return d.IEC104Device(dir)
}

// timeZone checks the name of a time zone.
func (k checker) timeZone(path, name string) {
	if _, err := time.LoadLocation(name); k.Has(path) && (err != nil || name == "" || name == "Local") {
		k.Errorf(path, "there is no time zone %q, expected a name like UTC or Europe/Berlin", name)
	}
}
