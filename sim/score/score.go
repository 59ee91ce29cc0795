// Package score says how well what somebody concluded agrees with the truth of a
// simulated grid.
package score

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/busbar/busbar/sim/truth"
)

// Score is the comparison. What can't be said, as there is nothing to say it of, is
// null.
type Score struct {
	Outages  Outages  `json:"outages"`
	Suspects Suspects `json:"suspects"`
}

// Outages is about outages of three minutes or more; shorter ones are only counted
// where they were told.
type Outages struct {
	True  int `json:"true"`
	Told  int `json:"told"`
	Found int `json:"found"` // true ones that were told
	// Told ones that are a momentary interruption, and those that are nothing.
	Momentary int `json:"momentary"`
	False     int `json:"false"`
	// Told ones of what was told already.
	Repeated int `json:"repeated"`

	Precision *float64 `json:"precision"` // found of told
	Recall    *float64 `json:"recall"`    // found of true

	// Of the service points that are told of found outages, and of those that are in
	// them, the part that is in both: all found outages together.
	PointsPrecision *float64 `json:"points_precision"`
	PointsRecall    *float64 `json:"points_recall"`

	// Of the found ones: the device is the right one, one next to it, or another.
	Exact    int `json:"device_exact"`
	Adjacent int `json:"device_adjacent"`
	Other    int `json:"device_other"`

	// From the beginning of a found outage to when it was told, in s.
	DetectMedian *float64 `json:"detect_median_s"`
	DetectP90    *float64 `json:"detect_p90_s"`

	// Customer-minutes: in truth, as told, those told that aren't true and those
	// true that weren't told.
	TrueMinutes   float64 `json:"customer_minutes_true"`
	ToldMinutes   float64 `json:"customer_minutes_told"`
	ExcessMinutes float64 `json:"customer_minutes_excess"`
	MissedMinutes float64 `json:"customer_minutes_missed"`
}

// Suspects is about theft.
type Suspects struct {
	True  int `json:"true"`
	Told  int `json:"told"`
	Found int `json:"found"`
	// Those who are honest and look like it, by what they do.
	LookAlikes map[string]LookAlike `json:"look_alikes"`
	// Told ones who are neither.
	False int `json:"false"`

	Precision *float64 `json:"precision"`
	Recall    *float64 `json:"recall"`
	// By kind: how many there are, and how many were found.
	Kinds map[string]Kind `json:"kinds"`
	// From when it began to when it was told, in days.
	DetectMedian *float64 `json:"detect_median_days"`
	DetectP90    *float64 `json:"detect_p90_days"`
	// How far off the told beginnings are, in days, early or late.
	SinceMedian *float64 `json:"since_error_median_days"`
}

// Kind is how many of a kind there are, and how many were found.
type Kind struct {
	True  int `json:"true"`
	Found int `json:"found"`
}

// LookAlike is how many there are who do something, and how many of them were
// suspected.
type LookAlike struct {
	True      int `json:"true"`
	Suspected int `json:"suspected"`
}

// Compare reads the truth and the findings.
func Compare(truthLog, findings io.Reader) (Score, error) {
	w := &world{thieves: map[string]truth.Record{}, alike: map[string]string{}, out: map[string][]span{}}
	if err := truth.Read(truthLog, w.take); err != nil {
		return Score{}, fmt.Errorf("truth: %w", err)
	}
	w.close()
	var told []truth.Finding
	if err := truth.ReadFindings(findings, func(f truth.Finding) error { told = append(told, f); return nil }); err != nil {
		return Score{}, fmt.Errorf("result: %w", err)
	}
	return Score{Outages: w.outages(told), Suspects: w.suspects(told)}, nil
}

// ratio is null of nothing.
func ratio(a, b int) *float64 {
	if b == 0 {
		return nil
	}
	x := float64(a) / float64(b)
	return &x
}

// quantile is the smallest value that at least a part q of them doesn't exceed.
func quantile(values []float64, q float64) *float64 {
	if len(values) == 0 {
		return nil
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	x := sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
	return &x
}

// suspects compares those who are said to steal. Of one who is told several times
// the first counts.
func (w *world) suspects(told []truth.Finding) Suspects {
	s := Suspects{True: len(w.thieves), LookAlikes: map[string]LookAlike{}, Kinds: map[string]Kind{}}
	for _, t := range w.thieves {
		k := s.Kinds[t.Kind]
		k.True++
		s.Kinds[t.Kind] = k
	}
	for _, kind := range w.alike {
		a := s.LookAlikes[kind]
		a.True++
		s.LookAlikes[kind] = a
	}
	list := slices.DeleteFunc(slices.Clone(told), func(f truth.Finding) bool { return f.What != truth.Suspect })
	slices.SortStableFunc(list, func(a, b truth.Finding) int { return cmp.Compare(a.Detected, b.Detected) })
	seen := map[string]bool{}
	var detect, since []float64
	const day = 86400e6
	for _, f := range list {
		if seen[f.Point] {
			continue
		}
		seen[f.Point] = true
		s.Told++
		t, thief := w.thieves[f.Point]
		switch alike, is := w.alike[f.Point]; {
		case thief && f.Detected >= t.Since && (t.Until == 0 || f.Detected < t.Until):
			s.Found++
			k := s.Kinds[t.Kind]
			k.Found++
			s.Kinds[t.Kind] = k
			detect = append(detect, float64(f.Detected-t.Since)/day)
			if f.Since != 0 {
				since = append(since, math.Abs(float64(f.Since-t.Since))/day)
			}
		case is && !thief:
			a := s.LookAlikes[alike]
			a.Suspected++
			s.LookAlikes[alike] = a
		default:
			s.False++
		}
	}
	s.Precision, s.Recall = ratio(s.Found, s.Told), ratio(s.Found, s.True)
	s.DetectMedian, s.DetectP90, s.SinceMedian = quantile(detect, 0.5), quantile(detect, 0.9), quantile(since, 0.5)
	return s
}
