package performance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

const second = telemetry.Micros(1_000_000)

// every is annunciations of a condition, one each so many seconds.
func every(c Condition, from, step, n int) (list []Annunciation) {
	for i := range n {
		at := telemetry.Micros(from+i*step) * second
		list = append(list, Annunciation{Condition: c, At: at, Raised: at, Priority: telemetry.Low})
	}
	return list
}

func times(list []Annunciation) (at []telemetry.Micros) {
	for _, a := range list {
		at = append(at, a.At)
	}
	return at
}

// 25 alarms at 0, 20, …, 480 s: the flood starts with the 11th one, and is over when four
// are left within 10 minutes.
func TestFlood(t *testing.T) {
	at := times(every(Condition{Rule: "a"}, 0, 20, 25))
	floods := Floods(at, 10_000*second)
	if len(floods) != 1 {
		t.Fatalf("%+v", floods)
	}
	f := floods[0]
	if f.Began != 200*second || f.Ended == nil || *f.Ended != 1000*second || f.N != 25 || f.Peak != 25 {
		t.Errorf("%+v, ended %v", f, f.Ended)
	}
	if floods := Floods(at, 1000*second-1); len(floods) != 1 || floods[0].Ended != nil {
		t.Errorf("it has ended early: %+v", floods)
	}
	if floods := Floods(at[:10], 10_000*second); len(floods) != 0 {
		t.Errorf("ten alarms are a flood: %+v", floods)
	}
	// Ten in 10 minutes never begin one, however long they go on, and five keep it going.
	if floods := Floods(times(every(Condition{}, 0, 60, 1000)), 60_000*second); len(floods) != 0 {
		t.Errorf("%+v", floods)
	}
	at = append(at, times(every(Condition{}, 490, 119, 50))...)
	if floods := Floods(at, 6322*second); len(floods) != 1 || floods[0].Ended != nil {
		t.Errorf("five in 10 minutes have ended it: %+v", floods)
	}
}

// Floods are those of counting anew at each instant.
func TestFloodsAreThoseOfCounting(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var at []telemetry.Micros
		now := telemetry.Micros(0)
		for range random.IntN(200) {
			now += telemetry.Micros(random.IntN(1 + random.IntN(200)))
			at = append(at, now*second)
		}
		end := now + 2000
		var want []string
		going := false
		for s := telemetry.Micros(0); s <= end; s++ {
			// At each second first what leaves the window counts, and then what comes.
			before, after := 0, 0
			for _, a := range at {
				if a > (s-600)*second && a < s*second {
					before++
				}
				if a > (s-600)*second && a <= s*second {
					after++
				}
			}
			if going && before < FloodEnd {
				going = false
				want = append(want, fmt.Sprint("end ", s))
			}
			if !going && after > FloodStart {
				going = true
				want = append(want, fmt.Sprint("begin ", s))
			}
		}
		var got []string
		for _, f := range Floods(at, end*second) {
			got = append(got, fmt.Sprint("begin ", f.Began/second))
			if f.Ended != nil {
				got = append(got, fmt.Sprint("end ", *f.Ended/second))
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}

func TestChattering(t *testing.T) {
	a, b := Condition{Rule: "a"}, Condition{Rule: "b"}
	day := 86_400 * second
	for _, c := range []struct {
		list []Annunciation
		want int
	}{
		{every(a, 0, 29, 3), 1},
		{every(a, 0, 30, 3), 0},
		{append(every(a, 0, 29, 2), every(b, 58, 29, 2)...), 0},
		{every(a, -58, 29, 3), 1}, // it began before
		{every(a, -87, 29, 3), 0}, // and ended
	} {
		if r := Of(Input{From: 0, To: day, Annunciations: c.list}, nil); len(r.Chattering) != c.want {
			t.Errorf("%v: %+v", times(c.list), r.Chattering)
		}
	}
}

func TestReport(t *testing.T) {
	from, day := 1_000_000*second, 86_400*second
	a, b := Condition{Rule: "a", Asset: "x"}, Condition{Rule: "b"}
	list := every(a, 1_000_000-1000, 100, 10) // before it
	flood := every(a, 1_000_000+3600, 20, 25)
	soon := flood[0].At + 5*second
	flood[0].Cleared, flood[0].Priority = &soon, telemetry.High
	later := flood[1].At + 11*second
	flood[1].Cleared = &later
	list = append(append(list, flood...), every(b, 1_000_000+40_000, 1000, 15)...)
	list = append(list, every(b, 1_000_000+86_400, 1, 20)...) // behind it
	in := Input{From: from, To: from + day, Annunciations: list, Active: []Standing{
		{Alarm: "young", Raised: from}, {Alarm: "old", Raised: from - 1}, {Alarm: "older", Raised: from - 2}}}
	r := Of(in, Presets["eemua191"])
	if r.Annunciated != 40 || r.PerDay != 40 || r.PerHour != 40.0/24 || len(r.Hours) != 24 || r.Hours[1].N != 25 || r.Windows != 144 || r.Over != 1 || r.Peak.N != 25 ||
		r.Peak.From != from+3600*second || r.Fleeting != 1 {
		t.Errorf("%+v", r)
	}
	if len(r.Floods) != 1 || r.FloodShare != 800.0/86_400 {
		t.Errorf("%+v, share %g", r.Floods, r.FloodShare)
	}
	if len(r.Top) != 2 || r.Top[0].Condition != a || r.Top[0].N != 25 || r.Top[0].Share != 0.625 || r.TopShare != 1 {
		t.Errorf("%+v", r.Top)
	}
	if len(r.Stale) != 2 || r.Stale[0].Alarm != "older" {
		t.Errorf("%+v", r.Stale)
	}
	if p := r.Priorities; p[0].N != 0 || p[1].Share != 1.0/40 || p[3].N != 39 {
		t.Errorf("%+v", p)
	}
	missed := ""
	for _, v := range r.Verdicts {
		if !v.Met {
			missed += string(v.Figure) + " "
		}
	}
	if missed != "peak-10-min top-10-share chattering " {
		t.Errorf("missed %s", missed)
	}
}

func TestNothing(t *testing.T) {
	r := Of(Input{From: 5, To: 5}, Presets[DefaultPreset])
	for _, v := range r.Verdicts {
		if v.Value != 0 || !v.Met {
			t.Errorf("%+v", v)
		}
	}
	if got := PresetNames(); !slices.Equal(got, []string{"eemua191", "iec62682-2014", "isa18.2-2016"}) {
		t.Error(got)
	}
	if Stale != 24*time.Hour {
		t.Error(Stale)
	}
}
