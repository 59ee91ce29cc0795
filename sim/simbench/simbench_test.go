package simbench

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
)

const (
	quarter = 900.0
	weeks8  = 56 * 86400.0
)

func load(t testing.TB, name string) Profile {
	t.Helper()
	p, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The numbers stand in LoadProfile.csv of simbench 1.6.3.
func TestAtIsTheValueOfTheDataSet(t *testing.T) {
	for _, c := range []struct {
		profile string
		seconds float64
		want    float64
	}{
		{"H0-A", 0, 0.276685},                  // 01.01.2016 00:00
		{"H0-A", quarter, 0.066011},            // 01.01.2016 00:15
		{"G3-A", 0, 0.351171},                  // 01.01.2016 00:00
		{"L2-M", quarter, 0.340968},            // 01.01.2016 00:15
		{"G0-A", weeks8 - 3*quarter, 0.184488}, // 25.02.2016 23:15
		{"G0-A", weeks8 - quarter, 0.165809},   // 25.02.2016 23:45
	} {
		if got := load(t, c.profile).At(c.seconds); got != c.want {
			t.Errorf("%s at %g s: %v, want %v", c.profile, c.seconds, got, c.want)
		}
	}
}

func TestAtInterpolatesAndWraps(t *testing.T) {
	p := load(t, "H0-A")
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%s: %.15f, want %.15f", what, got, want)
		}
	}
	near("a third into the first quarter-hour", p.At(300), 0.276685*2/3+0.066011/3)
	last := p.At(weeks8 - quarter)
	near("half way from the last value to the first", p.At(weeks8-450), (last+0.276685)/2)
	near("eight weeks later", p.At(weeks8+300), p.At(300))
	near("eight weeks before", p.At(300-weeks8), p.At(300))
	near("a hundred circles later", p.At(100*weeks8), 0.276685)
	near("just before the circle closes", p.At(math.Nextafter(weeks8, 0)), 0.276685)
}

func TestIntegralIsTheAreaUnderAt(t *testing.T) {
	p := load(t, "G1-B")
	for _, span := range [][2]float64{{0, 900}, {100, 200}, {850, 2000}, {weeks8 - 1000, weeks8 + 1000}, {-500, 500}, {3 * weeks8, 3*weeks8 + 7200}} {
		const step = 0.5
		var area float64
		for s := span[0]; s < span[1]; s += step {
			area += p.At(s+step/2) * step
		}
		got := p.Integral(span[1]) - p.Integral(span[0])
		if math.Abs(got-area) > 1e-5*area {
			t.Errorf("%v: integral %.9f, area %.9f", span, got, area)
		}
	}
}

func TestNamesAreThoseOfTheFile(t *testing.T) {
	names := Names()
	if len(names) != 19 || !slices.IsSorted(names) || !slices.Contains(names, "H0-A") || !slices.Contains(names, "L2-M") {
		t.Fatalf("names %v", names)
	}
	for _, name := range names {
		if n := len(load(t, name).values); n != 56*96 {
			t.Errorf("%s has %d values, want %d", name, n, 56*96)
		}
	}
	if _, err := Load("H9-Z"); err == nil || !strings.Contains(err.Error(), "H0-A") {
		t.Errorf("an unknown name: %v, want an error that lists the profiles", err)
	}
}

func TestParseErrorsNameTheirPlace(t *testing.T) {
	for _, c := range []struct{ name, csv, want string }{
		{"empty", "", "line 1, column 1: no header"},
		{"other first column", "zeit,A_pload\n", `line 1, column 1: "zeit" should be time`},
		{"reactive column", "time,A_pload,A_qload\n", `line 1, column 14: "A_qload"`},
		{"twice", "time,A_pload,A_pload\n", "line 1, column 14: profile A is there twice"},
		{"no profile", "time\n", "line 1, column 1: no profile"},
		{"no row", "time,A_pload\n", "line 2, column 1: no values"},
		{"time", "time,A_pload\n2016-01-01,0.1\n", `line 2, column 1: "2016-01-01" is no time`},
		{"gap", "time,A_pload\n01.01.2016 00:00,0.1\n01.01.2016 00:30,0.1\n", "line 3, column 1: 01.01.2016 00:30 is not 15 minutes after"},
		{"word", "time,A_pload,B_pload\n01.01.2016 00:00,0.1,x\n", `line 2, column 22: "x" is no power per unit`},
		{"not a number", "time,A_pload\n01.01.2016 00:00,NaN\n", `line 2, column 18: "NaN"`},
		{"above rated", "time,A_pload\n01.01.2016 00:00,1.2\n", `line 2, column 18: "1.2"`},
		{"short row", "time,A_pload,B_pload\n01.01.2016 00:00,0.1\n", "line 2, column 1: wrong number of fields"},
		{"quote", "time,A_pload\n01.01.2016 00:00,0\"1\n", "line 2, column 19: bare"},
	} {
		_, err := Parse(strings.NewReader(c.csv))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s…", c.name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("time,A_pload,B_pload\n01.01.2016 00:00,0.1,0.2\n01.01.2016 00:15,0.3,1\n"))
	f.Add([]byte("time,A_pload\n01.01.2016 00:00,0\"1\n"))
	f.Add([]byte("time\r\n\r\n"))
	f.Fuzz(func(t *testing.T, csv []byte) {
		profiles, err := Parse(bytes.NewReader(csv))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") {
				t.Fatalf("%v: no place", err)
			}
			return
		}
		for _, p := range profiles {
			for _, s := range []float64{0, 450, -1, 1e9, 1e18} {
				if v := p.At(s); !(v >= 0 && v <= 1) {
					t.Fatalf("%s at %g s: %v", p.Name, s, v)
				}
				if a := p.Integral(s); a != a {
					t.Fatalf("%s: integral to %g s: %v", p.Name, s, a)
				}
			}
		}
	})
}
