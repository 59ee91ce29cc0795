package opcua

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// variable is one that has been found below a node.
type variable struct {
	node     Node
	follow   int    // which of the device's Follow it comes by
	name     string // of its signal, or what the names of its members' signals begin with
	encoding string // adapters.Found's; "": that of a variable
	dataType *ua.NodeID
	rank     int32 // ValueRank: below 0 it is no array
	unit     string
	states   telemetry.States

	// parts are those of its value that have signals, or get them.
	parts []part
	waits bool        // some of them have no id yet
	held  []heldValue // that wait for that
}

// part is a part of a variable's value. It has no sampler if it isn't delivered, or has no
// id yet.
type part struct {
	element Element
	*sampler
}

// part is that of an element, which is mostly where it is looked for first; nil if there
// is none.
func (v *variable) part(e Element, first int) *part {
	if first < len(v.parts) && v.parts[first].element == e {
		return &v.parts[first]
	}
	for n := range v.parts {
		if v.parts[n].element == e {
			return &v.parts[n]
		}
	}
	return nil
}

// heldValue is a value of a variable whose signals have no ids yet.
type heldValue struct {
	*ua.DataValue
	received time.Time
}

// mostHeld bounds them, for each variable.
const mostHeld = 100

// freshSignal is a signal that has been found and has no id yet.
type freshSignal struct {
	item    *item
	element Element
	kind    telemetry.Kind
}

// mostFollowed bounds the nodes that are known of a device, also those that are gone.
const mostFollowed = 200_000

// longestName bounds the name of a signal, in bytes.
const longestName = 64

// follow looks for what is to be followed, unless that is being done.
func (l *life) follow() {
	if len(l.Follow) == 0 {
		return
	}
	if l.looking {
		l.lookAgain = true
		return
	}
	l.looking = true
	names := l.names
	l.begin(func(ctx context.Context) error {
		found := map[Node]*variable{}
		whole := true
		for n, f := range l.Follow {
			all, err := l.variables(ctx, f, n, names, found)
			if err != nil && (l.Cause() != nil || ctx.Err() != nil) {
				return err
			}
			if err != nil {
				l.session.Log().Warn("what is to be followed can't be found out", "node", f.Node.String(), "error", err)
			}
			whole = whole && all && err == nil
		}
		l.post(func() error {
			l.looking = false
			l.grown(found, whole)
			if l.lookAgain {
				l.lookAgain = false
				l.follow()
			}
			return nil
		})
		return nil
	})
}

// variables finds those that an entry follows, and that can be read.
func (l *life) variables(ctx context.Context, f Follow, entry int, names []string, found map[Node]*variable) (whole bool, err error) {
	from, err := f.Node.on(names)
	if err != nil {
		l.session.Log().Warn("nothing can be followed", "node", f.Node.String(), "error", err)
		return false, nil
	}
	var places []*place
	whole, err = l.below(ctx, from, names, func(p *place) {
		if _, known := found[p.node]; p.class == ua.NodeClassVariable && !known && f.Match.matches(p.path) {
			places = append(places, p)
		}
	})
	if err != nil {
		return false, err
	}
	if !whole {
		l.session.Log().Warn("a server has more below a node than is followed", "node", f.Node.String(), "nodes", mostNodes, "levels", deepestBrowse)
	}
	about, err := l.about(ctx, places)
	if err != nil {
		return false, err
	}
	for n, p := range places {
		if a := about[n]; a.access&accessRead != 0 {
			found[p.node] = &variable{
				node: p.node, follow: entry, name: strings.Join(p.path, "."), dataType: a.dataType, rank: a.rank, unit: a.unit, states: a.states,
			}
		}
	}
	return whole, nil
}

// grown takes what there is to be followed.
func (l *life) grown(found map[Node]*variable, whole bool) {
	more := false
	for _, v := range found {
		key := itemKey{v.node, l.Follow[v.follow].Deadband, true}
		i, known := l.index[key]
		switch {
		case l.written[v.node]: // it has a signal that is written down
		case !known && len(l.items) >= mostFollowed:
			more = true
		case !known:
			i = l.item(key)
			i.name, i.found = l.unused(v.name, v.node.String()), v
			v.name = ""
			l.renew(i)
			if v.plain() { // what its signal is, is known before its value
				l.discover(i, leaf{})
			}
		case i.state == refused:
			l.renew(i)
		}
	}
	if whole {
		for _, i := range l.items {
			if i.found != nil && found[i.node] == nil && i.state != refused {
				l.refuse(i, ua.StatusBadNodeIDUnknown, ua.StatusBadNodeIDUnknown)
			}
		}
	}
	if more && !l.full {
		l.full = true
		l.session.Log().Warn("a server has had more variables than are followed; the others are left out", "variables", mostFollowed)
	}
	l.begin(func(context.Context) error { // after what gets the ids
		l.post(func() error {
			l.monitor(func(i *item) bool { return i.state == asked })
			l.begin(l.verify)
			return nil
		})
		return nil
	})
}

