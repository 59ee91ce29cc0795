package completeness

import (
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// judgeReads is the verdict on a quarter-hour of a device that a head-end reads by intervals:
// each interval that begins in it is expected once, by the time that the head-end may take.
func judgeReads(reads []store.DeviceReads, quarter int64, received uint64, now telemetry.Micros) Verdict {
	from := telemetry.Micros(quarter) * telemetry.Quarter
	v := Verdict{State: NotAsked}
	due := true
	for _, r := range reads {
		if from+telemetry.Quarter <= r.First || r.Until != 0 && from >= r.Until {
			continue
		}
		v.State = Complete
		n := begun(r, from+telemetry.Quarter) - begun(r, from)
		v.Expected += n
		due = due && (n == 0 || now >= from+telemetry.Quarter+r.Width+r.Expects)
	}
	v.Good = min(received, v.Expected)
	switch missing := v.Expected - v.Good; {
	case missing > 0 && !due:
		v.State, v.Expected = Open, v.Good // what isn't due isn't missing
	case missing > 0:
		v.State, v.Reasons = Incomplete, map[Reason]uint64{NotRead: missing}
	}
	return v
}

// begun is how many intervals have begun before an instant.
func begun(r store.DeviceReads, before telemetry.Micros) uint64 {
	if r.Until != 0 {
		before = min(before, r.Until)
	}
	if before <= r.First {
		return 0
	}
	return uint64((before-r.First-1)/r.Width) + 1
}
