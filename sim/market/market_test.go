package market

import (
	"math"
	"testing"
	"time"
)

func TestDaysOnWhichClocksChange(t *testing.T) {
	var c Config
	c.SetDefaults()
	m, err := New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		day  string
		most int
	}{{"2026-03-28", 96}, {"2026-03-29", 92}, {"2026-10-25", 100}} {
		day, err := time.ParseInLocation(time.DateOnly, x.day, m.zone)
		if err != nil {
			t.Fatal(err)
		}
		next := day.AddDate(0, 0, 1)
		n := 0
		for at := day.UnixMicro(); at < next.UnixMicro(); at += Quarter {
			n++
			if got, number := m.Period(at); got != x.day || number != n {
				t.Fatalf("%s: %s %d, want number %d", x.day, got, number, n)
			}
		}
		if n != x.most {
			t.Errorf("%s has %d quarter-hours, want %d", x.day, n, x.most)
		}
	}
}

func TestPricesOfAYear(t *testing.T) {
	var c Config
	c.SetDefaults()
	m, _ := New(c, 7)
	again, _ := New(c, 7)
	other, _ := New(c, 8)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	var sum, evening, noon float64
	var negative, spikes, differ, n int
	for i := range int64(365 * 96) {
		p := m.Price(start + i*Quarter)
		if p != again.Price(p.Start) {
			t.Fatalf("not the same again: %+v", p)
		}
		if p != other.Price(p.Start) {
			differ++
		}
		n++
		sum += p.DayAhead
		switch i % 96 {
		case 18 * 4:
			evening += p.DayAhead
		case 12 * 4:
			noon += p.DayAhead
		}
		if p.DayAhead < 0 {
			negative++
		}
		if math.Abs(p.Imbalance-p.DayAhead) > 3*c.DayAhead {
			spikes++
		}
	}
	if mean := sum / float64(n); mean < 0.6*c.DayAhead || mean > 1.2*c.DayAhead {
		t.Errorf("the mean is %v", mean)
	}
	if evening < 1.3*noon {
		t.Errorf("evenings %v, noons %v", evening, noon)
	}
	if negative < n/200 || negative > n/10 || spikes < n/500 || spikes > n/50 || differ < n*9/10 {
		t.Errorf("of %d: %d negative, %d spikes, %d other by another seed", n, negative, spikes, differ)
	}
}

func TestNominationsAreForecasts(t *testing.T) {
	var c Config
	c.SetDefaults()
	c.Portfolio = 0.25
	m, _ := New(c, 3)
	var squares float64
	const n = 365 * 96
	for i := range int64(n) {
		e := float64(m.Nominated(i*Quarter, 1e6))/1e6 - 1
		squares += e * e
	}
	if sd := math.Sqrt(squares / n); sd < 0.08 || sd > 0.12 {
		t.Errorf("the error has a standard deviation of %v, want 0.1", sd)
	}
	members := 0
	for p := range 10000 {
		if m.Member(p) {
			members++
		}
	}
	if members < 2300 || members > 2700 {
		t.Errorf("%d of 10000 are in a quarter of the portfolio", members)
	}
}
