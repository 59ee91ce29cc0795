package score

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// Table writes the score for people.
func (s Score) Table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(what, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", what, fmt.Sprintf(format, args...)) }
	o := s.Outages
	row("outages of 3 minutes or more", "%d", o.True)
	row("outages told", "%d: %d found, %d momentary, %d repeated, %d false", o.Told, o.Found, o.Momentary, o.Repeated, o.False)
	row("precision, recall", "%s, %s", percent(o.Precision), percent(o.Recall))
	row("points of found ones", "precision %s, recall %s", percent(o.PointsPrecision), percent(o.PointsRecall))
	row("device", "%d exact, %d adjacent, %d another", o.Exact, o.Adjacent, o.Other)
	row("time to detect", "median %s, p90 %s", with(o.DetectMedian, "s"), with(o.DetectP90, "s"))
	row("customer-minutes", "%.1f true, %.1f told, %.1f missed, %.1f in excess", o.TrueMinutes, o.ToldMinutes, o.MissedMinutes, o.ExcessMinutes)
	if t := s.Suspects; t.True+t.Told > 0 {
		honest := 0
		for _, a := range t.LookAlikes {
			honest += a.Suspected
		}
		row("thieves", "%d", t.True)
		row("suspects told", "%d: %d found, %d look-alikes, %d others", t.Told, t.Found, honest, t.False)
		row("precision, recall", "%s, %s", percent(t.Precision), percent(t.Recall))
		row("time to detect", "median %s, p90 %s", with(t.DetectMedian, "days"), with(t.DetectP90, "days"))
		row("beginning off by", "median %s", with(t.SinceMedian, "days"))
		for _, kind := range slices.Sorted(maps.Keys(t.Kinds)) {
			row("  "+kind, "%d of %d found", t.Kinds[kind].Found, t.Kinds[kind].True)
		}
		for _, kind := range slices.Sorted(maps.Keys(t.LookAlikes)) {
			row("  "+kind, "%d of %d suspected", t.LookAlikes[kind].Suspected, t.LookAlikes[kind].True)
		}
	}
	return w.Flush()
}

func percent(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", *x*100)
}

func with(x *float64, unit string) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%.4g %s", *x, unit)
}
