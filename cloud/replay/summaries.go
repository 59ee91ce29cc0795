package replay

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// summaries compares what sums up those series of a device's hour whose samples are the
// same in both stores.
func (c *sampleComparison) summaries(ctx context.Context, name store.Device, hour int64, samples map[seriesKey][]telemetry.Sample, same map[seriesKey]bool) error {
	live, complete, err := summedUp(ctx, c.Live, c.live[name], hour, same)
	if err != nil || !complete {
		return err // the cloud hasn't come to it yet
	}
	again, complete, err := summedUp(ctx, c.Shadow, c.shadow[name], hour, same)
	if err != nil || !complete {
		return err
	}
	widths, err := c.keptWidths(ctx, hour, live, again)
	if err != nil {
		return err
	}
	for _, key := range slices.SortedFunc(maps.Keys(again), seriesKey.compare) {
		want := slices.DeleteFunc(again[key], func(s store.Summary) bool { return !widths[s.Width] })
		c.counted.summaries += int64(len(want))
		c.liveCounted.summaries += int64(len(live[key]))
		if d, differ := compareSummaries(live[key], want); differ {
			// Something may have come since the samples were read.
			now, err := read(ctx, c.Live, c.live[name], hour)
			if err != nil {
				return err
			}
			if len(compareSamples(now[key], samples[key])) > 0 {
				continue
			}
			d.What, d.Key = "summary", keyOf(name, key, hour)
			c.report.add(d)
		}
	}
	return nil
}

var levels = map[telemetry.Micros]string{60_000_000: store.Minutes, telemetry.Quarter: store.Quarters, 3600_000_000: store.Hours}

// keptWidths are those that the cloud has, and those of again that it should have: their
// level is kept since before that hour. What it deletes meanwhile it no longer keeps.
func (c *sampleComparison) keptWidths(ctx context.Context, hour int64, live, again map[seriesKey][]store.Summary) (map[telemetry.Micros]bool, error) {
	kept := map[telemetry.Micros]bool{}
	for _, list := range live {
		for _, s := range list {
			kept[s.Width] = true
		}
	}
	for _, list := range again {
		for _, s := range list {
			if _, known := kept[s.Width]; known {
				continue
			}
			since, err := c.Live.KeptSince(ctx, levels[s.Width])
			if err != nil {
				return nil, err
			}
			kept[s.Width] = hour*60 >= since
		}
	}
	return kept, nil
}

func summedUp(ctx context.Context, s *store.Store, d *device, hour int64, same map[seriesKey]bool) (map[seriesKey][]store.Summary, bool, error) {
	out := map[seriesKey][]store.Summary{}
	if d == nil {
		return out, false, nil
	}
	for _, bundle := range slices.Sorted(maps.Keys(d.bundles)) {
		var ids []telemetry.SignalID
		for _, id := range d.bundles[bundle] {
			if same[d.series[id]] {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			continue
		}
		list, err := s.SummedUp(ctx, bundle, hour, ids)
		if err != nil || list == nil {
			return nil, false, err
		}
		for id, summaries := range list {
			out[d.series[id]] = summaries
		}
	}
	return out, true, nil
}

// compareSummaries is about the first bucket that isn't the same, of both by width and
// start; Samples counts them.
func compareSummaries(live, again []store.Summary) (d Difference, differ bool) {
	order := func(a, b store.Summary) int {
		return cmp.Or(cmp.Compare(a.Width, b.Width), cmp.Compare(a.Start, b.Start))
	}
	note := func(kind Kind, at store.Summary, fields ...Field) {
		if !differ {
			d = Difference{Kind: kind, Fields: fields, At: fmt.Sprintf("%s of %s", at.Start.Time().UTC().Format(time.RFC3339), time.Duration(at.Width)*time.Microsecond)}
		}
		differ = true
	}
	for i, j := 0, 0; i < len(live) || j < len(again); {
		side := 0
		switch {
		case i == len(live):
			side = 1
		case j == len(again):
			side = -1
		default:
			side = order(live[i], again[j])
		}
		switch {
		case side < 0:
			note(Extra, live[i])
		case side > 0:
			note(Missing, again[j])
		case live[i] != again[j]:
			note(Differs, live[i], fieldsOf(live[i].Bucket, again[j].Bucket)...)
		}
		if side <= 0 {
			i++
		}
		if side >= 0 {
			j++
		}
	}
	return d, differ
}

func fieldsOf(live, again store.Bucket) (fields []Field) {
	for _, f := range []struct {
		name  string
		value func(store.Bucket) any
	}{
		{"samples", func(b store.Bucket) any { return b.Samples }}, {"good", func(b store.Bucket) any { return b.Good }},
		{"valued", func(b store.Bucket) any { return b.Valued }}, {"min", func(b store.Bucket) any { return b.Min }},
		{"max", func(b store.Bucket) any { return b.Max }}, {"sum", func(b store.Bucket) any { return b.Sum }},
		{"last", func(b store.Bucket) any { return b.Last }}, {"last_text", func(b store.Bucket) any { return b.LastText }},
	} {
		if x, y := text(f.value(live)), text(f.value(again)); x != y {
			fields = append(fields, Field{f.name, x, y})
		}
	}
	return fields
}
