package performance

import (
	"github.com/busbar/busbar/telemetry"
)

// Flood is a time in which more alarms ask for attention than people can attend to.
type Flood struct {
	Began telemetry.Micros  `json:"began_us"`
	Ended *telemetry.Micros `json:"ended_us" doc:"null: it goes on"`
	N     int               `json:"count" doc:"Annunciations, with those in the 10 minutes before it that made it one"`
	Peak  int               `json:"peak" doc:"The most within 10 minutes"`
}

// Floods finds those in annunciations, given by time, of which none is later than now.
func Floods(times []telemetry.Micros, now telemetry.Micros) (list []Flood) {
	window := telemetry.Micros(Window.Microseconds())
	first := 0 // of those within the window
	going := false
	expire := func(until telemetry.Micros, end int) {
		for ; first < end && times[first]+window <= until; first++ {
			if ended := times[first] + window; going && end-first-1 < FloodEnd {
				list[len(list)-1].Ended = &ended
				going = false
			}
		}
	}
	for i, at := range times {
		expire(at, i)
		n := i + 1 - first
		switch {
		case !going && n > FloodStart:
			going = true
			list = append(list, Flood{Began: at, N: n, Peak: n})
		case going:
			f := &list[len(list)-1]
			f.N++
			f.Peak = max(f.Peak, n)
		}
	}
	expire(now, len(times))
	return list
}
