package gatewayconfig

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
)

// checkStation checks the station, of a configuration that has been filled and whose
// devices are right.
func (k checker) checkStation() {
	s := k.config.Serve.IEC104
	if s == nil {
		return
	}
	at := "serve.iec104"
	objects := map[[2]uint32]string{}
	place := func(path string, station uint16, ioa uint32, name string) {
		most := uint32(1)<<(8*s.ObjectOctets) - 1
		key := [2]uint32{uint32(cmp.Or(station, s.CommonAddress)), ioa}
		switch other, twice := objects[key]; {
		case ioa == 0 || ioa > most:
			k.Errorf(path, "%d, expected 1 to %d", ioa, most)
		case twice:
			k.Errorf(path, "%d is %s already, expected an address of its own", ioa, other)
		default:
			objects[key] = name
		}
	}
	first := map[[2]string]int{}
	for i, v := range s.Signals {
		item := configfile.Item(at+".signals", i)
		name := v.Signal + " of " + v.Device
		place(item+".ioa", v.CommonAddress, v.IOA, name)
		if k.Has(item+".common_address") && (v.CommonAddress == 0 || v.CommonAddress == 65535) {
			k.Errorf(item+".common_address", "%d, expected 1 to 65534", v.CommonAddress)
		}
		if j, twice := first[[2]string{v.Device, v.Signal}]; twice {
			k.Errorf(item+".signal", "%s is signals[%d] already, expected one entry for each signal", name, j)
		}
		first[[2]string{v.Device, v.Signal}] = i
		k.checkServed(item, v)
		if m := v.Command; m != nil {
			place(item+".command.ioa", v.CommonAddress, m.IOA, "the command of "+name)
		}
	}
}

func (k checker) checkServed(item string, v Served) {
	signal, device := k.config.served(v)
	if device.ID == "" {
		var ids []string
		for _, d := range k.config.Devices {
			ids = append(ids, d.ID)
		}
		k.Errorf(item+".device", "there is no device %q%s", v.Device, orNearest(v.Device, ids))
		return
	}
	if signal.Name == "" {
		var names []string
		for _, s := range device.Signals {
			names = append(names, s.Name)
		}
		k.Errorf(item+".signal", "%s has no signal %q%s", v.Device, v.Signal, orNearest(v.Signal, names))
		return
	}
	t := v.typeOf(signal)
	if servedTypes[t] == 0 {
		k.Errorf(item+".type", "%q, expected single, double, step, bitstring, normalized, scaled, float or total", v.Type)
		return
	}
	measured := t == ServedNormalized || t == ServedScaled || t == ServedFloat || t == ServedTotal
	most := uint8(16)
	if t == ServedTotal {
		most = 4
	}
	switch {
	case !measured && v.Scale != 1:
		k.Errorf(item+".scale", "%s is told as %s, expected the key to be left out", v.Signal, t)
	case v.Scale == 0 || v.Scale-v.Scale != 0:
		k.Errorf(item+".scale", "%v, expected a number other than 0", v.Scale)
	}
	if v.Deadband != 0 && (v.Events || v.isEvent(t) || t == ServedTotal) {
		k.Errorf(item+".deadband", "every change of %s is told, expected the key to be left out", v.Signal)
	} else if !(v.Deadband >= 0) {
		k.Errorf(item+".deadband", "%v, expected a number that isn't below 0", v.Deadband)
	}
	if t == ServedTotal && v.Events {
		k.Errorf(item+".events", "a total is only asked for, expected the key to be left out")
	}
	if v.Group > most {
		k.Errorf(item+".group", "%d, expected 0 to %d", v.Group, most)
	}
	if v.Command != nil {
		k.checkServedCommand(item+".command", v, signal, device)
	}
}

func (k checker) checkServedCommand(at string, v Served, signal Signal, d Device) {
	if _, listed := d.ControlOf(v.Signal); !listed {
		k.Errorf(at, "%s isn't listed under control of %s, expected an entry there, which says within which bounds", v.Signal, v.Device)
	}
	if k.config.Gateway.Control != Enabled {
		k.Errorf(at, "gateway.control isn't enabled, expected control: enabled in gateway, or no command")
	}
	t := v.Command.typeOf(signal)
	switch {
	case t == CommandBitstring || commandTypes[t][0] == 0:
		k.Errorf(at+".type", "%q, expected single, double, step, normalized, scaled or float", v.Command.Type)
	case signal.Type == modbus.Bool && t != CommandSingle && t != CommandDouble:
		k.Errorf(at+".type", "%s is a bool, expected single or double", v.Signal)
	}
}

