// Package host is what a Sparkplug B 3.0 host application makes of what edge nodes and
// their devices tell (chapter 5 of the specification): messages and moments in, readings
// and requests out. It has neither a clock nor a connection.
package host

import (
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/telemetry"
)

// Config is how a host application listens.
type Config struct {
	ID string // sparkplug_host_id
	// ReorderTimeout is how long messages that came out of order wait for those that are
	// missing.
	ReorderTimeout time.Duration
	// Own is an edge node that isn't listened to, as it tells what this host application
	// has heard.
	Own Node
}

// Series is one quantity of an edge node, or of one of its devices.
type Series struct {
	Group, Node string
	Device      string // "" of the node itself
	// Metric is its name; parts of a template stand behind a /, elements of an array and
	// cells of a data set in brackets. It is "" of Live.
	Metric string
	Type   payload.DataType
	Unit   string // as the properties of the birth say it
	Live   bool   // whether the node or the device is there
}

// Reading is a value of a series, by its index among all. Its signal isn't set.
type Reading struct {
	Series int
	telemetry.Sample
}

// Node is an edge node.
type Node struct{ Group, Name string }

// Note is something for the log.
type Note struct {
	Node   Node
	Device string
	Text   string
	Err    error // nil: it is as it should be
}

// Effects are what has come of what was received.
type Effects struct {
	// Found are series that are new, or in the place of another one again.
	Found     []int
	Readings  []Reading
	Past      []Reading // of the past: what is current isn't changed
	Rebirths  []Node    // that are to be asked for their births
	Since     int64     // the timestamp of what the broker has kept of it, in ms; 0: nothing
	Republish bool      // somebody says that this host application is away
	Notes     []Note
}

const (
	// rebirthPause is how long a node is left alone after it was asked for its births; it
	// doubles up to longestPause while none come.
	rebirthPause = 10 * time.Second
	longestPause = 5 * time.Minute
	// deviceGrace is how long the birth of a device may come after that of its node.
	deviceGrace = 10 * time.Second
	// maxNodes, maxDevices and maxSeries bound what is known: of all nodes, of one node, and
	// of all.
	maxNodes   = 5_000
	maxDevices = 5_000
	maxSeries  = 200_000
	// maxDefined bounds the metrics that births have told of, of all nodes together.
	maxDefined = 400_000
	// maxRoutes bounds the topics that are known.
	maxRoutes = 50_000
	// longest bounds topics and the names of metrics, in bytes.
	longest = 1024
)

// Host is a host application. It isn't safe for concurrent use.
type Host struct {
	config  Config
	own     string // topic of its state
	decoder payload.Decoder
	routes  map[string]*route
	nodes   map[Node]*node
	series  []series
	defined int       // metrics of births
	held    int       // what waits of all nodes, in bytes
	due     time.Time // of Tick; zero: never
	out     Effects
	scratch scratch
	full    bool // it was said that too much is told
}

// series is a Series and what was last read of it.
type series struct {
	Series
	last telemetry.Sample
	told bool // last was read, and what it was read of is still there
	born bool // it is among its owner's since the last birth
}

// route is where messages of a topic belong.
type route struct {
	kind   topic.Kind
	node   *node
	device string
}

// New is one that knows nothing yet.
func New(c Config) *Host {
	return &Host{config: c, own: topic.OfHost(c.ID), routes: map[string]*route{}, nodes: map[Node]*node{}}
}

// Series is one of those that Effects name.
func (h *Host) Series(i int) Series { return h.series[i].Series }

// Effects are those since they were last asked for. They are good until the next call of
// another method.
func (h *Host) Effects() *Effects { return &h.out }

// Clear forgets the effects, once they have been seen to.
func (h *Host) Clear() {
	o := &h.out
	*o = Effects{Found: o.Found[:0], Readings: o.Readings[:0], Past: o.Past[:0], Rebirths: o.Rebirths[:0], Notes: o.Notes[:0]}
}

// Due is when Tick has something to do; zero: never.
func (h *Host) Due() time.Time { return h.due }

