package rules

import (
	"math"
	"slices"
	"strings"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/expr-lang/expr/ast"
)

// operand is a bound expression: a number, a condition, or a state signal,
// which is either.
type operand struct {
	number    number
	condition condition
	unit      string            // of the number; "" agrees with every unit
	constant  bool              // the number doesn't depend on inputs
	signal    *telemetry.Signal // that it is, and nothing else
}

func constant(v float64, unit string) operand {
	return operand{number: func(*inputs) float64 { return v }, unit: unit, constant: true}
}

// scope binds one rule's expressions to one target.
type scope struct {
	*network
	target     target
	parameters map[string]configfile.Quantity
	used       map[string]bool // parameters, shared by the rule's targets
	slots      []int32         // read, in the order named
	counts     []*edges        // of count_over
	ages       []lookBack      // of windows on signals whose samples come by change
	phase      string          // within every_phase and any_phase
	counting   bool            // within count_over
	left       bool            // something optional isn't there
}

func (s *scope) condition(n ast.Node) (condition, *fault) {
	o, err := s.bind(n)
	if err != nil {
		return nil, err
	}
	if o.condition == nil {
		return nil, faultAt(n, "%s is a number, expected a condition such as %s > 0", n, n)
	}
	return o.condition, nil
}

func (s *scope) number(n ast.Node) (operand, *fault) {
	o, err := s.bind(n)
	if err == nil && o.number == nil {
		err = faultAt(n, "%s is a condition, expected a number", n)
	}
	return o, err
}

func (s *scope) bind(n ast.Node) (operand, *fault) {
	if name, ok := dotted(n); ok {
		return s.name(n, name)
	}
	if name, arguments, ok := call(n); ok {
		return s.call(n, name, arguments)
	}
	switch n := n.(type) {
	case *ast.IntegerNode:
		return constant(float64(n.Value), ""), nil
	case *ast.FloatNode:
		return constant(n.Value, ""), nil
	case *ast.UnaryNode:
		return s.unary(n)
	case *ast.BinaryNode:
		return s.binary(n)
	}
	return operand{}, unsupported(n)
}

func (s *scope) unary(n *ast.UnaryNode) (operand, *fault) {
	switch n.Operator {
	case "not", "!":
		c, err := s.condition(n.Node)
		if err != nil {
			return operand{}, err
		}
		return operand{condition: opposite(c)}, nil
	case "-":
		o, err := s.number(n.Node)
		if err != nil {
			return operand{}, err
		}
		x := o.number
		return folded(func(in *inputs) float64 { return -x(in) }, o.unit, o.constant), nil
	}
	return operand{}, unsupported(n)
}

func (s *scope) binary(n *ast.BinaryNode) (operand, *fault) {
	switch n.Operator {
	case "and", "&&", "or", "||":
		a, err := s.condition(n.Left)
		if err != nil {
			return operand{}, err
		}
		b, err := s.condition(n.Right)
		if err != nil {
			return operand{}, err
		}
		if n.Operator == "and" || n.Operator == "&&" {
			return operand{condition: both(a, b)}, nil
		}
		return operand{condition: either(a, b)}, nil
	}

	f := arithmetic[n.Operator]
	if f == nil && compare(n.Operator, nil, nil) == nil {
		return operand{}, unsupported(n)
	}
	a, b, err := s.operands(n)
	if err != nil {
		return operand{}, err
	}
	var unit string
	if n.Operator == "*" || n.Operator == "/" {
		unit = scaled(a.unit, b.unit, n.Operator == "/")
	} else if unit, err = common(n, a, b); err != nil {
		return operand{}, err
	}
	if f == nil {
		return operand{condition: compare(n.Operator, a.number, b.number)}, nil
	}
	x, y := a.number, b.number
	return folded(func(in *inputs) float64 { return f(x(in), y(in)) }, unit, a.constant && b.constant), nil
}

