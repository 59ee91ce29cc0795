// Package public tells the public where supply is out: a page, the same as JSON, and alerts
// of the Common Alerting Protocol with their feed, as files that any web server can serve.
// Nothing that they say names a customer or a service point, and small counts aren't told.
package public

import (
	"cmp"
	"slices"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Floor is the smallest count of customers that is told. Of fewer it is only said that they
// are fewer.
const Floor = 10

// Picture is what is known of supply at one time.
type Picture struct {
	// At is how new the newest of it is that would have come if anything had happened.
	At      telemetry.Micros
	Areas   []Area
	Outages []Outage
}

// Area is a part of the network that people know by its name, such as a municipality.
type Area struct {
	ID, Name string // none: elsewhere

	// Known says that outages in it would be known by now. Else it is unknown whether there
	// are any beside those that are in the picture.
	Known bool

	Outline []Position // a closed line; none if there is none
}

// Position is by WGS 84, in degrees.
type Position struct{ Lat, Lon float64 }

// Outage is one, as the operator knows it.
type Outage struct {
	// ID is the operator's. It isn't told: it may be that of a service point.
	ID        string
	Planned   bool
	Confirmed bool

	// Since is when supply was lost, or will be where it is planned; Until is when planned
	// work ends, 0 if that isn't said.
	Since, Until telemetry.Micros

	// P50 and P80 are by when supply is back with a probability of 50 % and 80 %; 0: that is
	// being assessed.
	P50, P80 telemetry.Micros

	Cause Cause
	Crew  Crew
	Areas []Part
}

// Cause is what the public is told of why it is; empty: it isn't known yet. None blames
// somebody.
type Cause string

const (
	Weather   Cause = "weather"
	Tree      Cause = "tree"
	Animal    Cause = "animal"
	ByOthers  Cause = "third-party"
	Equipment Cause = "equipment"
	Work      Cause = "planned"
	Upstream  Cause = "upstream"
)

// Crew is how far those are who repair it.
type Crew string

const (
	NoCrew   Crew = ""
	Assigned Crew = "assigned"
	EnRoute  Crew = "en-route"
	OnSite   Crew = "on-site"
)

// Part is how many customers of an area are without supply, as of now; below zero: it isn't
// known.
type Part struct {
	Area      string
	Customers int64
}

// Options are what a publication is called and how.
type Options struct {
	Languages []string       // by their tags, the first one first; none, or one that isn't of Languages: English
	Title     string         // of the page; empty: one in each language
	Operator  string         // who runs the network
	Contact   string         // a line of text, such as whom to call; may be empty
	URL       string         // where the files are found, ending in /; may be empty
	Sender    string         // of alerts, such as outages@grid.example
	Location  *time.Location // of times where the reader's zone isn't known
	Stale     time.Duration  // data older than this isn't current
}

// Count is how many customers something concerns: a number, or fewer than a number, or that
// it isn't known.
type Count struct {
	Number    *int64 `json:"number,omitempty"`
	FewerThan int64  `json:"fewer_than,omitempty"`
	Unknown   bool   `json:"unknown,omitempty"`
}

// CountOf is what is told of a number.
func CountOf(n int64) Count {
	switch {
	case n < 0:
		return Count{Unknown: true}
	case n < Floor:
		return Count{FewerThan: Floor}
	}
	return Count{Number: &n}
}

// State is that of an area.
type State string

const (
	Out     State = "outage"
	Planned State = "planned"  // work is announced or under way, and nothing else is known
	None    State = "no-known" // no outage is known, and one would be
	Unknown State = "unknown"
)

// View is a picture as it is told.
type View struct {
	Version  int              `json:"version"` // 1: what is added doesn't change it
	Title    string           `json:"title"`
	Operator string           `json:"operator"`
	At       telemetry.Micros `json:"at_us"`      // how new the data is
	Written  telemetry.Micros `json:"written_us"` // when this was written
	StaleUs  int64            `json:"stale_after_us"`
	Current  bool             `json:"current"` // the data was no older than that when this was written
	Areas    []AreaView       `json:"areas"`
}

// AreaView is what is told of an area.
type AreaView struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State State  `json:"state"`

	// Without is how many customers are without supply by those outages whose count is
	// told; Small are the others, and Uncounted those of which nobody knows.
	Without   int64        `json:"without_supply"`
	Small     int          `json:"outages_fewer_than_floor"`
	Uncounted int          `json:"outages_uncounted"`
	Known     bool         `json:"known"` // outages would be known
	Outages   []OutageView `json:"outages"`
	outline   []Position
}

