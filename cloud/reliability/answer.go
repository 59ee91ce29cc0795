package reliability

import "github.com/busbar/busbar/telemetry"

// Answer is a report as JSON.
type Answer struct {
	Profile string `json:"profile" doc:"How is counted" example:"ieee1366"`
	By      By     `json:"by" enum:",area,feeder,cause" doc:"What each period is divided by; empty: by nothing"`
	Rows    []Line `json:"rows" doc:"Of each period all of it, then its parts by name"`
}

// Line is a Row as JSON.
type Line struct {
	Period string           `json:"period" example:"2026"`
	From   telemetry.Micros `json:"from_us"`
	To     telemetry.Micros `json:"to_us" doc:"The first instant after it"`
	Whole  bool             `json:"whole" doc:"It is all of the period"`
	Group  string           `json:"group" doc:"The area, feeder or cause; empty also of what names none"`
	State  string           `json:"state" enum:"provisional,final" doc:"Final: the period is over, and nothing that began in it is open"`
	Sums
	WithoutMajorEventDays *Sums             `json:"without_major_event_days,omitempty" doc:"The same without those days; absent where days aren't set apart"`
	MajorEventDays        []BeyondThreshold `json:"major_event_days,omitempty"`
}

// Sums are Totals as JSON.
type Sums struct {
	Customers     float64  `json:"customers_served" doc:"On average over the period"`
	Interruptions int      `json:"interruptions" doc:"That count, by id"`
	Open          int      `json:"open" doc:"Of them those that aren't over"`
	CI            float64  `json:"customers_interrupted" doc:"For a sustained time, once for each time"`
	CMI           float64  `json:"customer_minutes"`
	CN            *float64 `json:"customers_affected" doc:"Different ones; null: not known one by one"`
	Indices       []Value  `json:"indices"`
}

// Value is one index.
type Value struct {
	Index Index    `json:"index" example:"SAIDI"`
	Unit  string   `json:"unit" enum:"min,1"`
	Value *float64 `json:"value" doc:"Null: it isn't defined, or isn't known"`
}

// BeyondThreshold is a MajorDay as JSON.
type BeyondThreshold struct {
	Day       string  `json:"day" example:"2026-12-05"`
	SAIDI     float64 `json:"saidi" doc:"Minutes"`
	Threshold float64 `json:"threshold" doc:"Minutes, T_MED"`
}

// AnswerOf is a report's.
func AnswerOf(rows []Row, q Question) Answer {
	sums := func(t *Totals) Sums {
		s := Sums{Customers: t.CustomersServed, Interruptions: t.Interruptions, Open: t.Open, CI: t.CI, CMI: t.CMI, CN: t.CN, Indices: []Value{}}
		for _, i := range q.Profile.Indices {
			s.Indices = append(s.Indices, Value{i, i.Unit(), t.Of(i, q.Profile)})
		}
		return s
	}
	a := Answer{Profile: q.Profile.Name, By: q.By, Rows: []Line{}}
	for _, r := range rows {
		l := Line{Period: r.Period.Name, From: r.Period.From, To: r.Period.To, Whole: r.Whole, Group: r.Group, State: "provisional", Sums: sums(&r.Totals)}
		if r.Final {
			l.State = "final"
		}
		if r.WithoutMajor != nil {
			s := sums(r.WithoutMajor)
			l.WithoutMajorEventDays = &s
		}
		for _, d := range r.MajorDays {
			l.MajorEventDays = append(l.MajorEventDays, BeyondThreshold{d.Day.Name, d.SAIDI, d.Threshold.TMED})
		}
		a.Rows = append(a.Rows, l)
	}
	return a
}
