package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/telemetry"
)

// node is an edge node.
type node struct {
	Node
	owner
	order
	bdSeq    uint64
	hasBdSeq bool
	aliases  map[uint64]*metric
	devices  map[string]*device

	asking   bool // it is to be asked for its births
	askNext  time.Time
	askPause time.Duration
}

// device is one of an edge node's.
type device struct {
	owner
	expected time.Time // by when its birth has to come; zero: it has, or it isn't there
}

// owner is who has metrics: a node, or a device.
type owner struct {
	node    Node
	device  string
	online  bool
	metrics map[string]*metric // of the last birth
	defined int                // these, with the parts of templates
	series  []int              // of these
	known   map[string][]int   // all series that it ever had at a path; the last is what it is now
	live    int                // a series
}

func newNode(of Node) *node {
	return &node{Node: of, owner: owner{node: of, live: -1, known: map[string][]int{}}, devices: map[string]*device{}}
}

func (n *node) sorted() []*device {
	list := make([]*device, 0, len(n.devices))
	for _, d := range n.devices {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b *device) int { return strings.Compare(a.device, b.device) })
	return list
}

// controls are metrics that say nothing: they are there to be written to.
var controls = map[string]bool{
	payload.BdSeq: true, payload.Rebirth: true, "Node Control/Reboot": true, "Node Control/Next Server": true,
	"Device Control/Rebirth": true, "Device Control/Reboot": true,
}

// process takes a message whose turn it is. late says that others came before it that
// were sent after it.
func (h *Host) process(at time.Time, r *route, p *payload.Payload, late bool) {
	n := r.node
	switch r.kind {
	case topic.NData:
		h.data(n, &n.owner, at, p, late)
	case topic.DData, topic.DDeath:
		d := n.devices[r.device]
		if d == nil || !d.online {
			if r.kind == topic.DData {
				h.ask(n, at)
			}
			return
		}
		if r.kind == topic.DData {
			h.data(n, &d.owner, at, p, late)
			return
		}
		if late {
			return // it may have been born again
		}
		when, clock := moment(p.Timestamp, p.HasTimestamp, at)
		h.note(n, d.device, "device of an edge node is gone", errDied)
		d.expected = time.Time{}
		h.gone(&d.owner, when, clock)
	case topic.DBirth:
		if late {
			h.ask(n, at)
			return
		}
		d := n.devices[r.device]
		if d == nil {
			if len(n.devices) == maxDevices {
				h.overflow(n.Node)
				return
			}
			d = &device{owner: owner{node: n.Node, device: r.device, live: -1, known: map[string][]int{}}}
			n.devices[r.device] = d
		}
		d.expected = time.Time{}
		h.birth(n, &d.owner, at, p)
	}
}

var errDied = errors.New("it has said so, or its connection was lost")

// born takes the birth of a node.
func (h *Host) born(n *node, at time.Time, p *payload.Payload) {
	h.begin(n, uint8(p.Seq)+1)
	n.hasBdSeq = false
	for _, m := range p.Metrics {
		if string(m.Name) == payload.BdSeq {
			n.bdSeq, n.hasBdSeq = number(m)
		}
	}
	n.asking, n.askPause = false, 0
	n.aliases = map[uint64]*metric{}
	for _, d := range n.devices {
		if d.online {
			d.expected = at.Add(deviceGrace)
			h.wake(d.expected)
			h.undefine(&d.owner) // they have no aliases any more
		}
	}
	h.birth(n, &n.owner, at, p)
}

func number(m payload.Metric) (uint64, bool) {
	v, err := m.Value.Scalar(payload.Int64)
	return v.Bits(), err == nil && !m.Null
}

