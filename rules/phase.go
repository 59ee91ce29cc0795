package rules

import (
	"slices"
	"strings"

	"github.com/busbar/busbar/telemetry"
	"github.com/expr-lang/expr/ast"
)

// phasesOf are the phases, phsA or phsAB, on which a quantity is measured.
func phasesOf(signals map[string][]telemetry.Signal, quantity string) []string {
	var phases []string
	for name := range signals {
		if phase, ok := strings.CutPrefix(name, quantity+"."); ok && strings.HasPrefix(phase, "phs") {
			phases = append(phases, phase)
		}
	}
	slices.Sort(phases)
	return phases
}

// phases binds every_phase(body) or any_phase(body): body once for each phase,
// joined by and or by or.
func (s *scope) phases(n ast.Node, name string, body ast.Node) (operand, *fault) {
	if s.phase != "" {
		return operand{}, faultAt(n, "%s can't stand within every_phase or any_phase", name)
	}
	signals := s.signals(s.target)
	var found []string
	s.collectPhases(body, signals, &found)
	if len(found) == 0 {
		// The body says best what is missing; it is complete if it names no phase.
		if _, err := s.condition(body); err != nil {
			return operand{}, err
		}
		return operand{}, faultAt(n, "%s names nothing that is measured per phase, such as PhV for PhV.phsA", name)
	}

	join := both
	if name == "any_phase" {
		join = either
	}
	defer func() { s.phase = "" }()
	var all condition
	for _, phase := range found {
		s.phase = phase
		c, err := s.condition(body)
		if err != nil {
			return operand{}, err
		}
		if all == nil {
			all = c
		} else {
			all = join(all, c)
		}
	}
	return operand{condition: all}, nil
}

// collectPhases adds, in order, the phases of the quantities that n names.
func (s *scope) collectPhases(n ast.Node, signals map[string][]telemetry.Signal, found *[]string) {
	if name, ok := dotted(n); ok {
		if _, ok := s.parameters[name]; ok || len(signals[name]) > 0 {
			return
		}
		*found = append(*found, phasesOf(signals, name)...)
		slices.Sort(*found)
		*found = slices.Compact(*found)
		return
	}
	switch n := n.(type) {
	case *ast.UnaryNode:
		s.collectPhases(n.Node, signals, found)
	case *ast.BinaryNode:
		s.collectPhases(n.Left, signals, found)
		s.collectPhases(n.Right, signals, found)
	default:
		_, arguments, _ := call(n)
		for _, argument := range arguments {
			s.collectPhases(argument, signals, found)
		}
	}
}
