package reliability

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

func at(t testing.TB, text string) telemetry.Micros {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return telemetry.MicrosOf(parsed)
}

func near(t testing.TB, name string, got *float64, want, within float64) {
	t.Helper()
	if got == nil || math.Abs(*got-want) > within {
		t.Errorf("%s: %v, want %v", name, shown(got), want)
	}
}

func shown(v *float64) any {
	if v == nil {
		return "none"
	}
	return *v
}

// example is the worked example of IEEE Std 1366: 2000 customers, 4000 kVA, of whom 1800
// different ones were interrupted.
func example(t testing.TB) Input {
	in := Input{Served: []Served{{Customers: 2000, Load: 4000}}, Now: at(t, "2027-01-01T00:00:00Z"), Affected: 1800}
	for _, s := range []struct {
		id, start, end  string
		customers, load float64
	}{
		{"1", "2026-03-17T12:12:20Z", "2026-03-17T12:20:30Z", 200, 800},
		{"2", "2026-04-15T18:23:56Z", "2026-04-15T18:24:26Z", 400, 1600},
		{"3", "2026-05-05T00:23:10Z", "2026-05-05T01:34:29Z", 600, 1800},
		{"4", "2026-06-12T23:17:00Z", "2026-06-12T23:47:14Z", 25, 75},
		{"5", "2026-07-06T09:30:10Z", "2026-07-06T09:31:10Z", 2000, 4000},
		{"6", "2026-08-20T15:45:39Z", "2026-08-20T20:12:50Z", 90, 500},
		{"7", "2026-08-31T08:20:00Z", "2026-08-31T10:20:00Z", 700, 2100},
		{"8", "2026-09-03T17:10:00Z", "2026-09-03T17:20:00Z", 1500, 3000},
		{"9", "2026-10-27T10:15:00Z", "2026-10-27T10:55:00Z", 100, 200},
	} {
		in.Steps = append(in.Steps, Step{Interruption: s.id, Start: at(t, s.start), End: at(t, s.end), Customers: s.customers, Load: s.load})
	}
	return in
}

func profile(t testing.TB, name string) Profile {
	t.Helper()
	p, ok := ProfileOf(name)
	if !ok {
		t.Fatalf("no profile %s", name)
	}
	return p
}

func year(t testing.TB, in Input, p Profile) Row {
	t.Helper()
	return Report(in, Question{Profile: p, Periods: []Period{Year(2026, time.UTC)}})[0]
}

func TestTheStandardsExample(t *testing.T) {
	p := profile(t, "ieee1366")
	r := year(t, example(t), p)
	for index, want := range map[Index]float64{SAIFI: 1.6075, SAIDI: 86.1128, CAIDI: 53.5694, CTAIDI: 95.6809, CAIFI: 1.78611,
		ASAI: 0.99983616, ASIFI: 2.11875, ASIDI: 140.1906, MAIFI: 1.2, MAIFIE: 1.2} {
		near(t, string(index), r.Totals.Of(index, p), want, 1e-4)
	}
	near(t, "ASAI", r.Totals.Of(ASAI, p), 0.99983616, 1e-8)
	if r.Totals.CI != 3215 || math.Abs(r.Totals.CMI-172225.6667) > 1e-3 || r.Totals.Interruptions != 9 || !r.Final {
		t.Errorf("%+v", r)
	}
	if r.Totals.Of("CEMI_3", p) != nil || r.Totals.Of("CELID_s_8", p) != nil {
		t.Error("nobody is known one by one")
	}
}

func TestTheThreshold(t *testing.T) {
	start := at(t, "2026-09-03T17:10:00Z")
	for _, c := range []struct {
		profile string
		lasted  time.Duration
		want    Kind
	}{
		{"ieee1366", 10 * time.Minute, Sustained},
		{"ieee1366", 5 * time.Minute, Momentary},
		{"ieee1366", 5*time.Minute + time.Microsecond, Sustained},
		{"bnetza", 3 * time.Minute, Momentary},
		{"bnetza", 3*time.Minute + time.Second, Sustained},
		{"ofgem", 3 * time.Minute, Sustained},
		{"ofgem", 3*time.Minute - time.Microsecond, Momentary},
		{"generic", 4 * time.Minute, Sustained},
	} {
		end := start + telemetry.Micros(c.lasted.Microseconds())
		if got := profile(t, c.profile).kind(start, end, false); got != c.want {
			t.Errorf("%s: %s is %s, want %s", c.profile, c.lasted, got, c.want)
		}
	}
}

