package mqtt

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// reader makes samples of messages. It is used by one goroutine.
type reader struct {
	Device
	points []*point         // those that are written down, and then those that were found
	topics map[string]*plan // of each topic that has come; nil: nothing reads it
	names  map[string]*point

	whole     *source // the device
	sources   map[string]*source
	turned    []*source // that have gone, or come again
	described described
	malformed string
	batch     []telemetry.Sample
	owners    []*point           // of the samples in batch
	past      []telemetry.Sample // of before what has come already
	fresh     []*point           // that have no id yet
	walker    walker
	line      line
	scratch   []byte
	unread    int    // topics that are remembered because nothing reads them
	leftOut   string // a topic that isn't read: its name is taken, or none, or there are too many
}

// point is a signal, and what came of it.
type point struct {
	Selector
	name   string
	topic  string
	signal telemetry.SignalID // 0: it isn't registered, or not to be delivered
	found  *adapters.Found    // nil: it is written down
	met    bool               // it has had a value
	asked  bool               // for its id
	source *source            // nil: it is what a source says of itself, whose last word holds
	value  row
	outer  int // the slot of a time that is outside of the array; 0: none

	// meanwhile is the value that the broker had kept of a source that is away; no time: none.
	meanwhile  telemetry.Sample
	staleAfter time.Duration
	heard      time.Time // when the last value came, or the connection was made
	stale      bool      // and it was said
	last       telemetry.Sample
	told       bool // last is
	// newest is the latest time that the source has given, or when that came, if its clock
	// is ahead.
	newest       telemetry.Micros
	lateMessages int // in a row that were of before newest
	lateAt       time.Time
}

// plan is how the payloads of a topic are read.
type plan struct {
	json      *tree
	paths     []*point // of json, those in no array
	influx    []*point
	plain     []*point
	points    []*point // all
	says      []saying
	described []place // whose values come here
	describes *description
}

// mostTopics bounds the topics that are read, and as many that nothing reads are remembered.
const mostTopics = 50_000

func newReader(d Device) *reader {
	r := &reader{Device: d, topics: map[string]*plan{}, names: map[string]*point{}, whole: &source{}, sources: map[string]*source{}}
	for _, p := range d.Points {
		made := &point{Selector: p.Selector, name: p.Name, topic: p.Topic, signal: p.Signal, staleAfter: p.StaleAfter, source: r.whole}
		r.points = append(r.points, made)
		r.names[p.Name] = made
	}
	for i, p := range d.Points {
		l, made := r.plan(p.Topic), r.points[i]
		if r.isWord(l, made) {
			made.source, made.staleAfter = nil, 0
		}
		l.add(made)
	}
	return r
}

// plan is that of a topic, which is made if it isn't there.
func (r *reader) plan(topic string) *plan {
	l := r.topics[topic]
	if l == nil {
		l = r.newPlan(topic)
		r.topics[topic] = l
	}
	return l
}

func (r *reader) newPlan(topic string) *plan {
	l := &plan{}
	r.hear(topic, l)
	r.follow(topic, l)
	return l
}

func (l *plan) tree() *tree {
	if l.json == nil {
		l.json = &tree{}
	}
	return l.json
}

// add has a point read.
func (l *plan) add(p *point) {
	l.points = append(l.points, p)
	switch {
	case p.Format == Influx:
		l.influx = append(l.influx, p)
	case p.JSON == "":
		l.plain = append(l.plain, p)
	default:
		steps, _ := parsePath(p.JSON)
		slot, group := l.tree().add(steps)
		p.value = row{point: p, value: slot}
		if p.Time != "" {
			of, _ := parsePath(p.Time)
			time, _ := l.tree().add(of)
			if sameArray(of, steps) {
				p.value.time = time
			} else {
				p.outer = time
			}
		}
		if group != nil {
			group.rows = append(group.rows, p.value)
		} else {
			l.paths = append(l.paths, p)
		}
	}
}

// follow has the points read that are found at a topic. Where a source says whether it is
// there, these are only those that are to be read of just that.
func (r *reader) follow(topic string, l *plan) {
	for i, f := range r.Follow {
		if f.Described != "" {
			r.followDescribed(i, topic, l)
			continue
		}
		wildcards, ok := matches(f.Topic, topic)
		if !ok || len(l.says) > 0 && !r.says(f.Topic) {
			continue
		}
		p := r.found(i, topic, wildcards)
		if p == nil {
			continue
		}
		if r.isWord(l, p) {
			p.source, p.staleAfter = nil, 0
		}
		l.add(p)
	}
}

// isWord reports whether a point is what a source says of itself, which holds until it
// says something else.
func (r *reader) isWord(l *plan, p *point) bool {
	return slices.ContainsFunc(l.says, func(s saying) bool { return r.Available[s.by].JSON == p.JSON })
}

