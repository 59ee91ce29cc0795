package completeness

import (
	"errors"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

func TestDay(t *testing.T) {
	for _, c := range []struct {
		day, zone string
		quarters  int64
		from      string
	}{
		{"2026-07-01", "UTC", 96, "2026-07-01T00:00:00Z"},
		{"2026-07-01", "Europe/Berlin", 96, "2026-06-30T22:00:00Z"},
		{"2026-03-29", "Europe/Berlin", 92, "2026-03-28T23:00:00Z"},
		{"2026-10-25", "Europe/Berlin", 100, "2026-10-24T22:00:00Z"},
		{"2026-03-08", "America/New_York", 92, "2026-03-08T05:00:00Z"},
		{"2026-11-01", "America/New_York", 100, "2026-11-01T04:00:00Z"},
		{"2026-04-05", "Australia/Lord_Howe", 98, "2026-04-04T13:00:00Z"}, // half an hour
		{"2026-07-01", "Asia/Kathmandu", 96, "2026-06-30T18:15:00Z"},
		{"2018-11-04", "America/Sao_Paulo", 92, "2018-11-04T03:00:00Z"}, // begins at 01:00
		{"2026-11-01", "America/Havana", 100, "2026-11-01T04:00:00Z"},   // midnight comes twice
		{"2026-07-01", "Pacific/Kiritimati", 96, "2026-06-30T10:00:00Z"},
		{"2026-07-01", "Pacific/Pago_Pago", 96, "2026-07-01T11:00:00Z"},
	} {
		from, to, err := Day(c.day, c.zone)
		if err != nil {
			t.Errorf("%s %s: %v", c.day, c.zone, err)
			continue
		}
		if got := time.UnixMicro(int64(from)).UTC().Format(time.RFC3339); got != c.from || int64((to-from)/telemetry.Quarter) != c.quarters {
			t.Errorf("%s %s: %s and %d quarter-hours, want %s and %d", c.day, c.zone, got, (to-from)/telemetry.Quarter, c.from, c.quarters)
		}
	}
	for _, c := range [][2]string{{"2026-02-30", "UTC"}, {"yesterday", "UTC"}, {"", "UTC"}, {"1969-12-31", "UTC"}, {"2100-01-01", "UTC"},
		{"2026-07-01", "Europe/Atlantis"}, {"2026-07-01", "Local"}, {"2026-07-01", "../../etc/passwd"},
		{"2011-12-30", "Pacific/Apia"}, // Samoa crossed the date line
	} {
		if _, _, err := Day(c[0], c[1]); !errors.Is(err, ErrNoSuchDay) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// Days join without a gap, whatever the clocks do.
func TestDaysJoin(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Australia/Lord_Howe", "Asia/Tehran", "Africa/Cairo"} {
		var last telemetry.Micros
		for day := time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2020; day = day.AddDate(0, 0, 1) {
			from, to, err := Day(day.Format(time.DateOnly), zone)
			if err != nil || last != 0 && from != last {
				t.Fatalf("%s %s: from %d, the day before ends at %d (%v)", zone, day, from, last, err)
			}
			last = to
		}
	}
}
