package rules

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/expr-lang/expr/ast"
)

// naive evaluates rules as their documentation says, from all samples of a signal,
// all at every step, without an index, a ring or a running sum.
type naive struct {
	model Model
	rules []*naiveRule
	said  map[string][]telemetry.Sample // by device and name
	polls map[string]telemetry.Micros
}

type naiveRule struct {
	Rule
	device      string
	when, clear ast.Node
	seen        []naiveSeen // while it is as it is: what the condition was at each step
	firing      bool
	counted     map[string][]telemetry.Micros // when a condition became true, by its text
	was         map[string]truth
}

type naiveSeen struct {
	at telemetry.Micros
	v  truth
}

func newNaive(m Model, entries []Rule) *naive {
	n := &naive{model: m, said: map[string][]telemetry.Sample{}, polls: map[string]telemetry.Micros{}}
	for _, d := range m.Devices {
		n.polls[d.ID] = telemetry.Micros(d.PollEvery.Microseconds())
		for _, r := range entries {
			x := &naiveRule{Rule: r, device: d.ID, counted: map[string][]telemetry.Micros{}, was: map[string]truth{}}
			x.when, _ = parseExpression(r.When)
			if r.ClearWhen != "" {
				x.clear, _ = parseExpression(r.ClearWhen)
			}
			n.rules = append(n.rules, x)
		}
	}
	return n
}

// step takes an exchange with one device, and says what is raised and cleared.
func (n *naive) step(device string, at telemetry.Micros, samples []telemetry.Sample) (events []string) {
	for _, r := range n.rules {
		if r.device == device && len(r.seen) > 0 {
			// A time that was over less than half a period after the values were read was
			// over then, whatever they are now.
			last := r.seen[len(r.seen)-1]
			since, held := r.held(3 * n.polls[device])
			complete := last.at + r.delay() - held
			if last.v == yes && complete <= at && 2*(complete-last.at) < n.polls[device] && n.waits(r, complete) == yes {
				events = append(events, r.turn(since))
			}
		}
	}
	for _, s := range samples {
		signal := n.model.Signals[s.Signal-1]
		key := signal.Device + "/" + signal.Name
		n.said[key] = append(n.said[key], s)
		for len(n.said[key]) > 2 && n.said[key][1].Time < at-20_000_000 { // longer ago than any window
			n.said[key] = n.said[key][1:]
		}
	}
	for _, r := range n.rules {
		if r.device != device {
			continue
		}
		for _, node := range countsIn(r.when) {
			n.observe(r, node, at)
		}
		v := n.waits(r, at)
		if k := len(r.seen); v == unknown && (k == 0 || r.seen[k-1].v == unknown) {
			continue
		}
		r.seen = append(r.seen, naiveSeen{at, v})
		if since, held := r.held(3 * n.polls[device]); v == yes && held >= r.delay() {
			events = append(events, r.turn(since))
		}
	}
	return events
}

// waits is whether what the rule waits for is true.
func (n *naive) waits(r *naiveRule, at telemetry.Micros) truth {
	switch {
	case !r.firing:
		return n.truth(r, r.when, at)
	case r.clear != nil:
		return n.truth(r, r.clear, at)
	}
	return -n.truth(r, r.when, at)
}

func (r *naiveRule) delay() telemetry.Micros {
	if r.firing {
		return micros(r.KeepFiringFor)
	}
	return micros(r.For)
}

// turn raises the alarm, or clears it.
func (r *naiveRule) turn(since telemetry.Micros) string {
	r.firing, r.seen = !r.firing, nil
	if r.firing {
		return fmt.Sprint(r.Name, "/", r.device, " raised ", since)
	}
	return fmt.Sprint(r.Name, "/", r.device, " cleared ", since)
}

// held is since when and for how long the condition has been true, without the times
// in which nobody knew.
func (r *naiveRule) held(patience telemetry.Micros) (since, held telemetry.Micros) {
	last, gap := never, false
	for _, s := range r.seen {
		switch {
		case s.v == no:
			last = never
		case s.v == unknown:
			gap = true
			continue
		case last == never || s.at-last > patience: // without a word for that long, nobody knew
			since, held, last = s.at, 0, s.at
		default:
			if !gap {
				held += s.at - last
			}
			last = s.at
		}
		gap = false
	}
	if n := len(r.seen); r.seen[n-1].v == no {
		r.seen = nil
	}
	return since, held
}

