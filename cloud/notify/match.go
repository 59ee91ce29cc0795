package notify

import (
	"slices"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/telemetry"
)

// Match says of which alarms a target is told: those that fit each of its lists, of which
// an empty one fits all. Gateways, sites and rules are patterns as of
// telemetry.Matches.
type Match struct {
	Priority []telemetry.Priority
	Kind     []alarm.Kind
	Gateway  []string
	Site     []string
	Rule     []string
}

func (m Match) fits(a alarm.Alarm) bool {
	return oneOf(m.Priority, a.Priority) && oneOf(m.Kind, a.Kind) &&
		telemetry.MatchesAny(m.Gateway, a.Gateway) && telemetry.MatchesAny(m.Site, a.Site) && telemetry.MatchesAny(m.Rule, a.Rule)
}

func oneOf[T comparable](list []T, v T) bool { return len(list) == 0 || slices.Contains(list, v) }
