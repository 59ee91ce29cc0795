package outage

import (
	"maps"
	"slices"
)

// ask says what it would help to know.
func (e *Engine) ask() {
	var loose []int32
	for _, p := range slices.Sorted(maps.Keys(e.loose)) {
		if s := &e.points[p]; s.seen.Out != 0 && s.unanswered == 0 {
			loose = append(loose, p)
		}
	}
	e.askFor(AskSilent, "", loose)
	for _, x := range e.incidents {
		switch {
		case x.RestoredAt != 0 && e.now >= x.askedBack+micros(e.c.Verify)/2:
			var open []int32
			for _, p := range x.ever {
				if s := &e.points[p]; s.metered && !s.stale && s.alive < x.first && s.incident == nil {
					open = append(open, p)
				}
			}
			e.askFor(AskRestored, x.ID, open)
		case x.RestoredAt == 0 && x.State != Suspected && x.Confidence < 0.9 && !x.holding(e):
			var unknown []int32
			for _, p := range x.out {
				if s := &e.points[p]; s.metered && !s.lost() && !s.stale && s.gateway != none && e.gateways[s.gateway].gone == 0 {
					if unknown = append(unknown, p); len(unknown) >= e.c.AskMost {
						break
					}
				}
			}
			e.askFor(AskExtent, x.ID, unknown)
		}
	}
}

// askFor asks for points, gateway by gateway, as often as that may be.
func (e *Engine) askFor(why Reason, incident string, points []int32) {
	if e.now-e.minute >= 60e6 {
		e.minute, e.asked = e.now, 0
	}
	by := map[int32]int{} // gateway: place in asks
	for _, p := range points {
		s := &e.points[p]
		if s.asked != 0 && e.now-s.asked < micros(e.c.AskEvery) || !s.metered {
			continue
		}
		if e.asked >= e.c.AsksPerMinute {
			return
		}
		e.asked++
		s.asked = e.now
		i, ok := by[s.gateway]
		if !ok || len(e.asks[i].Points) >= e.c.AskMost {
			i = len(e.asks)
			by[s.gateway] = i
			a := Ask{At: e.now, Reason: why, Incident: incident}
			if s.gateway != none {
				a.Gateway = e.gateways[s.gateway].id
			}
			e.asks = append(e.asks, a)
		}
		e.asks[i].Points = append(e.asks[i].Points, e.net.s.PointAsset(int(p)).ID)
	}
}
