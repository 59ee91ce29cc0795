package world

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/busbar/busbar/grid"
)

// Crews are who repair what protection has switched off for good. Without any,
// only the script does.
type Crews struct {
	Count   int
	Travel  Drawn
	Repair  Drawn // of a fault that is found
	Replace Drawn // of a fuse, or closing a breaker, where no fault is found
}

// Drawn is a log-normal time.
type Drawn struct {
	Median time.Duration
	Spread float64 // the standard deviation of its logarithm
}

func (d Drawn) draw(random *rand.Rand) time.Duration {
	return time.Duration(min(float64(d.Median)*math.Exp(d.Spread*random.NormFloat64()), float64(longest))).Round(time.Second)
}

// longest bounds what is drawn.
const longest = 365 * 24 * time.Hour

// job is a device to be closed again, and the fault for which it opened.
type job struct {
	edge, point int // grid.None if there is no device
	fault       int
	phases      grid.Phases
}

// order asks for a crew.
func (w *World) order(at int64, j job) {
	if w.crews.Count == 0 {
		return
	}
	w.waiting = append(w.waiting, j)
	w.dispatch(at)
}

func (w *World) dispatch(at int64) {
	for w.busy < w.crews.Count && len(w.waiting) > 0 {
		j := w.waiting[0]
		w.waiting = w.waiting[1:]
		w.busy++
		f := &w.faults[j.fault]
		// By the order of the jobs: the same whatever else is drawn.
		random := rand.New(rand.NewPCG(w.seed, 1<<32|uint64(len(w.jobs))))
		takes := w.crews.Travel.draw(random)
		switch {
		case !f.active || f.Clears > 0: // gone by then
			takes += w.crews.Replace.draw(random)
		case f.Work > 0:
			takes += f.Work
		default:
			takes += w.crews.Repair.draw(random)
		}
		e := event(at, Dispatched)
		e.Fault, e.Edge, e.Point = j.fault, j.edge, j.point
		w.emit(e)
		w.jobs = append(w.jobs, j)
		w.at(at+takes.Microseconds(), timer{kind: done, index: len(w.jobs) - 1})
	}
}

// done is what a crew does last.
func (w *World) done(at int64, index int) {
	j := w.jobs[index]
	w.busy--
	w.end(at, j.fault, Repaired)
	switch {
	case j.edge != grid.None:
		w.close(at, j.edge, grid.ABC)
	case j.point != grid.None:
		w.reconnect(at, j.point)
	}
	w.dispatch(at)
}
