package gateway

import (
	"slices"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// disturbances are what meters have counted of sags and swells, by device, at their last
// readings.
type disturbances struct {
	devices map[string][]counted
	changed bool // a count isn't what is kept
	read    bool // only when it was read isn't
}

// counted is a counter of a meter at its last reading.
type counted struct {
	Kind  telemetry.EventKind `json:"kind"`
	Phase string              `json:"phase"`
	Count uint64              `json:"count"`
	At    telemetry.Micros    `json:"at_us"`
}

// take is by how much a counter has risen since which reading. One that is seen for the first
// time hasn't; nor has one that fell, as of another meter: it counts on from there.
func (d *disturbances) take(device string, now adapters.Disturbances, at telemetry.Micros) (by uint64, since telemetry.Micros) {
	list := d.devices[device]
	i := slices.IndexFunc(list, func(c counted) bool { return c.Kind == now.Kind && c.Phase == now.Phase })
	if i < 0 {
		d.devices[device], d.changed = append(list, counted{now.Kind, now.Phase, now.Count, at}), true
		return 0, 0
	}
	c := &list[i]
	if since = c.At; now.Count > c.Count {
		by = now.Count - c.Count
	}
	d.changed, d.read = d.changed || now.Count != c.Count, true
	c.Count, c.At = now.Count, at
	return by, since
}

// tellDisturbances tells which counters of a device have risen.
func (p *pipeline) tellDisturbances(b queued) {
	for _, d := range b.disturbances {
		if by, since := p.disturbances.take(b.device, d, b.stamp.At); by > 0 {
			p.emit(telemetry.Event{
				Kind: d.Kind, Time: b.stamp.At, Decided: b.stamp.At,
				Disturbance: &telemetry.Disturbance{Device: b.device, Asset: p.assetOf(b.device), Phase: d.Phase, Count: by, Since: since},
			})
		}
	}
}
