package reliability

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

func TestATableOfSteps(t *testing.T) {
	steps, err := ReadSteps("outages.csv", []byte("\ufeff"+`start,interruption,customers,end,planned,kva,cause,feeder,area,device
2026-03-17T12:12:20+01:00,1,200,2026-03-17T12:20:30+01:00,,800.5,"tree, fallen",F7,north,R1
2026-03-18T12:12:20Z,2,3,,yes,,,,,
`))
	if err != nil || len(steps) != 2 {
		t.Fatal(steps, err)
	}
	s := steps[0]
	if s.Start != at(t, "2026-03-17T11:12:20Z") || s.End.Sub(s.Start) != 490*time.Second || s.Cause != "tree, fallen" || s.Load != 800.5 || s.Planned || !steps[1].Planned || steps[1].End != 0 {
		t.Errorf("%+v", steps)
	}
	err = ReadPoints("points.csv", []byte("interruption,start,end,service_point,customers\n1,2026-03-17T11:12:20Z,2026-03-17T11:20:30Z,sp-1,\n1,2026-03-17T11:12:20Z,2026-03-17T11:20:30Z,sp-2,4\n"), steps)
	if err != nil || len(steps[0].Points) != 2 || steps[0].Points[0].Customers != 1 || steps[0].Points[1].Customers != 4 {
		t.Errorf("%+v, %v", steps[0].Points, err)
	}
	served, err := ReadServed("customers.csv", []byte("area,customers\nnorth,2000\n"))
	if err != nil || len(served) != 1 || served[0] != (Served{Area: "north", Customers: 2000}) {
		t.Errorf("%+v, %v", served, err)
	}
}

