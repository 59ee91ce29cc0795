// Package reliability computes the indices by which regulators and engineers judge how
// reliably customers are supplied: SAIDI, SAIFI and their kin after IEEE Std 1366, and what
// other regulators ask for instead. It is values in and values out: no clock, no files but
// those that it is handed.
//
// Customers are counted where they are known one by one, by the service points that a step
// names, so that one who is interrupted twice at once counts once. Steps that name only how
// many customers they had are added up; what needs to know who they were is then nil.
package reliability

import (
	"fmt"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Step is a group of customers that lost supply at one instant and had it back at one
// instant. An interruption that was restored in parts has a step for each part; one that
// covers several areas, feeders or causes has steps of each.
type Step struct {
	// Interruption is the id of what the step is part of.
	Interruption string

	Area, Substation, Feeder string
	Device                   string // that opened
	Component                string // that failed
	Cause                    string // its class, as the operator names it
	Planned                  bool

	// Start is when the customers lost supply, End when they had it back; 0: they haven't.
	Start, End telemetry.Micros

	// Customers and Load (kVA) are those without supply. Where Points are named, theirs
	// count instead.
	Customers, Load float64
	Points          []Point
}

// Point is a service point, and how many customers and how much load (kVA) it has.
type Point struct {
	ID              string
	Customers, Load float64
}

// Served is how many customers, and how much load (kVA), an area or feeder has from an
// instant on, until the next one of the same area and feeder.
type Served struct {
	Area, Feeder    string
	From            telemetry.Micros
	Customers, Load float64
}

// Input is what indices are computed from. The order of its steps doesn't matter.
type Input struct {
	Steps  []Step
	Served []Served

	// Now is until when open steps have lasted, and until when periods have.
	Now telemetry.Micros

	// Affected is how many different customers had a sustained interruption, where steps
	// don't name service points and this is known from elsewhere; 0: it isn't. It is taken
	// for totals alone, not for single areas, feeders or causes.
	Affected float64
}

// Kind says which indices an interruption counts in.
type Kind string

const (
	Sustained Kind = "sustained"
	Momentary Kind = "momentary"
	// Undecided is one that is open, and hasn't lasted long enough to be sustained.
	Undecided Kind = "undecided"
)

// Period is the time from one instant to before another. An interruption is charged to the
// period in which it begins.
type Period struct {
	Name     string
	From, To telemetry.Micros
}

func (p Period) has(at telemetry.Micros) bool { return p.From <= at && at < p.To }

// Year is a calendar year, from local midnight to local midnight.
func Year(year int, in *time.Location) Period {
	return span("2006", midnight(year, 1, 1, in), midnight(year+1, 1, 1, in))
}

// Month is a calendar month.
func Month(year int, month time.Month, in *time.Location) Period {
	return span("2006-01", midnight(year, month, 1, in), midnight(year, month+1, 1, in))
}

// Day is a calendar day, which has 23 or 25 hours where clocks are changed.
func Day(year int, month time.Month, day int, in *time.Location) Period {
	return span("2006-01-02", midnight(year, month, day, in), midnight(year, month, day+1, in))
}

// midnight is the first instant that clocks show as a day: where they skip midnight it is
// an hour later, and where they show it twice it is the first time.
func midnight(year int, month time.Month, day int, in *time.Location) time.Time {
	t := time.Date(year, month, day, 0, 0, 0, 0, in)
	want := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Day()
	if t.Day() != want {
		t = t.Add(time.Hour)
	}
	if before := t.Add(-time.Hour); before.Day() == want {
		t = before
	}
	return t
}

func span(layout string, from, to time.Time) Period {
	return Period{Name: from.Format(layout), From: telemetry.MicrosOf(from), To: telemetry.MicrosOf(to)}
}

// Months are those of a year.
func Months(year int, in *time.Location) []Period {
	months := make([]Period, 12)
	for i := range months {
		months[i] = Month(year, time.Month(i+1), in)
	}
	return months
}

// ParsePeriod reads a year, a month or a day.
func ParsePeriod(text string, in *time.Location) (Period, error) {
	for _, layout := range []string{"2006", "2006-01", "2006-01-02"} {
		t, err := time.Parse(layout, text)
		switch {
		case err != nil || t.Year() < 1971 || t.Year() > 9998:
			continue
		case layout == "2006":
			return Year(t.Year(), in), nil
		case layout == "2006-01":
			return Month(t.Year(), t.Month(), in), nil
		}
		return Day(t.Year(), t.Month(), t.Day(), in), nil
	}
	return Period{}, fmt.Errorf("%q, expected a year, month or day such as 2026, 2026-03 or 2026-03-29", text)
}
