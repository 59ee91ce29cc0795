package opcua

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// Alarms is what of a server's conditions and events is read (OPC 10000-9).
type Alarms struct {
	Node     Node    // that tells of them
	Severity uint16  // from which on, of 1 to 1000
	Match    Pattern // of the names of their source and condition, or their source and Event
}

// panel is what a server has told of its conditions and events, over all connections.
type panel struct {
	sources    []*source
	conditions map[conditionKey]*condition
	speakers   map[conditionKey]*speaker
	full       bool // there have been more than are read

	asked      time.Time // when the server was last asked to tell all conditions anew
	refreshing bool      // it is being asked
	due        bool      // it is to be
	never      bool      // it can't do that, which has been said
}

// source is a node that tells of conditions and events.
type source struct {
	Alarms
	handle uint32
	fields []eventField // of its events, in their order
	in     uint32       // the subscription that it is monitored in
	told   error        // why it isn't, as it was told last

	// On the present connection:
	asking    bool
	monitored bool
	begun     bool // it tells all conditions anew
	ended     bool // it has
}

// conditionKey is a condition by its own node, or by that of its source and its name if the
// server doesn't tell the first.
type conditionKey struct {
	node Node
	name string
}

// condition is one that has been told.
type condition struct {
	*item          // which isn't among the watch's: nothing reads it
	source *source // that has told it; nil: none yet, it was known before the gateway started
	told   bool    // since all of them are being told anew

	// What was delivered last; valid is false if the connection has failed since.
	valid  bool
	active bool
	status ua.StatusCode
	at     time.Time
}

// speaker is what tells events that are no conditions' by text.
type speaker struct {
	*item
	last string // id of its last event
}

const (
	// mostConditions bounds the conditions of a device and the sources of its events.
	mostConditions = 10_000
	// alarmQueue is how many events the server is asked to keep at least.
	alarmQueue = 1000
	// refreshAgain is how soon a server may be asked again to tell all conditions anew.
	refreshAgain = 5 * time.Second

	// What the encodings of their signals begin with; the node follows.
	conditionEncoding   = "opcua condition "
	conditionOfEncoding = "opcua condition of "
	eventEncoding       = "opcua event "
)

func newPanel(d Device) panel {
	p := panel{conditions: map[conditionKey]*condition{}, speakers: map[conditionKey]*speaker{}}
	for n, a := range d.Alarms {
		p.sources = append(p.sources, &source{Alarms: a, handle: modelHandle - 1 - uint32(n)})
	}
	return p
}

func (p *panel) source(handle uint32) *source {
	if n := modelHandle - 1 - int64(handle); n >= 0 && n < int64(len(p.sources)) {
		return p.sources[n]
	}
	return nil
}

// items are those of all signals.
func (p *panel) items() (list []*item) {
	for _, c := range p.conditions {
		list = append(list, c.item)
	}
	for _, s := range p.speakers {
		list = append(list, s.item)
	}
	return list
}

// remember takes what the device told before the gateway started, so that conditions that
// have cleared meanwhile are known to have, and everything keeps its name. Of a condition
// that isn't told again the session says that it has no value; what events said stays. It
// fails if ctx ends.
func (w *watch) remember(ctx context.Context) error {
	p := &w.panel
	var said []adapters.Found
	for _, f := range w.session.Earlier() {
		if len(p.conditions)+len(p.speakers) == mostConditions {
			break
		}
		text, is := strings.CutPrefix(f.Encoding, conditionEncoding)
		dataType := uint32(id.Boolean)
		if !is {
			text, is = strings.CutPrefix(f.Encoding, eventEncoding)
			dataType = id.String
		}
		node, err := ParseNode(text)
		if !is || err != nil {
			continue
		}
		i, key := w.announced(f.Name, node, f.Encoding, dataType), conditionKey{node: node}
		if dataType == id.Boolean {
			p.conditions[key] = &condition{item: i}
		} else {
			p.speakers[key] = &speaker{item: i}
			said = append(said, f)
		}
	}
	_, err := w.session.Register(ctx, said)
	return err
}

// announced is the item of a condition or speaker, which gets its signal with the first
// value.
func (w *watch) announced(name string, n Node, encoding string, dataType uint32) *item {
	return &item{itemKey: itemKey{node: n}, name: w.unused(name, encoding), found: &variable{
		node: n, follow: adapters.NoFollow, dataType: ua.NewNumericNodeID(0, dataType), rank: -1, encoding: encoding,
	}}
}

