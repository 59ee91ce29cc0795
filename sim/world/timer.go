package world

import "container/heap"

// timer is something that will happen, unless it is replaced before.
type timer struct {
	at     int64
	number int64 // from 1, in the order in which they were set
	kind   timerKind
	index  int // of the action, fault, edge or job
}

type timerKind uint8

const (
	acts   timerKind = iota // the script
	clears                  // a device a fault's current
	goes                    // a fault, by itself
	closes                  // a device again
	resets                  // a device's sequence
	done                    // a crew
)

// at sets a timer and returns its number.
func (w *World) at(at int64, t timer) int64 {
	w.last++
	t.at, t.number = at, w.last
	heap.Push(&w.timers, t)
	return t.number
}

// timers is a heap by time and number.
type timers []timer

func (t timers) Len() int      { return len(t) }
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t timers) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].number < t[j].number
}
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}
