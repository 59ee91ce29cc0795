package rules

import (
	"math"

	"github.com/expr-lang/expr/ast"
)

// countNeighbours binds neighbours(condition) and neighbours_elsewhere(condition): on
// how many of the other devices on the target's supply the condition holds, of all of
// them or of those that are known to be reached by another bus than the target. While
// it is unknown of any of those, so is the number: a device that can't be judged might
// be the one that decides.
func (s *scope) countNeighbours(n ast.Node, name string, argument ast.Node) (operand, *fault) {
	if s.target.device == "" {
		return operand{}, faultAt(n, `%s is about a device; select it with on: {device: …}, or every one with device: "*"`, name)
	}
	bus := s.devices[s.target.device].Bus
	var conditions []condition
	bound := *s
	// What isn't right on the device itself isn't reported of a neighbour.
	if _, err := bound.condition(argument); err != nil {
		return operand{}, err
	}
	for _, id := range s.neighbours(s.target.device) {
		neighbour := s.devices[id]
		if name == "neighbours_elsewhere" && (bus == "" || neighbour.Bus == "" || neighbour.Bus == bus) {
			continue
		}
		there := *s
		there.target = target{neighbour.Asset, id}
		c, err := there.condition(argument)
		switch {
		case err == nil:
			conditions = append(conditions, c)
			there.target = s.target
			*s = there
		case !err.missing:
			return operand{}, err
		}
	}
	return operand{unit: "1", number: func(in *inputs) float64 {
		count := 0.0
		for _, c := range conditions {
			switch c(in) {
			case yes:
				count++
			case unknown:
				return math.NaN()
			}
		}
		return count
	}}, nil
}
