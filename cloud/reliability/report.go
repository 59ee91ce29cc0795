package reliability

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// By is what a report is divided by, beside the period.
type By string

const (
	ByNothing By = ""
	ByArea    By = "area"
	ByFeeder  By = "feeder"
	ByCause   By = "cause"
)

func (b By) of(s *Step) string {
	switch b {
	case ByArea:
		return s.Area
	case ByFeeder:
		return s.Feeder
	case ByCause:
		return s.Cause
	}
	return ""
}

// Question is what a report answers.
type Question struct {
	Profile  Profile
	Periods  []Period
	By       By
	Location *time.Location // where days begin and end
}

// Row is a period, or a part of what happened in it.
type Row struct {
	Period Period
	Whole  bool   // all of the period; Group is empty then, as it also is of what names no group
	Group  string // the area, feeder or cause
	// Final is said of a period that is over, when nothing that began in it is open.
	Final  bool
	Totals Totals

	// WithoutMajor are the totals without major event days, and MajorDays those days; nil if
	// the profile doesn't set them apart, or there isn't enough history to.
	WithoutMajor *Totals
	MajorDays    []MajorDay
}

// Report answers a question: for each period, all of it, and then its parts by name. What a
// row by cause divides by is all that is served.
func Report(in Input, q Question) []Row {
	if q.Location == nil {
		q.Location = time.UTC
	}
	all := interruptionsOf(in, q.Profile)
	major := majorDays{all: all, served: servedOf(in.Served), in: q.Location, years: map[int]Threshold{}}
	var rows []Row
	for _, period := range q.Periods {
		rows = append(rows, reportPeriod(in, q, period, all, &major)...)
	}
	return rows
}

func reportPeriod(in Input, q Question, period Period, all []interruption, major *majorDays) []Row {
	first, _ := slices.BinarySearchFunc(all, period.From, func(one interruption, at telemetry.Micros) int { return cmp.Compare(one.start, at) })
	last, _ := slices.BinarySearchFunc(all, period.To, func(one interruption, at telemetry.Micros) int { return cmp.Compare(one.start, at) })
	within := all[first:max(first, last)]

	groups := map[string][]*interruption{}
	var whole []*interruption
	for i := range within {
		whole = append(whole, &within[i])
		if q.By != ByNothing {
			name := q.By.of(within[i].by)
			groups[name] = append(groups[name], &within[i])
		}
	}
	if q.By == ByArea || q.By == ByFeeder { // also those where nothing happened
		for _, s := range in.Served {
			name := s.Area
			if q.By == ByFeeder {
				name = s.Feeder
			}
			if _, has := groups[name]; !has && s.From < period.To {
				groups[name] = nil
			}
		}
	}
	until := min(period.To, max(in.Now, period.From))
	var days []MajorDay
	apart := false
	if q.Profile.MajorEventDays {
		days, apart = major.within(period)
	}
	row := func(group string, wholly bool, list []*interruption) Row {
		r := Row{Period: period, Whole: wholly, Group: group}
		r.Totals = major.served.average(q.By, group, wholly, period.From, until)
		sum(&r.Totals, list, func(*interruption) bool { return true })
		r.Final = in.Now >= period.To && r.Totals.Open == 0
		if wholly && in.Affected > 0 && r.Totals.unnamed {
			r.Totals.CN = &in.Affected
		}
		if apart {
			r.MajorDays = days
			t := major.served.average(q.By, group, wholly, period.From, until)
			sum(&t, list, func(one *interruption) bool {
				return !slices.ContainsFunc(days, func(d MajorDay) bool { return d.Day.has(one.start) })
			})
			r.WithoutMajor = &t
		}
		return r
	}
	rows := []Row{row("", true, whole)}
	for _, name := range sortedKeys(groups) {
		rows = append(rows, row(name, false, groups[name]))
	}
	return rows
}

func sum(t *Totals, list []*interruption, counts func(*interruption) bool) {
	different := map[string]bool{} // and whether one is open
	for _, one := range list {
		if !counts(one) {
			continue
		}
		t.add(one)
		different[one.by.Interruption] = different[one.by.Interruption] || one.open
	}
	t.Interruptions = len(different)
	for _, open := range different {
		if open {
			t.Open++
		}
	}
	t.close()
}

// servedBy are customers and load over time, by area and feeder, each by time.
type servedBy map[[2]string][]Served

func servedOf(list []Served) servedBy {
	by := servedBy{}
	for _, s := range list {
		key := [2]string{s.Area, s.Feeder}
		by[key] = append(by[key], s)
	}
	for _, list := range by {
		slices.SortFunc(list, func(a, b Served) int {
			return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Customers, b.Customers), cmp.Compare(a.Load, b.Load))
		})
	}
	return by
}

// average is what was served on average from one instant to before another. Of none, it is
// what was at that instant.
func (by servedBy) average(dimension By, group string, whole bool, from, to telemetry.Micros) Totals {
	t := Totals{Elapsed: to.Sub(from)}
	keys := slices.SortedFunc(maps.Keys(by), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, key := range keys {
		if !whole && (dimension == ByArea && key[0] != group || dimension == ByFeeder && key[1] != group) {
			continue
		}
		list := by[key]
		for i, s := range list {
			until := to
			if i+1 < len(list) {
				until = min(to, list[i+1].From)
			}
			since := max(from, s.From)
			share := 0.0
			switch {
			case to > from && until > since:
				share = float64(until-since) / float64(to-from)
			case to == from && s.From <= from && (i+1 == len(list) || list[i+1].From > from):
				share = 1
			}
			t.CustomersServed += share * s.Customers
			t.LoadServed += share * s.Load
		}
	}
	return t
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Check says what is wrong with a question.
func (q Question) Check() error {
	for _, i := range q.Profile.Indices {
		if !i.Known() {
			return fmt.Errorf("reliability: index %q: unknown", i)
		}
	}
	for _, p := range q.Periods {
		if p.To <= p.From {
			return fmt.Errorf("reliability: period %s ends before it begins", p.Name)
		}
	}
	return nil
}