func (n *naive) latest(r *naiveRule, name string, at telemetry.Micros) float64 {
	said := n.said[r.device+"/"+name]
	if len(said) == 0 {
		return math.NaN()
	}
	s := said[len(said)-1]
	if v, ok := s.Value.Float(); ok && s.Quality.Validity() != telemetry.Bad && at-s.Time <= 3*n.polls[r.device] {
		return v
	}
	return math.NaN()
}

// window is what a signal was at each microsecond of a time, told by the samples
// that held in it: value and for how long. Nil if at some of it nobody knows.
func (n *naive) window(r *naiveRule, name string, d, at telemetry.Micros) (values []float64, lasted []telemetry.Micros) {
	var sound []telemetry.Sample
	for _, s := range n.said[r.device+"/"+name] {
		if _, ok := s.Value.Float(); ok && s.Quality.Validity() != telemetry.Bad {
			sound = append(sound, s)
		}
	}
	covered := false
	for i, s := range sound {
		end := at
		if i+1 < len(sound) {
			end = sound[i+1].Time
		}
		if end <= at-d && i+1 < len(sound) {
			continue
		}
		if end-s.Time > 3*n.polls[r.device] {
			return nil, nil
		}
		covered = covered || s.Time <= at-d
		v, _ := s.Value.Float()
		values, lasted = append(values, v), append(lasted, end-max(s.Time, at-d))
	}
	if !covered {
		return nil, nil
	}
	return values, lasted
}

func (n *naive) number(r *naiveRule, node ast.Node, at telemetry.Micros) float64 {
	if name, ok := dotted(node); ok {
		return n.latest(r, name, at)
	}
	if name, arguments, ok := call(node); ok {
		d, _ := time.ParseDuration(arguments[1].(*ast.StringNode).Value)
		span := telemetry.Micros(d.Microseconds())
		if name == "count_over" {
			count := 0
			for _, t := range r.counted[node.String()] {
				if t > at-span {
					count++
				}
			}
			return float64(count)
		}
		signal, _ := dotted(arguments[0])
		values, lasted := n.window(r, signal, span, at)
		if len(values) == 0 {
			return math.NaN()
		}
		switch name {
		case "min_over":
			out := math.Inf(1)
			for _, v := range values {
				out = min(out, v)
			}
			return out
		case "max_over":
			out := math.Inf(-1)
			for _, v := range values {
				out = max(out, v)
			}
			return out
		case "mean_over":
			sum := 0.0
			for i := len(values) - 1; i >= 0; i-- {
				sum += values[i] * float64(lasted[i])
			}
			return sum / float64(span)
		case "delta":
			return values[len(values)-1] - values[0]
		}
		return (values[len(values)-1] - values[0]) / d.Seconds()
	}
	switch node := node.(type) {
	case *ast.IntegerNode:
		return float64(node.Value)
	case *ast.FloatNode:
		return node.Value
	case *ast.BinaryNode:
		return n.number(r, node.Left, at) - n.number(r, node.Right, at)
	}
	panic(node.String())
}

func (n *naive) truth(r *naiveRule, node ast.Node, at telemetry.Micros) truth {
	switch node := node.(type) {
	case *ast.UnaryNode:
		return -n.truth(r, node.Node, at)
	case *ast.BinaryNode:
		switch node.Operator {
		case "and":
			return min(n.truth(r, node.Left, at), n.truth(r, node.Right, at))
		case "or":
			return max(n.truth(r, node.Left, at), n.truth(r, node.Right, at))
		}
		a, b := n.number(r, node.Left, at), n.number(r, node.Right, at)
		switch {
		case math.IsNaN(a) || math.IsNaN(b):
			return unknown
		case node.Operator == ">":
			return truthOf(a > b)
		case node.Operator == ">=":
			return truthOf(a >= b)
		}
		return truthOf(a < b)
	}
	panic(node.String())
}

