package rules

import (
	"slices"
	"strings"

	"github.com/busbar/busbar/telemetry"
	"github.com/expr-lang/expr/ast"
)

// supplyBelow binds supply_below(limit), which is decided by the phase-neutral
// voltages of the other devices on the target's supply.
func (s *scope) supplyBelow(n, argument ast.Node) (operand, *fault) {
	if s.devices[s.target.device].ID == "" {
		return operand{}, faultAt(n, `supply_below is about a device; select it with on: {device: …}, or every one with device: "*"`)
	}
	limit, err := s.number(argument)
	if err != nil {
		return operand{}, err
	}
	var witnesses [][]int32
	for _, neighbour := range s.neighbours(s.target.device) {
		var voltages []int32
		for _, signal := range s.voltages(neighbour) {
			if limit.unit != "" && signal.Unit != limit.unit {
				return operand{}, faultAt(n, "%s is compared with %s of device %s, which is in %s", n, signal.Name, neighbour, signal.Unit)
			}
			slot := s.slot(signal)
			s.read(slot)
			voltages = append(voltages, slot)
		}
		witnesses = append(witnesses, voltages)
	}
	return operand{condition: func(in *inputs) truth { return testimony(in, witnesses, limit.number(in)) }}, nil
}

// testimony is what the witnesses agree on: unknown without one that can tell,
// and where one says yes and another no.
func testimony(in *inputs, witnesses [][]int32, limit float64) truth {
	agreed := unknown
	for _, voltages := range witnesses {
		says := unknown
		for _, slot := range voltages {
			switch v := in.number(slot); {
			case v >= limit:
				says = no
			case v < limit && says == unknown:
				says = yes
			}
		}
		if says == -agreed && says != unknown {
			return unknown
		}
		if says != unknown {
			agreed = says
		}
	}
	return agreed
}

// neighbours are the other devices on the device's supply.
func (w *network) neighbours(device string) []string {
	supply := w.devices[device].Supply
	if supply == "" {
		return nil
	}
	var ids []string
	for _, id := range w.bySupply[supply] {
		if id != device {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (w *network) voltages(device string) []telemetry.Signal {
	var found []telemetry.Signal
	for name, signals := range w.signals(target{device: device}) {
		if strings.HasPrefix(name, "PhV.phs") {
			found = append(found, signals...)
		}
	}
	slices.SortFunc(found, func(a, b telemetry.Signal) int { return strings.Compare(a.Name, b.Name) })
	return found
}