// announce is announced of one that is new; nil if there are too many.
func (l *life) announce(name string, n Node, encoding string, dataType uint32) *item {
	p := &l.panel
	if len(p.conditions)+len(p.speakers) >= mostConditions {
		if !p.full {
			p.full = true
			l.session.Log().Warn("a server has told of more conditions and events than are read; the others are left out", "most", mostConditions)
		}
		return nil
	}
	return l.announced(name, n, encoding, dataType)
}

// say delivers what is told of a condition or speaker.
func (l *life) say(i *item, v *ua.DataValue, received time.Time) {
	if len(i.found.parts) == 0 {
		l.discover(i, leaf{})
	}
	l.takeFound(i, v, received)
}

// resume is the beginning of a connection.
func (l *life) resume() {
	p := &l.panel
	p.asked, p.refreshing, p.due = time.Time{}, false, true
	for _, s := range p.sources {
		if !s.monitored {
			s.in = 0
		}
		s.asking, s.monitored, s.ended = false, false, false
	}
	for _, i := range p.items() {
		l.rediscover(i)
	}
}

// happened takes events, also those that the address space has changed by.
func (l *life) happened(list []*ua.EventFieldList, received time.Time) {
	changed := false
	for _, told := range list {
		if told == nil {
			continue
		}
		if s := l.panel.source(told.ClientHandle); s != nil {
			l.event(s, eventOf(s.fields, told.EventFields), received)
			continue
		}
		switch eventOf([]eventField{typeField}, told.EventFields).kind {
		case id.RefreshStartEventType, id.RefreshEndEventType: // each item is told these
		default:
			changed = true
		}
	}
	if changed {
		l.modelChanged()
	}
}

func (l *life) event(s *source, e event, received time.Time) {
	switch e.kind {
	case id.RefreshStartEventType:
		s.begun = true
	case id.RefreshEndEventType:
		if s.begun {
			s.begun, s.ended = false, true
			l.refreshed(s, received)
		}
	case id.RefreshRequiredEventType, id.EventQueueOverflowEventType:
		l.panel.due = true
	case id.BaseModelChangeEventType, id.GeneralModelChangeEventType, id.SemanticChangeEventType:
	default:
		if e.ofCondition() {
			l.condition(s, e, received)
		} else {
			l.speak(s, e, received)
		}
	}
}

// wants reports whether an event is one that the source is read for.
func (s *source) wants(e event) bool {
	return (e.severity == 0 || e.severity >= s.Severity) && s.Match.matches(e.names())
}

// condition takes what is told of a condition.
func (l *life) condition(s *source, e event, received time.Time) {
	if e.branch {
		return
	}
	var key conditionKey
	var encoding string
	switch {
	case e.condition != nil:
		key.node = nodeOf(e.condition, l.names)
		encoding = conditionEncoding + key.node.String()
	case e.source != nil:
		key = conditionKey{nodeOf(e.source, l.names), e.conditionName}
		encoding = conditionOfEncoding + key.node.String() + " " + key.name
	}
	if key.node.kind == 0 || len(key.node.value) > longestNode {
		return
	}
	c := l.panel.conditions[key]
	if c == nil {
		if !s.wants(e) {
			return
		}
		i := l.announce(strings.Join(e.names(), "."), key.node, encoding, id.Boolean)
		if i == nil {
			return
		}
		c = &condition{item: i}
		l.panel.conditions[key] = c
	}
	c.source, c.told = s, true
	active, status, since := e.state()
	l.show(c, active, status, since, received)
}

// show delivers a condition's state unless it is as before. since zero: as of now; so it is
// if what was delivered last is younger.
func (l *life) show(c *condition, active bool, status ua.StatusCode, since, received time.Time) {
	if c.valid && c.active == active && c.status == status {
		return
	}
	if !since.After(c.at) {
		since = time.Time{}
	}
	v := &ua.DataValue{Value: ua.MustVariant(active), Status: status, SourceTimestamp: since}
	c.valid, c.active, c.status = true, active, status
	c.at, _ = stamp(v, received)
	l.say(c.item, v, received)
}

