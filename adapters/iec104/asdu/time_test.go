package asdu

import (
	"testing"
	"time"
)

func TestBelievable(t *testing.T) {
	good := TimeOf(time.Date(2028, 2, 29, 23, 59, 59, 0, time.UTC))
	if !good.Believable() {
		t.Fatal(good)
	}
	for name, change := range map[string]func(*Time){
		"IV": func(t *Time) { t.Invalid = true }, "month 15": func(t *Time) { t.Month = 15 }, "month 0": func(t *Time) { t.Month = 0 },
		"day 0": func(t *Time) { t.Day = 0 }, "day 30": func(t *Time) { t.Day = 30 }, "no leap year": func(t *Time) { t.Year = 2027 },
		"hour 24": func(t *Time) { t.Hour = 24 }, "minute 60": func(t *Time) { t.Minute = 60 }, "ms 65535": func(t *Time) { t.Millisecond = 65535 },
		"year 2127": func(t *Time) { t.Year = 2127 }, "none": func(t *Time) { t.Form = NoTime },
	} {
		bad := good
		change(&bad)
		if bad.Believable() {
			t.Errorf("%s is believed: %v", name, bad)
		}
		if at, ok := bad.In(time.UTC); ok && name != "IV" {
			t.Errorf("%s is %v", name, at)
		}
	}
}

// SU tells which of two hours it is, and a station that keeps standard time all year is
// understood.
func TestZones(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	sydney, err := time.LoadLocation("Australia/Sydney")
	if err != nil {
		t.Fatal(err)
	}
	tag := func(month, day, hour uint8, summer bool) Time {
		return Time{Form: Time56, Year: 2026, Month: month, Day: day, Hour: hour, Minute: 30, Summer: summer}
	}
	for _, c := range []struct {
		tag  Time
		zone *time.Location
		want string
	}{
		{tag(1, 15, 12, false), berlin, "2026-01-15T11:30:00Z"},
		{tag(7, 15, 12, true), berlin, "2026-07-15T10:30:00Z"},
		{tag(7, 15, 12, false), berlin, "2026-07-15T11:30:00Z"},
		{tag(10, 25, 2, true), berlin, "2026-10-25T00:30:00Z"},
		{tag(10, 25, 2, false), berlin, "2026-10-25T01:30:00Z"},
		{tag(1, 15, 12, true), sydney, "2026-01-15T01:30:00Z"},
		{tag(7, 15, 12, false), sydney, "2026-07-15T02:30:00Z"},
		{tag(7, 15, 12, true), time.UTC, "2026-07-15T12:30:00Z"},
	} {
		if at, ok := c.tag.In(c.zone); !ok || at.UTC().Format(time.RFC3339) != c.want {
			t.Errorf("%v in %v: %v, expected %s", c.tag, c.zone, at.UTC(), c.want)
		}
	}
	for _, at := range []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-07-01T12:00:00Z", "2026-03-29T01:00:00Z"} {
		want, _ := time.Parse(time.RFC3339, at)
		if got, ok := TimeOf(want.In(berlin)).In(berlin); !ok || !got.Equal(want) {
			t.Errorf("%s comes back as %v", at, got.UTC())
		}
	}
}

func TestMinuteOfAnHour(t *testing.T) {
	for _, c := range []struct {
		minute        uint8
		arrived, want string
	}{
		{30, "2026-01-01T12:30:01Z", "2026-01-01T12:30:00Z"},
		{59, "2026-01-01T12:00:01Z", "2026-01-01T11:59:00Z"},
		{1, "2026-01-01T11:59:00Z", "2026-01-01T12:01:00Z"},
		{59, "2026-01-01T00:00:01Z", "2025-12-31T23:59:00Z"},
	} {
		arrived, _ := time.Parse(time.RFC3339, c.arrived)
		if at, ok := (Time{Form: Time24, Minute: c.minute}).Near(arrived); !ok || at.UTC().Format(time.RFC3339) != c.want {
			t.Errorf("minute %d at %s: %v", c.minute, c.arrived, at)
		}
	}
	if _, ok := (Time{Form: Time24, Minute: 60}).Near(time.Now()); ok {
		t.Error("minute 60")
	}
}
