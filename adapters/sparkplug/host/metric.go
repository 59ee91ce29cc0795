package host

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/telemetry"
)

// metric is what a birth says of one of its metrics.
type metric struct {
	owner *owner
	path  string
	kind  payload.DataType
	unit  string
	leaf  int                // the series of a scalar; -1: none
	parts map[string]*metric // of a template
	cells map[int]int        // the series of the elements of an array, and of the cells of a data set
	mute  bool               // nothing of it is read
}

const (
	// maxElements bounds what is read of an array, and of a data set.
	maxElements = 1000
	// earliest is the earliest time that is believed of a device, and tooLate how far in the
	// future none is.
	earliest = 946_684_800_000 // 2000-01-01, in ms
	tooLate  = time.Hour
)

// scratch is room that is used again.
type scratch struct {
	properties []payload.Property
	elements   []telemetry.Value
}

// define takes a metric of a birth. depth is of the templates around it.
func (h *Host) define(o *owner, path string, m *payload.Metric, depth int) *metric {
	d := &metric{owner: o, path: path, kind: m.Type, leaf: -1, mute: m.Transient || controls[path]}
	if d.kind == payload.Unknown {
		d.kind = m.Value.Natural()
	}
	o.defined++
	h.defined++
	if d.mute || h.defined > maxDefined || len(path) > longest {
		d.mute = true
		return d
	}
	d.unit = h.unit(m)
	switch {
	case d.kind.Scalar():
		d.leaf = h.add(o, path, Series{Type: d.kind, Unit: d.unit})
	case d.kind.Element() != payload.Unknown || d.kind == payload.DataSetType:
		d.cells = map[int]int{}
	case d.kind == payload.TemplateType:
		t, err := m.Value.Template()
		if err != nil || t.Definition || depth == payload.MaxDepth {
			d.mute = err == nil
			break
		}
		d.parts = make(map[string]*metric, len(t.Metrics))
		for i := range t.Metrics {
			if h.defined >= maxDefined {
				break
			}
			part := &t.Metrics[i]
			d.parts[string(part.Name)] = h.define(o, path+"/"+string(part.Name), part, depth+1)
		}
	default:
		d.mute = true // bytes, files
	}
	return d
}

// add is the series of an owner at a path. It is found if there was none, or what was
// there meant something else; -1 if there are too many.
func (h *Host) add(o *owner, path string, s Series) int {
	s.Group, s.Node, s.Device, s.Metric = o.node.Group, o.node.Name, o.device, path
	list := o.known[path]
	at := slices.IndexFunc(list, func(i int) bool { return h.series[i].Series == s })
	i := len(h.series)
	switch {
	case at >= 0:
		i = list[at]
	case i == maxSeries:
		h.overflow(o.node)
		return -1
	default:
		h.series = append(h.series, series{Series: s})
	}
	if at < 0 || at < len(list)-1 {
		o.known[path] = append(slices.DeleteFunc(list, func(k int) bool { return k == i }), i)
		h.series[i].told = false
		h.out.Found = append(h.out.Found, i)
	}
	if !s.Live && !h.series[i].born {
		h.series[i].born = true
		o.series = append(o.series, i)
	}
	return i
}

// The properties that say a unit, of which the specification has none, and a quality.
var unitNames = []string{"engUnit", "engUnits", "engineeringUnits", "Engineering Units", "unit", "units"}

const qualityName = "quality"

func (h *Host) unit(m *payload.Metric) string {
	for _, p := range h.properties(m) {
		if p.Value.Form() != payload.AsString || p.Null {
			continue
		}
		for _, name := range unitNames {
			if strings.EqualFold(string(p.Name), name) {
				return string(p.Value.Bytes())
			}
		}
	}
	return ""
}

func (h *Host) properties(m *payload.Metric) []payload.Property {
	if len(m.Properties) == 0 {
		return nil
	}
	list, err := payload.Properties(h.scratch.properties[:0], m.Properties)
	h.scratch.properties = list[:0]
	if err != nil {
		return nil
	}
	return list
}

