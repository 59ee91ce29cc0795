package store

import (
	"fmt"

	"github.com/busbar/busbar/telemetry"
)

// The minutes of an hour of a bundle are kept as a block whose signals are what is
// known of each series, so that alike numbers stand beside one another: a row for each
// would take more room than the samples.
const (
	minuteMin = iota
	minuteMax
	minuteSum
	minuteLast
	minuteText
	minuteSamples
	minuteValued
	minuteGood
	minuteColumns

	perColumn = 1 << 28 // series of a bundle, by their distance from its first
)

type seriesMinutes struct {
	series  telemetry.SignalID
	minutes []Bucket // by time
}

// appendMinutes puts minutes into the samples of a block.
func appendMinutes(out []telemetry.Sample, bundle int64, list []seriesMinutes) ([]telemetry.Sample, error) {
	for column := range int64(minuteColumns) {
		for _, s := range list {
			away := int64(s.series) - bundle
			if away < 0 || away >= perColumn {
				return nil, fmt.Errorf("series %d is too far from the first of its bundle, %d", s.series, bundle)
			}
			for _, m := range s.minutes {
				v, ok := m.column(column)
				if ok {
					out = append(out, telemetry.Sample{Signal: telemetry.SignalID(column*perColumn + away), Time: m.Start, Value: v})
				}
			}
		}
	}
	return out, nil
}

func (b Bucket) column(column int64) (v telemetry.Value, ok bool) {
	switch column {
	case minuteMin:
		return telemetry.FloatValue(b.Min), b.Valued > 0
	case minuteMax:
		return telemetry.FloatValue(b.Max), b.Valued > 0
	case minuteSum:
		return telemetry.FloatValue(b.Sum), b.Valued > 0
	case minuteLast:
		return telemetry.FloatValue(b.Last), b.Valued > 0
	case minuteText:
		return telemetry.TextValue(b.LastText), b.LastText != ""
	case minuteSamples:
		return telemetry.IntValue(b.Samples), true
	case minuteValued:
		return telemetry.IntValue(b.Valued), true
	}
	return telemetry.IntValue(b.Good), true
}

// minutesOf reads the minutes of one series, by time, from a block.
func minutesOf(decoder *telemetry.Decoder, block []byte, bundle int64, series telemetry.SignalID, reuse []telemetry.Sample) ([]Bucket, []telemetry.Sample, error) {
	away := int64(series) - bundle
	var ids [minuteColumns]telemetry.SignalID
	for column := range ids {
		ids[column] = telemetry.SignalID(int64(column)*perColumn + away)
	}
	samples, err := decoder.Only(block, ids[:], reuse)
	if err != nil {
		return nil, samples, err
	}
	var out []Bucket
	for _, s := range samples {
		if s.Signal == ids[minuteSamples] {
			out = append(out, Bucket{Start: s.Time})
		}
	}
	at := 0
	for i, s := range samples {
		if i == 0 || s.Signal != samples[i-1].Signal {
			at = 0
		}
		for at < len(out) && out[at].Start != s.Time {
			at++
		}
		if at == len(out) {
			return nil, samples, fmt.Errorf("minute %d of series %d has no samples", MinuteOf(s.Time), series)
		}
		out[at].set(int64(s.Signal)/perColumn, s.Value)
	}
	return out, samples, nil
}

func (b *Bucket) set(column int64, v telemetry.Value) {
	number, _ := v.Float()
	switch column {
	case minuteMin:
		b.Min = number
	case minuteMax:
		b.Max = number
	case minuteSum:
		b.Sum = number
	case minuteLast:
		b.Last = number
	case minuteText:
		b.LastText = v.Text()
	case minuteSamples:
		b.Samples = int64(v.Bits())
	case minuteValued:
		b.Valued = int64(v.Bits())
	case minuteGood:
		b.Good = int64(v.Bits())
	}
}
