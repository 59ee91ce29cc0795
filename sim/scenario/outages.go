package scenario

import (
	"slices"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/truth"
	"github.com/busbar/busbar/sim/world"
)

// outages turns what happens in a world into the truth's records, and adds up
// who was out for how long.
type outages struct {
	world *world.World
	emit  func(truth.Record)

	points   []pointState
	out      []*outage // open ones, by number
	number   int
	adjacent map[int][]string // by edge

	sustained int
	minutes   float64 // customer-minutes of interruptions of three minutes or more
}

type pointState struct {
	outage *outage // that it is in, or nil
	since  int64
	level  world.Levels
	lossy  bool // it has lost phases, and isn't out
	counts bool // its outage has been counted as a sustained one
}

type outage struct {
	number, left int
	begun        int64
	sustained    bool
}

func newOutages(w *world.World, emit func(truth.Record)) *outages {
	o := &outages{world: w, emit: emit, points: make([]pointState, w.Snapshot().Points()), adjacent: map[int][]string{}}
	for p := range o.points {
		o.points[p].level = w.Level(p)
	}
	return o
}

// take records what happened at one instant.
func (o *outages) take(events []world.Event) {
	var causes []world.Event
	for _, e := range events {
		if e.Kind == world.SupplyChanged {
			o.supply(e, causes)
			causes = nil
			continue
		}
		switch e.Kind {
		case world.Tripped, world.Blown, world.LockedOut, world.Opened:
			causes = append(causes, e)
		case world.FaultBegan:
			if o.world.Fault(e.Fault).Broken {
				causes = append(causes, e)
			}
		}
		o.emit(o.record(e))
	}
}

// record is that of an event.
func (o *outages) record(e world.Event) truth.Record {
	r := truth.Record{At: e.At, What: e.Kind.String(), Trips: e.Trips}
	if e.Phases != 0 {
		r.Phases = e.Phases.String()
	}
	if e.Fault != grid.None {
		r.Fault = o.world.Fault(e.Fault).ID
	}
	switch e.Kind {
	case world.FaultBegan:
		f := o.world.Fault(e.Fault)
		r.Asset, r.Kind = f.Asset, "permanent"
		if f.Broken {
			r.Kind = "broken"
		} else if f.Clears > 0 {
			r.Kind = "temporary"
		}
	case world.FaultEnded, world.Repaired:
		r.Asset = o.world.Fault(e.Fault).Asset
	default:
		if r.Device = o.name(e); r.Device == "" && e.Kind == world.Dispatched {
			r.Asset = o.world.Fault(e.Fault).Asset // where nothing has opened
		}
	}
	return r
}

// name is the device's, or the service point's for its own fuses.
func (o *outages) name(e world.Event) string {
	switch {
	case e.Edge != grid.None:
		return o.world.Snapshot().EdgeAsset(e.Edge).ID
	case e.Point != grid.None:
		return o.world.Snapshot().PointAsset(e.Point).ID
	}
	return ""
}

func (o *outages) supply(e world.Event, causes []world.Event) {
	lost := make([][]int32, len(causes)+1) // by cause; the last for none
	restored := map[*outage][]string{}
	var ended []*outage
	type levelled struct {
		cause  int
		levels world.Levels
	}
	lossy := map[levelled][]string{}
	var losses []levelled
	var back []string
	for _, c := range e.Supply {
		p, s := &o.points[c.Point], o.world.Snapshot()
		has := s.Point(int(c.Point)).Phases
		out, full := c.To.Live() == 0, c.To == world.Whole.Of(has)
		id := s.PointAsset(int(c.Point)).ID
		p.level = c.To
		if out && p.outage == nil {
			i := o.causeOf(int(c.Point), causes)
			lost[i] = append(lost[i], c.Point)
		}
		if !out && p.outage != nil {
			if restored[p.outage] == nil {
				ended = append(ended, p.outage)
			}
			restored[p.outage] = append(restored[p.outage], id)
			o.restore(int(c.Point), e.At)
		}
		switch was := p.lossy; {
		case !out && !full:
			p.lossy = true
			key := levelled{o.causeOf(int(c.Point), causes), c.To}
			if lossy[key] == nil {
				losses = append(losses, key)
			}
			lossy[key] = append(lossy[key], id)
		case was:
			p.lossy = false
			if full {
				back = append(back, id)
			}
		}
	}
	slices.SortFunc(ended, func(a, b *outage) int { return a.number - b.number })
	for _, x := range ended {
		o.emit(truth.Record{At: e.At, What: truth.Restored, Outage: x.number, Points: restored[x]})
		if x.left == 0 {
			o.emit(truth.Record{At: e.At, What: truth.OutageEnd, Outage: x.number})
		}
	}
	for i, points := range lost {
		if len(points) > 0 {
			o.begin(e.At, points, causes, i)
		}
	}
	for _, key := range losses {
		levels := key.levels
		r := truth.Record{At: e.At, What: truth.PhaseLoss, Levels: &levels, Points: lossy[key]}
		o.because(&r, causes, key.cause)
		o.emit(r)
	}
	if len(back) > 0 {
		o.emit(truth.Record{At: e.At, What: truth.PhasesBack, Points: back})
	}
}