func TestWhatIsWrongWithATableHasAPlace(t *testing.T) {
	const head = "interruption,start,end,customers\n"
	for text, want := range map[string]string{
		"":                                     "outages.csv: is empty",
		"interruption,start\n":                 "outages.csv:1: column customers is missing",
		"interruption,start,customer\n":        `outages.csv:1: column "customer" is unknown`,
		"start,start\n":                        `outages.csv:1: column "start" is there twice`,
		head + "1,2026-01-01T00:00:00Z,,-1\n":  `outages.csv:2: customers: "-1", expected a number`,
		head + "1,2026-01-01T00:00:00Z,,NaN\n": `outages.csv:2: customers: "NaN", expected a number`,
		head + "1,2026-01-01 00:00,,1\n":       `outages.csv:2: start: "2026-01-01 00:00", expected a time`,
		head + "1,,,1\n":                       "outages.csv:2: start is empty",
		head + "1,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z,1":        "outages.csv:2: end is before start",
		head + "1,2026-01-01T00:00:00Z,,1\n2,x\n":                     "outages.csv: record on line 3: wrong number of fields",
		head + "1,2026-01-01T00:00:00Z,,1\n\"\n\",\"2\",,1\n":         "outages.csv:3: start: ",
		head + "\"1,2026-01-01T00:00:00Z,,1\n":                        "outages.csv: parse error on line 2",
		head + "\xff,2026-01-01T00:00:00Z,,1\n":                       "outages.csv: isn't UTF-8",
		head + strings.Repeat("a", 1025) + ",2026-01-01T00:00:00Z,,1": "outages.csv:2: interruption has 1025 bytes",
	} {
		if _, err := ReadSteps("outages.csv", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
	steps := []Step{{Interruption: "1", Start: 1e6}, {Interruption: "2", Start: 1e6}, {Interruption: "2", Start: 1e6}}
	for line, want := range map[string]string{
		"3,1970-01-01T00:00:01Z,a": `points.csv:2: there is no step of interruption "3"`,
		"1,1970-01-01T00:00:02Z,a": `points.csv:2: there is no step of interruption "1"`,
		"2,1970-01-01T00:00:01Z,a": `points.csv:2: 2 steps of interruption "2"`,
		"1,1970-01-01T00:00:01Z,":  "points.csv:2: service_point is empty",
	} {
		if err := ReadPoints("points.csv", []byte("interruption,start,service_point\n"+line), steps); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

// What is written for the regulator is read as what it was.
func TestTablesAreReadAsTheyAreWritten(t *testing.T) {
	in := example(t)
	in.Steps[2].Area, in.Steps[2].Feeder, in.Steps[2].Substation, in.Steps[2].Component = "north", "F7", "Mill", "cable, joint"
	in.Steps[3].End, in.Steps[4].Planned = 0, true
	q := Question{Profile: profile(t, "ieee1366"), Periods: []Period{Year(2026, time.UTC)}}
	var text bytes.Buffer
	if err := WriteSteps(&text, in, q); err != nil {
		t.Fatal(err)
	}
	steps, err := ReadSteps("steps.csv", text.Bytes())
	if err != nil || len(steps) != len(in.Steps) {
		t.Fatal(err, len(steps))
	}
	for i, s := range steps {
		if s.Interruption != in.Steps[i].Interruption || s.Start != in.Steps[i].Start || s.End != in.Steps[i].End || s.Customers != in.Steps[i].Customers ||
			s.Load != in.Steps[i].Load || s.Component != in.Steps[i].Component || s.Planned != in.Steps[i].Planned {
			t.Errorf("%+v, want %+v", s, in.Steps[i])
		}
	}
	lines := strings.Split(text.String(), "\r\n")
	if lines[1] != "1,,,,,,,no,2026-03-17T12:12:20Z,2026-03-17T12:20:30Z,200,800,8.166666667,sustained,no,final" {
		t.Error(lines[1])
	}
	if !strings.HasSuffix(lines[4], "sustained,no,provisional") || !strings.HasSuffix(lines[2], "momentary,no,final") {
		t.Error(lines[2], lines[4])
	}
	text.Reset()
	if err := WriteIndices(&text, Report(example(t), q), q); err != nil {
		t.Fatal(err)
	}
	want := "profile,period,from,to,by,group,state,major_event_days,customers_served,interruptions,open,customers_interrupted,customer_minutes,customers_affected," +
		"SAIDI,SAIFI,CAIDI,CTAIDI,CAIFI,MAIFI,MAIFI_E,ASAI,ASIFI,ASIDI,CEMI_3,CELID_s_8,CELID_t_8\r\n" +
		"ieee1366,2026,2026-01-01T00:00:00Z,2027-01-01T00:00:00Z,all,,final,with,2000,9,0,3215,172225.666666667,1800,86.112833333,1.6075,"
	if !strings.HasPrefix(text.String(), want) {
		t.Errorf("%s\nwant %s", text.String(), want)
	}
}

func FuzzReadSteps(f *testing.F) {
	f.Add([]byte("interruption,start,end,customers,kva,planned\n1,2026-03-17T12:12:20+01:00,2026-03-17T12:20:30+01:00,200,800,yes\n"))
	f.Add([]byte("interruption,start,service_point,end,customers\n1,2026-03-17T12:12:20+01:00,a,,2\n"))
	f.Add([]byte("area,customers,from\nnorth,2,2026-03-17T12:12:20Z\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		steps, _ := ReadSteps("steps", src)
		served, _ := ReadServed("served", src)
		_ = ReadPoints("points", src, steps)
		p := profile(t, "ieee1366")
		q := Question{Profile: p, Periods: []Period{Year(2026, time.UTC)}, By: ByFeeder}
		in := Input{Steps: steps, Served: served, Now: at(t, "2026-06-01T00:00:00Z")}
		for _, row := range Report(in, q) {
			for _, i := range p.Indices {
				if v := row.Totals.Of(i, p); v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
					t.Errorf("%s is %v", i, *v)
				}
			}
		}
		var text bytes.Buffer
		if err := WriteSteps(&text, in, q); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSteps("again", text.Bytes()); err != nil {
			t.Errorf("%q can't be read again: %v", text.String(), err)
		}
	})
}
