package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/expr-lang/expr/ast"
)

// Problem is what is wrong with one entry of rules.
type Problem struct {
	Rule  int    // index of the entry
	Field string // path of the key within the entry: when, on.asset, with.limit; "" for the whole
	// Column is where in the field's text it is, in characters from 1; 0 for the
	// whole field.
	Column int
	Err    error
}

func (p Problem) Error() string {
	at := configfile.Item("rules", p.Rule)
	if p.Field != "" {
		at += "." + p.Field
	}
	if p.Column > 0 {
		return fmt.Sprintf("%s: character %d: %v", at, p.Column, p.Err)
	}
	return fmt.Sprintf("%s: %v", at, p.Err)
}

func (p Problem) Unwrap() error { return p.Err }

// Compile makes an Engine that evaluates the rules. With any problem the Engine
// is nil.
func Compile(entries []Rule, m Model) (*Engine, []Problem) {
	c := &compiler{network: newNetwork(m), claimed: map[claim]int{}}
	for i, r := range entries {
		c.entry, c.library = i, r.Use != ""
		c.compile(r)
	}
	c.link()
	c.makeRoom()
	c.keepByChange()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return newEngine(m.Gateway, c.network, c.instances), nil
}

type compiler struct {
	*network
	entry     int
	library   bool // the entry uses the library's rules
	problems  []Problem
	instances []instance
	origins   []origin // of the instances
	claimed   map[claim]int
}

// claim is what makes an alarm's state its own.
type claim struct {
	rule string
	target
}

// problem adds one. What is wrong within the library's texts is about use.
func (c *compiler) problem(field string, column int, err error) {
	if c.library && slices.Contains([]string{"name", "when", "clear_when", "summary", "group", "method"}, field) {
		field, column = "use", 0
	}
	c.problems = append(c.problems, Problem{c.entry, field, column, err})
}

func (c *compiler) compile(r Rule) {
	before := len(c.problems)
	rules, parameters, field, err := r.expand()
	if err != nil {
		c.problems = append(c.problems, Problem{Rule: c.entry, Field: field, Err: err})
		return
	}
	used := map[string]bool{}
	fits := map[target]bool{}
	var misfits []misfit
	selects := r.On != Target{} // what the library's rules select is what fits
	overridden := r.SuppressedBy != nil
	for _, r := range rules {
		p, ok := c.prepare(r)
		if !ok {
			continue
		}
		p.text = versionOf(p.When, "\n", p.ClearWhen, "\n", micros(p.For), micros(p.KeepFiringFor), parameters)
		p.overridden = overridden
		p.version = versionOf(p.text, p.SuppressedBy, p.SuppressedWhen, p.Latch, p.Priority)
		targets, field, err := c.targets(r.On)
		if err != nil {
			c.problem(field, 0, err)
			continue
		}
		for _, t := range targets {
			field, err := c.bindTo(p, t, parameters, used)
			if err == nil {
				fits[t] = true
			} else if err.missing && c.open(t) {
				continue
			} else if err.missing {
				misfits = append(misfits, misfit{t, field, err, selects})
			} else {
				c.problem(field, err.column, err)
				if c.library {
					return // the next rule would say the same
				}
				break // and so would the next target
			}
		}
	}
	if len(c.problems) > before {
		return
	}
	if m, bad := refused(fits, misfits); bad {
		c.problem(m.field, m.fault.column, m.fault)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(r.With)) {
		if !used[name] {
			c.problems = append(c.problems, Problem{Rule: c.entry, Field: configfile.Join("with", name), Err: errors.New("the rule doesn't use it")})
		}
	}
}

// misfit is a target without what a rule names.
type misfit struct {
	target
	field    string
	fault    *fault
	selected bool // by the on of the entry
}

// refused is the misfit to report: a selected target that no rule of the entry
// fits, or where nothing fits, the one with the best hint.
func refused(fits map[target]bool, misfits []misfit) (misfit, bool) {
	for _, m := range misfits {
		if m.selected && !fits[m.target] {
			return m, true
		}
	}
	if len(fits) > 0 || len(misfits) == 0 {
		return misfit{}, false
	}
	best := misfits[max(0, slices.IndexFunc(misfits, func(m misfit) bool { return m.fault.near }))]
	f := *best.fault
	f.message = "it applies to no asset: " + f.message
	best.fault = &f
	return best, true
}

// prepared is a rule whose texts have been parsed.
type prepared struct {
	Rule
	when, clear ast.Node // clear is nil for the default
	suppressed  ast.Node // nil: never
	summary     *summary
	text        string // see instance
	version     string // names everything that decides when it is raised and cleared
	overridden  bool   // suppressed_by is the entry's own, and not the library's
}

