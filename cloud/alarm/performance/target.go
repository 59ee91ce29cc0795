package performance

import (
	"maps"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// Figure is one of those that are held against targets.
type Figure string

const (
	PerDay     Figure = "per-day"     // annunciations a day, on average
	PerHour    Figure = "per-hour"    // an hour
	PerTen     Figure = "per-10-min"  // in 10 minutes
	Peak       Figure = "peak-10-min" // the most in one of the windows
	OverShare  Figure = "over-share"  // of windows with more than 10
	FloodShare Figure = "flood-share" // of the time that is within a flood
	TopShare   Figure = "top-10-share"
	Chattering Figure = "chattering" // conditions
	StaleAlarm Figure = "stale"
	Urgent     Figure = "urgent-share" // of annunciations that are critical or high
	MediumOnes Figure = "medium-share"
)

// Figures are all of them, in the order of a report.
var Figures = []Figure{PerDay, PerHour, PerTen, Peak, OverShare, FloodShare, TopShare, Chattering, StaleAlarm, Urgent, MediumOnes}

// Targets are what figures are to be at most. One that isn't there has no target.
type Targets map[Figure]float64

// Presets are targets as guides and standards have them. EEMUA 191 asks for one alarm in
// 10 minutes on average, no more than 10 in the 10 minutes after an upset, and priorities
// of about 5, 15 and 80 %; IEC 62682:2014 for about 144 a day, a figure that ISA-18.2 has
// no longer had since 2016. The shares, and what stands and chatters, are those that both
// standards recommend.
var Presets = map[string]Targets{
	"eemua191": {PerDay: 144, PerTen: 1, Peak: 10, OverShare: 0.01, TopShare: 0.05, Chattering: 0, StaleAlarm: 5, Urgent: 0.05, MediumOnes: 0.15},
	"isa18.2-2016": {PerHour: 6, PerTen: 1, Peak: 10, OverShare: 0.01, FloodShare: 0.01, TopShare: 0.05, Chattering: 0, StaleAlarm: 5,
		Urgent: 0.05, MediumOnes: 0.15},
	"iec62682-2014": {PerDay: 144, PerHour: 6, PerTen: 1, Peak: 10, OverShare: 0.01, FloodShare: 0.01, TopShare: 0.05, Chattering: 0, StaleAlarm: 5,
		Urgent: 0.05, MediumOnes: 0.15},
}

// DefaultPreset is for whoever chooses none.
const DefaultPreset = "isa18.2-2016"

// PresetNames are theirs, sorted.
func PresetNames() []string { return slices.Sorted(maps.Keys(Presets)) }

// Verdict is a figure beside its target.
type Verdict struct {
	Figure Figure   `json:"figure" enum:"per-day,per-hour,per-10-min,peak-10-min,over-share,flood-share,top-10-share,chattering,stale,urgent-share,medium-share"`
	Value  float64  `json:"value"`
	Target *float64 `json:"target" doc:"What it is to be at most; null: there is none"`
	Met    bool     `json:"met" doc:"It is no more than that, or there is none"`
}

func (t Targets) judge(r Report) (list []Verdict) {
	shareOf := func(priorities ...telemetry.Priority) (sum float64) {
		for _, s := range r.Priorities {
			if slices.Contains(priorities, s.Priority) {
				sum += s.Share
			}
		}
		return sum
	}
	values := map[Figure]float64{PerDay: r.PerDay, PerHour: r.PerHour, PerTen: r.PerTen, Peak: float64(r.Peak.N), OverShare: r.OverShare(), FloodShare: r.FloodShare,
		TopShare: r.TopShare, Chattering: float64(len(r.Chattering)), StaleAlarm: float64(len(r.Stale)),
		Urgent: shareOf(telemetry.Critical, telemetry.High), MediumOnes: shareOf(telemetry.Medium)}
	for _, f := range Figures {
		v := Verdict{Figure: f, Value: values[f], Met: true}
		if most, ok := t[f]; ok {
			v.Target, v.Met = &most, v.Value <= most
		}
		list = append(list, v)
	}
	return list
}
