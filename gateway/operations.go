package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/gateway/control"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// operation is what a rule writes to a device because its alarm was raised or cleared.
type operation struct {
	Rule   string  `json:"rule"`
	Alarm  string  `json:"alarm"`
	Raised bool    `json:"raised,omitempty"`
	Device string  `json:"device"`
	Signal string  `json:"signal"`
	Value  float64 `json:"value"`
	// Boot and SinceBoot are when that was decided, whatever clocks say.
	Boot      string           `json:"boot"`
	SinceBoot telemetry.Micros `json:"since_boot_us"`
	// Commanded says that a command of the cloud has ended the alarm.
	Commanded bool `json:"commanded,omitempty"`
}

// effect is a rules.Operation as it is kept beside its alarm.
type effect struct {
	Device  string   `json:"device"`
	Signal  string   `json:"signal"`
	OnRaise *float64 `json:"on_raise,omitempty"`
	OnClear *float64 `json:"on_clear,omitempty"`
}

func (e effect) at(device, signal string) bool { return e.Device == device && e.Signal == signal }

// operated is an alarm that is active, and what its rule operated when it was raised:
// another configuration may have no such rule when it clears.
type operated struct {
	Rule    string   `json:"rule"`
	Effects []effect `json:"effects,omitempty"`
}

// mostOperations bounds those that wait. Not half as many can begin in time.
const mostOperations = 256

// operations are what rules have to be operated, one after the other. What hasn't begun
// is committed with the alarm that it is because of, and what has, or was refused, with
// the event that says so: so each is begun once at most, whoever is killed.
type operations struct {
	clock *clock.Clock
	wake  chan struct{}

	mu      sync.Mutex
	rules   map[string][]effect // by the rule's name
	active  map[string]operated // by the alarm's id
	waiting []operation
	open    bool // the first of them is being seen to
}

func newOperations(c *clock.Clock) *operations {
	return &operations{clock: c, wake: make(chan struct{}, 1), active: map[string]operated{}}
}

// configure replaces what rules operate.
func (o *operations) configure(list []rules.Rule) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rules = map[string][]effect{}
	for _, r := range list {
		for _, op := range r.Operate {
			o.rules[r.Name] = append(o.rules[r.Name], effect(op))
		}
	}
}

// effects are what an alarm operates: what its rule says now, and of other signals what
// it said when the alarm was raised.
func (o *operations) effects(a operated) []effect {
	list := slices.Clone(o.rules[a.Rule])
	for _, e := range a.Effects {
		if !slices.ContainsFunc(list, func(now effect) bool { return now.at(e.Device, e.Signal) }) {
			list = append(list, e)
		}
	}
	return list
}

// value is what it writes at a transition; nil: nothing.
func (e effect) value(raised bool) *float64 {
	if raised {
		return e.OnRaise
	}
	return e.OnClear
}

// alarm is told of each alarm that is raised or cleared. It doesn't wait.
func (o *operations) alarm(e telemetry.Event, commanded bool, log *slog.Logger) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, raised := e.Alarm, e.Kind == telemetry.AlarmRaised
	list := o.rules[a.Rule]
	if raised {
		o.active[a.ID] = operated{a.Rule, list}
	} else {
		if was, known := o.active[a.ID]; known {
			list = o.effects(was)
		}
		delete(o.active, a.ID)
	}
	for _, op := range list {
		v := op.value(raised)
		switch {
		case v == nil:
		case len(o.waiting) >= mostOperations:
			log.Error("too many operations of rules wait; this one isn't made", "rule", a.Rule, "alarm", a.ID, "device", op.Device, "signal", op.Signal)
		default:
			o.waiting = append(o.waiting, operation{
				Rule: a.Rule, Alarm: a.ID, Raised: raised, Device: op.Device, Signal: op.Signal, Value: *v,
				Boot: o.clock.Boot().String(), SinceBoot: o.clock.SinceBoot(), Commanded: commanded,
			})
		}
	}
	o.notify()
}

func (o *operations) notify() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// pending are those that haven't begun.
func (o *operations) pending() []operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.waiting)
}

// operated are the alarms that are active and operated something, by id.
func (o *operations) operated() map[string]operated {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := map[string]operated{}
	for id, a := range o.active {
		if len(a.Effects) > 0 {
			list[id] = a
		}
	}
	return list
}

// begin is the first one, which is then seen to until settle.
func (o *operations) begin() (operation, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = len(o.waiting) > 0
	if !o.open {
		return operation{}, false
	}
	return o.waiting[0], true
}

// settle says that it has begun, or was refused.
func (o *operations) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open {
		o.waiting, o.open = o.waiting[1:], false
	}
}

