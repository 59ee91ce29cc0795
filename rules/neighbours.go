package rules

import (
	"fmt"
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
	bound.counting = true
	// What isn't right on the device itself isn't reported of a neighbour.
	if _, err := bound.condition(argument); err != nil {
		return operand{}, err
	}
	key := judgement{condition: argument.String(), parameters: fmt.Sprint(s.parameters), phase: s.phase}
	for _, id := range s.neighbours(s.target.device) {
		neighbour := s.devices[id]
		if name == "neighbours_elsewhere" && (bus == "" || neighbour.Bus == "" || neighbour.Bus == bus) {
			continue
		}
		key.device = id
		w, err := s.witness(key, argument)
		if err != nil {
			return operand{}, err
		}
		if w.says != nil {
			conditions = append(conditions, w.says)
			for _, slot := range w.slots {
				s.read(slot)
			}
			s.ages = append(s.ages, w.ages...)
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

// judgement is a condition about a device. Everyone on a supply asks for the same of
// everyone else, so each is bound once.
type judgement struct{ device, condition, parameters, phase string }

// witness is a judgement that was bound, and what it reads; says is nil for a device
// without a signal that it names.
type witness struct {
	says  condition
	slots []int32
	ages  []lookBack
}

func (s *scope) witness(key judgement, of ast.Node) (witness, *fault) {
	if w, known := s.judged[key]; known {
		return w, nil
	}
	there := *s
	there.target, there.slots, there.ages, there.counting = target{s.devices[key.device].Asset, key.device}, nil, nil, true
	c, err := there.condition(of)
	if err != nil && !err.missing {
		return witness{}, err
	}
	w := witness{c, there.slots, there.ages}
	s.judged[key] = w
	return w, nil
}