// died takes the death of a node. It counts if it is that of the last birth.
func (h *Host) died(n *node, at time.Time, p *payload.Payload) {
	if !n.online {
		return
	}
	for _, m := range p.Metrics {
		if string(m.Name) != payload.BdSeq {
			continue
		}
		if of, ok := number(m); ok && n.hasBdSeq && of != n.bdSeq {
			h.note(n, "", "death of an earlier session of an edge node is ignored", fmt.Errorf("its bdSeq is %d, that of the birth %d", of, n.bdSeq))
			return
		}
	}
	h.release(n)
	h.note(n, "", "edge node is gone", errDied)
	h.leave(n, at)
}

// leave has a node and its devices be gone.
func (h *Host) leave(n *node, at time.Time) {
	h.gone(&n.owner, at, telemetry.GatewayTime)
	for _, d := range n.sorted() {
		d.expected = time.Time{}
		h.gone(&d.owner, at, telemetry.GatewayTime)
	}
	h.begin(n, 0)
	n.aliases = nil
}

// birth takes what a node or a device says that it has.
func (h *Host) birth(n *node, o *owner, at time.Time, p *payload.Payload) {
	before := o.series
	again := o.online
	for _, s := range before {
		h.series[s].born = false
	}
	h.undefine(o)
	o.online, o.series, o.metrics = true, nil, make(map[string]*metric, len(p.Metrics))
	if o.live < 0 {
		o.live = h.add(o, "", Series{Type: payload.Boolean, Live: true})
	}
	if o.live >= 0 && !again {
		h.read(o.live, telemetry.Sample{Time: telemetry.MicrosOf(at), Value: telemetry.BoolValue(true)}, false)
	}
	for i := range p.Metrics {
		m := &p.Metrics[i]
		if len(m.Name) == 0 || len(m.Name) > longest {
			continue // nothing can come of it
		}
		if h.defined >= maxDefined {
			h.overflow(n.Node)
			break
		}
		defined := h.define(o, string(m.Name), m, 0)
		o.metrics[string(m.Name)] = defined
		if m.HasAlias {
			n.aliases[m.Alias] = defined
		}
		h.metric(o, defined, m, p, at, false)
	}
	for _, s := range before {
		if known := o.known[h.series[s].Metric]; !h.series[s].born && known[len(known)-1] == s { // nor has another one taken its place
			h.lapse(s, telemetry.MicrosOf(at), telemetry.GatewayTime, telemetry.NotImplemented)
		}
	}
	if !again {
		text := "edge node is there"
		if o.device != "" {
			text = "device of an edge node is there"
		}
		h.note(n, o.device, text, nil)
	}
}

// undefine forgets what a birth has told.
func (h *Host) undefine(o *owner) {
	h.defined -= o.defined
	o.defined, o.metrics = 0, nil
}

// gone has all that a node or a device has be unknown.
func (h *Host) gone(o *owner, at time.Time, clock telemetry.TimeQuality) {
	if !o.online {
		return
	}
	o.online = false
	h.undefine(o)
	for _, s := range o.series {
		h.lapse(s, telemetry.MicrosOf(at), clock, telemetry.NotConnected)
	}
	if o.live >= 0 {
		h.read(o.live, telemetry.Sample{
			Time: telemetry.MicrosOf(at), Value: telemetry.BoolValue(false), Quality: telemetry.MakeQuality(telemetry.Good, clock, telemetry.NoReason),
		}, false)
	}
}

// data takes what has changed.
func (h *Host) data(n *node, o *owner, at time.Time, p *payload.Payload, late bool) {
	for i := range p.Metrics {
		m := &p.Metrics[i]
		var of *metric
		if m.HasAlias {
			of = n.aliases[m.Alias]
		}
		if of == nil && len(m.Name) > 0 {
			of = o.metrics[string(m.Name)]
		}
		if of == nil || of.owner != o || m.Type != payload.Unknown && m.Type != of.kind && of.kind != payload.Unknown {
			h.ask(n, at) // it has another birth in mind than the one that was received
			continue
		}
		h.metric(o, of, m, p, at, late)
	}
}