// refusal is why an operation isn't even asked for.
func (o *operations) refusal(op operation) (cause control.Cause, detail string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	as := func(e effect) bool { return e.at(op.Device, op.Signal) && e.OnRaise != nil && *e.OnRaise == op.Value }
	switch {
	case op.Commanded:
		return control.Commanded, "the alarm was reset by a command of the cloud, which can't have anything written"
	case o.left(op) <= 0:
		return control.Late, fmt.Sprintf("it couldn't begin within %v of its alarm", gatewayconfig.OperateWithin)
	case op.Raised && !slices.ContainsFunc(o.rules[op.Rule], as):
		return control.Unlisted, "the rule doesn't operate it any more"
	case op.Raised:
		return "", ""
	}
	for alarm, a := range o.active {
		if slices.ContainsFunc(o.effects(a), func(e effect) bool { return e.at(op.Device, op.Signal) && e.OnRaise != nil }) {
			return control.StillActive, fmt.Sprintf("alarm %s of rule %s is active still, and operates it too", alarm, a.Rule)
		}
	}
	return "", ""
}

// left is how long it may be until the operation begins. After another boot nobody
// knows what has become of what it was for.
func (o *operations) left(op operation) time.Duration {
	if op.Boot != o.clock.Boot().String() {
		return 0
	}
	return gatewayconfig.OperateWithin - time.Duration(o.clock.SinceBoot()-op.SinceBoot)*time.Microsecond
}

// restoreOperations goes on with what an earlier process hadn't begun.
func (g *Gateway) restoreOperations(list []rules.Rule) {
	o := g.pipeline.operations
	o.configure(list)
	for _, a := range g.pipeline.engine.Active() {
		o.active[a.ID] = operated{Rule: a.Rule}
	}
	state := g.buffer.Events.State()
	if len(state) == 0 {
		return
	}
	var kept keptBeside
	if err := json.Unmarshal(state, &kept); err != nil {
		g.log.Error("what rules had to operate can't be restored; what hadn't begun isn't made up for", "error", err)
		return
	}
	o.waiting = kept.Operations
	for _, id := range g.pipeline.engine.ActiveIDs() {
		if was, known := kept.Operated[id]; known {
			o.active[id] = was
		}
	}
}

// runOperations operates what rules ask for until ctx ends. What hasn't begun then is
// left to the next process.
func (g *Gateway) runOperations(ctx context.Context) {
	o := g.pipeline.operations
	if !g.field.awaitRunning(ctx) {
		return
	}
	for {
		op, ok := o.begin()
		if !ok {
			select {
			case <-o.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if g.carryOut(ctx, op).Cause == control.Stopping || ctx.Err() != nil {
			return
		}
		g.pipeline.do(ctx, func() []telemetry.Sample { // of what nobody was told of, being too many
			o.settle()
			return nil
		})
	}
}

// carryOut has the authoriser operate, in both steps where the point needs them.
func (g *Gateway) carryOut(ctx context.Context, op operation) control.Answer {
	o := g.pipeline.operations
	request := control.Request{
		Device: op.Device, Signal: op.Signal, Origin: telemetry.ControlRule, By: fmt.Sprintf("rule %s, alarm %s", op.Rule, op.Alarm),
	}
	waiting, cancel := context.WithTimeout(ctx, o.left(op))
	g.control.Await(waiting, op.Device, op.Signal)
	cancel()
	point, listed := g.control.Point(op.Device, op.Signal)
	if listed {
		var err error
		if request.Value, err = point.Parse(strconv.FormatFloat(op.Value, 'f', -1, 64)); err != nil {
			return g.control.Refuse(telemetry.ControlOperate, request, control.OutOfRange, err.Error())
		}
	}
	if cause, detail := o.refusal(op); cause != "" {
		return g.control.Refuse(telemetry.ControlOperate, request, cause, detail)
	}
	if point.Select {
		answer := g.control.Select(ctx, request)
		if answer.Outcome != telemetry.ControlDone {
			return answer
		}
		request.Selection = answer.ID
		if cause, detail := o.refusal(op); cause != "" {
			g.control.Cancel(request)
			return g.control.Refuse(telemetry.ControlOperate, request, cause, detail)
		}
	}
	return g.control.Operate(ctx, request)
}

// settles reports whether a step is one after which nothing of a rule's operation
// waits any more.
func settles(c telemetry.Control) bool {
	switch {
	case c.Origin != telemetry.ControlRule:
		return false
	case c.Action == telemetry.ControlSelect:
		return c.Outcome != telemetry.ControlDone
	}
	return c.Action == telemetry.ControlOperate
}

// settle sends the event of such a step behind what was decided before, together with
// the state in which the operation doesn't wait any more.
func (p *pipeline) settle(item buffer.Item) (err error) {
	p.do(context.Background(), func() []telemetry.Sample {
		p.operations.settle()
		p.decided = append(p.decided, item)
		err = p.send()
		return nil
	})
	return err
}