func (o *outages) begin(at int64, points []int32, causes []world.Event, cause int) {
	o.number++
	x := &outage{number: o.number, left: len(points), begun: at}
	r := truth.Record{At: at, What: truth.Outage, Outage: x.number}
	for _, p := range points {
		o.points[p].outage, o.points[p].since = x, at
		r.Points = append(r.Points, o.world.Snapshot().PointAsset(int(p)).ID)
	}
	o.because(&r, causes, cause)
	o.emit(r)
}

// because says which device it was, and which are next to it.
func (o *outages) because(r *truth.Record, causes []world.Event, cause int) {
	if cause == len(causes) {
		return
	}
	e := causes[cause]
	r.Device = o.name(e)
	if e.Fault != grid.None {
		r.Fault = o.world.Fault(e.Fault).ID
	}
	normal := o.world.Snapshot().Normal()
	if e.Edge != grid.None {
		r.Adjacent = o.next(e.Edge)
	} else if e.Point == grid.None {
		return // the source's own protection
	} else if above := normal.Device(o.world.Snapshot().Point(e.Point).Node); above != grid.None {
		r.Adjacent = []string{o.world.Snapshot().EdgeAsset(above).ID}
	}
}

// causeOf is which of the causes took a point's supply: the one at the edge of
// what is cut off with it.
func (o *outages) causeOf(point int, causes []world.Event) int {
	if len(causes) < 2 {
		return 0
	}
	s, op := o.world.Snapshot(), o.world.Operation()
	node := s.Point(point).Node
	cutOff := op.Islands()[op.Island(node)].Source == grid.None
	for i, e := range causes {
		if e.Point == point {
			return i
		}
		if e.Edge == grid.None {
			continue
		}
		x := s.Edge(e.Edge)
		if below := op.Below(e.Edge); below != grid.None && op.IsBelow(node, below) ||
			below == grid.None && cutOff && (op.Island(x.A) == op.Island(node) || op.Island(x.B) == op.Island(node)) {
			return i
		}
	}
	return 0
}

// restore takes a point out of its outage.
func (o *outages) restore(point int, at int64) {
	p := &o.points[point]
	x := p.outage
	p.outage = nil
	x.left--
	o.add(point, x, p.since, at)
}

func (o *outages) add(point int, x *outage, from, to int64) {
	if to-from < truth.Sustained {
		return
	}
	if !x.sustained {
		x.sustained = true
		o.sustained++
	}
	o.minutes += float64(o.world.Snapshot().Point(point).Customers) * float64(to-from) / 60e6
}

// stop counts what lasts to the end.
func (o *outages) stop(at int64) {
	for p := range o.points {
		if s := &o.points[p]; s.outage != nil {
			o.add(p, s.outage, s.since, at)
		}
	}
}

// next is the switches and transformers next to an edge in normal operation.
func (o *outages) next(edge int) []string {
	if known, ok := o.adjacent[edge]; ok {
		return known
	}
	s, normal := o.world.Snapshot(), o.world.Snapshot().Normal()
	ids := []string{}
	if below := normal.Below(edge); below != grid.None {
		if above := normal.Device(normal.Upstream(below)); above != grid.None {
			ids = append(ids, s.EdgeAsset(above).ID)
		}
		own := normal.Device(below)
		for _, n := range normal.Downstream(below)[1:] {
			e := normal.Supply(int(n))
			if s.Edge(e).Kind != grid.KindLine && normal.Device(normal.Upstream(int(n))) == own {
				ids = append(ids, s.EdgeAsset(e).ID)
			}
		}
	}
	o.adjacent[edge] = ids
	return ids
}
