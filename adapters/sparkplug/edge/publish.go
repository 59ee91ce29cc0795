package edge

import (
	"cmp"
	"slices"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/telemetry"
)

// Next is what is to be published now, in this order: births and deaths, what has
// changed, and then at most as many messages as most of what had to wait. They count as
// published when it is called again; there is nothing more when it says nothing. at is what
// they are stamped with, and now the same moment by a clock that nobody sets. What is asked
// for soon after a birth waits for RebirthPause, and everything else with it.
func (e *Edge) Next(at, now time.Time, most int) (list []Message) {
	if !e.publishing() {
		return nil
	}
	e.forget(now)
	if e.asked && !e.rebirth {
		if now.Sub(e.bornAt) < RebirthPause {
			return nil // no data come before the birth
		}
		e.rebirth = true
	}
	if e.rebirth {
		e.asked, e.bornAt = false, now
		list = append(list, e.birth(e.node, at))
		for _, d := range e.devices {
			e.unpublished(d)
			d.birth, d.born = true, false
		}
	}
	for _, d := range e.devices {
		if d.birth && d.alive || (d.birth || !d.born) && len(d.past) > 0 {
			list = append(list, e.birth(d, at))
		}
	}
	if e.dropped+e.retyped != e.reported {
		e.reported = e.dropped + e.retyped
		list = append(list, e.numbered(topic.NData, "", at, []payload.Metric{e.droppedMetric(at, false)}))
	}
	all := append([]*device{e.node}, e.devices...)
	for _, d := range all {
		for len(d.fresh) > 0 {
			if m := e.data(d, &d.fresh, at, false); m.Topic != "" {
				list = append(list, m)
			}
		}
	}
	for _, d := range all {
		for d.born && len(d.past) > 0 && most > 0 {
			if m := e.data(d, &d.past, at, true); m.Topic != "" {
				list = append(list, m)
				most--
			}
		}
	}
	for _, d := range e.devices {
		if d.born && !d.alive && len(d.past) == 0 {
			d.born, d.birth = false, false
			list = append(list, e.numbered(topic.DDeath, d.id, at, nil))
		}
	}
	e.devices = slices.DeleteFunc(e.devices, func(d *device) bool { return len(d.signals) == 0 && !d.born })
	return list
}

func (e *Edge) message(kind topic.Kind, device string, p payload.Payload) Message {
	t := topic.Topic{Kind: kind, Group: e.config.Group, Node: e.config.Node, Device: device}
	return Message{Topic: t.String(), Payload: p}
}

// numbered is a message with the next number.
func (e *Edge) numbered(kind topic.Kind, device string, at time.Time, metrics []payload.Metric) Message {
	p := payload.Payload{Timestamp: uint64(at.UnixMilli()), HasTimestamp: true, Seq: uint64(e.seq), HasSeq: true, Metrics: metrics}
	e.seq++
	return e.message(kind, device, p)
}

// birth is that of the node, or of a device. Everything that it has is told, so nothing
// that is fresh has to be.
func (e *Edge) birth(d *device, at time.Time) Message {
	kind := topic.DBirth
	var metrics []payload.Metric
	if d == e.node {
		kind, e.seq, e.rebirth, e.born = topic.NBirth, 0, false, true
		e.reported = e.dropped + e.retyped
		metrics = append(metrics, bdSeqMetric(e.bdSeq, at), payload.Metric{
			Name: []byte(payload.Rebirth), Timestamp: uint64(at.UnixMilli()), HasTimestamp: true, Type: payload.Boolean, Value: payload.BooleanValue(false),
		}, e.droppedMetric(at, true))
	}
	d.born, d.birth = true, false
	e.unpublished(d)
	for _, s := range d.signals {
		if s.live {
			continue
		}
		s.born, s.told = typeOf(s), telemetry.Sample{}
		if d.alive {
			s.told = s.current
		}
		m := metricOf(s.current)
		m.Name, m.Alias, m.HasAlias, m.Type = []byte(s.Name), uint64(s.ID), true, s.born
		if s.current.Signal == 0 || !d.alive {
			m.Null, m.Value = true, payload.Value{}
		}
		if s.current.Signal == 0 {
			m.Timestamp, m.HasTimestamp = uint64(at.UnixMilli()), true
		}
		if s.Unit != "1" && s.Unit != "" {
			m.Properties = payload.AppendProperties(m.Properties, []payload.Property{{Name: []byte("engUnit"), Type: payload.String, Value: payload.StringValue(s.Unit)}})
		}
		metrics = append(metrics, m)
	}
	return e.numbered(kind, d.id, at, metrics)
}