// Receive takes a message that came at a moment. retained says that the broker kept it from
// before.
func (h *Host) Receive(at time.Time, name string, b []byte, retained bool) {
	if name == h.own {
		h.state(b, retained)
		return
	}
	r := h.route(name)
	if r == nil || r.kind == topic.NCmd || r.kind == topic.DCmd {
		return
	}
	if retained {
		h.note(r.node, r.device, "a message that the broker has kept is ignored", payload.ErrMalformed)
		return
	}
	h.message(at, message{r, b})
}

// state is told what is published of this host application.
func (h *Host) state(b []byte, retained bool) {
	s, err := topic.ParseState(b)
	switch {
	case err != nil:
	case retained:
		h.out.Since = s.Timestamp
	case !s.Online:
		h.out.Republish = true
	}
}

func (h *Host) route(name string) *route {
	if r, known := h.routes[name]; known {
		return r
	}
	t, ok := topic.Parse(name)
	if !ok || len(name) > longest {
		return nil
	}
	of := Node{t.Group, t.Node}
	if of == h.config.Own {
		return nil
	}
	n := h.nodes[of]
	if n == nil {
		if len(h.nodes) == maxNodes {
			h.overflow(of)
			return nil
		}
		n = newNode(of)
		h.nodes[of] = n
	}
	if len(h.routes) >= maxRoutes {
		clear(h.routes)
	}
	r := &route{t.Kind, n, t.Device}
	h.routes[strings.Clone(name)] = r
	return r
}

func (h *Host) overflow(of Node) {
	if !h.full {
		h.full = true
		h.out.Notes = append(h.out.Notes, Note{Node: of, Text: "edge nodes tell too much; the rest isn't read", Err: payload.ErrTooLarge})
	}
}

func (h *Host) note(n *node, device, text string, err error) {
	h.out.Notes = append(h.out.Notes, Note{n.Node, device, text, err})
}

// Connected is told that there is a connection, and Lost that there is none any more.
// Who was known is asked for births: it can't be said what was missed.
func (h *Host) Connected(at time.Time) {
	for _, n := range h.sorted() {
		h.ask(n, at)
	}
}

// Lost marks everything as unknown.
func (h *Host) Lost(at time.Time) {
	for _, n := range h.sorted() {
		h.release(n)
		h.leave(n, at)
	}
}

func (h *Host) sorted() []*node {
	list := make([]*node, 0, len(h.nodes))
	for _, n := range h.nodes {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b *node) int {
		return strings.Compare(a.Group+"/"+a.Name, b.Group+"/"+b.Name)
	})
	return list
}

// wake has Tick called at the latest then.
func (h *Host) wake(at time.Time) {
	if h.due.IsZero() || at.Before(h.due) {
		h.due = at
	}
}

// Tick is told how late it is.
func (h *Host) Tick(at time.Time) {
	if h.due.IsZero() || at.Before(h.due) {
		return
	}
	h.due = time.Time{}
	for _, n := range h.sorted() {
		if !n.giveUp.IsZero() {
			if at.Before(n.giveUp) {
				h.wake(n.giveUp)
			} else {
				h.release(n)
				h.ask(n, at)
			}
		}
		for _, d := range n.sorted() {
			switch {
			case d.expected.IsZero():
			case at.Before(d.expected):
				h.wake(d.expected)
			default:
				d.expected = time.Time{}
				h.gone(&d.owner, at, telemetry.GatewayTime)
			}
		}
		if n.asking {
			h.ask(n, at)
		}
	}
}

// ask has a node be asked for its births, now or when it is time again.
func (h *Host) ask(n *node, at time.Time) {
	if at.Before(n.askNext) {
		n.asking = true
		h.wake(n.askNext)
		return
	}
	n.asking = false
	n.askPause = min(max(rebirthPause, 2*n.askPause), longestPause)
	n.askNext = at.Add(n.askPause)
	h.out.Rebirths = append(h.out.Rebirths, n.Node)
}
