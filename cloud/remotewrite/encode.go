package remotewrite

import (
	"math"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Metric is what all samples are called; which signal it is stands in the labels.
const Metric = "busbar_signal"

// stale is the bits of the NaN by which Prometheus knows that a series has no value any
// more (model/value, StaleNaN).
const stale = 0x7ff0000000000002

// Field numbers of the messages WriteRequest, TimeSeries, Label and Sample (prompb).
const (
	requestSeries = 1
	seriesLabels  = 1
	seriesSamples = 2
	labelName     = 1
	labelValue    = 2
	sampleValue   = 1
	sampleTime    = 2
)

// labelsOf is the labels of a series as a message TimeSeries has them, in the order of
// their names.
func labelsOf(s store.Series) (encoded []byte) {
	for _, l := range [][2]string{
		{"__name__", Metric}, {"asset", s.Asset}, {"device", s.Device}, {"gateway", s.Gateway}, {"kind", string(s.Kind)}, {"signal", s.Name}, {"unit", s.Unit},
	} {
		if l[1] == "" {
			continue // a label without a value is none
		}
		var label []byte
		label = protowire.AppendTag(label, labelName, protowire.BytesType)
		label = protowire.AppendString(label, l[0])
		label = protowire.AppendTag(label, labelValue, protowire.BytesType)
		label = protowire.AppendString(label, l[1])
		encoded = protowire.AppendTag(encoded, seriesLabels, protowire.BytesType)
		encoded = protowire.AppendBytes(encoded, label)
	}
	return encoded
}

// series is what a request has of one series.
type series struct {
	labels []byte
	points []point
}

type point struct {
	ms   int64
	bits uint64
}

// timely reports whether a Prometheus takes a sample of this time, and is none the worse
// for it: of one in the past its head has gone on, and one in the future would keep what
// is measured now out of its series.
func timely(ms int64, now time.Time) bool {
	d := time.UnixMilli(ms).Sub(now)
	return d <= mostAhead && d >= -mostBehind
}

// gather is those of the samples that are chosen and have a value or are bad, by series in
// the order in which these come, and how many of them have times that aren't sent. Within
// a millisecond, which is as exact as Prometheus is, the first of a series counts.
func (w *Writer) gather(batch []telemetry.Sample) (list []series, untimely int) {
	now := time.Now()
	at := map[telemetry.SignalID]int{}
	for _, s := range batch {
		if w.chosen[s.Signal] == nil {
			continue
		}
		bits, ok := valueOf(s)
		if !ok {
			continue
		}
		ms := s.Time.Time().UnixMilli()
		if !timely(ms, now) {
			untimely++
			continue
		}
		if last, sent := w.last[s.Signal]; sent && ms <= last {
			continue
		}
		w.last[s.Signal] = ms
		i, begun := at[s.Signal]
		if !begun {
			i = len(list)
			at[s.Signal] = i
			list = append(list, series{labels: w.chosen[s.Signal]})
		}
		list[i].points = append(list[i].points, point{ms, bits})
	}
	return list, untimely
}

// encode is the body of a request with those points that are timely, and their number.
func encode(list []series, now time.Time) (body []byte, n int) {
	for _, s := range list {
		message, has := slices.Clone(s.labels), n
		for _, p := range s.points {
			if !timely(p.ms, now) {
				continue
			}
			var sample []byte
			sample = protowire.AppendTag(sample, sampleValue, protowire.Fixed64Type)
			sample = protowire.AppendFixed64(sample, p.bits)
			sample = protowire.AppendTag(sample, sampleTime, protowire.VarintType)
			sample = protowire.AppendVarint(sample, uint64(p.ms))
			message = protowire.AppendTag(message, seriesSamples, protowire.BytesType)
			message = protowire.AppendBytes(message, sample)
			n++
		}
		if n > has {
			body = protowire.AppendTag(body, requestSeries, protowire.BytesType)
			body = protowire.AppendBytes(body, message)
		}
	}
	return s2.EncodeSnappy(nil, body), n
}

func pointsOf(list []series) (n int) {
	for _, s := range list {
		n += len(s.points)
	}
	return n
}

// valueOf is the bits of a sample's value; false for a text.
func valueOf(s telemetry.Sample) (bits uint64, ok bool) {
	v, number := s.Value.Float()
	switch {
	case s.Quality.Validity() == telemetry.Bad || s.Value.Kind() == telemetry.None:
		return stale, true
	case number && math.IsNaN(v):
		return math.Float64bits(math.NaN()), true // whose bits aren't those of stale
	}
	return math.Float64bits(v), number
}
