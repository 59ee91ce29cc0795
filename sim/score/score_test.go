package score_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/busbar/busbar/sim/score"
)

// Times are in minutes after the start at 1,000 s. The truth:
//
//	1  F1 from 10 to 40 takes a, b, c; a and b are back at 30
//	2  CB from 50 to 51 takes all of a, b, c, d: momentary
//	3  T2 from 60 to the end at 100 takes d, which is three customers
//
// and x and y steal from 20 on (h1, h5), and v is on vacation.
const log = `{"time_us":1000000000,"what":"start","end_us":7000000000,"customers":{"d":3}}
{"time_us":1000000000,"what":"theft","kind":"h1","point":"x","since_us":2200000000}
{"time_us":1000000000,"what":"theft","kind":"h5","point":"y","since_us":2200000000}
{"time_us":1000000000,"what":"look-alike","kind":"vacation","point":"v","since_us":2200000000}
{"time_us":1600000000,"what":"outage","outage":1,"device":"F1","adjacent":["CB","T1"],"points":["a","b","c"]}
{"time_us":1600000000,"what":"trip","device":"F1"}
{"time_us":2800000000,"what":"restored","outage":1,"points":["a","b"]}
{"time_us":3400000000,"what":"restored","outage":1,"points":["c"]}
{"time_us":3400000000,"what":"outage-end","outage":1}
{"time_us":4000000000,"what":"outage","outage":2,"device":"CB","adjacent":["F1","F2"],"points":["a","b","c","d"]}
{"time_us":4060000000,"what":"restored","outage":2,"points":["a","b","c","d"]}
{"time_us":4060000000,"what":"outage-end","outage":2}
{"time_us":4600000000,"what":"outage","outage":3,"device":"T2","adjacent":["F2"],"points":["d"]}
{"time_us":7000000000,"what":"stop"}
`

