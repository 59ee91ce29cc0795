package rules

import (
	"math"
	"slices"

	"github.com/expr-lang/expr/ast"
)

// unbalance binds the ratio of negative to positive sequence, in %, from the
// magnitudes of the three phase-phase voltages (IEC 61000-4-30, 5.7.1).
func (s *scope) unbalance(n, argument ast.Node) (operand, *fault) {
	x, err := s.threePhases(n, argument, "phsAB", "phsBC", "phsCA")
	if err != nil {
		return operand{}, err
	}
	return operand{unit: "%", number: func(in *inputs) float64 {
		a, b, c := x[0](in), x[1](in), x[2](in)
		a, b, c = a*a, b*b, c*c
		root := math.Sqrt(max(0, 3-6*(a*a+b*b+c*c)/((a+b+c)*(a+b+c))))
		// Voltages that can't be the sides of a triangle have none.
		return finite(100 * math.Sqrt((1-root)/(1+root)))
	}}, nil
}

// spread binds the largest distance of one of three phases from their mean, in % of
// that (NEMA MG 1, 14.36, for voltages).
func (s *scope) spread(n, argument ast.Node) (operand, *fault) {
	x, err := s.threePhases(n, argument, "phsA", "phsB", "phsC")
	if err != nil && err.missing {
		x, err = s.threePhases(n, argument, "phsAB", "phsBC", "phsCA")
	}
	if err != nil {
		return operand{}, err
	}
	return operand{unit: "%", number: func(in *inputs) float64 {
		a, b, c := x[0](in), x[1](in), x[2](in)
		mean := (a + b + c) / 3
		return finite(100 * max(math.Abs(a-mean), math.Abs(b-mean), math.Abs(c-mean)) / math.Abs(mean))
	}}, nil
}

// threePhases are the values of a quantity on its three phases.
func (s *scope) threePhases(n, quantity ast.Node, phases ...string) (x [3]number, err *fault) {
	name, ok := dotted(quantity)
	if !ok {
		return x, faultAt(quantity, "%s isn't the name of a quantity, such as PPV for PPV.phsAB, PPV.phsBC and PPV.phsCA", quantity)
	}
	measured := phasesOf(s.signals(s.target), name)
	for i, phase := range phases {
		if !slices.Contains(measured, phase) {
			f := faultAt(n, "%s has no signal %s.%s", s.target, name, phase)
			f.missing = true
			return x, f
		}
		o, err := s.name(quantity, name+"."+phase)
		if err != nil {
			return x, err
		}
		x[i] = o.number
	}
	return x, nil
}
