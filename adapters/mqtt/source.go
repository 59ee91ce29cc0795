package mqtt

import (
	"bytes"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// source is who publishes: the device, or one of the many that are read as one.
type source struct {
	away []bool // by which of the device's Availabilities it is
	name string // what the names of its signals begin with, of one of many
}

// gone reports whether it has said, in one place or another, that it isn't there.
func (s *source) gone() bool {
	for _, is := range s.away {
		if is {
			return true
		}
	}
	return false
}

// saying is that a topic is where a source says whether it is there.
type saying struct {
	source *source
	by     int // of the device's Availabilities
	slot   int // 0: the payload is the word
}

// source is the one of which wildcards match this; of none, the device.
func (r *reader) source(wildcards []string) *source {
	if len(wildcards) == 0 {
		return r.whole
	}
	key := strings.Join(wildcards, "/")
	s := r.sources[key]
	if s == nil {
		s = &source{}
		for _, w := range wildcards {
			s.name += expand("{1}", []string{w}) + "."
		}
		r.sources[key] = s
	}
	return s
}

// hear has read at a topic who says there whether it is there.
func (r *reader) hear(topic string, l *plan) {
	for i, a := range r.Available {
		wildcards, ok := matches(a.Topic, topic)
		if !ok {
			continue
		}
		s := saying{source: r.source(wildcards), by: i}
		if a.JSON != "" {
			steps, _ := parsePath(a.JSON)
			s.slot, _ = l.tree().add(steps)
		}
		l.says = append(l.says, s)
	}
}

// says reports whether a filter is that of an Availability.
func (r *reader) says(filter string) bool {
	for _, a := range r.Available {
		if a.Topic == filter {
			return true
		}
	}
	return false
}

// status is told what a source says of itself.
func (r *reader) status(s saying, word []byte) {
	a, before := r.Available[s.by], s.source.gone()
	away := false
	switch string(bytes.TrimSpace(word)) {
	case a.Offline:
		away = true
	case a.Online:
	default:
		if a.Online != "" {
			return
		}
	}
	if s.source.away == nil {
		s.source.away = make([]bool, len(r.Available))
	}
	s.source.away[s.by] = away
	if s.source != r.whole && s.source.gone() != before {
		r.turned = append(r.turned, s.source)
	}
}

// away reports whether who publishes a point says that it isn't there.
func (r *reader) away(p *point) bool {
	return p.source != nil && (p.source.gone() || r.whole.gone())
}

// tells reports whether a signal that was found earlier is of a source.
func (r *reader) tells(s *source, f adapters.Found) bool {
	return f.Follow >= 0 && f.Follow < len(r.Follow) && r.Follow[f.Follow].Sources > 0 && strings.HasPrefix(f.Name, s.name)
}

// takeTurned is which of many sources have gone since it was asked last, and which have
// come back.
func (r *reader) takeTurned() (gone, back []*source) {
	for _, s := range r.turned {
		if s.gone() {
			gone = append(gone, s)
		} else {
			back = append(back, s)
		}
	}
	r.turned = nil
	return gone, back
}

// restore is the values that the broker has kept of those that are back. It won't tell
// them again, and the source need not before they change.
func (r *reader) restore(now time.Time) (samples []telemetry.Sample) {
	for _, p := range r.points {
		if p.meanwhile.Time == 0 || r.away(p) {
			continue
		}
		s := p.meanwhile
		p.meanwhile = telemetry.Sample{}
		if p.last.Value.Kind() != telemetry.None || p.signal == 0 {
			continue // it has told something since
		}
		s.Time, s.Signal = r.after(p, telemetry.MicrosOf(now)), p.signal
		p.last = s
		samples = append(samples, s)
	}
	return samples
}