// speak takes an event that is no condition's. What is told twice is taken once.
func (l *life) speak(s *source, e event, received time.Time) {
	if !s.wants(e) {
		return
	}
	key := conditionKey{name: e.sourceName}
	if e.source != nil {
		key = conditionKey{node: nodeOf(e.source, l.names)}
	}
	if len(key.node.value) > longestNode {
		return
	}
	from := l.panel.speakers[key]
	if from == nil {
		i := l.announce(strings.Join(e.names(), "."), key.node, strings.TrimSpace(eventEncoding+key.node.String()), id.String)
		if i == nil {
			return
		}
		from = &speaker{item: i}
		l.panel.speakers[key] = from
	}
	if e.id != "" && e.id == from.last {
		return
	}
	from.last = e.id
	l.say(from.item, &ua.DataValue{Value: ua.MustVariant(e.message), SourceTimestamp: e.time}, received)
}

// tendAlarms has the server tell what it doesn't yet, and what it hasn't to its end.
func (l *life) tendAlarms() {
	if l.Poll {
		return
	}
	l.monitorAlarms()
	p := &l.panel
	if !p.never && slices.ContainsFunc(p.sources, func(s *source) bool { return s.monitored && !s.ended }) {
		p.due = true
	}
}

// refresh has the server tell all conditions anew, if that is due.
func (l *life) refresh() {
	p := &l.panel
	if !p.due || p.refreshing || time.Since(p.asked) < refreshAgain {
		return
	}
	var in []uint32
	for _, s := range p.sources {
		if s.begun, s.ended = false, false; s.monitored && !slices.Contains(in, s.in) {
			in = append(in, s.in)
		}
	}
	if len(in) == 0 {
		return
	}
	p.asked, p.refreshing, p.due = time.Now(), true, false
	for _, c := range p.conditions {
		c.told = false
	}
	l.begin(func(ctx context.Context) error {
		var err error
		for _, subscription := range in {
			err = errors.Join(err, l.conditionRefresh(ctx, subscription))
		}
		l.post(func() error {
			p.refreshing = false
			l.refreshAsked(err)
			return nil
		})
		return nil
	})
}

// conditionRefresh has all conditions told anew in a subscription (OPC 10000-9, 5.5.7).
func (l *link) conditionRefresh(ctx context.Context, subscription uint32) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	res, err := l.Call(ctx, &ua.CallRequest{MethodsToCall: []*ua.CallMethodRequest{{
		ObjectID: ua.NewNumericNodeID(0, id.ConditionType), MethodID: ua.NewNumericNodeID(0, id.ConditionType_ConditionRefresh),
		InputArguments: []*ua.Variant{ua.MustVariant(subscription)},
	}}})
	switch {
	case err != nil:
		return err
	case len(res.Results) != 1 || res.Results[0] == nil:
		return errAnswer(len(res.Results), 1)
	case res.Results[0].StatusCode>>30 == 2:
		return res.Results[0].StatusCode
	}
	return nil
}

// refreshAsked takes what the server said when it was asked to tell all conditions anew.
func (l *life) refreshAsked(err error) {
	p := &l.panel
	var status ua.StatusCode
	switch {
	case err == nil:
		p.never = false
		return
	case !errors.As(err, &status), isAny(err, mayBeDone), isAny(err, []error{ua.StatusBadRefreshInProgress, ua.StatusBadSubscriptionIDInvalid}):
		p.due = true
		return
	}
	if !p.never {
		p.never = true
		l.session.Log().Warn("the server doesn't tell all conditions anew; what has cleared while it wasn't connected isn't known until it tells", "cause", err)
	}
	for _, c := range p.conditions {
		if !c.valid && c.source != nil {
			l.show(c, c.active, ua.StatusUncertainLastUsableValue, time.Time{}, time.Now())
		}
	}
}

// refreshed is that a source has told all of its conditions anew: those that it hasn't told
// aren't active.
func (l *life) refreshed(by *source, received time.Time) {
	all := !slices.ContainsFunc(l.panel.sources, func(s *source) bool { return !s.ended })
	for _, c := range l.panel.conditions {
		switch {
		case c.told, c.source != by && !(c.source == nil && all):
		case c.status == ua.StatusBadOutOfService: // disabled ones aren't told
			l.show(c, c.active, c.status, time.Time{}, received)
		default:
			l.show(c, false, ua.StatusOK, time.Time{}, received)
		}
	}
}

// fail has all conditions be bad, from a time on. What events said stays.
func (p *panel) fail(at time.Time, q telemetry.Quality) (samples []telemetry.Sample) {
	for _, c := range p.conditions {
		for _, s := range c.signals {
			samples = append(samples, telemetry.Sample{Time: telemetry.MicrosOf(at), Signal: s.signal, Quality: q})
		}
		c.valid, c.at = false, at
	}
	return samples
}
