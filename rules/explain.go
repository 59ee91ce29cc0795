package rules

import (
	"iter"
	"slices"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/expr-lang/expr/ast"
)

// Question is which alarms are asked about; what is empty is any.
type Question struct {
	Rule  string `json:"rule"`
	Asset string `json:"asset"`
	// Device is what an alarm is about, or of which its rule reads a signal.
	Device string `json:"device"`
}

// Explanation is why an alarm is active or isn't, at one moment.
type Explanation struct {
	Rule     string             `json:"rule"`
	Asset    string             `json:"asset"`
	Device   string             `json:"device,omitempty"` // of a rule that is about devices or buses
	Priority telemetry.Priority `json:"priority"`
	At       telemetry.Micros   `json:"at_us"` // when this was so

	State AlarmState `json:"state"`
	ID    string     `json:"id,omitempty"` // of the active alarm
	// Since is when the active alarm was raised, or when the condition began that waits.
	Since telemetry.Micros `json:"since_us,omitempty"`
	// Counted is how much of the time counts since the condition began to hold that
	// raises the alarm, or clears it if it is active, and Needed how much is needed.
	Counted telemetry.Micros `json:"counted_us,omitempty"`
	Needed  telemetry.Micros `json:"needed_us,omitempty"`
	// Clearing says that the active alarm's condition to clear holds.
	Clearing       bool   `json:"clearing,omitempty"`
	Interrupted    bool   `json:"interrupted,omitempty"` // the condition that waits is unknown, and its time stands still
	Latched        bool   `json:"latched,omitempty"`     // only somebody who resets it ends it
	AcknowledgedBy string `json:"acknowledged_by,omitempty"`
	// SuppressedBy are the alarms that keep this one from being raised, now.
	SuppressedBy []string `json:"suppressed_by,omitempty"`

	When           *Part          `json:"when"`
	ClearWhen      *Part          `json:"clear_when,omitempty"` // nil: when the other is false
	SuppressedWhen *Part          `json:"suppressed_when,omitempty"`
	Signals        []SignalReport `json:"signals"`
}

// AlarmState is what becomes of a rule at one asset or device.
type AlarmState string

const (
	Idle       AlarmState = "idle"
	Waiting    AlarmState = "waiting"    // the condition holds, but not for long enough
	Suppressed AlarmState = "suppressed" // it has held for long enough
	Raised     AlarmState = "active"
)

// Part is an expression within a condition.
type Part struct {
	Text string `json:"text"`
	// Value is true, false or unknown, a number with its unit, or the name of a state.
	Value string  `json:"value"`
	Parts []*Part `json:"parts,omitempty"` // without numbers as they are written
}

// SignalReport is the last sample of a signal that a rule reads.
type SignalReport struct {
	Device  string           `json:"device"`
	Name    string           `json:"name"`
	Value   string           `json:"value"` // with its unit; "–" for none
	Quality string           `json:"quality,omitempty"`
	Time    telemetry.Micros `json:"time_us,omitempty"` // 0: it was never read
	// Ignored is why it doesn't count; "" if it does.
	Ignored string `json:"ignored,omitempty"`
}

// Inquiry is a question about rules, prepared for an Engine that was compiled from them.
type Inquiry struct {
	network *network
	rules   []inquired
}

// inquired is one rule on one target.
type inquired struct {
	prepared
	target                  target
	when, clear, suppressed *bound // nil: the rule doesn't say
	slots                   []int32
}

// bound is an expression and those within it, in a network whose slots are empty.
type bound struct {
	text   string
	value  operand
	counts []*edges // in the value, which begin with this one of the instance's
	first  int
	absent bool // what optional is about
	parts  []*bound
}

// Chunks are inquiries about so many of the rules each.
func (i *Inquiry) Chunks(size int) iter.Seq[*Inquiry] {
	return func(yield func(*Inquiry) bool) {
		for part := range slices.Chunk(i.rules, size) {
			if !yield(&Inquiry{i.network, part}) {
				return
			}
		}
	}
}