// found is a point that is found by an entry of follow; nil if it can't have its name.
func (r *reader) found(follow int, topic string, wildcards []string) *point {
	f := r.Follow[follow]
	name := expand(f.Name, wildcards)
	if name == "" || r.names[name] != nil || name == telemetry.ChannelLive {
		r.leftOut = topic
		return nil
	}
	p := &point{Selector: f.Selector, name: name, topic: topic, staleAfter: f.StaleAfter, source: r.source(wildcards[:f.Sources]), found: &adapters.Found{
		Name: name, Follow: follow, Kind: f.Kind, Encoding: f.Selector.encoding(), States: states(f.States),
	}}
	r.names[name] = p
	return p
}

// encoding is how values come about.
func (s Selector) encoding() string {
	return strings.TrimSpace(fmt.Sprintf("mqtt %s%s.%s %s %s %v*%v%+v", s.JSON, s.Measurement, s.Field, s.Format, s.Type, s.Tags, s.Scale, s.Offset))
}

func states(texts map[string]int64) telemetry.States {
	if len(texts) == 0 {
		return nil
	}
	named := telemetry.States{}
	for text, value := range texts {
		named[value] = text
	}
	return named
}

// of is the plan of the topic of a message; nil if nothing reads it.
func (r *reader) of(topic string) *plan {
	l, known := r.topics[topic]
	if known {
		return l
	}
	if len(topic) > longestTopic {
		r.leftOut = topic[:longestTopic]
		return nil
	}
	if len(r.topics)-r.unread >= mostTopics {
		r.leftOut = topic
		return nil
	}
	l = r.newPlan(topic)
	if len(l.points)+len(l.says)+len(l.described) == 0 && l.describes == nil {
		if r.unread == mostTopics {
			maps.DeleteFunc(r.topics, func(_ string, l *plan) bool { return l == nil })
			r.unread = 0
		}
		l = nil
		r.unread++
	}
	r.topics[topic] = l
	return l
}

// take adds what a message says to batch.
func (r *reader) take(m mqttconn.Received) {
	l := r.of(m.Topic)
	if l == nil || len(m.Payload) == 0 && m.LeftOut == 0 { // without a payload, what was retained is forgotten
		return
	}
	at := telemetry.MicrosOf(m.At)
	if m.LeftOut > 0 {
		r.broken(l, m, at, fmt.Errorf("%d bytes are too long", m.LeftOut))
		return
	}
	if l.describes != nil {
		r.describe(l.describes, m.Payload)
	}
	if len(l.described) > 0 && len(l.points) == 0 {
		r.described.hold(m)
	}
	for _, s := range l.says {
		if s.slot == 0 {
			r.status(s, m.Payload)
		}
	}
	if len(l.plain) > 0 {
		v := plainToken(m.Payload)
		for _, p := range l.plain {
			r.sample(p, m, at, v, token{})
		}
	}
	if l.json != nil {
		if err := r.json(l, m, at); err != nil {
			r.broken(l, m, at, err)
		}
	}
	if len(l.influx) > 0 {
		if err := r.lines(l, m, at); err != nil {
			r.broken(l, m, at, err)
		}
	}
}

// plainToken is a payload that is a value itself.
func plainToken(payload []byte) token {
	b := bytes.Trim(payload, " \t\r\n\x00")
	if len(b) > 1 && b[0] == '"' && b[len(b)-1] == '"' && bytes.IndexByte(b, '\\') < 0 {
		return token{kind: text, text: b[1 : len(b)-1]}
	}
	if string(b) == "null" {
		return token{kind: null}
	}
	return token{kind: text, text: b}
}

func (r *reader) json(l *plan, m mqttconn.Received, at telemetry.Micros) error {
	w := &r.walker
	if err := w.walk(l.json, m.Payload); err != nil {
		return err
	}
	for _, f := range w.found {
		if f.point.outer > 0 {
			f.time = w.slots[f.point.outer]
		}
		r.sample(f.point, m, at, f.value, f.time)
	}
	for _, p := range l.paths {
		if v := w.slots[p.value.value]; v.kind != absent {
			r.sample(p, m, at, v, w.slots[p.outer])
		}
	}
	for _, s := range l.says {
		if s.slot > 0 {
			r.status(s, w.slots[s.slot].text)
		}
	}
	return nil
}

func (r *reader) lines(l *plan, m mqttconn.Received, at telemetry.Micros) error {
	rest := m.Payload
	for {
		var ok bool
		var err error
		if rest, ok, err = r.line.nextLine(rest); !ok || err != nil {
			return err
		}
		for _, p := range l.influx {
			if !r.line.is(&p.Selector) {
				continue
			}
			if v := r.line.field(p.Field); v.kind != absent {
				r.sample(p, m, at, v, token{kind: number, text: r.line.time})
			}
		}
	}
}

// broken is that a payload isn't what was expected: those who read nothing else of it
// have no value.
func (r *reader) broken(l *plan, m mqttconn.Received, at telemetry.Micros, err error) {
	r.malformed = fmt.Sprintf("%s: %v", m.Topic, err)
	if m.Retained {
		return
	}
	for _, p := range l.points {
		if p.Format == Influx || p.JSON != "" || m.LeftOut > 0 {
			r.add(p, m, telemetry.Sample{Time: r.after(p, at), Quality: session.Bad(telemetry.Malformed)})
		}
	}
}

