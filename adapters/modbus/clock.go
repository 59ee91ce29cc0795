package modbus

import "time"

// clock notices that the wall clock has been set. The zero clock has seen
// nothing yet.
type clock struct {
	last time.Time // with its monotonic reading
	wall time.Time // last, without it
}

// wasSet takes the present and reports whether the wall clock has been set since
// the call before.
func (c *clock) wasSet(now time.Time) bool {
	before := *c
	*c = clock{last: now, wall: now.Round(0)}
	return !before.last.IsZero() && steps(c.wall.Sub(before.wall), now.Sub(before.last))
}

// steps reports whether the wall clock's progress differs from the monotonic
// clock's by more than their drift explains.
func steps(wall, monotonic time.Duration) bool {
	return (wall - monotonic).Abs() > time.Second+monotonic/1000
}
