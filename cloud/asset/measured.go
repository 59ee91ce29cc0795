package asset

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// Of ten minutes are the means of which standards of voltage and thermal limits are.
const tenMinutes = telemetry.Micros(600_000_000)

// band is how far from its nominal value the voltage may be, as a part of it (EN 50160).
const band = 0.1

// none is the part of it up to which there is no voltage.
const none = 0.05

// summedUp is what the samples of the last week say.
func (l *look) summedUp(ctx context.Context) error {
	to := l.now / tenMinutes * tenMinutes
	from := to - week
	q, v, c := &l.out.Quality, &l.out.Voltage, &l.out.Loading
	q.From, v.From, c.From = from, from, from
	of := l.summed()
	q.Signals, q.Of = len(of), len(l.series)
	trends := map[telemetry.SignalID]store.Trend{}
	for _, s := range of {
		trend, err := l.store.Trend(ctx, s.ID, from, to, int(week/tenMinutes))
		if err != nil {
			return err
		}
		trends[s.ID] = trend
		for _, b := range trend.Buckets {
			q.Samples += b.Samples
			q.Good += b.Good
		}
	}
	switch {
	case len(of) == 0:
		q.Unknown = NotMeasured
	case q.Samples == 0:
		q.Unknown = NoSamples
	}
	l.voltage(trends)
	l.loading(trends)
	return nil
}

// summed is the signals that are summed up: those of voltage and loading first.
func (l *look) summed() []store.Series {
	of := slices.Concat(l.loaded(), l.named("PhV", "PPV"))
	for _, s := range l.series {
		if !slices.ContainsFunc(of, func(o store.Series) bool { return o.ID == s.ID }) {
			of = append(of, s)
		}
	}
	return of[:min(len(of), mostSummed)]
}

// loaded is the signals that say how loaded it is.
func (l *look) loaded() []store.Series {
	switch l.row.Kind {
	case "line":
		return slices.DeleteFunc(l.named("A"), func(s store.Series) bool { return s.Name == "A.neut" || s.Name == "A.res" })
	case "transformer":
		return l.named("TotVA")
	}
	return nil
}

// leftOut is whether some of the signals weren't summed up.
func leftOut(trends map[telemetry.SignalID]store.Trend, list []store.Series) bool {
	return slices.ContainsFunc(list, func(s store.Series) bool { _, looked := trends[s.ID]; return !looked })
}

// means calls do with the beginning and the mean of each interval of a signal that has
// values, in the unit without a prefix; and tells how wide an interval is, and how many
// the week has. unit is "V", "A" or "V.A".
func (l *look) means(trends map[telemetry.SignalID]store.Trend, s store.Series, unit string, do func(at telemetry.Micros, mean float64)) (width telemetry.Micros, of int) {
	trend, looked := trends[s.ID]
	scale := scaleOf(s.Unit, unit)
	if !looked || scale == 0 {
		return 0, 0
	}
	for _, b := range trend.Buckets {
		if b.Valued > 0 {
			do(b.Start, b.Mean()*scale)
		}
	}
	return trend.Width, int(week / trend.Width)
}

func (l *look) voltage(trends map[telemetry.SignalID]store.Trend) {
	v := &l.out.Voltage
	list := l.named("PhV", "PPV")
	if len(list) == 0 {
		v.Unknown = NotMeasured
		return
	}
	nominals := l.net.NominalVoltages(l.id)
	unsure := false
	least, most := math.Inf(1), math.Inf(-1)
	for _, s := range list {
		var means []float64
		width, of := l.means(trends, s, "V", func(_ telemetry.Micros, mean float64) { means = append(means, mean) })
		if of == 0 {
			continue
		}
		factor := 1.0
		if strings.HasPrefix(s.Name, "PhV") {
			factor = math.Sqrt(3)
		}
		nominal := nearest(nominals, greatest(means)*factor)
		if nominal == 0 {
			unsure = unsure || len(means) > 0
			continue
		}
		if v.Nominal != 0 && v.Nominal != nominal {
			continue // of its other side
		}
		v.Nominal, v.Interval = nominal, max(v.Interval, width)
		v.Signals++
		v.Of += of
		v.Intervals += len(means)
		for _, mean := range means {
			pu := mean * factor / nominal
			if pu <= none {
				v.Without++
				continue
			}
			least, most = min(least, pu), max(most, pu)
			if math.Abs(pu-1) > band {
				v.Outside++
			}
		}
	}
	if least <= most {
		v.Least, v.Most = &least, &most
	}
	if v.Intervals == 0 {
		*v = AssetVoltage{Unknown: NoSamples, From: v.From}
		switch {
		case unsure:
			v.Unknown = NoNominal
		case leftOut(trends, list):
			v.Unknown = TooMany
		}
	}
}

func greatest(list []float64) (most float64) {
	for _, v := range list {
		most = max(most, v)
	}
	return most
}

// nearest is the nominal voltage that a measured one can be of, which is at most half of it
// away, or the only one that there is, unless it is more above that; 0: there is none.
func nearest(nominals []grid.Voltage, measured float64) (best float64) {
	if len(nominals) == 1 && measured <= 1.5*float64(nominals[0]) {
		return float64(nominals[0])
	}
	for _, of := range nominals {
		n := float64(of)
		if math.Abs(measured/n-1) <= 0.5 && (best == 0 || math.Abs(measured/n-1) < math.Abs(measured/best-1)) {
			best = n
		}
	}
	return best
}

func (l *look) loading(trends map[telemetry.SignalID]store.Trend) {
	c, list := &l.out.Loading, l.loaded()
	switch l.row.Kind {
	case "line":
		c.Rated, c.Unit = l.row.RatedCurrent.Float64, "A"
	case "transformer":
		c.Rated, c.Unit = l.row.RatedPower.Float64, "V.A"
	default:
		c.Unknown = NotApplicable
		return
	}
	peak := func(s store.Series) {
		width, of := l.means(trends, s, c.Unit, func(at telemetry.Micros, mean float64) {
			c.Intervals++
			if mean = math.Abs(mean); c.Signal == "" || mean > c.Peak {
				c.Peak, c.PeakAt, c.Signal = mean, at, s.Name
			}
		})
		c.Interval, c.Of = max(c.Interval, width), c.Of+of
	}
	for _, s := range list {
		peak(s)
	}
	switch {
	case len(list) == 0:
		*c = AssetLoading{Unknown: NotMeasured, From: c.From}
	case c.Rated == 0:
		*c = AssetLoading{Unknown: NoRating, From: c.From}
	case c.Intervals == 0 && leftOut(trends, list):
		*c = AssetLoading{Unknown: TooMany, From: c.From}
	case c.Intervals == 0:
		*c = AssetLoading{Unknown: NoSamples, From: c.From}
	}
}
