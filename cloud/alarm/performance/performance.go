// Package performance measures what alarms ask of those who watch them, by the figures of
// EEMUA 191, ISA-18.2 and IEC 62682: values in, values out.
package performance

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/busbar/busbar/telemetry"
)

const (
	// Window is the span of time in which annunciations are counted.
	Window = 10 * time.Minute

	// A flood starts with an annunciation that makes more than FloodStart within Window, and
	// ends when there are fewer than FloodEnd.
	FloodStart = 10
	FloodEnd   = 5

	// A condition chatters that is annunciated ChatterCount times within less than ChatterSpan.
	ChatterCount = 3
	ChatterSpan  = 60 * time.Second

	// Fleeting is how long at most an alarm is active that nobody can act upon.
	Fleeting = 10 * time.Second

	// Stale is for how long an alarm that stands has to be active.
	Stale = 24 * time.Hour

	// most is how many conditions are listed of those that ask most often.
	most = 10
)

// Condition is what asks for attention, again and again.
type Condition struct {
	Gateway string `json:"gateway"`
	Rule    string `json:"rule"`
	Asset   string `json:"asset"`
	Device  string `json:"device"`
}

func (c Condition) compare(o Condition) int {
	return cmp.Or(cmp.Compare(c.Gateway, o.Gateway), cmp.Compare(c.Rule, o.Rule), cmp.Compare(c.Asset, o.Asset), cmp.Compare(c.Device, o.Device))
}

// Annunciation is that an alarm has asked for attention.
type Annunciation struct {
	Condition
	At       telemetry.Micros
	Priority telemetry.Priority
	Raised   telemetry.Micros
	Cleared  *telemetry.Micros // nil: it goes on
}

// Standing is an alarm that is active at the end of the report.
type Standing struct {
	Condition
	Alarm    string             `json:"alarm"`
	Priority telemetry.Priority `json:"priority" enum:"low,medium,high,critical"`
	Raised   telemetry.Micros   `json:"raised_us"`
}

// Input is what a report is made of. Annunciations are by time, and begin at least Window
// before From, so that a flood that goes on then is known.
type Input struct {
	From, To      telemetry.Micros
	Annunciations []Annunciation
	Active        []Standing
}

// Count is how many annunciations there were in a span of time.
type Count struct {
	From telemetry.Micros `json:"from_us"`
	N    int              `json:"count"`
}

// Often is a condition that was annunciated often.
type Often struct {
	Condition
	Priority telemetry.Priority `json:"priority" enum:"low,medium,high,critical" doc:"The last time"`
	N        int                `json:"count"`
	Share    float64            `json:"share" doc:"Of all annunciations, from 0 to 1"`
}

// Split is how many annunciations had a priority.
type Split struct {
	Priority telemetry.Priority `json:"priority" enum:"low,medium,high,critical"`
	N        int                `json:"count"`
	Share    float64            `json:"share"`
}

// Report is what alarms have asked from From until To.
type Report struct {
	From, To    telemetry.Micros
	Annunciated int
	PerTen      float64 // on average, in 10 minutes
	PerHour     float64
	PerDay      float64
	Hours       []Count // from From on; the last one may be short
	Windows     int     // of 10 minutes, from From on
	Over        int     // of these have more than FloodStart
	Peak        Count   // the first of the windows with most
	Floods      []Flood // that go on within the time
	FloodShare  float64 // of the time
	Top         []Often
	TopShare    float64 // of all annunciations
	Chattering  []Often // N: in how many annunciations it chattered
	Fleeting    int
	Stale       []Standing // the oldest first
	Priorities  []Split    // critical first
	Verdicts    []Verdict
}