// NewInquiry binds the rules that a question is about, and each part of their
// conditions: several times what compiling them takes. Entries and m are what an Engine
// was compiled from.
func NewInquiry(entries []Rule, m Model, q Question) *Inquiry {
	c := &compiler{network: newNetwork(m), claimed: map[claim]int{}}
	inquiry := &Inquiry{network: c.network}
	for _, entry := range entries {
		rules, parameters, _, err := entry.expand()
		if err != nil {
			continue
		}
		for _, r := range rules {
			if q.Rule != "" && q.Rule != r.Name {
				continue
			}
			p, ok := c.prepare(r)
			targets, _, fault := c.targets(r.On)
			if !ok || fault != nil {
				continue
			}
			for _, t := range targets {
				if q.Asset != "" && q.Asset != t.asset {
					continue
				}
				s := scope{network: c.network, target: t, parameters: parameters, used: map[string]bool{}}
				if i, fits := s.inquire(p); fits && i.about(q.Device, c.network) {
					inquiry.rules = append(inquiry.rules, i)
				}
			}
		}
	}
	return inquiry
}

func (i inquired) about(device string, w *network) bool {
	return device == "" || device == i.target.device ||
		slices.ContainsFunc(i.slots, func(slot int32) bool { return w.inputs.signals[slot].Device == device })
}

// inquire binds a rule with the scope of one target, if it has what the rule names.
func (s *scope) inquire(p prepared) (i inquired, fits bool) {
	i = inquired{prepared: p, target: s.target}
	for _, condition := range []struct {
		expression ast.Node
		to         **bound
	}{{p.when, &i.when}, {p.clear, &i.clear}, {p.suppressed, &i.suppressed}} {
		if condition.expression == nil {
			continue
		}
		counted := len(s.counts)
		if _, err := s.condition(condition.expression); err != nil {
			return i, false
		}
		*condition.to = s.parts(condition.expression, counted)
	}
	i.slots = s.slots
	return i, true
}

// parts binds an expression and those within it. Counted is how many times count_over
// stands before it.
func (s *scope) parts(n ast.Node, counted int) *bound {
	own := *s
	own.counts = nil
	value, err := own.bind(n)
	if err != nil { // the whole could be bound, so it is optional
		return &bound{text: n.String(), absent: true}
	}
	b := &bound{text: n.String(), value: value, counts: own.counts, first: counted}
	for _, within := range s.within(n) {
		part := within.scope.parts(within.node, counted)
		counted += len(part.counts)
		if part.text = within.label + part.text; !within.literal() {
			b.parts = append(b.parts, part)
		}
	}
	return b
}

// expression is one within another.
type expression struct {
	scope scope
	node  ast.Node
	label string
}

func (e expression) literal() bool {
	switch n := e.node.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode:
		return true
	case *ast.UnaryNode:
		return n.Operator == "-" && expression{node: n.Node}.literal()
	}
	return false
}

// within are the expressions right within n that have a value of their own.
func (s *scope) within(n ast.Node) (list []expression) {
	if _, ok := dotted(n); ok {
		return nil
	}
	name, nodes, _ := call(n)
	switch name {
	case "":
		switch n := n.(type) {
		case *ast.UnaryNode:
			nodes = []ast.Node{n.Node}
		case *ast.BinaryNode:
			nodes = []ast.Node{n.Left, n.Right}
		}
	case "unbalance", "spread": // of a quantity, which is no signal
		return nil
	case "every_phase", "any_phase":
		var phases []string
		s.collectPhases(nodes[0], s.signals(s.target), &phases)
		for _, phase := range phases {
			of := *s
			of.phase = phase
			list = append(list, expression{of, nodes[0], phase + ": "})
		}
		return list
	}
	for _, node := range nodes {
		list = append(list, expression{scope: *s, node: node})
	}
	return list
}