// checkStationLink checks what of the station doesn't depend on devices.
func (k checker) checkStationLink() {
	s := k.config.Serve.IEC104
	if s == nil {
		return
	}
	at := "serve.iec104"
	address, err := netip.ParseAddrPort(s.Address())
	switch {
	case err != nil || address.Port() == 0:
		k.Errorf(at+".listen", "%q, expected address:port such as 10.1.0.2:%s", s.Listen, iec104PortTLS)
	case address.Addr().IsLoopback():
	case s.TLS == nil && !s.Insecure && !k.Broken(at+".tls"):
		k.Errorf(at+".listen", "%s is reachable from other machines without encryption, expected tls beside it; insecure: true listens there all the same", s.Listen)
	case s.TLS == nil && !slices.ContainsFunc(s.Groups, func(g StationGroup) bool { return len(g.Masters) > 0 }) && !k.Broken(at+".groups"):
		k.Errorf(at+".insecure", "anybody could connect, expected groups that say where masters are")
	}
	if s.TLS != nil && s.Insecure {
		k.Errorf(at+".insecure", "has no effect beside tls, expected one of the two")
	}
	if len(s.Signals) == 0 && k.Has(at+".signals") {
		k.Errorf(at+".signals", "no signal, expected at least one")
	}
	if k.Has(at+".common_address") && (s.CommonAddress == 0 || s.CommonAddress == 65535) {
		k.Errorf(at+".common_address", "%d, expected 1 to 65534", s.CommonAddress)
	}
	if s.Events < 100 || s.Events > 100_000 {
		k.Errorf(at+".events", "%d, expected 100 to 100000", s.Events)
	}
	k.checkGroups(at+".groups", s.Groups)
	for _, problem := range s.linkProblems() {
		k.Errorf(at+"."+problem.key, "%s", problem.text)
	}
}

func (k checker) checkGroups(at string, groups []StationGroup) {
	if len(groups) > MostGroups {
		k.Errorf(at, "%d groups, expected at most %d", len(groups), MostGroups)
	}
	names := map[string]bool{}
	for i, g := range groups {
		item := configfile.Item(at, i)
		k.name(item+".name", g.Name)
		if names[g.Name] {
			k.Errorf(item+".name", "%q is another group's already, expected a name of its own", g.Name)
		}
		names[g.Name] = true
		if len(g.Masters) == 0 && i+1 < len(groups) {
			k.Errorf(item, "connections from anywhere belong to it, so that the groups behind it never have one; expected masters")
		}
		for j, m := range g.Masters {
			if _, err := parsePrefix(m); err != nil {
				k.Errorf(configfile.Item(item+".masters", j), "%q, expected an address such as 10.1.0.5 or a network such as 10.2.0.0/24", m)
			}
		}
	}
}

type keyProblem struct{ key, text string }

// linkProblems are what is wrong with the link's parameters.
func (s *Station) linkProblems() (list []keyProblem) {
	add := func(key, format string, args ...any) {
		list = append(list, keyProblem{key, fmt.Sprintf(format, args...)})
	}
	for _, v := range []struct {
		key         string
		is          configfile.Duration
		least, most configfile.Duration
	}{{"t1", s.T1, millis(1000), millis(255_000)}, {"t2", s.T2, millis(1), millis(255_000)}, {"t3", s.T3, millis(1000), configfile.Duration(48 * time.Hour)}} {
		if v.is < v.least || v.is > v.most {
			add(v.key, "%s is out of range, expected %s to %s", v.is, v.least, v.most)
		}
	}
	if s.T2 >= s.T1 {
		add("t2", "%s isn't less than t1, %s", s.T2, s.T1)
	}
	for _, v := range []struct {
		key  string
		is   uint16
		most uint16
	}{{"k", s.K, 32767}, {"w", s.W, 32767}, {"cause_octets", uint16(s.CauseOctets), 2}, {"address_octets", uint16(s.AddressOctets), 2}, {"object_octets", uint16(s.ObjectOctets), 3}} {
		if v.is < 1 || v.is > v.most {
			add(v.key, "%d, expected 1 to %d", v.is, v.most)
		}
	}
	if _, err := time.LoadLocation(s.TimeZone); err != nil || s.TimeZone == "" || s.TimeZone == "Local" {
		add("time_zone", "there is no time zone %q, expected a name like UTC or Europe/Berlin", s.TimeZone)
	}
	return list
}
