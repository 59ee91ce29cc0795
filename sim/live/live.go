// Package live plays a scenario against the clock: in real time, or faster. It
// owns the grid, shows what is so at present to any number of devices and pages,
// and lets people cause faults and switch. What it writes as truth and evidence
// is what scenario.Run writes, as long as nobody acts.
package live

import (
	"sync"

	"github.com/busbar/busbar/grid"
)

// Live is a scenario that is being played. All of its methods are safe for
// concurrent use.
type Live struct {
	snapshot *grid.Snapshot

	read    sync.RWMutex // of what follows
	state   state
	changes changes
}

// Snapshot is the grid. Service points, nodes and edges have their indices in it.
func (l *Live) Snapshot() *grid.Snapshot { return l.snapshot }