// unused is a name that no other signal has; of says which one it is for, as no other does.
func (w *watch) unused(name, of string) string {
	if w.used == nil {
		w.used = map[string]bool{}
		for _, p := range w.Points {
			w.used[p.Name] = true
		}
	}
	if len(name) > longestName || w.used[name] {
		name = short(name, of)
	}
	w.used[name] = true
	return name
}

// short is a name with the sum of what it is for in place of its beginning.
func short(name, of string) string {
	h := fnv.New32a()
	h.Write([]byte(of))
	sum := fmt.Sprintf("n%08x.", h.Sum32())
	for len(sum)+len(name) > longestName {
		_, rest, more := strings.Cut(name, ".")
		if !more {
			return sum + name[:longestName-len(sum)]
		}
		name = rest
	}
	return sum + name
}

// rediscover has those parts get their signals that were waiting for them when the
// connection before was lost.
func (l *life) rediscover(i *item) {
	f := i.found
	if !f.waits {
		return
	}
	f.parts = slices.DeleteFunc(f.parts, func(p part) bool { return p.sampler == nil })
	f.held, f.waits = nil, false
	if len(f.parts) == 0 && f.plain() {
		l.discover(i, leaf{})
	}
}

// takeFound takes a value of a variable that is followed.
func (l *life) takeFound(i *item, v *ua.DataValue, received time.Time) {
	f := i.found
	if len(f.parts) == 1 && f.parts[0].element == "" && f.parts[0].sampler != nil {
		l.put(i, f.parts[0].sampler, v, received)
		return
	}
	if validity(v.Status) == telemetry.Bad {
		for _, s := range i.signals {
			l.put(i, s, v, received)
		}
		if len(i.signals) == 0 && f.waits {
			f.hold(v, received)
		}
		return
	}
	leaves, err := l.leaves(v.Value)
	if err != nil {
		if l.wanting() {
			l.readAgain(i)
		} else if i.told == nil || i.told.Error() != err.Error() {
			i.told = err
			l.session.Log().Warn("a value can't be taken", "signal", i.name, "node", i.node.String(), "error", err)
		}
		return
	}
	hold := false
	for n, part := range leaves {
		switch p := f.part(part.element, n); {
		case p == nil:
			l.discover(i, part)
			hold = true
		case p.sampler == nil:
			hold = f.waits
		}
	}
	if hold || len(f.held) > 0 {
		f.hold(v, received)
		return
	}
	for _, s := range i.signals {
		l.put(i, s, v, received)
	}
}

// plain reports whether the variable's value has no members.
func (v *variable) plain() bool {
	if v.rank >= 0 || v.dataType == nil {
		return false
	}
	builtin := builtinOf(v.dataType)
	return builtin != 0 && builtin < ua.TypeIDExtensionObject
}

// nameless reports whether none of the variable's parts has got an id.
func (v *variable) nameless() bool {
	return !v.waits && len(v.parts) > 0 && !slices.ContainsFunc(v.parts, func(p part) bool { return p.sampler != nil })
}

func (v *variable) hold(value *ua.DataValue, received time.Time) {
	if len(v.held) < mostHeld {
		v.held = append(v.held, heldValue{value, received})
	}
}

// discover has a part of a variable's value get a signal.
func (l *life) discover(i *item, of leaf) {
	f := i.found
	f.parts, f.waits = append(f.parts, part{element: of.element}), true
	l.fresh = append(l.fresh, freshSignal{i, of.element, f.kind(of.value)})
	if len(l.fresh) == 1 {
		l.begin(l.register)
	}
}

func (v *variable) kind(value telemetry.Value) telemetry.Kind {
	kind := value.Kind()
	if kind == telemetry.None && v.dataType != nil {
		switch builtinOf(v.dataType) {
		case ua.TypeIDBoolean:
			kind = telemetry.Bool
		case ua.TypeIDString, ua.TypeIDLocalizedText, ua.TypeIDDateTime:
			kind = telemetry.Text
		}
	}
	if len(v.states) > 0 || kind == telemetry.Bool || kind == telemetry.Text {
		return telemetry.State
	}
	return telemetry.Gauge
}