// quality is that of a metric: good unless a property says otherwise.
func (h *Host) quality(m *payload.Metric) telemetry.Quality {
	for _, p := range h.properties(m) {
		if strings.EqualFold(string(p.Name), qualityName) && !p.Null {
			if code, err := p.Value.Scalar(payload.Int32); err == nil {
				return qualityOf(int64(code.Bits()))
			}
		}
	}
	return 0
}

// qualityOf is what a code says: those of the specification are 0, bad, 192, good, and
// 500, stale; others are those of OPC DA (3.0, 6.8).
func qualityOf(code int64) telemetry.Quality {
	bad := func(r telemetry.Reason) telemetry.Quality {
		return telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, r)
	}
	switch {
	case code == 500:
		return telemetry.MakeQuality(telemetry.Uncertain, telemetry.GatewayTime, telemetry.NoReason) | telemetry.Stale
	case code >= 192 && code < 256:
		return 0
	case code >= 64 && code < 128:
		return telemetry.MakeQuality(telemetry.Uncertain, telemetry.GatewayTime, telemetry.NoReason)
	case code == 8 || code == 24:
		return bad(telemetry.NotConnected)
	case code == 28:
		return bad(telemetry.OutOfService)
	}
	return bad(telemetry.SensorFailure)
}

// moment is when something was, by the clock of who tells it if that can be right.
func moment(ms uint64, given bool, at time.Time) (time.Time, telemetry.TimeQuality) {
	if given && ms >= earliest && ms <= uint64(at.Add(tooLate).UnixMilli()) {
		return time.UnixMilli(int64(ms)), telemetry.DeviceTime
	}
	return at, telemetry.GatewayTime
}

// metric takes the value of a metric.
func (h *Host) metric(o *owner, d *metric, m *payload.Metric, p *payload.Payload, at time.Time, late bool) {
	if d.mute || m.Transient {
		return
	}
	ms, given := m.Timestamp, m.HasTimestamp
	if !given || ms == 0 {
		ms, given = p.Timestamp, p.HasTimestamp
	}
	when, clock := moment(ms, given, at)
	s := telemetry.Sample{Time: telemetry.MicrosOf(when), Quality: h.quality(m).WithTime(clock)}
	h.value(o, d, m, s, late || m.Historical, 0)
}

// value reads the value of a metric, or its parts. s has the time and the quality.
func (h *Host) value(o *owner, d *metric, m *payload.Metric, s telemetry.Sample, past bool, depth int) {
	if d.mute {
		return
	}
	if m.Null || m.Value.Form() == payload.Absent {
		h.null(d, s, past)
		return
	}
	var err error
	switch {
	case d.kind.Scalar():
		var v telemetry.Value
		if v, err = m.Value.Scalar(d.kind); err == nil {
			h.leaf(d.leaf, v, s, past)
		}
	case d.kind == payload.DataSetType:
		err = h.dataSet(o, d, m.Value, s, past)
	case d.kind == payload.TemplateType && depth < payload.MaxDepth:
		err = h.template(o, d, m.Value, s, past, depth)
	default:
		h.scratch.elements, err = m.Value.Array(h.scratch.elements[:0], d.kind, maxElements)
		if err == nil {
			for i, v := range h.scratch.elements {
				h.leaf(h.cell(o, d, i, d.kind.Element(), func() string { return strconv.Itoa(i) }), v, s, past)
			}
			h.shorter(d, len(h.scratch.elements), s, past)
		}
	}
	if err != nil {
		h.note(h.nodes[o.node], o.device, "value of an edge node can't be read", fmt.Errorf("%s: %w", d.path, err))
		s.Quality = telemetry.MakeQuality(telemetry.Bad, s.Quality.TimeQuality(), telemetry.Malformed)
		h.leaf(d.leaf, telemetry.Value{}, s, past)
	}
}

// null is that a metric has no value.
func (h *Host) null(d *metric, s telemetry.Sample, past bool) {
	if s.Quality.Validity() != telemetry.Bad {
		s.Quality = telemetry.MakeQuality(telemetry.Bad, s.Quality.TimeQuality(), telemetry.NotImplemented)
	}
	h.leaf(d.leaf, telemetry.Value{}, s, past)
	for _, i := range d.cells {
		h.leaf(i, telemetry.Value{}, s, past)
	}
	for _, part := range d.parts {
		h.null(part, s, past)
	}
}

