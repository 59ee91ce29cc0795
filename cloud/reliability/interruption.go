package reliability

import (
	"cmp"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// interruption is supply that one service point lacked without a pause, or that the
// customers of a step did who aren't known one by one.
type interruption struct {
	by              *Step  // that began it
	point           string // "": not known one by one
	customers, load float64
	start, end      telemetry.Micros
	open            bool
	kind            Kind
	again           bool // its step's interruption had taken supply from the point before

	// events is of how many customers it begins an event of momentary interruptions.
	events float64
}

// interruptionsOf are those that a profile counts, by their beginning.
func interruptionsOf(in Input, p Profile) []interruption {
	var all []interruption
	at := map[string][]interruption{}
	for i := range in.Steps {
		s := &in.Steps[i]
		one := interruption{by: s, start: s.Start, end: s.End, customers: s.Customers, load: s.Load}
		if s.End == 0 {
			one.open, one.end = true, max(in.Now, s.Start)
		}
		if one.end < one.start || one.start > in.Now && one.open || p.leavesOut(s) {
			continue
		}
		if len(s.Points) == 0 {
			one.kind = p.kind(one.start, one.end, one.open)
			all = append(all, one)
		}
		for _, point := range s.Points {
			of := one
			of.point, of.customers, of.load = point.ID, point.Customers, point.Load
			at[point.ID] = append(at[point.ID], of)
		}
	}
	countEvents(all, p)
	for _, list := range at {
		all = append(all, pointInterruptions(list, p)...)
	}
	slices.SortFunc(all, compare)
	return all
}

// compare orders interruptions by all that sums are made of: floating-point sums depend on
// the order, and must not on that of the steps.
func compare(a, b interruption) int {
	return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end), cmp.Compare(a.point, b.point),
		cmp.Compare(a.by.Interruption, b.by.Interruption), cmp.Compare(a.by.Area, b.by.Area), cmp.Compare(a.by.Feeder, b.by.Feeder),
		cmp.Compare(a.by.Device, b.by.Device), cmp.Compare(a.by.Cause, b.by.Cause), cmp.Compare(a.customers, b.customers), cmp.Compare(a.load, b.load))
}

// pointInterruptions makes one of each time that a point lacked supply without a pause,
// however many steps say so.
func pointInterruptions(list []interruption, p Profile) []interruption {
	slices.SortFunc(list, compare)
	var union []interruption
	for _, one := range list {
		last := len(union) - 1
		if last < 0 || one.start > union[last].end {
			union = append(union, one)
			continue
		}
		u := &union[last]
		if one.end > u.end || one.end == u.end && one.open {
			u.end, u.open = one.end, one.open
		}
		u.customers, u.load = max(u.customers, one.customers), max(u.load, one.load)
	}
	before := map[string]bool{}
	for i := range union {
		u := &union[i]
		u.kind = p.kind(u.start, u.end, u.open)
		if p.Once {
			u.again = before[u.by.Interruption]
			before[u.by.Interruption] = true
		}
	}
	eachEvent(union, p, func(event []interruption) {
		for _, one := range event {
			if one.kind != Momentary {
				return // it ended in a sustained one
			}
		}
		event[0].events = event[0].customers
	})
	return union
}

// eachEvent calls do with what begins within a profile's Event of a momentary interruption,
// that one first. The list is by beginning.
func eachEvent(list []interruption, p Profile, do func([]interruption)) {
	for i := 0; i < len(list); {
		if list[i].kind != Momentary {
			i++
			continue
		}
		j := i + 1
		for j < len(list) && list[j].start.Sub(list[i].start) <= p.Event {
			j++
		}
		do(list[i:j])
		i = j
	}
}

// countEvents counts those of steps that only say how many customers they had. Steps of one
// device are taken to have had the same customers, but for those of one interruption, which
// had different ones.
func countEvents(rows []interruption, p Profile) {
	key := func(r *interruption) [3]string {
		if r.by.Device == "" {
			return [3]string{r.by.Feeder, "", r.by.Interruption}
		}
		return [3]string{r.by.Feeder, r.by.Device}
	}
	slices.SortFunc(rows, func(a, b interruption) int {
		ka, kb := key(&a), key(&b)
		return cmp.Or(slices.Compare(ka[:], kb[:]), compare(a, b))
	})
	for i := 0; i < len(rows); {
		j := i + 1
		for j < len(rows) && key(&rows[j]) == key(&rows[i]) {
			j++
		}
		eachEvent(rows[i:j], p, func(event []interruption) {
			momentary, lasting, all := map[string]float64{}, map[string]float64{}, 0.0
			for _, r := range event {
				if r.kind == Momentary {
					momentary[r.by.Interruption] += r.customers
				} else {
					lasting[r.by.Interruption] += r.customers
					all += r.customers
				}
			}
			for id, customers := range momentary {
				event[0].events = max(event[0].events, customers-(all-lasting[id]))
			}
		})
		i = j
	}
}
