package profile

import (
	"regexp"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

var (
	signalName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*$`)
	unitText   = regexp.MustCompile(`^[!-~]{1,32}$`)
)

const maxSignalName = 64

// CheckSignals adds what is wrong with the signals of a device that stand in the list
// at path of f.
func CheckSignals(f *configfile.File, path string, by Protocol, signals []Signal) {
	CheckNames(f, path, signals)
	for j, s := range signals {
		CheckSignal(f, configfile.Item(path, j), by, s)
	}
}

// CheckNames adds which of the signals in the list at path of f have a name that
// another has.
func CheckNames(f *configfile.File, path string, signals []Signal) {
	first := map[string]int{}
	for j, s := range signals {
		at := configfile.Item(path, j)
		if !f.Has(at + ".name") {
			continue
		}
		if other, twice := first[s.Name]; twice {
			f.Errorf(at+".name", "%q is signals[%d] of this device already, expected a name of its own", s.Name, other)
		} else {
			first[s.Name] = j
		}
	}
}

// CheckSignal adds what is wrong with the signal of a device that stands at path of f,
// as much of it as f gives.
func CheckSignal(f *configfile.File, path string, by Protocol, s Signal) {
	k := checker{f}
	if f.Has(path + ".name") {
		k.name(path+".name", s.Name)
	}
	k.foreign(path, by)
	switch by {
	case Modbus:
		k.point(path, s)
	case NUT:
		k.variable(path, s)
	case GPIO:
		k.line(path, s)
	case OPCUA:
		k.node(path, s)
	case MQTT:
		k.message(path, s)
	case IEC104, IEC101:
		k.object(path, s)
	case P1, SML, IEC62056:
		k.code(path, s)
	}
	k.meaning(path, s)
	k.reports(path, s)
	if by == MQTT && len(s.States) > 0 {
		k.messageStates(path, s)
	} else {
		k.names(path, s)
	}
}

type checker struct{ *configfile.File }

func (k checker) name(path, name string) {
	switch {
	case name == telemetry.ChannelLive:
		k.Errorf(path, "%s is the gateway's own signal for whether the device answers, expected another name", name)
	case !signalName.MatchString(name) || len(name) > maxSignalName:
		k.Errorf(path, "%q, expected letters, digits and underscores in words with dots between, at most %d characters, like PhV.phsA", name, maxSignalName)
	}
}

func (k checker) point(path string, s Signal) {
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
	case s.Bit != nil && s.Type != "" && s.Type != modbus.Bool:
		k.Errorf(path+".bit", "type %s has no single bit, expected the type to be left out, or mask", s.Type)
		return
	case s.impliedType() == "":
		k.Errorf(path+".type", "the key is missing, expected %s", modbus.TypesExpected(modbus.Types()[1:]))
		return
	case s.Type == modbus.Bool && s.Bit == nil && (s.Input != nil || s.Holding != nil):
		k.Errorf(path+".bit", "the key is missing, expected which bit of the register it is, from 0 to 15")
		return
	}
	s.Type = s.impliedType()
	for _, err := range s.Point().Check() {
		key, message, _ := strings.Cut(err.Error(), ": ")
		if key == "address" {
			key = given
		}
		k.Errorf(path+"."+key, "%s", message)
	}
}

// reports checks which of the values are stored.
func (k checker) reports(path string, s Signal) {
	switch {
	case k.Has(path+".swinging_door") && !(s.SwingingDoor > 0 && s.SwingingDoor < 1e300):
		k.Errorf(path+".swinging_door", "%v, expected a number above 0", s.SwingingDoor)
	case s.SwingingDoor > 0 && s.Deadband != nil:
		k.Errorf(path+".swinging_door", "deadband is given too, expected one of them")
	case s.SwingingDoor > 0 && s.Node == "" && (s.bit() || s.Type == modbus.String):
		k.Errorf(path+".swinging_door", "this isn't a number, expected deadband: 0")
	}
	switch {
	case k.Has(path+".report_every") && !s.sifted():
		k.Errorf(path+".report_every", "every value is stored, expected a deadband or a swinging_door beside it")
	case k.Has(path+".report_every") && (s.ReportEvery < shortestReport || s.ReportEvery > longestReport):
		k.Errorf(path+".report_every", "%s is out of range, expected %s to %s", s.ReportEvery, shortestReport, longestReport)
	}
}

const (
	shortestReport = configfile.Duration(time.Second)
	longestReport  = configfile.Duration(24 * time.Hour)
)

func (k checker) meaning(path string, s Signal) {
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
	switch {
	case !k.Has(path + ".rolls_over_at"):
	case kind != telemetry.Counter:
		k.Errorf(path+".rolls_over_at", "a %s doesn't roll over, expected kind: counter beside it", kind)
	case !(s.RollsOverAt > s.Offset && s.RollsOverAt < 1e300):
		k.Errorf(path+".rolls_over_at", "%v, expected a number above %v, at which it begins again", s.RollsOverAt, s.Offset)
	}
}
