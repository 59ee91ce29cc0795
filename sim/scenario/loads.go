package scenario

import (
	"errors"
	"math"
	"math/cmplx"
	"math/rand/v2"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/load"
	"github.com/busbar/busbar/sim/powerflow"
	"github.com/busbar/busbar/sim/truth"
)

func (s *Scenario) checkLoads(snapshot *grid.Snapshot, f *configfile.File) {
	if s.Loads == nil {
		return
	}
	var loops *powerflow.LoopError
	if _, err := powerflow.New(snapshot, powerflow.Options{}); err != nil && !errors.As(err, &loops) {
		f.Errorf("loads", "%v", err)
	}
	if s.Loads.Readings != nil {
		s.Loads.Readings.check(func(key, format string, args ...any) { f.Errorf("loads.readings."+key, format, args...) })
	}
	m := s.Loads.Mix
	for _, share := range []struct {
		key   string
		value float64
	}{{"business", m.Business}, {"farm", m.Farm}, {"pv", m.PV}, {"ev", m.EV}, {"heat_pump", m.HeatPump}} {
		if !(share.value >= 0 && share.value <= 1) {
			f.Errorf(configfile.Join("loads", share.key), "%v is no share from 0 to 1", share.value)
		}
	}
	first, _ := load.SlotAt(int64(s.Start))
	named := map[string]bool{}
	left := snapshot.Points()
	for _, e := range s.Loads.Effects {
		if e.Point != "" && !named[e.Point] {
			named[e.Point] = true
			left--
		}
	}
	clear(named)
	for i, e := range s.Loads.Effects {
		at := configfile.Item("loads.effects", i)
		left -= max(e.Some, 0)
		twice := e.Point != "" && named[e.Point]
		named[e.Point] = true
		switch {
		case (e.Point != "") == (e.Some != 0):
			f.Errorf(at, "has point %q and some %d, expected one of them", e.Point, e.Some)
		case e.Point != "" && snapshot.PointOf(e.Point) == grid.None:
			f.Errorf(configfile.Join(at, "point"), "the grid has no service point %q", e.Point)
		case twice:
			f.Errorf(configfile.Join(at, "point"), "%q has an effect already", e.Point)
		case e.Some < 0 || e.Some > 0 && left < 0:
			f.Errorf(configfile.Join(at, "some"), "%d are more than there are without an effect", e.Some)
		case e.Day < 0 || e.Days < 0 || e.Days > mostDays:
			f.Errorf(at, "day %d, days %d, expected 0 or more, and %d days at most", e.Day, e.Days, mostDays)
		case e.Day > mostDays || int64(first+e.Day)*86400e6 >= s.End():
			f.Errorf(configfile.Join(at, "day"), "%d is after the end", e.Day)
		}
	}
}

// loads is what customers use in a run. A nil one does nothing.
type loads struct {
	model        *load.Loads
	customers    []load.Customer // by point
	transformers []int           // edges that are rated
	day          int             // that real and metered are of
	real         []load.Day
	metered      []load.Day // if readings are asked for
	delivery     delivery   // of those
	flow         *flow
	over         map[int]float64
}

func newLoads(r *Play) *loads {
	if r.Loads == nil {
		return nil
	}
	s := r.world.Snapshot()
	l := &loads{day: math.MinInt, real: make([]load.Day, s.Points()), over: map[int]float64{}, delivery: delivery{config: r.Loads.Readings, seed: r.Seed}}
	l.delivery.reads = func(meter int) (reads, arrives bool) {
		if edge := meter - s.Points(); edge >= 0 { // a transformer
			return r.edge.ReadsAt(s.Edge(edge).B)
		}
		return r.edge.Reads(meter)
	}
	if r.sinks.Readings != nil {
		l.metered = make([]load.Day, s.Points())
	}
	l.model, l.customers = Customers(s, r.Seed, r.Loads.Mix)
	l.flow = newFlow(s)
	for e := range s.Edges() {
		if x := s.Edge(e); x.Kind == grid.KindTransformer && s.Model().Transformers[x.Index].RatedPower > 0 {
			l.transformers = append(l.transformers, e)
		}
	}
	return l
}

// Customers is what a grid's service points use, and how each of them is, by a seed.
func Customers(s *grid.Snapshot, seed uint64, mix load.Mix) (*load.Loads, []load.Customer) {
	model := load.New(seed, mix)
	customers := make([]load.Customer, s.Points())
	for p := range customers {
		customers[p] = model.Customer(uint64(p))
		customers[p].Annual *= float64(max(s.Point(p).Customers, 1)) // as one who uses what all of them do
	}
	return model, customers
}

