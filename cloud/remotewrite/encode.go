package remotewrite

import (
	"math"
	"slices"

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

// encode is the body of a request with those of the samples that are chosen and have a
// value or are bad, and their number. Within a millisecond, which is as exact as
// Prometheus is, the first of a series counts.
func (w *Writer) encode(batch []telemetry.Sample) (body []byte, n int) {
	by := map[telemetry.SignalID][]byte{}
	var order []telemetry.SignalID
	for _, s := range batch {
		if w.chosen[s.Signal] == nil {
			continue
		}
		bits, ok := valueOf(s)
		ms := s.Time.Time().UnixMilli()
		if last, sent := w.last[s.Signal]; !ok || sent && ms <= last {
			continue
		}
		w.last[s.Signal] = ms
		var sample []byte
		sample = protowire.AppendTag(sample, sampleValue, protowire.Fixed64Type)
		sample = protowire.AppendFixed64(sample, bits)
		sample = protowire.AppendTag(sample, sampleTime, protowire.VarintType)
		sample = protowire.AppendVarint(sample, uint64(ms))
		series, begun := by[s.Signal]
		if !begun {
			series = slices.Clone(w.chosen[s.Signal])
			order = append(order, s.Signal)
		}
		series = protowire.AppendTag(series, seriesSamples, protowire.BytesType)
		by[s.Signal] = protowire.AppendBytes(series, sample)
		n++
	}
	for _, id := range order {
		body = protowire.AppendTag(body, requestSeries, protowire.BytesType)
		body = protowire.AppendBytes(body, by[id])
	}
	return s2.EncodeSnappy(nil, body), n
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
