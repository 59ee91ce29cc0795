package completeness

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // so that days are known where the system has no time zones

	"github.com/busbar/busbar/telemetry"
)

// ErrNoSuchDay says that a day or time zone isn't one.
var ErrNoSuchDay = errors.New("no such day")

// Day is the day YYYY-MM-DD of a time zone by its IANA name, from its first
// instant up to and without the next day's. It has 92, 96 or 100 quarter-hours
// where the clocks change by an hour.
func Day(day, zone string) (from, to telemetry.Micros, err error) {
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return 0, 0, fmt.Errorf("%w: time zone %q isn't known", ErrNoSuchDay, zone)
	}
	utc, err := time.Parse(time.DateOnly, day)
	if err != nil || utc.Year() < 1970 || utc.Year() >= 2100 {
		return 0, 0, fmt.Errorf("%w: %q is no day YYYY-MM-DD from 1970 to 2099", ErrNoSuchDay, day)
	}
	// Midnight may come twice, or not at all: what counts is the date that the
	// local clocks show at the beginning of a quarter-hour.
	const step = 15 * time.Minute
	shows := func(t time.Time) bool { return t.In(loc).Format(time.DateOnly) == day }
	t := utc.Add(-15 * time.Hour)
	for end := utc.Add(15 * time.Hour); !shows(t); t = t.Add(step) {
		if !t.Before(end) {
			return 0, 0, fmt.Errorf("%w: %s was skipped in %s", ErrNoSuchDay, day, zone)
		}
	}
	from = telemetry.MicrosOf(t)
	for shows(t) {
		t = t.Add(step)
	}
	return from, telemetry.MicrosOf(t), nil
}
