package mqtt

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// Convention is how publishers describe what they publish, if they do.
type Convention string

const (
	// Homie4 is the Homie convention 3 and 4: the attributes $datatype and $unit below each
	// topic.
	Homie4 Convention = "homie-4"
	// Homie5 is the Homie convention 5: a document at $description of each device, two
	// levels above the topics.
	Homie5 Convention = "homie-5"
)

// Conventions are all of them.
var Conventions = []Convention{Homie4, Homie5}

// The topics of descriptions, by their last levels.
const (
	datatype = "/$datatype"
	unit     = "/$unit"
	document = "/$description"
	// property is what the filter of what is described ends with: those of a node, and of a
	// property of it.
	property = "/+/+"
)

// descriptions are the filters of what describes what is followed.
func (f Follow) descriptions() []string {
	switch f.Described {
	case Homie4:
		return []string{f.Topic + datatype, f.Topic + unit}
	case Homie5:
		return []string{strings.TrimSuffix(f.Topic, property) + document}
	}
	return nil
}

// CheckDescribed says what is wrong with the filter of what is described.
func CheckDescribed(filter string) error {
	if !strings.HasSuffix(filter, property) {
		return errors.New("expected + for the node and + for the property at its end, as in homie/device/+/+")
	}
	return nil
}

// about is what is said of a topic; type "": nothing yet.
type about struct{ datatype, unit string }

// place is what is followed at a topic, by an entry of Follow.
type place struct {
	follow    int
	topic     string
	wildcards []string
}

// description is that a topic describes another one, or all below that.
type description struct {
	of        string
	attribute string // datatype, unit or document
}

// described is what is known of topics that are described, and the last message of each
// that isn't yet.
type described struct {
	topics map[string]about
	held   map[string]mqttconn.Received
}

// longestHeld bounds a value that waits for its description, in bytes.
const longestHeld = 512

// hold keeps a message until its topic is described.
func (d *described) hold(m mqttconn.Received) {
	if m.LeftOut > 0 || len(m.Payload) > longestHeld || d.held[m.Topic].Topic == "" && len(d.held) >= mostTopics {
		return
	}
	if d.held == nil {
		d.held = map[string]mqttconn.Received{}
	}
	d.held[m.Topic] = m
}

// followDescribed has a topic read by an entry of follow, if it is one of values and is
// described, and has it describe others, if it does.
func (r *reader) followDescribed(follow int, topic string, l *plan) {
	f := r.Follow[follow]
	if wildcards, ok := matches(f.Topic, topic); ok {
		if n := len(wildcards); strings.HasPrefix(wildcards[n-1], "$") || strings.HasPrefix(wildcards[n-2], "$") {
			return
		}
		p := place{follow, topic, wildcards}
		l.described = append(l.described, p)
		r.meet(p, l)
		return
	}
	for i, filter := range f.descriptions() {
		if _, ok := matches(filter, topic); !ok {
			continue
		}
		attribute := document
		if f.Described == Homie4 {
			attribute = []string{datatype, unit}[i]
		}
		l.describes = &description{strings.TrimSuffix(topic, attribute), attribute}
	}
}

// describe takes up what a message says of topics.
func (r *reader) describe(d *description, payload []byte) {
	switch d.attribute {
	case datatype:
		a := r.described.topics[d.of]
		a.datatype = word(payload)
		r.learn(d.of, a)
	case unit:
		a := r.described.topics[d.of]
		a.unit = word(payload)
		r.learn(d.of, a)
	case document:
		var of struct {
			Nodes map[string]struct {
				Properties map[string]struct{ Datatype, Unit string }
			}
		}
		if err := json.Unmarshal(payload, &of); err != nil {
			r.malformed = d.of + document + ": " + err.Error()
			return
		}
		for _, node := range slices.Sorted(maps.Keys(of.Nodes)) {
			properties := of.Nodes[node].Properties
			for _, name := range slices.Sorted(maps.Keys(properties)) {
				p := properties[name]
				r.learn(d.of+"/"+node+"/"+name, about{word([]byte(p.Datatype)), word([]byte(p.Unit))})
			}
		}
	}
}

// word is a word of a description.
func word(payload []byte) string { return strings.TrimSpace(string(payload[:min(len(payload), 80)])) }

// learn takes up what is said of a topic.
func (r *reader) learn(topic string, a about) {
	before, known := r.described.topics[topic]
	if known && before == a || !known && len(r.described.topics) >= mostTopics || len(topic) > longestTopic {
		return
	}
	if r.described.topics == nil {
		r.described.topics = map[string]about{}
	}
	r.described.topics[topic] = a
	l := r.topics[topic]
	if l == nil || len(l.described) == 0 {
		return
	}
	for _, p := range l.described {
		r.meet(p, l)
	}
	if m, waits := r.described.held[topic]; waits && len(l.points) > 0 {
		delete(r.described.held, topic)
		r.take(m)
	}
}

// meet has the values of a place read as they are described.
func (r *reader) meet(at place, l *plan) {
	a := r.described.topics[at.topic]
	if a.datatype == "" {
		return
	}
	f := &r.Follow[at.follow]
	s, kind := f.Selector, telemetry.State
	switch a.datatype {
	case "integer", "float", "percent":
		s.Type, kind = Number, telemetry.Gauge
	case "boolean":
		s.Type = Bool
	default: // string, enum, color, and what is yet to come
		s.Type = Text
	}
	name := expand(f.Name, at.wildcards)
	if is := r.names[name]; is != nil && is.topic == at.topic && is.found != nil && is.found.Follow == at.follow {
		if is.Type == s.Type {
			if is.found.Unit == adapters.Unit(a.unit) {
				return
			}
			if !is.asked {
				is.found.Unit = adapters.Unit(a.unit)
				return
			}
		}
		// It is another signal from now on.
		delete(r.names, name)
		r.points = slices.DeleteFunc(r.points, func(p *point) bool { return p == is })
		l.points = slices.DeleteFunc(l.points, func(p *point) bool { return p == is })
		l.plain = slices.DeleteFunc(l.plain, func(p *point) bool { return p == is })
	}
	p := r.found(at.follow, at.topic, at.wildcards)
	if p == nil {
		return
	}
	p.Selector, p.found.Kind, p.found.Unit, p.found.Encoding = s, kind, adapters.Unit(a.unit), s.encoding()
	l.add(p)
}
