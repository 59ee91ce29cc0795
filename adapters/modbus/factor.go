package modbus

import (
	"cmp"
	"math"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// A value and the register of its factor, the power of ten by which it is
// multiplied, belong to one instant: devices change their factors while they run,
// and the value of before × the factor of after is wrong by tens. So both come by
// one request where they fit. Where they don't, the factor is read before the value
// and again after it, and the value counts only if it was the same both times;
// otherwise it is asked for again.

// maxFactor bounds a power of ten (SunSpec Device Information Model
// Specification V1.1, 4.2.1).
const maxFactor = 10

// factor is a power of ten as a register holds it, or the reason why there is none.
type factor struct {
	exponent int
	reason   telemetry.Reason
}

// newFactor judges what the register says.
func newFactor(v telemetry.Value, reason telemetry.Reason) factor {
	exponent := int(int64(v.Bits()))
	switch {
	case reason != telemetry.NoReason:
		return factor{reason: reason}
	case exponent == math.MinInt16:
		return factor{reason: telemetry.NotImplemented}
	case exponent < -maxFactor || exponent > maxFactor:
		return factor{reason: telemetry.Malformed}
	}
	return factor{exponent: exponent}
}

// apply multiplies by the power of ten; a negative one divides, which rounds
// once where 10⁻¹ would round twice.
func (f factor) apply(number float64) float64 {
	if f.exponent < 0 {
		return number / math.Pow10(-f.exponent)
	}
	return number * math.Pow10(f.exponent)
}

// bond is what an item belongs together with.
type bond struct {
	reach int // the end of what is bound to it, at its place or behind it
	// The first address and the end of all that is bound to one another where it
	// lies, with what lies between.
	first, end int
}

// bind notes which items belong to one instant. factors says of each point where
// among the points its factor is, 0 if it has none.
func bind(items []item, factors []int) {
	if len(factors) == 0 {
		return
	}
	of := map[int]int{} // the item of each point
	for i, it := range items {
		for _, p := range it.points {
			of[p] = i
		}
	}
	for p, f := range factors {
		if f == 0 {
			continue
		}
		a, b := &items[min(of[p], of[f])], items[max(of[p], of[f])]
		if a.bond == nil {
			a.bond = &bond{reach: a.end}
		}
		a.bond.reach = max(a.bond.reach, b.end)
	}
	for begin := 0; begin < len(items); begin++ {
		if items[begin].bond == nil {
			continue
		}
		first, end, next := items[begin].first, items[begin].bond.reach, begin+1
		for ; next < len(items) && items[next].table == items[begin].table && items[next].first < end; next++ {
			if items[next].bond == nil {
				items[next].bond = &bond{reach: items[next].end}
			}
			end = max(end, items[next].bond.reach)
		}
		for i := begin; i < next; i++ {
			items[i].bond.first, items[i].bond.end = first, end
		}
		begin = next - 1
	}
}

// together is the end of what should come with an item by a request of at most so
// many registers: all that is bound to one another if it fits, else what is bound to
// the item itself.
func (it item) together(size int) int {
	switch {
	case it.bond == nil:
	case it.bond.end-it.bond.first <= size:
		return it.bond.end
	case it.bond.reach-it.first <= size:
		return it.bond.reach
	}
	return it.end
}

// scaling is a point that has a factor, and the value that waits for it.
type scaling struct {
	point, factor int // in points
	raw           float64
	at            telemetry.Micros
	turn          int // the answer that brought the value; 0: none waits
}

// reading is a factor and the answer that brought it; 0: it wasn't read in this poll.
type reading struct {
	factor
	turn int
}

// scales reads the factors of a meter's points. A poll's answers, and what fails,
// count as turns, from 1.
type scales struct {
	*meter
	turn     int
	scalings []scaling
	of       []int // where in scalings each point is, -1 if it has no factor; nil if none has
	readings []reading
	again    []request // for the factors that come by other requests than their values
}

func newScales(m *meter) *scales {
	s := &scales{meter: m, readings: make([]reading, len(m.points)-len(m.Points))}
	if len(s.readings) == 0 {
		return s
	}
	s.of = make([]int, len(m.Points))
	for p, f := range m.factors {
		s.of[p] = -1
		if f != 0 {
			s.of[p] = len(s.scalings)
			s.scalings = append(s.scalings, scaling{point: p, factor: f})
		}
	}
	return s
}

// begin forgets what the last poll read.
func (s *scales) begin() {
	s.turn = 0
	clear(s.readings)
	for i := range s.scalings {
		s.scalings[i].turn = 0
	}
}

// wait keeps a point's raw value until its factor is known, and reports false if
// it has none. What has no value waits for nothing.
func (s *scales) wait(point int, raw telemetry.Value, reason telemetry.Reason, at telemetry.Micros) bool {
	if s.of == nil || s.of[point] < 0 {
		return false
	}
	w := &s.scalings[s.of[point]]
	if w.turn = 0; reason != telemetry.NoReason {
		return false
	}
	w.raw, _ = raw.Float()
	w.at, w.turn = at, s.turn
	return true
}

// read takes a factor of this turn, and settles with it the values of the same
// answer, and those that came since it was last read and was the same.
func (s *scales) read(point int, f factor, settle func(w *scaling, f factor)) {
	last := &s.readings[point-len(s.Points)]
	for i := range s.scalings {
		w := &s.scalings[i]
		if w.factor != point || w.turn == 0 {
			continue
		}
		unchanged := last.turn != 0 && last.turn < w.turn && last.factor == f
		if w.turn == s.turn || unchanged || f.reason != telemetry.NoReason {
			settle(w, f)
			w.turn = 0
		}
	}
	*last = reading{f, s.turn}
}

// todo is what to ask for so that the values that wait can be settled: those that
// came before their factor was read, or while it changed, and then all of the factors.
func (s *scales) todo() (items []item, factors []item) {
	for _, w := range s.scalings {
		f := s.readings[w.factor-len(s.Points)]
		if w.turn == 0 || f.reason != telemetry.NoReason {
			continue
		}
		if f.turn > w.turn {
			items = append(items, s.itemOf(w.point))
		}
		factors = append(factors, s.itemOf(w.factor))
	}
	return unique(items), unique(factors)
}

// giveUp gives the values that still wait the reason why they have none.
func (s *scales) giveUp(otherwise telemetry.Reason, settle func(w *scaling, f factor)) {
	for i := range s.scalings {
		w := &s.scalings[i]
		if w.turn == 0 {
			continue
		}
		settle(w, factor{reason: cmp.Or(s.readings[w.factor-len(s.Points)].reason, otherwise)})
		w.turn = 0
	}
}

func (s *scales) itemOf(point int) item {
	return s.items[slices.IndexFunc(s.items, func(it item) bool { return slices.Contains(it.points, point) })]
}

func unique(items []item) []item {
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.index, b.index) })
	return slices.CompactFunc(items, func(a, b item) bool { return a.index == b.index })
}

// first puts the requests for factors that come by other ones than their values
// before all others.
func (s *scales) first(requests []request, plan func([]item) []request) []request {
	s.again = nil
	by := map[int]int{} // the request of each item
	for n, r := range requests {
		for _, it := range r.items {
			by[it.index] = n
		}
	}
	var apart []item
	for _, w := range s.scalings {
		value, factor := s.itemOf(w.point), s.itemOf(w.factor)
		with, asked := by[factor.index]
		if n, there := by[value.index]; asked && there && n != with {
			apart = append(apart, factor)
		}
	}
	if apart = unique(apart); apart == nil {
		return requests
	}
	s.again = plan(apart)
	isApart := func(it item) bool {
		return slices.ContainsFunc(apart, func(a item) bool { return a.index == it.index })
	}
	others := slices.DeleteFunc(slices.Clone(requests), func(r request) bool {
		return !slices.ContainsFunc(r.items, func(it item) bool { return !isApart(it) })
	})
	return append(slices.Clone(s.again), others...)
}
