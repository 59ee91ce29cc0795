package reliability

import (
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Profile is what a regulator asks for. The names stand for whose rules they are modelled
// on; docs/reliability-indices.md says what each takes.
type Profile struct {
	Name string

	// An interruption that lasts longer than Threshold is sustained; with AtLeast, also one
	// that lasts exactly so long.
	Threshold time.Duration
	AtLeast   bool

	// Event is how long after the first of several momentary interruptions those that begin
	// belong to the same event.
	Event time.Duration

	// WithoutPlanned leaves out planned interruptions, Without those of these causes.
	WithoutPlanned bool
	Without        []string

	// Once counts customers that one interruption takes supply from several times once, in
	// all but minutes. It needs the service points.
	Once bool

	// MajorEventDays sets days apart that are beyond 2.5 beta.
	MajorEventDays bool

	// Indices are those that are reported, in order.
	Indices []Index

	// CEMIAtLeast makes CEMI_n the share of customers with n or more interruptions; else it
	// is of those with more than n.
	CEMIAtLeast bool
}

// kind is that of supply that was absent from start to end, or still is.
func (p Profile) kind(start, end telemetry.Micros, open bool) Kind {
	d := end.Sub(start)
	switch {
	case d > p.Threshold || p.AtLeast && d == p.Threshold:
		return Sustained
	case open:
		return Undecided
	}
	return Momentary
}

func (p Profile) leavesOut(s *Step) bool {
	return p.WithoutPlanned && s.Planned || slices.ContainsFunc(p.Without, func(cause string) bool { return strings.EqualFold(cause, s.Cause) })
}

// ForceMajeure is the class of causes that nobody answers for.
const ForceMajeure = "force-majeure"

// Profiles are those that have a name.
var Profiles = []Profile{
	{
		Name: "ieee1366", Threshold: 5 * time.Minute, Event: 5 * time.Minute, MajorEventDays: true,
		Indices: []Index{SAIDI, SAIFI, CAIDI, CTAIDI, CAIFI, MAIFI, MAIFIE, ASAI, ASIFI, ASIDI, "CEMI_3", "CELID_s_8", "CELID_t_8"},
	},
	{
		Name: "bnetza", Threshold: 3 * time.Minute, Event: 3 * time.Minute, WithoutPlanned: true, Without: []string{ForceMajeure},
		Indices: []Index{SAIDI, SAIFI, CAIDI, ASIDI, ASIFI},
	},
	{
		Name: "ofgem", Threshold: 3 * time.Minute, AtLeast: true, Event: 3 * time.Minute, Once: true,
		Indices: []Index{CIPer100, CML, MAIFI},
	},
	{
		Name: "generic", Threshold: 3 * time.Minute, Event: 3 * time.Minute, CEMIAtLeast: true,
		Indices: []Index{SAIDI, SAIFI, CAIDI, CTAIDI, CAIFI, MAIFI, MAIFIE, ASAI, ASIFI, ASIDI, "CEMI_3", "CELID_s_8", "CELID_t_8"},
	},
}

// ProfileOf is the one of a name.
func ProfileOf(name string) (Profile, bool) {
	i := slices.IndexFunc(Profiles, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return Profiles[i], true
}
