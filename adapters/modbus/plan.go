package modbus

import (
	"cmp"
	"fmt"
	"slices"

	goburrow "github.com/goburrow/modbus"
)

// Limits of one read (Modbus Application Protocol V1.1b3, 6.1 to 6.4).
const (
	maxRegisters = 125
	maxBits      = 2000
)

// request is one read of consecutive addresses, and what it brings.
type request struct {
	table Table
	first uint16
	count uint16
	items []item
}

func (r request) String() string { return fmt.Sprintf("%s %d+%d", r.table, r.first, r.count) }

func (r request) function() byte {
	switch r.table {
	case Coil:
		return goburrow.FuncCodeReadCoils
	case Discrete:
		return goburrow.FuncCodeReadDiscreteInputs
	case Input:
		return goburrow.FuncCodeReadInputRegisters
	}
	return goburrow.FuncCodeReadHoldingRegisters
}

// bytes is the size of the data in the answer.
func (r request) bytes() int {
	if r.table.Registers() {
		return 2 * int(r.count)
	}
	return (int(r.count) + 7) / 8
}

// item is what isn't split over two requests, since the parts would be of
// different instants: a point, or the points of a group.
type item struct {
	index      int // in itemsOf's list
	table      Table
	first, end int // addresses; end is the one after the last
	points     []int
}

// itemsOf puts the points into items, by table and address.
func itemsOf(points []Point) []item {
	var items []item
	type groupKey struct {
		table Table
		name  string
	}
	groups := map[groupKey]int{}
	indexes := make([]int, len(points))
	for i, p := range points {
		first, end := int(p.Address), int(p.Address)+p.Size()
		key := groupKey{p.Table, p.Group}
		at, begun := groups[key]
		if !begun || p.Group == "" {
			groups[key] = len(items)
			indexes[i] = i
			items = append(items, item{0, p.Table, first, end, indexes[i : i+1 : i+1]})
			continue
		}
		it := &items[at]
		it.first, it.end, it.points = min(it.first, first), max(it.end, end), append(it.points, i)
	}
	slices.SortStableFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.first, b.first))
	})
	for i := range items {
		items[i].index = i
	}
	return items
}

// limits bound the requests of a plan.
type limits struct {
	registers, bits int
	gap             int // registers
	single          bool
	bitsFromZero    bool
}

func newLimits(r Reads) limits {
	l := limits{registers: r.MaxRegisters, bits: r.MaxBits, gap: r.MaxGap, single: r.Single, bitsFromZero: r.BitsFromZero}
	l.registers, l.bits = cmp.Or(l.registers, maxRegisters), cmp.Or(l.bits, maxBits)
	switch {
	case l.gap == 0:
		l.gap = DefaultMaxGap
	case l.gap < 0:
		l.gap = 0
	}
	return l
}

// of is the largest request of a table, and the largest gap in it.
func (l limits) of(t Table) (size, gap int) {
	if t.Registers() {
		return l.registers, l.gap
	}
	return l.bits, 16 * l.gap
}

// with is l with another largest request of a table.
func (l limits) with(t Table, size int) limits {
	if t.Registers() {
		l.registers = size
	} else {
		l.bits = size
	}
	return l
}

// cut is a place that no request reads across: the end of an item.
type cut struct {
	table Table
	at    int
}

// plan makes as few requests of the items, which are in order, as the limits and the cuts allow.
func plan(items []item, l limits, isCut func(cut) bool) []request {
	var requests []request
	var end int // of the last request
	for i, it := range items {
		size, gap := l.of(it.table)
		first := it.first
		if l.bitsFromZero && !it.table.Registers() {
			first = 0
		}
		if n := len(requests); n > 0 && !l.single {
			last := &requests[n-1]
			joined := max(it.end, end)
			if last.table == it.table && first-end <= gap && joined-int(last.first) <= size && !isCut(cut{it.table, end}) {
				end = joined
				last.count = uint16(end - int(last.first))
				last.items = items[i-len(last.items) : i+1 : i+1]
				continue
			}
		}
		requests = append(requests, request{it.table, uint16(first), uint16(it.end - first), items[i : i+1 : i+1]})
		end = it.end
	}
	return requests
}

// CheckRequests lists what can't be read in one request though it has to be.
func (d Device) CheckRequests() []error {
	var errs []error
	l := newLimits(d.Reads)
	tables := map[string]Table{}
	for _, p := range d.Points {
		if t, seen := tables[p.Group]; p.Group != "" && seen && t != p.Table {
			errs = append(errs, fmt.Errorf("group %q: its points are in %s and in %s, which one request can't read", p.Group, t, p.Table))
			break
		}
		tables[p.Group] = p.Table
	}
	for _, it := range itemsOf(d.Points) {
		first := it.first
		if l.bitsFromZero && !it.table.Registers() {
			first = 0
		}
		size, _ := l.of(it.table)
		if it.end-first <= size {
			continue
		}
		p := d.Points[it.points[0]]
		what := fmt.Sprintf("point %q", p.Name)
		if p.Group != "" {
			what = fmt.Sprintf("group %q", p.Group)
		}
		errs = append(errs, fmt.Errorf("%s: %s %d to %d is more than one request takes, %d", what, it.table, first, it.end-1, size))
	}
	return errs
}