// cell is the series of an element or a cell by its index.
func (h *Host) cell(o *owner, d *metric, i int, kind payload.DataType, index func() string) int {
	at, known := d.cells[i]
	if !known || at >= 0 && h.series[at].Type != kind {
		at = h.add(o, d.path+"["+index()+"]", Series{Type: kind, Unit: d.unit})
		d.cells[i] = at
	}
	return at
}

// shorter says that what is beyond the end of an array or a data set has no value.
func (h *Host) shorter(d *metric, length int, s telemetry.Sample, past bool) {
	if len(d.cells) <= length {
		return
	}
	s.Quality = telemetry.MakeQuality(telemetry.Bad, s.Quality.TimeQuality(), telemetry.NotImplemented)
	for i, at := range d.cells {
		if i >= length {
			h.leaf(at, telemetry.Value{}, s, past)
		}
	}
}

func (h *Host) dataSet(o *owner, d *metric, v payload.Value, s telemetry.Sample, past bool) error {
	table, err := v.DataSet()
	if err != nil {
		return err
	}
	i := 0
	for row, cells := range table.Rows {
		for column, cell := range cells {
			kind := table.Types[column]
			if i == maxElements {
				return nil
			}
			if !kind.Scalar() {
				continue
			}
			at := h.cell(o, d, i, kind, func() string { return strconv.Itoa(row) + "," + string(table.Columns[column]) })
			i++
			one := s
			value, err := cell.Scalar(kind)
			if err != nil {
				one.Quality = telemetry.MakeQuality(telemetry.Bad, s.Quality.TimeQuality(), telemetry.NotImplemented)
			}
			h.leaf(at, value, one, past)
		}
	}
	h.shorter(d, i, s, past)
	return nil
}

func (h *Host) template(o *owner, d *metric, v payload.Value, s telemetry.Sample, past bool, depth int) error {
	t, err := v.Template()
	if err != nil || t.Definition {
		return err
	}
	if d.parts == nil { // there was none at the birth
		d.parts = make(map[string]*metric, len(t.Metrics))
	}
	for i := range t.Metrics {
		m := &t.Metrics[i]
		part := d.parts[string(m.Name)]
		if part == nil && h.defined >= maxDefined {
			continue
		}
		if part == nil {
			part = h.define(o, d.path+"/"+string(m.Name), m, depth+1)
			d.parts[string(m.Name)] = part
		}
		one := s
		if m.HasTimestamp && m.Timestamp != 0 {
			when, clock := moment(m.Timestamp, true, s.Time.Time())
			one.Time, one.Quality = telemetry.MicrosOf(when), s.Quality.WithTime(clock)
		}
		if q := h.quality(m); q != 0 {
			one.Quality = q.WithTime(one.Quality.TimeQuality())
		}
		h.value(o, part, m, one, past || m.Historical, depth+1)
	}
	return nil
}

// leaf is a value of a series, if there is one.
func (h *Host) leaf(i int, v telemetry.Value, s telemetry.Sample, past bool) {
	if i < 0 {
		return
	}
	if f, ok := v.Float(); ok && math.IsNaN(f) {
		v, s.Quality = telemetry.Value{}, telemetry.MakeQuality(telemetry.Bad, s.Quality.TimeQuality(), telemetry.NotANumber)
	}
	s.Value = v
	if s.Quality.Validity() == telemetry.Bad {
		s.Value = telemetry.Value{}
	}
	h.read(i, s, past)
}

// read is a reading of a series. One that births repeat isn't another one.
func (h *Host) read(i int, s telemetry.Sample, past bool) {
	if past {
		h.out.Past = append(h.out.Past, Reading{i, s})
		return
	}
	of := &h.series[i]
	if of.told && of.last == s {
		return
	}
	of.last, of.told = s, true
	h.out.Readings = append(h.out.Readings, Reading{i, s})
}

// lapse is that a series has no value any more, and why.
func (h *Host) lapse(i int, at telemetry.Micros, clock telemetry.TimeQuality, why telemetry.Reason) {
	h.read(i, telemetry.Sample{Time: at, Quality: telemetry.MakeQuality(telemetry.Bad, clock, why) | telemetry.Stale}, false)
	h.series[i].told = false
}
