package scenario

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/truth"
	"github.com/busbar/busbar/sim/world"
)

// Expectation is one entry of expect. It is about a moment, if it has at, or
// about all of the time.
type Expectation struct {
	At configfile.Duration `yaml:"at"`
	// Exactly these service points are out.
	Out *[]string `yaml:"out"`
	// Exactly those are that this line, switch or transformer supplies in normal
	// operation.
	OutBehind string `yaml:"out_behind"`
	// A service point has these levels: percent of nominal by phase A, B and C,
	// 0 for those that it doesn't use.
	Point  string `yaml:"point"`
	Levels []int  `yaml:"levels"`

	// How often something is in the truth: a kind of record, such as trip.
	Happened string `yaml:"happened"`
	// To which device, asset or service point; to any if it isn't said.
	Of string `yaml:"of"`
	// How often there is evidence of a kind, such as last-gasp.
	Told string `yaml:"told"`
	// Of which only that counts whose own time differs by so much from its arrival.
	OffBy configfile.Duration `yaml:"off_by"`
	// The part of the energy that is counted while an effect lasts, such as h1: of
	// all that have it together. It is in the readings, not a number of things.
	Counted string `yaml:"counted"`
	// The number of customer-minutes, in interruptions of three minutes or more.
	CustomerMinutes bool `yaml:"customer_minutes"`
	// The number of outages of three minutes or more.
	Sustained bool `yaml:"sustained"`
	// The number is this one,
	Times *float64 `yaml:"times"`
	// or within these bounds.
	Least *float64 `yaml:"least"`
	Most  *float64 `yaml:"most"`
}

func (e *Expectation) moment() bool { return e.Out != nil || e.OutBehind != "" || e.Point != "" }

func (e *Expectation) check(s *Scenario, snapshot *grid.Snapshot, wrong func(key, format string, args ...any)) {
	kinds := 0
	for _, is := range []bool{e.Out != nil, e.OutBehind != "", e.Point != "", e.Happened != "", e.Told != "", e.Counted != "", e.CustomerMinutes, e.Sustained} {
		if is {
			kinds++
		}
	}
	bounds := e.Times != nil || e.Least != nil || e.Most != nil
	switch {
	case kinds != 1:
		wrong("", "is about %d things, expected one of out, out_behind, point, happened, told, counted, customer_minutes and sustained", kinds)
	case e.moment() == bounds:
		wrong("", "a number is of what is counted: happened, told, counted, customer_minutes and sustained need times, least or most")
	case e.moment() && e.At > s.Lasts:
		wrong("at", "%v is after the end", e.At)
	case !e.moment() && e.At != 0:
		wrong("at", "what is counted is counted over all of the time")
	case e.Of != "" && e.Happened == "":
		wrong("of", "belongs to happened")
	case e.Of != "" && snapshot.EdgeOf(e.Of) == grid.None && snapshot.PointOf(e.Of) == grid.None && snapshot.Node(e.Of) == grid.None:
		wrong("of", "the grid has nothing that is called %q", e.Of)
	case (e.Point != "") != (len(e.Levels) == 3):
		wrong("levels", "expected three, for the phases of a point")
	case e.Point != "" && snapshot.PointOf(e.Point) == grid.None:
		wrong("point", "the grid has no service point %q", e.Point)
	case e.OutBehind != "" && (snapshot.EdgeOf(e.OutBehind) == grid.None || snapshot.Normal().Below(snapshot.EdgeOf(e.OutBehind)) == grid.None):
		wrong("out_behind", "the grid has no line, switch or transformer %q that supplies anything", e.OutBehind)
	case e.Happened != "" && !slices.Contains(happenings, e.Happened):
		wrong("happened", "%q is nothing that is recorded, expected one of %s", e.Happened, strings.Join(happenings, ", "))
	case e.OffBy < 0 || e.OffBy > 0 && e.Told == "":
		wrong("off_by", "belongs to told, and is a time above 0")
	case e.Counted != "" && (s.Loads == nil || !slices.ContainsFunc(s.Loads.Effects, func(x Effect) bool { return x.Kind.String() == e.Counted })):
		wrong("counted", "nobody has the effect %q", e.Counted)
	case e.Told != "" && !slices.Contains(evidence.Kinds, evidence.Kind(e.Told)):
		wrong("told", "%q is no kind of evidence, expected one of %v", e.Told, evidence.Kinds)
	}
	if e.Out != nil {
		for i, id := range *e.Out {
			if snapshot.PointOf(id) == grid.None {
				wrong(configfile.Item("out", i), "the grid has no service point %q", id)
			}
		}
	}
}

