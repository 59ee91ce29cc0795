package store

import (
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// Choice is the series that fit each of its lists, of which an empty one fits all. What is
// in them are patterns as of telemetry.Matches.
type Choice struct{ Gateway, Device, Asset, Name []string }

// Chosen reports whether a series is among choices; without any it is.
func (s Series) Chosen(choices []Choice) bool {
	return len(choices) == 0 || slices.ContainsFunc(choices, func(c Choice) bool {
		return telemetry.MatchesAny(c.Gateway, s.Gateway) && telemetry.MatchesAny(c.Device, s.Device) &&
			telemetry.MatchesAny(c.Asset, s.Asset) && telemetry.MatchesAny(c.Name, s.Name)
	})
}