// Explain answers the inquiry with the Engine's values, and with what it has waited
// for, as they are now. Rules that the Engine doesn't have are left out.
func (e *Engine) Explain(q *Inquiry, now time.Time) []Explanation {
	at := e.clock(now)
	in := inputs{slots: make([]slot, len(q.network.inputs.slots)), signals: q.network.inputs.signals, at: at}
	for n, signal := range in.signals {
		in.slots[n].time = never
		if from, known := e.slotOf[signal.ID]; known {
			in.slots[n] = e.in.slots[from]
		} else if last := e.idle.of(signal.ID); last != nil {
			in.slots[n].take(*last)
		}
	}
	list := []Explanation{}
	for _, r := range q.rules {
		i := e.known[claim{r.Name, r.target}]
		if i == nil {
			continue
		}
		x := Explanation{
			Rule: i.rule, Asset: i.target.asset, Device: i.target.device, Priority: i.priority, At: at,
			When: r.when.explain(&in, i), ClearWhen: r.clear.explain(&in, i), SuppressedWhen: r.suppressed.explain(&in, i),
		}
		e.explainState(&x, i)
		for _, n := range r.slots {
			x.Signals = append(x.Signals, in.report(n))
		}
		list = append(list, x)
	}
	return list
}

func (e *Engine) explainState(x *Explanation, i *instance) {
	x.State = Idle
	switch {
	case i.firing:
		x.State, x.ID, x.Since, x.AcknowledgedBy = Raised, i.id, i.raised, i.noted
		x.Latched, x.Clearing = i.latch, i.hold.begun
	case i.held:
		x.State, x.Since = Suppressed, i.hold.since
	case i.hold.begun:
		x.State, x.Since = Waiting, i.hold.since
	}
	if i.hold.begun {
		_, x.Needed = i.condition()
		x.Counted, x.Interrupted = i.hold.held, i.hold.gap
		if !i.hold.gap {
			x.Counted = min(x.Needed, i.hold.held+max(0, x.At-i.hold.last))
		}
	}
	for _, n := range i.suppressors {
		if by := &e.instances[n]; by.suppressing() && !i.firing {
			x.SuppressedBy = append(x.SuppressedBy, by.rule+" at "+by.target.String())
		}
	}
}

// explain is the present value of an expression of an instance, and of those within it.
func (b *bound) explain(in *inputs, i *instance) *Part {
	if b == nil {
		return nil
	}
	for n, c := range b.counts {
		if at := b.first + n; at < len(i.counts) {
			c.was, c.times = i.counts[at].was, i.counts[at].times
		}
	}
	p := &Part{Text: b.text, Value: b.show(in)}
	for _, part := range b.parts {
		p.Parts = append(p.Parts, part.explain(in, i))
	}
	return p
}

func (b *bound) show(in *inputs) string {
	switch o := b.value; {
	case b.absent:
		return "not there"
	case o.number == nil:
		return map[truth]string{yes: "true", no: "false", unknown: "unknown"}[o.condition(in)]
	case o.signal != nil:
		return show(*o.signal, o.number(in), "unknown")
	default:
		return show(telemetry.Signal{Unit: o.unit}, o.number(in), "unknown")
	}
}

// show is a number with its unit, or in the words of its signal; NaN is none.
func show(s telemetry.Signal, v float64, none string) string {
	if v != v {
		return none
	}
	text := reading(v).String()
	if i, ok := whole(v); ok {
		if words := s.InWords(telemetry.IntValue(i)); words != "" {
			return words + " (" + text + ")"
		}
	}
	if s.Unit == "" || s.Unit == "1" {
		return text
	}
	return text + " " + s.Unit
}

// report is the last sample of a slot, and whether it counts.
func (in *inputs) report(n int32) SignalReport {
	s, signal := &in.slots[n], in.signals[n]
	r := SignalReport{Device: signal.Device, Name: signal.Name, Value: "–"}
	if s.time == never {
		r.Ignored = "it was never read"
		return r
	}
	r.Time, r.Quality = s.time, s.quality.String()
	if s.known {
		r.Value = show(signal, s.number, r.Value)
	}
	switch {
	case s.quality.Validity() == telemetry.Bad:
		r.Ignored = "its quality is bad"
	case s.quality.Has(telemetry.Stale):
		r.Ignored = "the device calls it stale"
	case s.quality.Has(telemetry.Test):
		r.Ignored = "it is of a test"
	case !s.known:
		r.Ignored = "it is no number"
	case !s.usable(in.at):
		r.Ignored = "it is older than three poll periods, " + (stalePeriods * s.poll).Sub(0).String()
	}
	return r
}
