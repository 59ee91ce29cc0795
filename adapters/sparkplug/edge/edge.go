// Package edge is what a Sparkplug B 3.0 edge node publishes of the devices that are
// attached to it (chapter 5 of the specification): samples, messages and moments in,
// messages out. It has neither a clock nor a connection.
package edge

import (
	"cmp"
	"slices"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/telemetry"
)

// Config is what an edge node is called.
type Config struct {
	Group, Node string
	// PrimaryHost is the host application that it awaits before it is born, and dies without;
	// "": none.
	PrimaryHost string
	// Own is the device whose signals are those of the node itself.
	Own string
	// MostWaiting bounds the values that wait to be published. Beyond that, the oldest of
	// the device of which most wait are given up.
	MostWaiting int
}

// Message is what is to be published, at QoS 0 and not retained.
type Message struct {
	Topic   string
	Payload payload.Payload // isn't encoded yet, as that takes longer than to say what it is
}

// Edge is an edge node. It isn't safe for concurrent use.
type Edge struct {
	config  Config
	node    *device
	devices []*device // in the order in which they were defined, without the node
	signals map[telemetry.SignalID]*signal

	connected bool
	host      bool  // the primary host is there, or none is awaited
	hostSince int64 // the timestamp of its last state; -1: it has told none
	leave     bool  // it has gone: so does this session
	born      bool  // the node is, in this session
	rebirth   bool  // it is to be born, again
	asked     bool  // for that, by a command
	bornAt    time.Time
	bdSeq     uint64
	seq       uint8

	waiting  int // values
	dropped  uint64
	retyped  uint64
	reported uint64 // of both, as last published

	sent   []sent // values that may not have arrived, oldest first
	timed  int    // of them, whose time is known
	unkept []unkept
}

// unkept is how many values that may not have arrived are too many to be kept.
type unkept struct {
	at     time.Time
	values uint64
}

// device is one that is attached, or the node itself.
type device struct {
	id      string
	signals []*signal
	alive   bool
	born    bool
	birth   bool    // it is to be born, again
	fresh   []value // that have changed since its birth
	past    []value // from when nobody heard
}

// signal is a metric. Its alias is its id.
type signal struct {
	telemetry.Signal
	device  *device
	live    bool             // it says whether its device is there
	born    payload.DataType // that its birth has told; Unknown: none
	kind    payload.DataType // of what it was in the past, as far as that is known
	current telemetry.Sample // without a signal: there was none
	told    telemetry.Sample // by the birth
}

// value is one that a signal had.
type value struct {
	signal *signal
	telemetry.Sample
	of bool // it is of the past for whoever measured it, and not only for whoever hears of it
}

// sent is what was published, at the latest at some moment.
type sent struct {
	value
	at time.Time
}

const (
	// together is how many metrics a message of data has at most.
	together = 500
	// unsure is for how long what was published may have been lost with the connection: it
	// is more than a client takes to notice that the broker is silent.
	unsure = time.Minute
	// RebirthPause is between two births that are asked for.
	RebirthPause = time.Second

	droppedName = "Node Info/Values Dropped"
	// droppedAlias is beyond the ids of signals.
	droppedAlias = 1 << 32
)

// New is one that isn't connected, and has no signals.
func New(c Config) *Edge {
	e := &Edge{config: c, hostSince: -1, signals: map[telemetry.SignalID]*signal{}}
	e.node = &device{alive: true}
	return e
}

// Define says which signals there are from now on. Those that are known keep what they
// are; what a device had that it hasn't any more is forgotten.
func (e *Edge) Define(signals []telemetry.Signal) {
	before, devices := e.signals, map[string]*device{e.config.Own: e.node}
	for _, d := range e.devices {
		devices[d.id] = d
	}
	had := map[*device][]*signal{}
	for _, d := range devices {
		had[d], d.signals = d.signals, nil
	}
	e.signals, e.devices = make(map[telemetry.SignalID]*signal, len(signals)), nil
	for _, s := range signals {
		d := devices[s.Device]
		if d == nil {
			d = &device{id: s.Device}
			devices[s.Device] = d
		}
		if d != e.node && len(d.signals) == 0 {
			e.devices = append(e.devices, d)
		}
		one := before[s.ID]
		if one == nil {
			one = &signal{device: d}
		}
		if !sameMetric(one.Signal, s) {
			d.birth = true
		}
		one.Signal, one.live = s, s.Name == telemetry.ChannelLive
		e.signals[s.ID] = one
		d.signals = append(d.signals, one)
	}
	for _, d := range devices {
		if len(had[d]) > len(d.signals) {
			d.birth = true
		}
		gone := func(v value) bool { return e.signals[v.signal.ID] != v.signal }
		n := len(d.fresh) + len(d.past)
		d.fresh, d.past = slices.DeleteFunc(d.fresh, gone), slices.DeleteFunc(d.past, gone)
		e.waiting -= n - len(d.fresh) - len(d.past)
		if d != e.node && len(d.signals) == 0 && d.born {
			d.alive = false
			e.devices = append(e.devices, d) // until its death was published
		}
	}
	if e.node.birth {
		e.rebirth = true
	}
}