// unknownAge is the quality of what the broker has kept, or sent before, of a source that
// doesn't say when it said it.
var unknownAge = telemetry.MakeQuality(telemetry.Uncertain, telemetry.GatewayTime, telemetry.NoReason) | telemetry.Stale

// sample adds a value of a point, or why there is none.
func (r *reader) sample(p *point, m mqttconn.Received, at telemetry.Micros, v, t token) {
	read := p.read(v, &r.scratch)
	s := telemetry.Sample{Time: at, Value: read.value}
	if read.reason != telemetry.NoReason {
		s.Quality = session.Bad(read.reason)
	}
	source, known := moment(t, p.TimeUnit, at)
	if known {
		s.Time, s.Quality = source, s.Quality.WithTime(telemetry.DeviceTime)
	} else {
		s.Time = r.after(p, at)
	}
	if known && s.Time < p.newest && !m.Retained && p.signal != 0 && (m.Duplicate || p.late(m.At)) {
		s.Signal = p.signal
		r.past = append(r.past, s)
		return
	}
	if m.Retained {
		// What was kept comes at each connection, and is no news if it has come before.
		if p.last.Value.Kind() != telemetry.None && (known && s.Time <= p.newest || !known && s.Value == p.last.Value) {
			return
		}
	}
	if known {
		p.newest, p.lateMessages = max(p.newest, min(source, at)), 0
	}
	if (m.Retained || m.Duplicate) && !known && read.reason == telemetry.NoReason && p.source != nil {
		s.Quality = unknownAge
	}
	r.add(p, m, s)
	if m.Retained && r.away(p) { // it is what was last known
		p.meanwhile = s
		r.add(p, m, telemetry.Sample{Time: r.after(p, at), Quality: session.Bad(telemetry.NotConnected)})
	}
}

// mostLate is how many messages in a row can be of the past. After them, it was the
// source's clock that was set back.
const mostLate = 3

// late reports whether a value of before the last one, which has come at a time, is of
// the past. Else the source's clock begins anew.
func (p *point) late(at time.Time) bool {
	if !at.Equal(p.lateAt) {
		p.lateMessages, p.lateAt = p.lateMessages+1, at
	}
	if p.lateMessages <= mostLate {
		return true
	}
	p.newest = 0
	return false
}

// after is the time of receipt, and later than that of the point's last value: of two
// values with the same time only one would be kept.
func (r *reader) after(p *point, at telemetry.Micros) telemetry.Micros {
	if before := p.last.Time; at <= before && before-at < telemetry.Micros(time.Second.Microseconds()) {
		return before + 1
	}
	return at
}

func (r *reader) add(p *point, m mqttconn.Received, s telemetry.Sample) {
	if p.found != nil && p.signal == 0 {
		if p.asked { // and it isn't to be delivered
			return
		}
		if !p.met && s.Value.Kind() == telemetry.None {
			return
		}
		if !p.met {
			p.met = true
			r.points, r.fresh = append(r.points, p), append(r.fresh, p)
		}
	}
	s.Signal = p.signal
	p.last, p.told = s, true
	if !m.Retained {
		p.heard, p.stale = m.At, false
	} else if p.heard.IsZero() {
		p.heard = m.At
	}
	r.batch, r.owners = append(r.batch, s), append(r.owners, p)
}

// lack has a point without a value from now on.
func (p *point) lack(now time.Time, q telemetry.Quality) telemetry.Sample {
	p.last, p.told = telemetry.Sample{Time: telemetry.MicrosOf(now), Signal: p.signal, Quality: q}, true
	return p.last
}

// register gives those their ids that have none, and fills them in.
func (r *reader) register(ids []telemetry.SignalID) {
	for i, p := range r.fresh {
		p.signal, p.last.Signal, p.asked = ids[i], ids[i], true
	}
	r.fresh = r.fresh[:0]
	kept := r.batch[:0]
	for i, s := range r.batch {
		if s.Signal = r.owners[i].signal; s.Signal != 0 {
			kept = append(kept, s)
		}
	}
	r.batch = kept
}

// toRegister are those that have no ids yet.
func (r *reader) toRegister() []adapters.Found {
	list := make([]adapters.Found, len(r.fresh))
	for i, p := range r.fresh {
		list[i] = *p.found
	}
	return list
}

// drop forgets what couldn't be delivered, as if it hadn't come.
func (r *reader) drop() {
	for _, p := range r.owners {
		p.last, p.told, p.newest = telemetry.Sample{}, false, 0
	}
	r.delivered()
}

// delivered has the next batch begin.
func (r *reader) delivered() { r.batch, r.owners, r.past = r.batch[:0], r.owners[:0], r.past[:0] }