// versionOf is a short name for what these parts say.
func versionOf(parts ...any) string {
	h := sha256.Sum256(fmt.Append(nil, parts...))
	return hex.EncodeToString(h[:4])
}

var methods = []string{"sampled", "device-event", "half-cycle"}

var ruleName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func (c *compiler) prepare(r Rule) (p prepared, ok bool) {
	before := len(c.problems)
	if !ruleName.MatchString(r.Name) {
		c.problem("name", 0, fmt.Errorf("%q is no name, expected up to 63 lower-case letters, digits and hyphens", r.Name))
	}
	switch r.Priority {
	case "":
		r.Priority = telemetry.Medium
	case telemetry.Low, telemetry.Medium, telemetry.High, telemetry.Critical:
	default:
		c.problem("priority", 0, fmt.Errorf("%q is no priority, expected low, medium, high or critical", r.Priority))
	}
	if r.Summary == "" {
		r.Summary = "{{ .rule }} at {{ .asset }}"
	}
	p.Rule = r
	var fault *fault
	if p.when, fault = parseExpression(r.When); fault != nil {
		c.problem("when", fault.column, fault)
	}
	if r.ClearWhen != "" {
		if p.clear, fault = parseExpression(r.ClearWhen); fault != nil {
			c.problem("clear_when", fault.column, fault)
		}
	}
	if r.SuppressedWhen != "" {
		if p.suppressed, fault = parseExpression(r.SuppressedWhen); fault != nil {
			c.problem("suppressed_when", fault.column, fault)
		}
	}
	if r.Group != "" && !ruleName.MatchString(r.Group) {
		c.problem("group", 0, fmt.Errorf("%q is no name, expected up to 63 lower-case letters, digits and hyphens", r.Group))
	}
	if r.Method != "" && !slices.Contains(methods, r.Method) {
		c.problem("method", 0, fmt.Errorf("%q is no method, expected %s", r.Method, strings.Join(methods, ", ")))
	}
	if r.Capture != nil {
		for key, d := range map[string]configfile.Duration{"before": r.Capture.Before, "after": r.Capture.After} {
			if d < 0 || time.Duration(d) > longestCapture {
				c.problem("capture."+key, 0, fmt.Errorf("%s is no time for it, expected 0s to %s", time.Duration(d), longestCapture))
			}
		}
	}
	var err error
	if p.summary, err = parseSummary(r.Summary); err != nil {
		c.problem("summary", 0, err)
	}
	return p, len(c.problems) == before
}

// bindTo adds the instance of the rule for one target.
func (c *compiler) bindTo(p prepared, t target, parameters map[string]configfile.Quantity, used map[string]bool) (field string, err *fault) {
	s := &scope{network: c.network, target: t, parameters: parameters, used: used}
	i := instance{
		rule: p.Name, target: t, text: p.text, version: p.version, priority: p.Priority,
		delay: micros(p.For), keep: micros(p.KeepFiringFor), latch: p.Latch, group: p.Group, method: p.Method,
	}
	if i.when, err = s.condition(p.when); err != nil {
		return "when", err
	}
	i.clear = opposite(i.when)
	if p.clear != nil {
		if i.clear, err = s.condition(p.clear); err != nil {
			return "clear_when", err
		}
	}
	if len(s.slots) == 0 {
		return "when", &fault{message: "the condition names no signal", missing: s.left}
	}
	if p.suppressed != nil {
		if i.suppressed, err = s.condition(p.suppressed); err != nil {
			// To leave the alarm out for it would suppress it for good.
			if err.missing && !s.open(t) {
				err.missing = false
				err.message += "; where only some have it, write optional(…) around the condition"
			}
			return "suppressed_when", err
		}
	}
	i.slots, i.counts, i.ages = s.slots, s.counts, s.ages
	if p.Capture != nil && *p.Capture != (Capture{}) {
		i.capture = &around{micros(&p.Capture.Before), micros(&p.Capture.After)}
	}
	if i.summary, err = s.bindSummary(p.summary, p.Name); err != nil {
		return "summary", err
	}
	if first, twice := c.claimed[claim{p.Name, t}]; twice {
		return "name", &fault{message: fmt.Sprintf("rule %s applies to %s already, by rules[%d]", p.Name, t, first)}
	}
	c.claimed[claim{p.Name, t}] = c.entry
	c.instances = append(c.instances, i)
	c.origins = append(c.origins, origin{c.entry, p.SuppressedBy, c.library && !p.overridden})
	return "", nil
}

func micros(d *configfile.Duration) telemetry.Micros {
	if d == nil {
		return 0
	}
	return telemetry.Micros(time.Duration(*d).Microseconds())
}