func TestTheThresholdOfMajorEventDays(t *testing.T) {
	near(t, "T_MED", ptr(TMED(-3.30, 1.90)), 4.2631, 1e-4)
	near(t, "T_MED", ptr(TMED(-3.35, 1.90)), 4.0552, 1e-4)
	got, ok := ThresholdOf([]float64{0.01, 0.05, 0.2, 1.1, 0, 0.3, 0.02, 0.6, 2.5, 0.08, 0.15, 0.04})
	if !ok || got.Days != 11 {
		t.Errorf("%+v", got)
	}
	near(t, "alpha", &got.Alpha, -1.951571, 1e-6)
	near(t, "beta", &got.Beta, 1.705285, 1e-6)
	near(t, "T_MED", &got.TMED, 10.09098, 1e-5)
	for _, none := range [][]float64{nil, {0, 0}, {1, 0}} {
		if _, ok := ThresholdOf(none); ok {
			t.Errorf("%v has a threshold", none)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// A storm's day is set apart by the years before its own, and the next year's isn't by its
// own.
func TestMajorEventDaysAreSetApart(t *testing.T) {
	berlin := location(t, "Europe/Berlin")
	in := Input{Served: []Served{{Customers: 1000, Area: "north"}}, Now: at(t, "2027-02-01T00:00:00Z")}
	r := rand.New(rand.NewPCG(1, 2))
	for y := 2020; y < 2027; y++ { // 2020 is too old to count
		for d := range 300 {
			start := time.Date(y, 1, 1+d, 3, 0, 0, 0, berlin)
			minutes := math.Exp(3 + 0.5*max(-2, min(2, r.NormFloat64())))
			if y == 2020 {
				minutes = 10000
			}
			in.Steps = append(in.Steps, Step{Interruption: start.Format("2006-01-02"), Area: "north", Start: telemetry.MicrosOf(start),
				End: telemetry.MicrosOf(start.Add(time.Duration(minutes * float64(time.Minute)))), Customers: 20})
		}
	}
	storm := time.Date(2026, 12, 5, 23, 50, 0, 0, berlin) // lasts into the next day
	in.Steps = append(in.Steps, Step{Interruption: "storm", Area: "north", Start: telemetry.MicrosOf(storm), End: telemetry.MicrosOf(storm.Add(20 * time.Hour)), Customers: 700})
	q := Question{Profile: profile(t, "ieee1366"), Periods: []Period{Year(2026, berlin)}, By: ByArea, Location: berlin}
	rows := Report(in, q)
	if len(rows) != 2 || rows[1].Group != "north" {
		t.Fatalf("%+v", rows)
	}
	for _, row := range rows {
		if len(row.MajorDays) != 1 || row.MajorDays[0].Day.Name != "2026-12-05" || row.MajorDays[0].Threshold.Days != 1500 {
			t.Errorf("%+v", row.MajorDays)
		}
		with, without := row.Totals.Of(SAIDI, q.Profile), row.WithoutMajor.Of(SAIDI, q.Profile)
		near(t, "what the day took", ptr(*with-*without), 20*60*700/1000.0, 1e-9)
	}
	// The first years have no history, and say so.
	q.Periods = []Period{Year(2020, berlin)}
	if row := Report(in, q)[0]; row.WithoutMajor != nil || row.MajorDays != nil {
		t.Errorf("%+v", row.MajorDays)
	}
}

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A customer whom two interruptions take supply from at once lacks it once.
func TestOverlapsOfACustomerAreOne(t *testing.T) {
	noon := at(t, "2026-05-01T12:00:00Z")
	min := func(n int) telemetry.Micros { return noon + telemetry.Micros(n)*60e6 }
	house := []Point{{ID: "house", Customers: 1, Load: 3}}
	both := append(house, Point{ID: "flats", Customers: 8, Load: 20})
	in := Input{Now: at(t, "2027-01-01T00:00:00Z"), Served: []Served{{Customers: 100, Load: 500}}, Steps: []Step{
		{Interruption: "feeder", Cause: "cable", Start: noon, End: min(60), Points: both},
		{Interruption: "service", Cause: "fuse", Start: min(30), End: min(90), Points: house},
		{Interruption: "after", Cause: "fuse", Start: min(90), End: min(100), Points: house}, // without a pause
		{Interruption: "later", Cause: "fuse", Start: min(300), End: min(310), Points: house},
	}}
	p := profile(t, "ieee1366")
	rows := Report(in, Question{Profile: p, Periods: []Period{Year(2026, time.UTC)}, By: ByCause})
	r := rows[0].Totals
	if r.CI != 10 || r.CMI != 8*60+100+10 || *r.CN != 9 || r.LI != 26 {
		t.Errorf("%+v", r)
	}
	near(t, "CAIFI", r.Of(CAIFI, p), 10.0/9, 1e-12)
	near(t, "CEMI_1", r.Of("CEMI_1", p), 0.01, 1e-12)
	p.CEMIAtLeast = true
	near(t, "CEMI_1, n or more", r.Of("CEMI_1", p), 0.09, 1e-12)
	near(t, "CELID_s_1", r.Of("CELID_s_1", p), 0.09, 1e-12)
	near(t, "CELID_t_2", r.Of("CELID_t_2", p), 0, 1e-12)
	if len(rows) != 3 || rows[1].Group != "cable" || rows[1].Totals.CMI != 580 || rows[2].Totals.CMI != 10 {
		t.Errorf("%+v", rows[1:])
	}
	// A regulator who counts customers once an interruption still counts their minutes.
	in.Steps[3].Interruption = "feeder"
	once := Report(in, Question{Profile: profile(t, "ofgem"), Periods: []Period{Year(2026, time.UTC)}})[0].Totals
	if once.CI != 9 || once.CMI != 590 {
		t.Errorf("%+v", once)
	}
	near(t, "CI per 100", once.Of(CIPer100, p), 9, 1e-12)
	near(t, "CML", once.Of(CML, p), 5.9, 1e-12)
}

// What is restored in steps is as many customers, each with their own minutes.
func TestStepRestoration(t *testing.T) {
	noon := at(t, "2026-05-01T12:00:00Z")
	in := Input{Now: noon + 86400e6, Served: []Served{{Customers: 1000}}, Steps: []Step{
		{Interruption: "a", Start: noon, End: noon + 2*60e6, Customers: 500},
		{Interruption: "a", Start: noon, End: noon + 30*60e6, Customers: 300},
		{Interruption: "a", Start: noon, End: noon + 90*60e6, Customers: 100},
	}}
	p := profile(t, "ieee1366")
	r := year(t, in, p).Totals
	if r.CI != 400 || r.CMI != 300*30+100*90 || r.Momentary != 500 || r.Interruptions != 1 {
		t.Errorf("%+v", r)
	}
}

func TestEventsOfMomentaryInterruptions(t *testing.T) {
	noon := at(t, "2026-05-01T12:00:00Z")
	trip := func(id string, after, lasts float64, points ...Point) Step {
		start := noon + telemetry.Micros(after*1e6)
		return Step{Interruption: id, Feeder: "F1", Device: "R1", Start: start, End: start + telemetry.Micros(lasts*1e6), Customers: 400, Points: points}
	}
	customers := Point{ID: "all", Customers: 400}
	for name, c := range map[string]struct {
		steps  []Step
		maifi  float64
		events float64
	}{
		"cleared after one trip":         {[]Step{trip("a", 0, 0.5)}, 0.4, 0.4},
		"three trips are one event":      {[]Step{trip("a", 0, 0.5), trip("b", 20, 0.5), trip("c", 60, 5)}, 1.2, 0.4},
		"six minutes apart are two":      {[]Step{trip("a", 0, 0.5), trip("b", 361, 0.5)}, 0.8, 0.8},
		"exactly five minutes are one":   {[]Step{trip("a", 0, 0.5), trip("b", 300, 0.5)}, 0.8, 0.4},
		"those before a lockout are not": {[]Step{trip("a", 0, 0.5), trip("b", 20, 0.5), trip("c", 60, 3600)}, 0.8, 0},
	} {
		for _, known := range []bool{false, true} {
			in := Input{Now: noon + 86400e6, Served: []Served{{Customers: 1000}}, Steps: slices.Clone(c.steps)}
			for i := range in.Steps {
				if known {
					in.Steps[i].Points = []Point{customers}
				}
			}
			p := profile(t, "ieee1366")
			r := year(t, in, p).Totals
			near(t, name+": MAIFI", r.Of(MAIFI, p), c.maifi, 1e-12)
			near(t, name+": MAIFI_E", r.Of(MAIFIE, p), c.events, 1e-12)
		}
	}
	// A fuse beyond the recloser takes some of its customers for good: by service point it
	// is known whom.
	in := Input{Now: noon + 86400e6, Served: []Served{{Customers: 1000}}, Steps: []Step{
		trip("a", 0, 1, Point{ID: "x", Customers: 390}, Point{ID: "y", Customers: 10}), trip("b", 30, 4000, Point{ID: "y", Customers: 10})}}
	p := profile(t, "ieee1366")
	near(t, "fuse", ptr(year(t, in, p).Totals.Events), 390, 0)
	// Steps of one interruption have different customers, so those who were back at once
	// aren't among those who weren't.
	back, out := trip("a", 0, 60), trip("a", 0, 4000)
	back.Customers, out.Customers = 100, 300
	in.Steps = []Step{back, out}
	near(t, "back by a tie", ptr(year(t, in, p).Totals.Events), 100, 0)
	in.Steps = []Step{trip("b", -30, 1), back, out}
	near(t, "back by a tie after a trip", ptr(year(t, in, p).Totals.Events), 100, 0)
}

// An open interruption counts once it is sustained, and what it comes to is provisional.
func TestOpenInterruptionsAreProvisional(t *testing.T) {
	start := at(t, "2026-05-01T12:00:00Z")
	in := Input{Served: []Served{{Customers: 1000}}, Steps: []Step{{Interruption: "a", Start: start, Customers: 100}}}
	p := profile(t, "ieee1366")
	for _, c := range []struct {
		after   int
		ci, cmi float64
	}{{0, 0, 0}, {5, 0, 0}, {6, 100, 600}, {60, 100, 6000}} {
		in.Now = start + telemetry.Micros(c.after)*60e6
		r := year(t, in, p)
		if r.Totals.CI != c.ci || r.Totals.CMI != c.cmi || r.Final || r.Totals.Open != 1 || r.Totals.Momentary != 0 {
			t.Errorf("after %d min: %+v", c.after, r)
		}
	}
	in.Steps[0].End = start + 60*60e6
	in.Now = start + 120*60e6
	if r := year(t, in, p); r.Final {
		t.Error("the year isn't over")
	}
	in.Now = at(t, "2027-01-01T00:00:00Z")
	if r := year(t, in, p); !r.Final || r.Totals.CMI != 6000 {
		t.Errorf("%+v", r)
	}
	in.Steps[0].End = 0
	if r := year(t, in, p); r.Final {
		t.Error("it is open")
	}
}

func TestPeriodsBeginAtLocalMidnight(t *testing.T) {
	berlin := location(t, "Europe/Berlin")
	for _, c := range []struct {
		p     Period
		hours float64
	}{
		{Day(2026, 3, 29, berlin), 23}, {Day(2026, 10, 25, berlin), 25}, {Day(2026, 3, 30, berlin), 24},
		{Year(2026, berlin), 8760}, {Year(2028, berlin), 8784}, {Month(2028, 2, berlin), 29 * 24}, {Month(2026, 3, berlin), 31*24 - 1},
	} {
		if got := c.p.To.Sub(c.p.From).Hours(); got != c.hours {
			t.Errorf("%s has %v h, want %v", c.p.Name, got, c.hours)
		}
	}
	// Clocks that skip midnight, and that show it twice.
	for zone, days := range map[string][]struct {
		day   int
		month time.Month
		first string
		hours float64
	}{
		"Africa/Cairo":   {{24, 4, "01:00", 23}, {23, 4, "00:00", 24}},
		"America/Havana": {{1, 11, "00:00", 25}, {31, 10, "00:00", 24}, {8, 3, "01:00", 23}},
	} {
		in := location(t, zone)
		for _, d := range days {
			p := Day(2026, d.month, d.day, in)
			if got := p.From.Time().In(in).Format("15:04"); got != d.first || p.To.Sub(p.From).Hours() != d.hours {
				t.Errorf("%s in %s begins at %s and has %v h, want %s and %v", p.Name, zone, got, p.To.Sub(p.From).Hours(), d.first, d.hours)
			}
		}
	}
	// 23:30 of the last day of the year by UTC is the new year here. What goes on over a
	// boundary is charged where it began.
	in := Input{Now: at(t, "2028-01-01T00:00:00Z"), Served: []Served{{Customers: 10}},
		Steps: []Step{{Interruption: "a", Start: at(t, "2025-12-31T23:30:00Z"), End: at(t, "2026-01-01T02:00:00Z"), Customers: 1},
			{Interruption: "b", Start: at(t, "2025-12-31T22:30:00Z"), End: at(t, "2026-01-02T02:00:00Z"), Customers: 2}}}
	p := profile(t, "ieee1366")
	rows := Report(in, Question{Profile: p, Periods: []Period{Year(2025, berlin), Year(2026, berlin)}, Location: berlin})
	if rows[0].Totals.CI != 2 || rows[1].Totals.CI != 1 {
		t.Errorf("%v and %v", rows[0].Totals.CI, rows[1].Totals.CI)
	}
	// The months of a year are the year.
	var ci float64
	months := Months(2026, berlin)
	for _, row := range Report(in, Question{Profile: p, Periods: months}) {
		ci += row.Totals.CI
	}
	if ci != 1 || months[0].From != rows[1].Period.From || months[11].To != rows[1].Period.To {
		t.Errorf("%v", ci)
	}
	// A leap year has a day more to have supply in.
	in = example(t)
	leap := Report(Input{Served: in.Served, Now: at(t, "2029-01-01T00:00:00Z"), Steps: []Step{{Interruption: "a", Start: at(t, "2028-05-01T00:00:00Z"), End: at(t, "2028-05-01T01:00:00Z"), Customers: 2000}}},
		Question{Profile: p, Periods: []Period{Year(2028, time.UTC)}})[0]
	near(t, "ASAI", leap.Totals.Of(ASAI, p), 1-1.0/8784, 1e-12)
}

// Customers who come in the middle of a period count for the rest of it.
func TestCustomersServedAreAnAverage(t *testing.T) {
	in := Input{Now: at(t, "2027-01-01T00:00:00Z"), Served: []Served{
		{Area: "north", Feeder: "F1", Customers: 100}, {Area: "north", Feeder: "F1", From: at(t, "2026-07-02T12:00:00Z"), Customers: 200},
		{Area: "south", Feeder: "F2", From: at(t, "2026-07-02T12:00:00Z"), Customers: 50},
	}}
	rows := Report(in, Question{Profile: profile(t, "ieee1366"), Periods: []Period{Year(2026, time.UTC)}, By: ByFeeder})
	var got []float64
	for _, r := range rows {
		got = append(got, r.Totals.CustomersServed)
	}
	if !slices.Equal(got, []float64{175, 150, 25}) {
		t.Errorf("%v", got)
	}
}

func TestZeroDenominatorsHaveNoIndex(t *testing.T) {
	in := Input{Now: at(t, "2027-01-01T00:00:00Z")}
	p := profile(t, "ieee1366")
	r := year(t, in, p)
	for _, i := range p.Indices {
		if got := r.Totals.Of(i, p); got != nil {
			t.Errorf("%s: %v of nobody", i, *got)
		}
	}
	in.Served = []Served{{Customers: 10}}
	r = year(t, in, p)
	near(t, "SAIDI", r.Totals.Of(SAIDI, p), 0, 0)
	near(t, "ASAI", r.Totals.Of(ASAI, p), 1, 0)
	near(t, "CEMI_3", r.Totals.Of("CEMI_3", p), 0, 0)
	for _, i := range []Index{CAIDI, CTAIDI, CAIFI, ASIFI, ASIDI} {
		if got := r.Totals.Of(i, p); got != nil {
			t.Errorf("%s: %v without an interruption", i, *got)
		}
	}
}

func TestProfilesLeaveOut(t *testing.T) {
	noon := at(t, "2026-05-01T12:00:00Z")
	in := Input{Now: noon + 86400e6, Served: []Served{{Customers: 100}}}
	for i, s := range []Step{{Cause: "tree"}, {Cause: "work", Planned: true}, {Cause: "Force-Majeure"}} {
		s.Interruption, s.Start, s.End, s.Customers = string(rune('a'+i)), noon, noon+3600e6, 1
		in.Steps = append(in.Steps, s)
	}
	for name, want := range map[string]float64{"ieee1366": 3, "bnetza": 1, "ofgem": 3, "generic": 3} {
		if got := year(t, in, profile(t, name)).Totals.CI; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// random is a year of anything, by a seed.
func random(seed uint64) Input {
	r := rand.New(rand.NewPCG(seed, 7))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	in := Input{Now: telemetry.MicrosOf(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))}
	for _, area := range []string{"north", "south"} {
		for _, feeder := range []string{"1", "2"} {
			in.Served = append(in.Served, Served{Area: area, Feeder: area + feeder, Customers: float64(100 + r.IntN(400)), Load: 1000})
		}
	}
	for range 40 {
		start := time.Date(2026, 1, 1, 0, 0, r.IntN(330*86400), 0, time.UTC)
		area := pick("north", "south")
		s := Step{Interruption: pick("a", "b", "c", "d", "e", "f"), Area: area, Feeder: area + pick("1", "2"), Device: pick("", "d1", "d2"),
			Cause: pick("tree", "cable", "unknown"), Planned: r.IntN(5) == 0, Start: telemetry.MicrosOf(start),
			Customers: float64(1 + r.IntN(100)), Load: float64(r.IntN(300))}
		if r.IntN(8) > 0 {
			s.End = s.Start + telemetry.Micros(r.ExpFloat64()*1200e6)
		}
		if r.IntN(2) == 0 {
			for i := range 1 + r.IntN(5) {
				s.Points = append(s.Points, Point{ID: s.Feeder + string(rune('p'+i)), Customers: float64(1 + i), Load: 5})
			}
		}
		in.Steps = append(in.Steps, s)
	}
	return in
}

// Neither the order of steps nor how the year is divided matters.
func TestIndicesAreThoseOfASet(t *testing.T) {
	for seed := range uint64(200) {
		in := random(seed)
		for _, p := range Profiles {
			p.MajorEventDays = false
			q := Question{Profile: p, Periods: []Period{Year(2026, time.UTC)}, By: ByFeeder}
			want := Report(in, q)
			shuffled := in
			shuffled.Steps, shuffled.Served = slices.Clone(in.Steps), slices.Clone(in.Served)
			r := rand.New(rand.NewPCG(seed, 9))
			r.Shuffle(len(shuffled.Steps), reflect.Swapper(shuffled.Steps))
			r.Shuffle(len(shuffled.Served), reflect.Swapper(shuffled.Served))
			if got := Report(shuffled, q); !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, %s: the order matters", seed, p.Name)
			}
			for _, by := range []By{ByArea, ByFeeder, ByCause} {
				q.By = by
				rows := Report(in, q)
				var parts Totals
				for _, row := range rows[1:] {
					parts.CI, parts.CMI, parts.Momentary, parts.Events = parts.CI+row.Totals.CI, parts.CMI+row.Totals.CMI, parts.Momentary+row.Totals.Momentary, parts.Events+row.Totals.Events
				}
				whole := rows[0].Totals
				for name, pair := range map[string][2]float64{"CI": {parts.CI, whole.CI}, "CMI": {parts.CMI, whole.CMI}, "momentary": {parts.Momentary, whole.Momentary}, "events": {parts.Events, whole.Events}} {
					if math.Abs(pair[0]-pair[1]) > 1e-6*(1+pair[1]) {
						t.Errorf("seed %d, %s by %s: the parts' %s are %v, the whole's %v", seed, p.Name, by, name, pair[0], pair[1])
					}
				}
			}
			if whole := want[0].Totals; !p.Once && (whole.Events > whole.Momentary || whole.CN != nil && *whole.CN > whole.CI) {
				t.Errorf("seed %d: more events than interruptions, or more customers: %+v", seed, whole)
			}
			for _, i := range p.Indices {
				if v := want[0].Totals.Of(i, p); v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0) || *v < 0) {
					t.Errorf("seed %d: %s is %v", seed, i, *v)
				}
			}
		}
	}
}

// Splitting a service point's step in two that touch, or saying it twice, changes nothing.
func TestHowOftenAPointIsNamedDoesntMatter(t *testing.T) {
	for seed := range uint64(100) {
		in := random(seed)
		p := profile(t, "ieee1366")
		p.MajorEventDays = false
		in.Steps = slices.DeleteFunc(in.Steps, func(s Step) bool { return len(s.Points) == 0 || s.End == 0 })
		want := year(t, in, p).Totals
		twice := in
		twice.Steps = nil
		for _, s := range in.Steps {
			middle := (s.Start + s.End) / 2
			a, b := s, s
			a.End, b.Start = middle, middle
			twice.Steps = append(twice.Steps, b, a, s)
		}
		got := year(t, twice, p).Totals
		if got.CI != want.CI || math.Abs(got.CMI-want.CMI) > 1e-6 || *got.CN != *want.CN || got.Momentary != want.Momentary || got.Events != want.Events {
			t.Errorf("seed %d: %+v, want %+v", seed, got, want)
		}
	}
}