// unpublished has what is fresh be of the past, as a birth is about to tell what is current.
func (e *Edge) unpublished(d *device) {
	for _, v := range d.fresh {
		if d.alive && v.Sample == v.signal.current {
			e.waiting--
			e.sent = append(e.sent, sent{value: v})
		} else {
			d.past = append(d.past, v)
		}
	}
	d.fresh = nil
}

// data is a message of values from the beginning of a list, in the order of their times.
// Its topic is "" if none of them is to be told.
func (e *Edge) data(d *device, list *[]value, at time.Time, historical bool) Message {
	n := min(together, len(*list))
	batch := slices.Clone((*list)[:n])
	*list = behind(*list, n)
	e.waiting -= n
	slices.SortStableFunc(batch, func(a, b value) int { return cmp.Compare(a.Time, b.Time) })
	var metrics []payload.Metric
	for _, v := range batch {
		if !v.of && v.Sample == v.signal.told { // its birth has told it
			e.sent = append(e.sent, sent{value: v})
			continue
		}
		if kind := payload.TypeOf(v.Value); kind != payload.Unknown && kind != v.signal.born {
			e.retyped++
			continue
		}
		m := metricOf(v.Sample)
		m.Alias, m.HasAlias, m.Historical = uint64(v.signal.ID), true, historical || v.of
		metrics = append(metrics, m)
		e.sent = append(e.sent, sent{value: v})
	}
	if len(metrics) == 0 {
		return Message{}
	}
	kind := topic.DData
	if d == e.node {
		kind = topic.NData
	}
	return e.numbered(kind, d.id, at, metrics)
}

// typeOf is what a signal's values are, as far as that is known.
func typeOf(s *signal) payload.DataType {
	if kind := payload.TypeOf(s.current.Value); kind != payload.Unknown {
		return kind
	}
	switch {
	case s.kind != payload.Unknown:
		return s.kind
	case s.born != payload.Unknown:
		return s.born
	case s.Kind == telemetry.State:
		return payload.Int64
	}
	return payload.Double
}

// The quality codes of 6.4.13.
const (
	codeBad   = 0
	codeStale = 500
)

// metricOf is a sample as a metric.
func metricOf(s telemetry.Sample) payload.Metric {
	m := payload.Metric{Timestamp: uint64(max(0, s.Time) / 1000), HasTimestamp: true, Value: payload.ScalarOf(s.Value)}
	m.Null = m.Value.Form() == payload.Absent
	code := int64(-1)
	switch s.Quality.Validity() {
	case telemetry.Bad:
		code = codeBad
	case telemetry.Uncertain:
		code = codeStale
	}
	if code >= 0 {
		m.Properties = payload.AppendProperties(nil, []payload.Property{{Name: []byte("Quality"), Type: payload.Int32, Value: payload.IntValue(payload.Int32, code)}})
	}
	return m
}

func bdSeqMetric(n uint64, at time.Time) payload.Metric {
	return payload.Metric{
		Name: []byte(payload.BdSeq), Timestamp: uint64(at.UnixMilli()), HasTimestamp: true, Type: payload.Int64, Value: payload.IntValue(payload.Int64, int64(n)),
	}
}

// droppedMetric is how many values were given up.
func (e *Edge) droppedMetric(at time.Time, birth bool) payload.Metric {
	m := payload.Metric{
		Alias: droppedAlias, HasAlias: true, Timestamp: uint64(at.UnixMilli()), HasTimestamp: true,
		Value: payload.IntValue(payload.UInt64, int64(e.dropped+e.retyped)),
	}
	if birth {
		m.Name, m.Type = []byte(droppedName), payload.UInt64
	}
	return m
}