// sameMetric reports whether a host application sees no difference.
func sameMetric(a, b telemetry.Signal) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Unit == b.Unit && a.Device == b.Device
}

// Take takes samples. past says that they are older than what is current. at is when they
// came, which is the time of those that don't know theirs. It reports whether Next may
// have something to say of them.
func (e *Edge) Take(at telemetry.Micros, samples []telemetry.Sample, past bool) (news bool) {
	for _, s := range samples {
		of := e.signals[s.Signal]
		if of == nil {
			continue
		}
		if s.Quality.TimeQuality() == telemetry.SinceBoot {
			s.Time = at
		}
		switch d := of.device; {
		case of.live:
			if alive := s.Value.Bits() != 0; alive != d.alive {
				d.alive, d.birth, news = alive, alive || d.birth && d.born, true
			}
		case past:
			if kind := payload.TypeOf(s.Value); kind != payload.Unknown {
				of.kind = kind
			}
			e.suits(d, of)
			e.wait(d, value{of, s, true}, false)
			news = true
		case same(of.current, s):
			of.current.Time = s.Time
		default:
			of.current, news = s, true
			e.changed(d, of)
		}
	}
	return news && e.publishing()
}

// changed has what a signal is now be published. That it isn't known of a device that isn't
// there, its birth tells.
func (e *Edge) changed(d *device, s *signal) {
	heard := e.suits(d, s) && e.publishing() && d.born
	if heard || d.alive || !e.publishing() || s.current.Quality.Validity() != telemetry.Bad {
		e.wait(d, value{s, s.current, false}, heard)
	}
}

// suits reports whether a signal's values are what its birth has told; if not, there will
// be another birth.
func (e *Edge) suits(d *device, s *signal) bool {
	if !e.publishing() || !d.born || typeOf(s) == s.born {
		return true
	}
	d.birth = true
	e.rebirth = e.rebirth || d == e.node
	return false
}

// same reports whether a sample says what is known.
func same(a, b telemetry.Sample) bool {
	return a.Signal != 0 && a.Value == b.Value && a.Quality.Validity() == b.Quality.Validity()
}

// wait has a value wait to be published.
func (e *Edge) wait(d *device, v value, fresh bool) {
	if e.waiting >= e.config.MostWaiting {
		e.shed()
	}
	if fresh {
		d.fresh = append(d.fresh, v)
	} else {
		d.past = append(d.past, v)
	}
	e.waiting++
}

// shed gives up the oldest of the device of which most wait: some at once, as there will
// be more.
func (e *Edge) shed() {
	most := e.node
	for _, d := range e.devices {
		if len(d.past)+len(d.fresh) > len(most.past)+len(most.fresh) {
			most = d
		}
	}
	n := max(1, e.config.MostWaiting/100)
	old := min(n, len(most.past))
	most.past = behind(most.past, old)
	young := min(n-old, len(most.fresh))
	most.fresh = behind(most.fresh, young)
	e.waiting -= old + young
	e.dropped += uint64(old + young)
}

// Waiting is how many values wait to be published. Dropped is how many were given up as
// they were too many, and Retyped as their signal had become something else before they
// could be published.
func (e *Edge) Waiting() int    { return e.waiting }
func (e *Edge) Dropped() uint64 { return e.dropped }
func (e *Edge) Retyped() uint64 { return e.retyped }

// Online reports whether a session is there in which values are published.
func (e *Edge) Online() bool { return e.publishing() && e.born }

func (e *Edge) publishing() bool { return e.connected && e.host && !e.leave }

// Will is what the broker is to publish at QoS 1, not retained, when a session ends whose
// number is bdSeq, from 0 to 255 and again from 0.
func (e *Edge) Will(bdSeq uint64, at time.Time) Message {
	return e.message(topic.NDeath, "", payload.Payload{Metrics: []payload.Metric{bdSeqMetric(bdSeq, at)}})
}