// OutageView is what is told of an outage in an area.
type OutageView struct {
	ID        string            `json:"id"` // drawn at random; the same in each area and file
	Planned   bool              `json:"planned"`
	Confirmed bool              `json:"confirmed"`
	Since     telemetry.Micros  `json:"since_us"`
	Until     *telemetry.Micros `json:"until_us"` // of planned work
	P50       *telemetry.Micros `json:"expected_p50_us"`
	P80       *telemetry.Micros `json:"expected_p80_us"`
	Cause     string            `json:"cause"` // in English
	CauseCode Cause             `json:"cause_code"`
	Crew      Crew              `json:"crew"`
	Customers Count             `json:"customers"`
}

// ViewOf is what is told of a picture at a time. The public ids of outages are those that
// names gives.
func ViewOf(p Picture, o Options, now telemetry.Micros, names func(id string) string) View {
	v := View{Version: 1, Title: o.title(o.languages()[0]), Operator: o.Operator, At: p.At, Written: now, StaleUs: o.Stale.Microseconds(),
		Current: now.Sub(p.At) <= o.Stale, Areas: []AreaView{}}
	of := map[string][]OutageView{}
	for _, out := range p.Outages {
		for _, part := range out.Areas {
			if part.Customers == 0 {
				continue // they are back
			}
			one := OutageView{ID: names(out.ID), Planned: out.Planned, Confirmed: out.Confirmed, Since: out.Since, Until: unlessZero(out.Until),
				P50: unlessZero(out.P50), P80: unlessZero(out.P80), Cause: english.cause(out.Cause), CauseCode: out.Cause, Crew: out.Crew, Customers: CountOf(part.Customers)}
			of[part.Area] = append(of[part.Area], one)
		}
	}
	areas := slices.Clone(p.Areas)
	for id := range of {
		// The network in use may not have it any more; the outage is there all the same.
		if !slices.ContainsFunc(areas, func(a Area) bool { return a.ID == id }) {
			areas = append(areas, Area{ID: id, Name: id})
		}
	}
	for _, a := range areas {
		v.Areas = append(v.Areas, areaView(a, of[a.ID], v.Current, now))
	}
	slices.SortFunc(v.Areas, func(a, b AreaView) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return v
}

func areaView(a Area, outages []OutageView, current bool, now telemetry.Micros) AreaView {
	v := AreaView{ID: a.ID, Name: cmp.Or(a.Name, english.Elsewhere), Known: a.Known && current, Outages: []OutageView{}, outline: a.Outline}
	v.Outages = append(v.Outages, outages...)
	slices.SortFunc(v.Outages, func(a, b OutageView) int { return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.ID, b.ID)) })
	v.State = Unknown
	if v.Known {
		v.State = None
	}
	for _, out := range v.Outages {
		if out.Planned {
			if v.State == None {
				v.State = Planned
			}
			if out.Since > now {
				continue // nobody is without supply yet
			}
		} else {
			v.State = Out
		}
		switch c := out.Customers; {
		case c.Number != nil:
			v.Without += *c.Number
		case c.Unknown:
			v.Uncounted++
		default:
			v.Small++
		}
	}
	return v
}

func unlessZero(at telemetry.Micros) *telemetry.Micros {
	if at == 0 {
		return nil
	}
	return &at
}
