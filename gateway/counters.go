package gateway

import (
	"bytes"
	"encoding/json"

	"github.com/busbar/busbar/gateway/counter"
	"github.com/busbar/busbar/telemetry"
)

// keptBeside is the members of the events' state that aren't the rules'.
type keptBeside struct {
	Counters   []byte              `json:"counters"`
	Operations []operation         `json:"operations,omitempty"`
	Operated   map[string]operated `json:"operated,omitempty"` // by the alarm's id

	Interruptions interruptions        `json:"interruptions,omitempty"`
	Disturbances  map[string][]counted `json:"disturbances,omitempty"`
}

// state is what is committed with events: that of the rules, an object, and as further
// members of it the last value of each counter, the operations that haven't begun, what
// alarms that are active have operated, and the interruptions, sags and swells that meters
// have noted.
// Programs without those pass them over. It is one value, so that no event is told
// twice, or lost.
func (p *pipeline) state() []byte {
	rules := p.engine.State()
	saved, _ := p.table.Saved()
	beside, err := json.Marshal(keptBeside{p.watch.State(saved), p.operations.pending(), p.operations.operated(), p.interruptions, p.disturbances.devices})
	if err != nil {
		panic(err) // every number in it is finite
	}
	p.disturbances.changed, p.disturbances.read = false, false
	return append(append(bytes.TrimSuffix(rules, []byte("}")), ','), beside[1:]...)
}

// restoreCounters goes on from the last values that an earlier process has seen.
func (g *Gateway) restoreCounters(watch *counter.Watch) {
	state := g.buffer.Events.State()
	if len(state) == 0 {
		return
	}
	var kept keptBeside
	err := json.Unmarshal(state, &kept)
	if err == nil && kept.Counters != nil {
		err = watch.Restore(kept.Counters, g.buffer.Table().Ref().Table)
	}
	if err != nil {
		g.log.Error("the last values of the counters can't be restored; a meter that was swapped meanwhile isn't noticed", "error", err)
	}
}

// watched is the counters, as far as they can be told to roll over.
func (d *devices) watched() []counter.Counter {
	var list []counter.Counter
	n := 0
	for _, c := range d.config.Devices {
		for i, s := range c.Signals {
			signal := d.model.Signals[n+i]
			if signal.Kind != telemetry.Counter {
				continue
			}
			point := s.Point()
			w := counter.Counter{Signal: signal, Factored: point.Factor != nil, Noise: point.Type.Resolution()}
			for _, r := range point.Ranges() {
				w.Ranges = append(w.Ranges, counter.Range(r))
			}
			if s.RollsOverAt != 0 {
				w.Ranges, w.Factored = []counter.Range{{From: s.Offset, Span: s.RollsOverAt - s.Offset}}, false
			}
			list = append(list, w)
		}
		n += len(c.Signals) + 1
	}
	return list
}
