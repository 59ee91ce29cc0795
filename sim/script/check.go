package script

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Problem is what is wrong with one fault.
type Problem struct {
	Fault   int    // its index
	Field   string // at, feeder, kind, for, device or how
	Message string
}

func (p Problem) Error() string {
	return fmt.Sprintf("faults[%d].%s: %s", p.Fault, p.Field, p.Message)
}

// Problems is all that is wrong with a script, in its order.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// maxTime keeps sums of times far from overflow.
const maxTime = 100 * 365 * 24 * time.Hour

func check(devices []Device, faults []Fault) (problems Problems) {
	var feeders, ids []string
	for _, d := range devices {
		ids = append(ids, d.ID)
		if !slices.Contains(feeders, d.Feeder) {
			feeders = append(feeders, d.Feeder)
		}
	}
	for i, f := range faults {
		wrong := func(field, format string, args ...any) {
			problems = append(problems, Problem{i, field, fmt.Sprintf(format, args...)})
		}
		if f.At < 0 || f.At > maxTime {
			wrong("at", "%v is not from 0s to %v", f.At, maxTime)
		}
		if f.For < 0 || f.For > maxTime {
			wrong("for", "%v is not from 0s, which is to the end, to %v", f.For, maxTime)
		}
		switch {
		case !slices.Contains(Kinds, f.Kind):
			wrong("kind", "%q is no kind of fault; there are %s", f.Kind, list(Kinds))
			continue
		case f.Kind == Outage:
			if f.Device != "" {
				wrong("device", "an outage is of a feeder, not of a device")
			}
			if f.Feeder == "" {
				wrong("feeder", "is missing; an outage is of a feeder")
			} else if !slices.Contains(feeders, f.Feeder) {
				wrong("feeder", "no device is on feeder %q; there are %s", f.Feeder, list(feeders))
			}
		default:
			if f.Feeder != "" {
				wrong("feeder", "%q is a fault of a device, not of a feeder", f.Kind)
			}
			if f.Device == "" {
				wrong("device", "is missing; %q is a fault of a device", f.Kind)
			} else if !slices.Contains(ids, f.Device) {
				wrong("device", "no device %q; there are %s", f.Device, list(ids))
			}
		}
		switch {
		case f.Kind == Misbehave && f.How == "":
			wrong("how", "is missing, expected what it does wrong, like late=2s,every=5")
		case f.Kind != Misbehave && f.How != "":
			wrong("how", "belongs to kind misbehave only")
		}
		for j, earlier := range faults[:i] {
			if f.Device != "" && f.Device == earlier.Device && f.span().overlaps(earlier.span()) {
				wrong("at", "overlaps faults[%d] of the same device", j)
			}
		}
	}
	return problems
}

func list[T ~string](words []T) string {
	if len(words) == 0 {
		return "none"
	}
	text := make([]string, len(words))
	for i, w := range words {
		text[i] = string(w)
	}
	return strings.Join(text, ", ")
}