// register is the job that gets the ids of what has been found.
func (l *life) register(ctx context.Context) error {
	taken := make(chan []freshSignal, 1)
	if !l.post(func() error {
		taken <- l.fresh
		l.fresh = nil
		return nil
	}) {
		return ctx.Err()
	}
	fresh := <-taken
	if len(fresh) == 0 {
		return nil
	}
	list := make([]adapters.Found, len(fresh))
	for n, s := range fresh {
		v := s.item.found
		list[n] = adapters.Found{
			Name: signalName(s.item.name, s.element), Follow: v.follow, Unit: v.unit, Kind: s.kind,
			Encoding: cmp.Or(v.encoding, strings.TrimSpace("opcua "+v.node.String()+" "+string(s.element))),
		}
		if s.element == "" {
			list[n].States = v.states
		}
	}
	ids, err := l.session.Register(ctx, list)
	if err != nil {
		l.post(func() error {
			l.fresh = append(fresh, l.fresh...) // for retry
			return nil
		})
		return err
	}
	l.post(func() error {
		for n, s := range fresh {
			s.item.found.waits = false
			steps, err := s.element.steps()
			if err != nil || ids[n] == 0 {
				continue
			}
			made := &sampler{steps: steps, scale: 1, signal: ids[n]}
			s.item.found.part(s.element, 0).sampler = made
			s.item.signals = append(s.item.signals, made)
		}
		for _, s := range fresh {
			if s.item.state == asked && s.item.found.nameless() {
				s.item.state = nameless
			}
			held := s.item.found.held
			s.item.found.held = nil
			for _, v := range held {
				l.takeFound(s.item, v.DataValue, v.received)
			}
		}
		return nil
	})
	return nil
}

// signalName is the name of a member's signal.
func signalName(name string, e Element) string {
	steps, _ := e.steps()
	for _, s := range steps {
		if s.name == "" {
			name += fmt.Sprintf("_%d", s.index)
		} else {
			name += "." + word(s.name)
		}
	}
	if len(name) > longestName {
		name = short(name, name)
	}
	return name
}

// watchModel has the server tell when its address space changes. Many don't.
func (l *life) watchModel(ctx context.Context) error {
	if l.tells {
		return nil
	}
	if l.room == nil {
		s, err := l.subscribe(ctx)
		if err != nil {
			return nil // what can't be subscribed to is looked at now and then
		}
		l.room = s
	}
	filter := &ua.EventFilter{
		SelectClauses: []*ua.SimpleAttributeOperand{{
			TypeDefinitionID: ua.NewNumericNodeID(0, id.BaseEventType), BrowsePath: []*ua.QualifiedName{{Name: "EventType"}}, AttributeID: ua.AttributeIDValue,
		}},
		WhereClause: &ua.ContentFilter{Elements: []*ua.ContentFilterElement{{
			FilterOperator: ua.FilterOperatorOfType,
			FilterOperands: []*ua.ExtensionObject{ua.NewExtensionObject(&ua.LiteralOperand{Value: ua.MustVariant(ua.NewNumericNodeID(0, id.BaseModelChangeEventType))})},
		}}},
	}
	_, err := request[*ua.CreateMonitoredItemsResponse](ctx, l.link, &ua.CreateMonitoredItemsRequest{
		SubscriptionID: l.room.id, TimestampsToReturn: ua.TimestampsToReturnBoth,
		ItemsToCreate: []*ua.MonitoredItemCreateRequest{{
			ItemToMonitor:  &ua.ReadValueID{NodeID: ua.NewNumericNodeID(0, id.Server), AttributeID: ua.AttributeIDEventNotifier, DataEncoding: &ua.QualifiedName{}},
			MonitoringMode: ua.MonitoringModeReporting,
			RequestedParameters: &ua.MonitoringParameters{
				ClientHandle: modelHandle, QueueSize: 1, DiscardOldest: true, Filter: ua.NewExtensionObject(filter),
			},
		}},
	})
	if err != nil && l.Cause() != nil {
		return err
	}
	l.tells, l.room.tells = true, true // once, also if it wasn't understood
	return nil
}

// modelHandle is the client handle of the server's changes.
const modelHandle = 1<<32 - 1

// modelChanged looks at what the server has come to have, and gone without.
func (l *life) modelChanged() {
	l.follow()
	l.retry()
}