// start draws who has which effect, and records it.
func (l *loads) start(r *Play) {
	if l == nil {
		return
	}
	s := r.world.Snapshot()
	first, _ := load.SlotAt(int64(r.Start))
	random := rand.New(rand.NewPCG(r.Seed, 0x7ef7))
	free := random.Perm(s.Points())
	give := func(point int, e Effect) {
		effect := load.Effect{Kind: e.Kind, From: first + e.Day}
		until := int64(0)
		if e.Days > 0 {
			effect.Till = effect.From + e.Days
			until = int64(effect.Till) * 86400e6
		}
		l.customers[point].Effects = append(l.customers[point].Effects, effect)
		what := truth.LookAlike
		switch {
		case e.Kind.Theft():
			what = truth.Theft
		case e.Kind.MeterFault():
			what = truth.MeterFault
		}
		r.record(truth.Record{At: int64(r.Start), What: what, Kind: e.Kind.String(), Point: s.PointAsset(point).ID,
			Since: max(int64(effect.From)*86400e6, int64(r.Start)), Until: until})
	}
	for _, e := range r.Loads.Effects {
		if e.Point != "" {
			give(s.PointOf(e.Point), e)
		}
	}
	for _, e := range r.Loads.Effects {
		for range e.Some {
			for len(l.customers[free[0]].Effects) > 0 {
				free = free[1:]
			}
			give(free[0], e)
		}
	}
}

// pause is a stop, at which a quarter-hour may begin or end.
func (l *loads) pause(r *Play, at int64) {
	if l == nil || at%quarter != 0 {
		return
	}
	if at > int64(r.Start) {
		l.read(r, at-quarter)
	}
	if at >= r.End() {
		return
	}
	day, slot := load.SlotAt(at)
	if day != l.day {
		l.day = day
		for p := range l.customers {
			l.model.Real(&l.customers[p], day, &l.real[p])
			if l.metered != nil {
				l.model.Metered(&l.customers[p], day, &l.metered[p])
			}
		}
	}
	l.flow.solve(r.world, l.real, slot)
	l.overloads(r, at)
}

// overloads looks at what transformers carry in the quarter-hour that begins.
func (l *loads) overloads(r *Play, at int64) {
	s := r.world.Snapshot()
	for _, e := range l.transformers {
		t := &s.Model().Transformers[s.Edge(e).Index]
		high, _ := l.flow.through(e)
		carried := cmplx.Abs(high) / float64(t.RatedPower)
		peak, was := l.over[e]
		switch {
		case carried != carried:
			// Of a load flow without a solution nothing is known.
		case carried > 1:
			if l.over[e] = max(peak, carried); !was {
				r.record(truth.Record{At: at, What: truth.Overload, Device: t.ID})
			}
		case was:
			l.relieve(r, at, e)
		}
	}
}

func (l *loads) relieve(r *Play, at int64, edge int) {
	r.record(truth.Record{At: at, What: truth.OverloadEnd, Device: r.world.Snapshot().EdgeAsset(edge).ID, Peak: math.Round(l.over[edge]*1e4) / 1e4})
	delete(l.over, edge)
}

func (l *loads) stop(r *Play, at int64) {
	if l == nil {
		return
	}
	for _, e := range l.transformers {
		if _, over := l.over[e]; over {
			l.relieve(r, at, e)
		}
	}
}

// counted is the part of what customers really took that their meters counted, on
// the days on which they had an effect of a kind.
func (l *loads) counted(r *Play, kind string) float64 {
	var real, counted float64
	first, _ := load.SlotAt(int64(r.Start))
	last, _ := load.SlotAt(r.End() - 1)
	for i := range l.customers {
		c := &l.customers[i]
		for _, e := range c.Effects {
			for day := max(first, e.From); e.Kind.String() == kind && day <= last && (e.Till == 0 || day < e.Till); day++ {
				var x, y load.Day
				l.model.Real(c, day, &x)
				l.model.Metered(c, day, &y)
				for slot := range load.Slots {
					real += float64(x.Import[slot])
					if v := float64(y.Import[slot]); v == v { // not NaN
						counted += v
					}
				}
			}
		}
	}
	return counted / real
}