// happenings are the kinds of records that are counted.
var happenings = func() []string {
	list := []string{truth.Outage, truth.PhaseLoss, truth.Overload, truth.Theft, truth.LookAlike, truth.CutOff, truth.TopologyError, truth.StalePosition,
		truth.SilentMeter, truth.WrongClock, truth.Jammed, truth.Dropout, truth.MeterFault}
	for kind := range world.SupplyChanged {
		list = append(list, kind.String())
	}
	return list
}()

// look compares a moment.
func (e *Expectation) look(w *world.World, wrong func(format string, args ...any)) {
	s := w.Snapshot()
	if e.Point != "" {
		got := w.Level(s.PointOf(e.Point))
		for i, level := range e.Levels {
			if int(got[i]) != level {
				wrong("at %v %s has the levels %v, want %v", e.At, e.Point, got, e.Levels)
				return
			}
		}
		return
	}
	want := map[string]bool{}
	if e.Out != nil {
		for _, id := range *e.Out {
			want[id] = true
		}
	} else {
		for _, p := range s.Normal().PointsBelow(s.Normal().Below(s.EdgeOf(e.OutBehind))) {
			want[s.PointAsset(int(p)).ID] = true
		}
	}
	var more, fewer []string
	for p := range s.Points() {
		id := s.PointAsset(p).ID
		switch out := w.Level(p).Live() == 0; {
		case out && !want[id]:
			more = append(more, id)
		case !out && want[id]:
			fewer = append(fewer, id)
		}
	}
	if len(more) > 0 {
		wrong("at %v %s out, unexpectedly", e.At, some(more))
	}
	if len(fewer) > 0 {
		wrong("at %v %s not out, unexpectedly", e.At, some(fewer))
	}
}

// some is a few of many, and how many there are.
func some(ids []string) string {
	switch {
	case len(ids) == 1:
		return ids[0] + " is"
	case len(ids) <= 5:
		return strings.Join(ids, ", ") + " are"
	}
	return fmt.Sprintf("%s and %d more are", strings.Join(ids[:4], ", "), len(ids)-4)
}

// sum compares a number.
func (e *Expectation) sum(r *Play, wrong func(format string, args ...any)) {
	var got float64
	var what string
	switch {
	case e.Happened != "":
		got, what = float64(r.happened[occurrence{e.Happened, e.Of}]), e.Happened
		if e.Of != "" {
			what += " of " + e.Of
		}
	case e.Told != "":
		got, what = float64(r.told[evidence.Kind(e.Told)]), "told "+e.Told
		if e.OffBy > 0 {
			got, what = float64(r.off[misdated{evidence.Kind(e.Told), e.OffBy}]), fmt.Sprintf("%s off by %v", what, e.OffBy)
		}
	case e.Counted != "":
		got, what = r.loads.counted(r, e.Counted), "counted with "+e.Counted
	case e.CustomerMinutes:
		got, what = r.outages.minutes, "customer-minutes"
	case e.Sustained:
		got, what = float64(r.outages.sustained), "sustained outages"
	}
	least, most := math.Inf(-1), math.Inf(1)
	if e.Times != nil { // to a thousandth, which is less than anybody counts
		least, most = *e.Times, *e.Times
		got = math.Round(got*1e3) / 1e3
	}
	if e.Least != nil {
		least = *e.Least
	}
	if e.Most != nil {
		most = *e.Most
	}
	switch {
	case least == most && got != least:
		wrong("%s: %v, want %v", what, got, least)
	case !(got >= least):
		wrong("%s: %v, want at least %v", what, got, least)
	case !(got <= most):
		wrong("%s: %v, want at most %v", what, got, most)
	}
}