// Filters are what it has to subscribe to at QoS 1 before anything is published. Commands
// to devices belong to that, though nothing comes of them.
func (e *Edge) Filters() []string {
	filters := []string{
		topic.Topic{Kind: topic.NCmd, Group: e.config.Group, Node: e.config.Node}.String(),
		topic.Topic{Kind: topic.DCmd, Group: e.config.Group, Node: e.config.Node, Device: "+"}.String(),
	}
	if e.config.PrimaryHost != "" {
		filters = append(filters, topic.OfHost(e.config.PrimaryHost))
	}
	return filters
}

// Connected is told that a session with that number has begun.
func (e *Edge) Connected(bdSeq uint64) {
	e.connected, e.leave, e.bdSeq = true, false, bdSeq
	e.host = e.config.PrimaryHost == ""
	e.born, e.rebirth, e.asked = false, true, false
}

// Receive takes a message that was subscribed to. It reports whether the session is to
// end, with Death: the primary host is away.
func (e *Edge) Receive(name string, b []byte) (leave bool) {
	if e.config.PrimaryHost != "" && name == topic.OfHost(e.config.PrimaryHost) {
		e.state(b)
		return e.leave
	}
	t, ok := topic.Parse(name)
	if !ok || t != (topic.Topic{Kind: topic.NCmd, Group: e.config.Group, Node: e.config.Node}) {
		return false
	}
	var d payload.Decoder
	if d.Decode(b) != nil {
		return false
	}
	for _, m := range d.Metrics {
		if v, err := m.Value.Scalar(payload.Boolean); string(m.Name) == payload.Rebirth && err == nil && v.Bits() != 0 {
			e.asked = true
		}
	}
	return false
}

// state takes what the primary host says. What is older than what it has said doesn't
// count.
func (e *Edge) state(b []byte) {
	s, err := topic.ParseState(b)
	if err != nil || s.Timestamp < e.hostSince {
		return
	}
	e.hostSince = s.Timestamp
	if !s.Online && e.host {
		e.leave = true
	}
	e.host = s.Online
}

// Death is what is published before a session is ended on purpose; ok is false if there
// was no birth.
func (e *Edge) Death(at time.Time) (m Message, ok bool) { return e.Will(e.bdSeq, at), e.born }

// Lost is told that the session has ended, at a moment of the same clock as Next's. What
// was published shortly before may have been lost, and is told again; where that is more
// than can be kept, it counts as given up.
func (e *Edge) Lost(now time.Time) {
	e.connected, e.born, e.leave = false, false, false
	e.forget(now)
	again := map[*device][]value{}
	for _, s := range e.sent {
		again[s.signal.device] = append(again[s.signal.device], s.value)
	}
	for _, u := range e.unkept {
		e.dropped += u.values
	}
	e.sent, e.timed, e.unkept = nil, 0, nil
	for _, d := range append([]*device{e.node}, e.devices...) {
		again := slices.DeleteFunc(again[d], func(v value) bool { return e.signals[v.signal.ID] != v.signal })
		d.born = false
		e.waiting += len(again)
		d.past = append(d.past, d.fresh...)
		d.fresh = nil
		if len(again) > 0 { // also what had waited already was tried
			d.past = append(again, d.past...)
			slices.SortStableFunc(d.past, func(a, b value) int { return cmp.Compare(a.Time, b.Time) })
		}
		for _, s := range d.signals {
			s.born, s.told = payload.Unknown, telemetry.Sample{}
		}
	}
	for e.waiting > e.config.MostWaiting {
		e.shed()
	}
	e.devices = slices.DeleteFunc(e.devices, func(d *device) bool { return len(d.signals) == 0 })
}

// forget lets go of what has arrived by now, and of what is too much. What Next has said
// since was published until now.
func (e *Edge) forget(now time.Time) {
	for i := range e.sent[e.timed:] {
		e.sent[e.timed+i].at = now
	}
	n := 0
	for n < len(e.sent) && now.Sub(e.sent[n].at) > unsure {
		n++
	}
	e.unkept = slices.DeleteFunc(e.unkept, func(u unkept) bool { return now.Sub(u.at) > unsure })
	for ; len(e.sent)-n > e.config.MostWaiting; n++ {
		at := e.sent[n].at
		if last := len(e.unkept) - 1; last < 0 || at.Sub(e.unkept[last].at) > time.Second {
			e.unkept = append(e.unkept, unkept{at: at})
		}
		e.unkept[len(e.unkept)-1].values++
	}
	e.sent = behind(e.sent, n)
	e.timed = len(e.sent)
}

// behind is a list without its first n, at a cost that doesn't go with its length.
func behind[T any](list []T, n int) []T {
	clear(list[:n])
	return list[n:]
}
