package gateway

import (
	"encoding/json"
	"slices"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

// interruption is one of the supply that a meter has in its own log: from and to.
type interruption [2]telemetry.Micros

// interruptions are those that have been told, of the log of each device as it was last.
type interruptions map[string][]interruption

// mostNoted bounds the log of a device. P1 meters have up to ten entries.
const mostNoted = 32

// fresh are those of a device's log that haven't been told, by time; they count as told.
// A log that is empty says nothing: what was in it may come again.
func (i interruptions) fresh(device string, log []adapters.Interruption) (fresh []interruption) {
	if len(log) == 0 {
		return nil
	}
	before := i[device]
	now := make([]interruption, 0, min(len(log), mostNoted))
	for _, v := range log[:min(len(log), mostNoted)] {
		n := interruption{telemetry.MicrosOf(v.From), telemetry.MicrosOf(v.To)}
		if slices.Contains(now, n) || n[0] <= 0 || n[1] < n[0] {
			continue
		}
		now = append(now, n)
		if !slices.Contains(before, n) {
			fresh = append(fresh, n)
		}
	}
	i[device] = now
	slices.SortFunc(fresh, func(a, b interruption) int { return int(max(-1, min(1, a[1]-b[1]))) })
	return fresh
}

// tellInterruptions tells what the log of a device has that is new.
func (p *pipeline) tellInterruptions(b queued) {
	for _, n := range p.interruptions.fresh(b.device, b.interruptions) {
		p.emit(telemetry.Event{
			Kind: telemetry.SupplyInterrupted, Time: n[0], Decided: b.stamp.At,
			Interruption: &telemetry.Interruption{Device: b.device, Asset: p.assetOf(b.device), To: n[1]},
		})
	}
}

// restoreNoted goes on from what an earlier process has told of what the devices that are
// configured have noted.
func (g *Gateway) restoreNoted() {
	state := g.buffer.Events.State()
	if len(state) == 0 {
		return
	}
	var kept keptBeside
	if err := json.Unmarshal(state, &kept); err != nil {
		g.log.Error("what meters have noted can't be restored; interruptions are told again, and sags and swells of meanwhile aren't", "error", err)
		return
	}
	for _, d := range g.config.Devices {
		if told := kept.Interruptions[d.ID]; len(told) > 0 {
			g.pipeline.interruptions[d.ID] = told
		}
		if seen := kept.Disturbances[d.ID]; len(seen) > 0 {
			g.pipeline.disturbances.devices[d.ID] = seen
		}
	}
}

// assetOf is what a device measures; "" of one that isn't configured any more.
func (g *Gateway) assetOf(device string) string {
	devices := g.live.Load().config.Devices
	if at := slices.IndexFunc(devices, func(d gatewayconfig.Device) bool { return d.ID == device }); at >= 0 {
		return devices[at].Asset
	}
	return ""
}
