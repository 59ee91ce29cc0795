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

// request is one read of consecutive addresses, and the points that it brings.
type request struct {
	table  Table
	first  uint16
	count  uint16
	points []placed
}

// placed is a point within a request.
type placed struct {
	point  int // index into Device.Points
	offset int // addresses after the request's first
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
	if r.table.registers() {
		return 2 * int(r.count)
	}
	return (int(r.count) + 7) / 8
}

// plan makes as few requests of the points as the limits and the gap allow. A
// value is never split over two requests: its halves would be of different
// instants.
func plan(points []Point, maxGap int) []request {
	order := make([]int, len(points))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(points[a].Table, points[b].Table), cmp.Compare(points[a].Address, points[b].Address))
	})
	var requests []request
	for _, i := range order {
		p := points[i]
		limit, gap := maxRegisters, maxGap
		if !p.Table.registers() {
			limit, gap = maxBits, 16*maxGap
		}
		first, end := int(p.Address), int(p.Address)+p.Type.Registers()
		if n := len(requests); n > 0 {
			last := &requests[n-1]
			lastEnd := int(last.first) + int(last.count)
			end := max(end, lastEnd)
			if last.table == p.Table && first-lastEnd <= gap && end-int(last.first) <= limit {
				last.count = uint16(end - int(last.first))
				last.points = append(last.points, placed{i, first - int(last.first)})
				continue
			}
		}
		requests = append(requests, request{p.Table, p.Address, uint16(end - first), []placed{{i, 0}}})
	}
	return requests
}
