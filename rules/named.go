package rules

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/busbar/busbar/configfile"
	"github.com/expr-lang/expr/ast"
)

// operands binds the two sides of an operator. Of a comparison with a state signal,
// one may be the name of a state.
func (s *scope) operands(n *ast.BinaryNode) (a, b operand, err *fault) {
	left, isLeft := n.Left.(*ast.StringNode)
	right, isRight := n.Right.(*ast.StringNode)
	switch {
	case isRight && !isLeft:
		if a, err = s.number(n.Left); err == nil {
			b, err = stateOf(n, n.Left, a, right)
		}
	case isLeft && !isRight:
		if b, err = s.number(n.Right); err == nil {
			a, err = stateOf(n, n.Right, b, left)
		}
	default:
		if a, err = s.number(n.Left); err == nil {
			b, err = s.number(n.Right)
		}
	}
	return a, b, err
}

// stateOf is the number of a state that is named beside a signal.
func stateOf(n *ast.BinaryNode, of ast.Node, signal operand, name *ast.StringNode) (operand, *fault) {
	switch {
	case signal.signal == nil || len(signal.signal.States) == 0 && len(signal.signal.Flags) == 0:
		return operand{}, faultAt(name, "%q is text, but %s has no names for its values, expected a number", name.Value, of)
	case len(signal.signal.States) == 0:
		return operand{}, faultAt(name, "%s has flags, of which several may be set at once, expected has(%s, %q)", of, of, name.Value)
	case n.Operator != "==" && n.Operator != "!=":
		return operand{}, faultAt(name, "%q is the name of a state, which the operator %s doesn't order, expected == or !=, or a number", name.Value, n.Operator)
	}
	for value, known := range signal.signal.States {
		if known == name.Value {
			return constant(float64(value), ""), nil
		}
	}
	return operand{}, noName(name, of, "state", slices.Sorted(maps.Values(signal.signal.States)))
}

func noName(name *ast.StringNode, of ast.Node, what string, known []string) *fault {
	if nearest := configfile.Nearest(name.Value, known); nearest != "" {
		return faultAt(name, "%s has no %s %q, did you mean %q?", of, what, name.Value, nearest)
	}
	return faultAt(name, "%s has no %s %q, expected one of %s", of, what, name.Value, strings.Join(known[:min(len(known), 12)], ", "))
}

// has is whether a flag of a signal is set.
func (s *scope) has(n ast.Node, arguments []ast.Node) (operand, *fault) {
	if len(arguments) != 2 {
		return operand{}, faultAt(n, "has has %d arguments, expected a signal and the name of a flag", len(arguments))
	}
	o, err := s.number(arguments[0])
	if err != nil {
		return operand{}, err
	}
	name, text := arguments[1].(*ast.StringNode)
	switch {
	case o.signal == nil || len(o.signal.Flags) == 0:
		return operand{}, faultAt(arguments[0], "%s has no flags", arguments[0])
	case !text:
		return operand{}, faultAt(arguments[1], "%s is no name of a flag, expected one in quotes", arguments[1])
	}
	for bit, known := range o.signal.Flags {
		if known != name.Value {
			continue
		}
		x := o.number
		return operand{condition: func(in *inputs) truth {
			switch v := x(in); {
			// A float64 doesn't hold the lower bits of what is large, and rounds it up to 1<<64.
			case v != v || v < 0 || v >= 1<<53 && bit < 11 || v >= 1<<64:
				return unknown
			default:
				return truthOf(uint64(v)>>bit&1 != 0)
			}
		}}, nil
	}
	return operand{}, noName(name, arguments[0], "flag", slices.Sorted(maps.Values(o.signal.Flags)))
}

// whole is a number as an integer, if it is one exactly.
func whole(v float64) (int64, bool) {
	return int64(v), v == math.Trunc(v) && math.Abs(v) <= 1<<53
}
