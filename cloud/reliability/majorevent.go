package reliability

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Threshold is the daily SAIDI beyond which a day is a major event day, by the 2.5 beta
// method of IEEE Std 1366: Alpha and Beta are the mean and the standard deviation of the
// natural logarithms of daily SAIDI, and T_MED is exp(Alpha + 2.5 Beta).
type Threshold struct {
	TMED, Alpha, Beta float64 // T_MED in minutes
	Days              int     // with a SAIDI above zero; the others have no logarithm
}

// ThresholdOf is that of days' SAIDI in minutes. The deviation is that of a sample, n-1.
// There must be two days that had any, or it isn't defined.
func ThresholdOf(daily []float64) (Threshold, bool) {
	var logs []float64
	for _, s := range daily {
		if s > 0 && !math.IsInf(s, 0) {
			logs = append(logs, math.Log(s))
		}
	}
	t := Threshold{Days: len(logs)}
	if len(logs) < 2 {
		return t, false
	}
	for _, l := range logs {
		t.Alpha += l / float64(len(logs))
	}
	for _, l := range logs {
		t.Beta += (l - t.Alpha) * (l - t.Alpha)
	}
	t.Beta = math.Sqrt(t.Beta / float64(len(logs)-1))
	t.TMED = TMED(t.Alpha, t.Beta)
	return t, true
}

// TMED is the threshold in minutes of a mean and a deviation.
func TMED(alpha, beta float64) float64 { return math.Exp(alpha + 2.5*beta) }

// MajorDay is a day beyond the threshold that the five years before its own gave.
type MajorDay struct {
	Day       Period
	SAIDI     float64
	Threshold Threshold
}

// historyYears is how many years before one give its threshold.
const historyYears = 5

// majorDays finds major event days.
type majorDays struct {
	all    []interruption
	served servedBy
	in     *time.Location
	daily  map[telemetry.Micros]dailySAIDI // by the day's first instant
	years  map[int]Threshold               // Days 0: not enough history
}

type dailySAIDI struct {
	day   Period
	year  int
	saidi float64
}

// within are those of a period. It is false if no day of the period could be judged.
func (m *majorDays) within(period Period) (days []MajorDay, judged bool) {
	if m.daily == nil {
		m.sumUp()
	}
	first, last := period.From.Time().In(m.in).Year(), (period.To - 1).Time().In(m.in).Year()
	for year := first; year <= last && year < first+200; year++ {
		t, ok := m.threshold(year)
		if !ok {
			continue
		}
		judged = true
		for _, d := range m.daily {
			if d.year == year && d.saidi > t.TMED && period.has(d.day.From) {
				days = append(days, MajorDay{Day: d.day, SAIDI: d.saidi, Threshold: t})
			}
		}
	}
	sortDays(days)
	return days, judged
}

// threshold is that of a year.
func (m *majorDays) threshold(year int) (Threshold, bool) {
	if t, ok := m.years[year]; ok {
		return t, t.Days >= 2
	}
	var daily []MajorDay
	for _, d := range m.daily {
		if d.year < year && d.year >= year-historyYears {
			daily = append(daily, MajorDay{Day: d.day, SAIDI: d.saidi})
		}
	}
	sortDays(daily)
	values := make([]float64, len(daily))
	for i, d := range daily {
		values[i] = d.SAIDI
	}
	t, ok := ThresholdOf(values)
	m.years[year] = t
	return t, ok
}

// sumUp makes the daily SAIDI of all days on which anything sustained began.
func (m *majorDays) sumUp() {
	m.daily = map[telemetry.Micros]dailySAIDI{}
	minutes := map[telemetry.Micros]float64{}
	days := map[telemetry.Micros]Period{}
	for i := range m.all {
		one := &m.all[i]
		if one.kind != Sustained {
			continue
		}
		y, month, d := one.start.Time().In(m.in).Date()
		day := Day(y, month, d, m.in)
		days[day.From] = day
		minutes[day.From] += one.end.Sub(one.start).Minutes() * one.customers
	}
	for from, day := range days {
		served := m.served.average(ByNothing, "", true, from, day.To).CustomersServed
		if served > 0 {
			m.daily[from] = dailySAIDI{day: day, year: from.Time().In(m.in).Year(), saidi: minutes[from] / served}
		}
	}
}

func sortDays(days []MajorDay) {
	slices.SortFunc(days, func(a, b MajorDay) int { return cmp.Compare(a.Day.From, b.Day.From) })
}
