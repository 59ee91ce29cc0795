package p1

import (
	"fmt"
	"time"
)

// ParseTime reads YYMMDDhhmmss with S or W behind it, for summer or winter: nothing else tells
// the two hours apart that have the same name in autumn. Without it, the earlier of them is
// meant. In zone, summer time is one hour ahead.
func ParseTime(text []byte, zone *time.Location) (time.Time, error) {
	wrong := fmt.Errorf("%.20q, expected a time as YYMMDDhhmmss, with S or W behind it", text)
	if len(text) != 12 && len(text) != 13 {
		return time.Time{}, wrong
	}
	var n [6]int
	for i := range n {
		high, low := text[2*i]-'0', text[2*i+1]-'0'
		if high > 9 || low > 9 {
			return time.Time{}, wrong
		}
		n[i] = int(high)*10 + int(low)
	}
	at := func(zone *time.Location) time.Time {
		return time.Date(2000+n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], 0, zone)
	}
	if utc := at(time.UTC); utc.Month() != time.Month(n[1]) || utc.Day() != n[2] || utc.Hour() != n[3] || utc.Minute() != n[4] || utc.Second() != n[5] {
		return time.Time{}, fmt.Errorf("%s is no time", text)
	}
	if len(text) == 12 {
		return at(zone), nil
	}
	offset := winter(zone, 2000+n[0])
	switch text[12] {
	case 'S':
		offset += time.Hour
	case 'W':
	default:
		return time.Time{}, wrong
	}
	return at(time.UTC).Add(-offset), nil
}

// winter is how far a zone is ahead of UTC in winter.
func winter(zone *time.Location, year int) time.Duration {
	_, january := time.Date(year, 1, 1, 0, 0, 0, 0, zone).Zone()
	_, july := time.Date(year, 7, 1, 0, 0, 0, 0, zone).Zone()
	return time.Duration(min(january, july)) * time.Second
}
