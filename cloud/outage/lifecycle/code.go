package lifecycle

import (
	"fmt"
	"slices"
	"strings"
)

// Code is an entry of a coded list.
type Code struct {
	Code string `json:"code"`
	Name string `json:"name"`
}

// Causes are why supply was interrupted.
var Causes = []Code{
	{"weather-wind", "Wind"}, {"weather-lightning", "Lightning"}, {"weather-ice", "Ice or snow"}, {"weather-flood", "Flood"},
	{"tree", "Tree or branch"}, {"animal", "Bird or other animal"}, {"third-party-dig", "Cable hit by digging"},
	{"third-party-vehicle", "Vehicle"}, {"third-party-other", "Others, vandalism included"}, {"equipment", "Equipment failed"},
	{"overload", "Overload"}, {"operation", "Operated in error"}, {"planned", "Planned work"}, {"upstream", "Supply from another network"},
	{"generation", "Generation or storage of a customer"}, {"customer", "Installation of a customer"}, {"unknown", "Not found"},
}

// Failures are what failed, or was found open.
var Failures = []Code{
	{"overhead-line", "Overhead line"}, {"cable", "Cable"}, {"cable-joint", "Cable joint or termination"}, {"transformer", "Transformer"},
	{"fuse", "Fuse"}, {"breaker", "Circuit breaker or recloser"}, {"switch", "Switch or disconnector"}, {"protection", "Protection or control"},
	{"busbar", "Busbar or switchgear"}, {"service-line", "Service line"}, {"pole", "Pole or insulator"}, {"meter", "Meter or its connection"},
	{"none", "Nothing"}, {"unknown", "Not found"},
}

// Remedies are what brought supply back.
var Remedies = []Code{
	{"repaired", "Repaired"}, {"replaced", "Replaced"}, {"fuse-replaced", "Fuse replaced"}, {"reclosed", "Closed again, by hand or by itself"},
	{"switched", "Switched to another supply"}, {"temporary", "Supplied for the time being, by a generator or a bridge"},
	{"cleared", "Cleared of what was on it"}, {"work-ended", "Planned work ended"}, {"upstream", "Supply came back from elsewhere"}, {"none", "Nothing was needed"},
}

func (r Report) edited(by Report) (Report, error) {
	for _, part := range []struct {
		what  string
		value *string
		to    string
		codes []Code
	}{{"cause", &r.Cause, by.Cause, Causes}, {"failure", &r.Failure, by.Failure, Failures}, {"remedy", &r.Remedy, by.Remedy, Remedies}} {
		if part.to == "" {
			continue
		}
		if !slices.ContainsFunc(part.codes, func(c Code) bool { return c.Code == part.to }) {
			return r, fmt.Errorf("%q is no %s", part.to, part.what)
		}
		*part.value = part.to
	}
	return r, nil
}

func (r Report) complete() bool { return r.Cause != "" && r.Failure != "" && r.Remedy != "" }

// missing says which parts aren't known.
func (r Report) missing() string {
	var parts []string
	for _, part := range []struct{ what, value string }{{"cause", r.Cause}, {"failure", r.Failure}, {"remedy", r.Remedy}} {
		if part.value == "" {
			parts = append(parts, part.what)
		}
	}
	return strings.Join(parts, ", ") + " missing"
}