func (n *naive) observe(r *naiveRule, node ast.Node, at telemetry.Micros) {
	_, arguments, _ := call(node)
	v, key := n.truth(r, arguments[0], at), node.String()
	if v == yes && r.was[key] == no {
		r.counted[key] = append(r.counted[key], at)
		for r.counted[key][0] < at-20_000_000 {
			r.counted[key] = r.counted[key][1:]
		}
	}
	if v != unknown {
		r.was[key] = v
	}
}

func countsIn(node ast.Node) (found []ast.Node) {
	switch node := node.(type) {
	case *ast.BinaryNode:
		return append(countsIn(node.Left), countsIn(node.Right)...)
	case *ast.UnaryNode:
		return countsIn(node.Node)
	}
	if name, _, ok := call(node); ok && name == "count_over" {
		return []ast.Node{node}
	}
	return nil
}

// The Engine raises and clears what the naive evaluation does, step by step.
func TestAsANaiveEvaluator(t *testing.T) {
	t.Parallel()
	entries := []Rule{
		{Name: "at-once", When: "PhV.phsA > 1"},
		{Name: "hysteresis", When: "PhV.phsA < 1 and PhV.phsB < 1", ClearWhen: "PhV.phsA > 1 or PhV.phsB > 1", For: lasting(time.Second), KeepFiringFor: lasting(2 * time.Second)},
		{Name: "least", When: `min_over(PhV.phsA, "5s") > 0`, For: lasting(time.Second)},
		{Name: "most", When: `max_over(PhV.phsA, "7s") < 3`, ClearWhen: `max_over(PhV.phsB, "2s") >= 2`},
		{Name: "mean", When: `mean_over(PhV.phsB, "4s") > 1.5`, KeepFiringFor: lasting(time.Second)},
		{Name: "rises", When: `delta(PhV.phsA, "3s") > 1 or rate(PhV.phsB, "2s") > 0.9`},
		{Name: "often", When: `count_over(PhV.phsA > 1, "10s") >= 3 and not (PhV.phsB < 1)`, ClearWhen: `PhV.phsB < 1`},
		{Name: "apart", When: `PhV.phsA - PhV.phsB > 1`, For: lasting(2500 * time.Millisecond)},
	}
	for i := range entries {
		entries[i].On = Target{Device: "*"}
	}
	m := Model{Gateway: "gw"}
	for _, id := range []string{"a", "b"} {
		meter(&m, Device{ID: id, Asset: id, PollEvery: time.Second}, "PhV.phsA", "PhV.phsB")
	}
	e, problems := Compile(entries, m)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	n := newNaive(m, entries)
	r := rand.New(rand.NewPCG(6, 10))
	now, fired := epoch, 0
	value := func(before float64) float64 {
		if r.IntN(3) > 0 {
			return before
		}
		return float64(r.IntN(4))
	}
	last := map[telemetry.SignalID]float64{}
	for step := range naiveSteps {
		now += telemetry.Micros([]int{400_000, 500_000, 500_000, 600_000, 1_700_000, 5_000_000}[min(r.IntN(40), 5)%6])
		d := m.Devices[step%2].ID
		var samples []telemetry.Sample
		failed := r.IntN(12) == 0
		for _, s := range m.Signals {
			if s.Device != d || s.Name == telemetry.ChannelLive {
				continue
			}
			sample := telemetry.Sample{Signal: s.ID, Time: now}
			if failed || r.IntN(30) == 0 {
				sample.Quality = telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)
			} else {
				last[s.ID] = value(last[s.ID])
				sample.Value = telemetry.FloatValue(last[s.ID])
			}
			samples = append(samples, sample)
		}
		var got []string
		e.Update(now.Time(), samples, func(e telemetry.Event) {
			got = append(got, fmt.Sprint(e.Alarm.Rule, "/", e.Alarm.Device, " ", strings.TrimPrefix(string(e.Kind), "alarm-"), " ", e.Time))
		})
		want := n.step(d, now, samples)
		slices.Sort(got)
		slices.Sort(want)
		fired += len(want)
		if !slices.Equal(got, want) {
			t.Fatalf("step %d: %v, expected %v", step, got, want)
		}
	}
	t.Logf("%d steps, %d transitions", naiveSteps, fired)
	if fired < naiveSteps/20 {
		t.Errorf("%d transitions in %d steps", fired, naiveSteps)
	}
}