// folded computes a constant once.
func folded(f number, unit string, isConstant bool) operand {
	if isConstant {
		return constant(f(nil), unit)
	}
	return operand{number: f, unit: unit}
}

// common is the unit of operands that are added or compared.
func common(n ast.Node, a, b operand) (string, *fault) {
	if a.unit != "" && b.unit != "" && a.unit != b.unit {
		return "", faultAt(n, "%s mixes the units %s and %s", n, a.unit, b.unit)
	}
	if a.unit == "" {
		return b.unit, nil
	}
	return a.unit, nil
}

// scaled is the unit of a product or quotient, "" if it is neither factor's.
func scaled(a, b string, quotient bool) string {
	switch {
	case b == "" || b == "1":
		return a
	case (a == "" || a == "1") && !quotient:
		return b
	}
	return ""
}

func (s *scope) call(n ast.Node, name string, arguments []ast.Node) (operand, *fault) {
	switch name {
	case "min", "max", "abs":
		return s.extreme(n, name, arguments)
	case "has":
		return s.has(n, arguments)
	case "count_over":
		return s.countOver(n, arguments)
	}
	if windows[name] != nil {
		return s.window(n, name, arguments)
	}
	bind := map[string]func(n, argument ast.Node) (operand, *fault){
		"every_phase":  func(n, body ast.Node) (operand, *fault) { return s.phases(n, name, body) },
		"any_phase":    func(n, body ast.Node) (operand, *fault) { return s.phases(n, name, body) },
		"unknown":      func(_, c ast.Node) (operand, *fault) { return s.judge(c, unknown) },
		"surely":       func(_, c ast.Node) (operand, *fault) { return s.judge(c, yes) },
		"optional":     s.optional,
		"supply_below": s.supplyBelow,
		"unbalance":    s.unbalance,
		"spread":       s.spread,

		"neighbours":           func(n, c ast.Node) (operand, *fault) { return s.countNeighbours(n, name, c) },
		"neighbours_elsewhere": func(n, c ast.Node) (operand, *fault) { return s.countNeighbours(n, name, c) },
	}[name]
	if bind == nil {
		return operand{}, faultAt(n, "the function %s isn't supported in a rule; there are min, max, abs, has, every_phase, any_phase, unknown, surely, optional, "+
			"supply_below, neighbours, neighbours_elsewhere, unbalance, spread, min_over, max_over, mean_over, delta, rate and count_over", name)
	}
	if len(arguments) != 1 {
		return operand{}, faultAt(n, "%s has %d arguments, expected one", name, len(arguments))
	}
	return bind(n, arguments[0])
}

// judge binds a condition that is true or false, by whether c is what is asked for.
func (s *scope) judge(c ast.Node, asked truth) (operand, *fault) {
	of, err := s.condition(c)
	if err != nil {
		return operand{}, err
	}
	return operand{condition: func(in *inputs) truth { return truthOf(of(in) == asked) }}, nil
}

// optional binds a condition about what the target may not have: false without it.
func (s *scope) optional(_, c ast.Node) (operand, *fault) {
	before := *s
	of, err := s.condition(c)
	if err != nil && err.missing {
		*s = before
		s.left = true
		return operand{condition: func(*inputs) truth { return no }}, nil
	}
	return operand{condition: of}, err
}

func (s *scope) extreme(n ast.Node, name string, arguments []ast.Node) (operand, *fault) {
	if len(arguments) == 0 || name == "abs" && len(arguments) != 1 {
		return operand{}, faultAt(n, "%s has %d arguments, expected %s", name, len(arguments), map[bool]string{true: "one", false: "at least one"}[name == "abs"])
	}
	all, err := s.number(arguments[0])
	if err != nil {
		return operand{}, err
	}
	if name == "abs" {
		x := all.number
		return folded(func(in *inputs) float64 { return math.Abs(x(in)) }, all.unit, all.constant), nil
	}
	for _, argument := range arguments[1:] {
		next, err := s.number(argument)
		if err != nil {
			return operand{}, err
		}
		unit, err := common(n, all, next)
		if err != nil {
			return operand{}, err
		}
		a, b := all.number, next.number
		f := func(in *inputs) float64 { return min(a(in), b(in)) }
		if name == "max" {
			f = func(in *inputs) float64 { return max(a(in), b(in)) }
		}
		all = folded(f, unit, all.constant && next.constant)
	}
	return all, nil
}