func compare(t *testing.T, findings string) score.Score {
	t.Helper()
	s, err := score.Compare(strings.NewReader(log), strings.NewReader(findings))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func near(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil || math.Abs(*got-want) > 1e-9 {
		t.Errorf("%s: %v, want %v", what, show(got), want)
	}
}

func show(x *float64) any {
	if x == nil {
		return nil
	}
	return *x
}

// Everything is told as it is. 20 + 20 + 30 minutes of a, b and c, and three times
// 40 of d are 190.
func TestAPerfectResult(t *testing.T) {
	s := compare(t, `{"what":"outage","device":"F1","detected_us":1610000000,"start_us":1600000000,"end_us":3400000000,"points":["a","b","c"],"restored":[{"time_us":2800000000,"points":["a","b"]}]}
{"what":"outage","device":"T2","detected_us":4630000000,"start_us":4600000000,"points":["d"]}
`).Outages
	if s.True != 2 || s.Told != 2 || s.Found != 2 || s.Repeated != 0 || s.Momentary != 0 || s.False != 0 || s.Exact != 2 || s.Adjacent+s.Other != 0 {
		t.Errorf("%+v", s)
	}
	near(t, "precision", s.Precision, 1)
	near(t, "recall", s.Recall, 1)
	near(t, "median", s.DetectMedian, 10)
	near(t, "p90", s.DetectP90, 30)
	near(t, "true", &s.TrueMinutes, 190)
	near(t, "told", &s.ToldMinutes, 190)
	near(t, "missed", &s.MissedMinutes, 0)
	near(t, "excess", &s.ExcessMinutes, 0)
}

// One whole outage at the device next to it, ended at 35 for all: a and b have 5
// minutes too much each, c has 5 too few. One of the momentary, and one of nothing:
// 10 minutes of e.
func TestAResultWithMistakes(t *testing.T) {
	s := compare(t, `{"what":"outage","device":"T1","detected_us":1720000000,"start_us":1600000000,"end_us":3100000000,"points":["a","b","c"]}
{"what":"outage","device":"CB","detected_us":4050000000,"start_us":4000000000,"end_us":4060000000,"points":["a","b","c","d"]}
{"what":"outage","device":"T9","detected_us":1300000000,"start_us":1200000000,"end_us":1800000000,"points":["e"]}
`).Outages
	if s.True != 2 || s.Told != 3 || s.Found != 1 || s.Momentary != 1 || s.False != 1 || s.Exact != 0 || s.Adjacent != 1 {
		t.Errorf("%+v", s)
	}
	near(t, "precision", s.Precision, 1.0/3)
	near(t, "recall", s.Recall, 0.5)
	near(t, "median", s.DetectMedian, 120)
	near(t, "points precision", s.PointsPrecision, 1)
	near(t, "points recall", s.PointsRecall, 1)
	near(t, "true", &s.TrueMinutes, 190)
	near(t, "told", &s.ToldMinutes, 25*3+10)
	near(t, "excess", &s.ExcessMinutes, 5+5+10)
	near(t, "missed", &s.MissedMinutes, 5+120)
}

func TestSomethingOfThePlaceAtAnotherTimeIsFalse(t *testing.T) {
	s := compare(t, `{"what":"outage","device":"F1","detected_us":1610000000,"start_us":3500000000,"end_us":3600000000,"points":["a"]}`+"\n").Outages
	if s.False != 1 || s.Found != 0 {
		t.Errorf("%+v", s)
	}
	s = compare(t, `{"what":"outage","device":"F2","detected_us":1610000000,"start_us":1600000000,"end_us":3400000000,"points":["a","z"]}`+"\n").Outages
	if s.Found != 1 || s.Other != 1 {
		t.Errorf("%+v", s)
	}
	near(t, "points precision", s.PointsPrecision, 1.0/2) // a of a and z
	near(t, "points recall", s.PointsRecall, 1.0/3)       // a of a, b and c
}

func TestWhatIsToldBeforeItBeginsIsDetectedAtOnce(t *testing.T) {
	s := compare(t, `{"what":"outage","device":"F1","detected_us":1590000000,"start_us":1590000000,"end_us":3400000000,"points":["a"]}`).Outages
	if s.Found != 1 {
		t.Errorf("%+v", s)
	}
	near(t, "median", s.DetectMedian, 0)
}

// Neither the truth nor a result that names no device has the right one.
func TestNoDeviceIsNotTheRightOne(t *testing.T) {
	s, err := score.Compare(strings.NewReader(strings.ReplaceAll(log, `"device":"F1",`, "")),
		strings.NewReader(`{"what":"outage","detected_us":1610000000,"start_us":1600000000,"points":["a"]}`))
	if o := s.Outages; err != nil || o.Found != 1 || o.Exact != 0 || o.Other != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

// Told in two parts that touch, each too short for an interruption that counts.
func TestPartsThatTouchAreOneInterruption(t *testing.T) {
	s := compare(t, `{"what":"outage","device":"F1","detected_us":1610000000,"start_us":1600000000,"end_us":1700000000,"points":["a"]}
{"what":"outage","device":"F1","detected_us":1610000000,"start_us":1700000000,"end_us":1840000000,"points":["a"]}
`).Outages
	near(t, "told", &s.ToldMinutes, 4)
}

func TestTheftThatIsOverIsNotFound(t *testing.T) {
	over := strings.Replace(log, `"point":"x","since_us":2200000000`, `"point":"x","since_us":2200000000,"until_us":3000000000`, 1)
	for at, found := range map[string]int{"2999000000": 1, "3000000000": 0} {
		s, err := score.Compare(strings.NewReader(over), strings.NewReader(`{"what":"suspect","point":"x","detected_us":`+at+`}`))
		if err != nil || s.Suspects.Found != found || s.Suspects.False != 1-found {
			t.Errorf("at %s: %+v, %v", at, s.Suspects, err)
		}
	}
}

// The same points are out at F1 twice, a minute apart: each told one finds its own.
func TestTwoOutagesOfOnePlace(t *testing.T) {
	again := strings.Replace(log, `{"time_us":7000000000,"what":"stop"}`,
		`{"time_us":6000000000,"what":"restored","outage":3,"points":["d"]}
{"time_us":6030000000,"what":"outage","outage":4,"device":"T2","points":["d"]}
{"time_us":7000000000,"what":"stop"}`, 1)
	s, err := score.Compare(strings.NewReader(again), strings.NewReader(`{"what":"outage","device":"T2","detected_us":6040000000,"start_us":6030000000,"points":["d"]}
{"what":"outage","device":"T2","detected_us":6040000000,"start_us":4600000000,"end_us":6000000000,"points":["d"]}
{"what":"outage","device":"T2","detected_us":6050000000,"start_us":6030000000,"points":["d"]}
`))
	if o := s.Outages; err != nil || o.True != 3 || o.Found != 2 || o.Repeated != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

// A breaker's trip took a, b and c for a minute, and a stayed out behind a fuse. Who
// says that all three are out means the one that lasts.
func TestOneThatLastsGoesBeforeAMomentaryOne(t *testing.T) {
	s, err := score.Compare(strings.NewReader(`{"time_us":1000000000,"what":"start","end_us":7000000000}
{"time_us":1600000000,"what":"outage","outage":1,"device":"CB","points":["a","b","c"]}
{"time_us":1660000000,"what":"restored","outage":1,"points":["a","b","c"]}
{"time_us":1660100000,"what":"outage","outage":2,"device":"F1","points":["a"]}
{"time_us":3400000000,"what":"restored","outage":2,"points":["a"]}
`), strings.NewReader(`{"what":"outage","device":"F1","detected_us":1700000000,"start_us":1600000000,"end_us":1665000000,"points":["a","b","c"]}`))
	if o := s.Outages; err != nil || o.Found != 1 || o.Momentary != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestNothingTold(t *testing.T) {
	s := compare(t, "")
	if s.Outages.Precision != nil || s.Outages.DetectMedian != nil || s.Suspects.Precision != nil {
		t.Errorf("%+v", s)
	}
	near(t, "recall", s.Outages.Recall, 0)
	near(t, "missed", &s.Outages.MissedMinutes, 190)
	text, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(text), `"precision":null`) || !strings.Contains(string(text), `"vacation":{"true":1,"suspected":0}`) ||
		!strings.Contains(string(text), `"h1":{"true":1,"found":0}`) {
		t.Errorf("%s, %v", text, err)
	}
}

// x is found a day late and told once more; y isn't; v and z are honest.
func TestSuspects(t *testing.T) {
	s := compare(t, `{"what":"suspect","point":"x","detected_us":88600000000,"since_us":45400000000}
{"what":"suspect","point":"x","detected_us":98600000000}
{"what":"suspect","point":"v","detected_us":3000000000}
{"what":"suspect","point":"z","detected_us":3000000000}
{"what":"suspect","point":"y","detected_us":2000000000}
`).Suspects
	if s.True != 2 || s.Told != 4 || s.Found != 1 || s.False != 2 || s.LookAlikes["vacation"] != (score.LookAlike{True: 1, Suspected: 1}) { // y was suspected before
		t.Errorf("%+v", s)
	}
	if s.Kinds["h1"] != (score.Kind{True: 1, Found: 1}) || s.Kinds["h5"] != (score.Kind{True: 1}) {
		t.Errorf("%+v", s.Kinds)
	}
	near(t, "precision", s.Precision, 0.25)
	near(t, "recall", s.Recall, 0.5)
	near(t, "days", s.DetectMedian, 1)
	near(t, "since", s.SinceMedian, 0.5)
}

func TestTableSaysIt(t *testing.T) {
	var b strings.Builder
	if err := compare(t, `{"what":"suspect","point":"v","detected_us":3000000000}`).Table(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"outages of 3 minutes or more  2", "0 exact, 0 adjacent", "190.0 true", "0 of 1 found", "vacation", "1 of 1 suspected", "median -"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for _, c := range []struct{ truth, findings, want string }{
		{"{}\n", "", `truth: line 1: begins with ""`},
		{log + "{", "", "truth: line 15: "},
		{log + `{"what":"outage","outage":7}`, "", "truth: line 15: outage 7 comes after 3"},
		{log + `{"what":"restored","outage":7}`, "", "truth: line 15: there is no outage 7 before"},
		{log, `{"what":"x"}`, `result: line 1: what is "x", expected outage or suspect`},
		{log, "\n" + `{"what":"suspect"}`, "result: line 2: a suspect without point"},
		{log, `{"what":"outage"}`, "result: line 1: an outage without points"},
		{log, `{"what":"suspect","point":"x"}`, "result: line 1: no detected_us"},
		{log, `{"what":"outage","points":["a"],"start_us":1}`, "result: line 1: no detected_us"},
		{log, `{"what":"outage","points":["a"],"detected_us":1}`, "result: line 1: an outage without start_us"},
		{log, `{"what":"outage","points":["a"],"detected_us":1,"start_us":2,"end_us":1}`, "result: line 1: an outage that ends at 1, before it starts at 2"},
		{log + log, "", "truth: line 15: begins again"},
	} {
		_, err := score.Compare(strings.NewReader(c.truth), strings.NewReader(c.findings))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add(log, `{"what":"outage","device":"F1","detected_us":1,"start_us":1,"end_us":2,"points":["a"]}`)
	f.Fuzz(func(t *testing.T, truth, findings string) {
		s, err := score.Compare(strings.NewReader(truth), strings.NewReader(findings))
		if err != nil {
			return
		}
		if o := s.Outages; o.Found+o.Momentary+o.False+o.Repeated != o.Told || o.Found > o.True || o.Exact+o.Adjacent+o.Other != o.Found {
			t.Fatalf("%+v", o)
		}
	})
}