// Of makes the report, and holds it against targets.
func Of(in Input, targets Targets) Report {
	r := Report{From: in.From, To: in.To}
	span := in.To.Sub(in.From)
	within := slices.DeleteFunc(slices.Clone(in.Annunciations), func(a Annunciation) bool { return a.At < in.From || a.At >= in.To })
	r.Annunciated = len(within)
	if span > 0 {
		per := func(d time.Duration) float64 { return float64(r.Annunciated) * float64(d) / float64(span) }
		r.PerTen, r.PerHour, r.PerDay = per(Window), per(time.Hour), per(24*time.Hour)
	}
	r.Hours = counts(in.From, in.To, time.Hour, within)
	windows := counts(in.From, in.To, Window, within)
	r.Windows = len(windows)
	for _, w := range windows {
		if w.N > FloodStart {
			r.Over++
		}
		if w.N > r.Peak.N {
			r.Peak = w
		}
	}
	r.floods(in)
	r.top(within)
	r.chattering(in)
	for _, a := range within {
		if a.Cleared != nil && a.Cleared.Sub(a.Raised) <= Fleeting {
			r.Fleeting++
		}
	}
	for _, a := range in.Active {
		if in.To.Sub(a.Raised) > Stale {
			r.Stale = append(r.Stale, a)
		}
	}
	slices.SortFunc(r.Stale, func(a, b Standing) int { return cmp.Or(cmp.Compare(a.Raised, b.Raised), cmp.Compare(a.Alarm, b.Alarm)) })
	for _, p := range []telemetry.Priority{telemetry.Critical, telemetry.High, telemetry.Medium, telemetry.Low} {
		s := Split{Priority: p}
		for _, a := range within {
			if a.Priority == p {
				s.N++
			}
		}
		s.Share = share(s.N, r.Annunciated)
		r.Priorities = append(r.Priorities, s)
	}
	r.Verdicts = targets.judge(r)
	return r
}

// OverShare is that of the windows with more than FloodStart.
func (r Report) OverShare() float64 { return share(r.Over, r.Windows) }

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func counts(from, to telemetry.Micros, each time.Duration, list []Annunciation) []Count {
	var all []Count
	for at := from; at < to; at += telemetry.Micros(each.Microseconds()) {
		all = append(all, Count{From: at})
	}
	for _, a := range list {
		all[int64(a.At-from)/each.Microseconds()].N++
	}
	return all
}

func (r *Report) floods(in Input) {
	times := make([]telemetry.Micros, 0, len(in.Annunciations))
	for _, a := range in.Annunciations {
		if a.At < in.To {
			times = append(times, a.At)
		}
	}
	var flooded time.Duration
	for _, f := range Floods(times, in.To) {
		end := in.To
		if f.Ended != nil {
			end = *f.Ended
		}
		if end <= in.From {
			continue
		}
		r.Floods = append(r.Floods, f)
		flooded += end.Sub(max(f.Began, in.From))
	}
	if span := in.To.Sub(in.From); span > 0 {
		r.FloodShare = float64(flooded) / float64(span)
	}
}

func (r *Report) top(list []Annunciation) {
	by := map[Condition]*Often{}
	for _, a := range list {
		o := by[a.Condition]
		if o == nil {
			o = &Often{Condition: a.Condition}
			by[a.Condition] = o
		}
		o.N++
		o.Priority = a.Priority
	}
	r.Top = mostOften(by, r.Annunciated)
	r.Top = r.Top[:min(len(r.Top), most)]
	n := 0
	for _, o := range r.Top {
		n += o.N
	}
	r.TopShare = share(n, r.Annunciated)
}

func mostOften(by map[Condition]*Often, all int) []Often {
	var list []Often
	for o := range maps.Values(by) {
		o.Share = share(o.N, all)
		list = append(list, *o)
	}
	slices.SortFunc(list, func(a, b Often) int { return cmp.Or(cmp.Compare(b.N, a.N), a.compare(b.Condition)) })
	return list
}

func (r *Report) chattering(in Input) {
	last := map[Condition][]telemetry.Micros{}
	by := map[Condition]*Often{}
	for _, a := range in.Annunciations {
		times := append(last[a.Condition], a.At)
		times = times[max(0, len(times)-ChatterCount):]
		last[a.Condition] = times
		if len(times) < ChatterCount || a.At.Sub(times[0]) >= ChatterSpan || a.At < in.From || a.At >= in.To {
			continue
		}
		o := by[a.Condition]
		if o == nil {
			o = &Often{Condition: a.Condition}
			by[a.Condition] = o
		}
		o.N++
		o.Priority = a.Priority
	}
	r.Chattering = mostOften(by, r.Annunciated)
}
