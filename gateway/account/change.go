package account

import (
	"github.com/busbar/busbar/telemetry"
)

// Place is where a device is in the ledger: what its slots name.
type Place struct{ Device, Schedule int }

// Change goes on with other devices, from the present on. What was read and asked for
// before, and is counted later, still counts as it was configured then. The account
// of a device that is gone ends with what is counted of it; that of one that
// is new begins now. The places are those of the devices, in their order.
func (l *Ledger) Change(now telemetry.Micros, devices []Device) []Place {
	index := make(map[string]int, len(l.names))
	for k, name := range l.names {
		index[name] = k
		l.retired[k] = true
	}
	l.changes++
	var places []Place
	for _, d := range devices {
		k, known := index[d.ID]
		if !known {
			k = len(l.devices)
			l.add(d)
		} else {
			l.devices[k], l.retired[k] = d, false
			if by := scheduleOf(d); by != l.schedules[k][len(l.schedules[k])-1] {
				l.schedules[k] = append(l.schedules[k], by)
			}
			l.ownAll(k)
		}
		places = append(places, Place{k, len(l.schedules[k]) - 1})
	}
	for k, retired := range l.retired {
		if retired { // if it comes back, it begins anew
			l.last[k], l.before[k], l.late[k] = 0, 0, 0
		}
	}
	for _, i := range l.intervals {
		i.grow(len(l.devices))
		if i.from <= now && now < i.to {
			i.whole = false // Tick names the new ones
		}
	}
	l.bound()
	return places
}

// Places are those of the devices that New was given, in their order.
func (l *Ledger) Places() []Place {
	places := make([]Place, len(l.devices))
	for k := range places {
		places[k].Device = k
	}
	return places
}