// name binds a name to a parameter, a fact about the target or a signal.
func (s *scope) name(n ast.Node, name string) (operand, *fault) {
	if q, ok := s.parameters[name]; ok {
		s.used[name] = true
		return constant(q.Value, q.Unit), nil
	}
	switch name {
	case "nominal_voltage":
		return s.fact(n, name, s.assets[s.target.asset].NominalVoltage, "V")
	case "rated_current":
		return s.fact(n, name, s.assets[s.target.asset].RatedCurrent, "A")
	case "self_powered", "polled":
		d := s.devices[s.target.device]
		if d.ID == "" {
			return operand{}, faultAt(n, `%s is about a device; select it with on: {device: …}, or every one with device: "*"`, name)
		}
		v := truthOf(name == "polled" && d.PollEvery > 0 || name == "self_powered" && d.PoweredBy == PoweredByMeasured)
		return operand{condition: func(*inputs) truth { return v }}, nil
	case "mains_lost":
		return s.mainsLost(), nil
	case "devices", "answering":
		if s.buses[s.target.device] != nil {
			return s.onBus(name), nil
		}
	}

	signals := s.signals(s.target)
	found := signals[name]
	if len(found) == 0 && s.phase != "" {
		found = signals[name+"."+s.phase]
	}
	switch len(found) {
	case 0:
		return operand{}, s.noSignal(n, name)
	case 1:
		return s.signal(found[0]), nil
	}
	devices := make([]string, len(found))
	for i, signal := range found {
		devices[i] = signal.Device
	}
	return operand{}, faultAt(n, `%s of %s is measured by %s; select one with on: {device: %s}, or each on its own with device: "*"`,
		name, s.target, strings.Join(devices, " and "), devices[0])
}

func (s *scope) fact(n ast.Node, name string, v float64, unit string) (operand, *fault) {
	if v == 0 {
		f := faultAt(n, "asset %s has no %s", s.target.asset, name)
		f.missing = true
		return operand{}, f
	}
	return constant(v, unit), nil
}

func (s *scope) signal(signal telemetry.Signal) operand {
	slot := s.slot(signal)
	s.read(slot)
	o := operand{number: func(in *inputs) float64 { return in.number(slot) }, unit: signal.Unit, signal: &signal}
	if signal.Kind == telemetry.State {
		o.condition = compare("!=", o.number, constant(0, "").number)
	}
	return o
}

func (s *scope) read(slot int32) {
	if !slices.Contains(s.slots, slot) {
		s.slots = append(s.slots, slot)
	}
}

func (s *scope) noSignal(n ast.Node, name string) *fault {
	signals := s.signals(s.target)
	if phases := phasesOf(signals, name); len(phases) > 0 {
		if s.phase != "" {
			return faultAt(n, "%s of %s isn't measured on %s", name, s.target, s.phase)
		}
		return faultAt(n, "%s is measured per phase: write %s.%s, or every_phase(…) or any_phase(…) around the condition", name, name, phases[0])
	}
	f := faultAt(n, "%s has no signal %s", s.target, name)
	f.missing = true
	known := make([]string, 0, len(signals))
	for signal := range signals {
		known = append(known, signal)
	}
	for parameter := range s.parameters {
		known = append(known, parameter)
	}
	slices.Sort(known)
	if nearest := configfile.Nearest(name, known); nearest != "" {
		f.near = true
		f.message += ", did you mean " + nearest + "?"
	} else if len(known) > 0 {
		f.message += ", expected one of " + strings.Join(known[:min(len(known), 12)], ", ")
	}
	return f
}
