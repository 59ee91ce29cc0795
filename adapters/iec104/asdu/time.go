package asdu

import (
	"fmt"
	"time"
)

// TimeForm is how much a time tag says.
type TimeForm uint8

const (
	NoTime TimeForm = iota
	Time24          // minute and millisecond (CP24Time2a, 7.2.6.19)
	Time56          // date and time (CP56Time2a, 7.2.6.18)
)

// Time is a time tag as the station sends it. Nothing in it is to be believed before
// Believable has said so.
type Time struct {
	Form        TimeForm
	Year        uint16 // 2000 to 2127 as sent; a possible one is 2099 at most
	Month, Day  uint8
	Hour        uint8
	Minute      uint8
	Millisecond uint16 // of the minute, with the seconds
	Summer      bool   // SU: the time is summer time
	Invalid     bool   // IV: the station itself doesn't believe it
	Substituted bool   // GEN: it was put in on the way
}

// Believable reports whether the tag can be a time at all, and the station says that it
// is right.
func (t Time) Believable() bool { return !t.Invalid && t.Possible() }

// Possible reports whether there is such a time.
func (t Time) Possible() bool {
	if t.Form == NoTime || t.Minute > 59 || t.Millisecond > 59_999 {
		return false
	}
	if t.Form == Time24 {
		return true
	}
	return t.Hour < 24 && t.Year >= 2000 && t.Year <= 2099 && t.Month >= 1 && t.Month <= 12 && t.Day >= 1 && t.Day <= daysIn(t.Year, t.Month)
}

func daysIn(year uint16, month uint8) uint8 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 { // right from 1901 to 2099
			return 29
		}
		return 28
	}
	return 31
}

// In is the instant that a tag of seven octets means at a station that has the time of a
// zone. In a zone with summer time, SU decides whether the tag is in it, as the standard
// has it; where there is none, SU means nothing. ok is false unless the tag is Possible.
func (t Time) In(zone *time.Location) (at time.Time, ok bool) {
	if t.Form != Time56 || !t.Possible() {
		return time.Time{}, false
	}
	at = time.Date(int(t.Year), time.Month(t.Month), int(t.Day), int(t.Hour), int(t.Minute), int(t.Millisecond)/1000, int(t.Millisecond)%1000*1_000_000, zone)
	standard, summer := offsets(int(t.Year), zone)
	if standard == summer {
		return at, true
	}
	offset := standard
	if t.Summer {
		offset = summer
	}
	wall := time.Date(at.Year(), at.Month(), at.Day(), int(t.Hour), int(t.Minute), int(t.Millisecond)/1000, int(t.Millisecond)%1000*1_000_000, time.UTC)
	return wall.Add(-time.Duration(offset) * time.Second).In(zone), true
}

// offsets are those of a zone in a year, in seconds east of UTC; they are the same if it
// has no summer time.
func offsets(year int, zone *time.Location) (standard, summer int) {
	if zone == time.UTC {
		return 0, 0
	}
	_, january := time.Date(year, time.January, 1, 12, 0, 0, 0, zone).Zone()
	_, july := time.Date(year, time.July, 1, 12, 0, 0, 0, zone).Zone()
	return min(january, july), max(january, july)
}

// Near is the instant that a tag of three octets means, which says only the minute of an
// hour: the one nearest to when it arrived. ok is false unless the tag is Possible.
func (t Time) Near(arrived time.Time) (at time.Time, ok bool) {
	if t.Form != Time24 || !t.Possible() {
		return time.Time{}, false
	}
	within := time.Duration(t.Minute)*time.Minute + time.Duration(t.Millisecond)*time.Millisecond
	at = arrived.UTC().Truncate(time.Hour).Add(within)
	switch off := at.Sub(arrived); {
	case off > 30*time.Minute:
		at = at.Add(-time.Hour)
	case off < -30*time.Minute:
		at = at.Add(time.Hour)
	}
	return at, true
}

// TimeOf is the tag of seven octets of an instant, by the time of its zone.
func TimeOf(at time.Time) Time {
	return Time{
		Form: Time56, Year: uint16(at.Year()), Month: uint8(at.Month()), Day: uint8(at.Day()), Hour: uint8(at.Hour()), Minute: uint8(at.Minute()),
		Millisecond: uint16(at.Second()*1000 + at.Nanosecond()/1_000_000), Summer: at.IsDST(),
	}
}

// Short is the tag with three octets.
func (t Time) Short() Time {
	return Time{Form: Time24, Minute: t.Minute, Millisecond: t.Millisecond, Invalid: t.Invalid, Substituted: t.Substituted}
}

func (t Time) String() string {
	text := ""
	switch t.Form {
	case NoTime:
		return "no time"
	case Time24:
		text = fmt.Sprintf("xx:%02d:%06.3f", t.Minute, float64(t.Millisecond)/1000)
	default:
		text = fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%06.3f", t.Year, t.Month, t.Day, t.Hour, t.Minute, float64(t.Millisecond)/1000)
	}
	for _, f := range []struct {
		set  bool
		name string
	}{{t.Summer, " SU"}, {t.Substituted, " GEN"}, {t.Invalid, " IV"}, {!t.Possible(), " impossible"}} {
		if f.set {
			text += f.name
		}
	}
	return text
}

func time24(b []byte) Time {
	return Time{
		Form: Time24, Millisecond: uint16(b[0]) | uint16(b[1])<<8, Minute: b[2] & 0x3F,
		Substituted: b[2]&0x40 != 0, Invalid: b[2]&0x80 != 0,
	}
}

func time56(b []byte) Time {
	t := time24(b)
	t.Form = Time56
	t.Hour, t.Summer = b[3]&0x1F, b[3]&0x80 != 0
	t.Day, t.Month, t.Year = b[4]&0x1F, b[5]&0x0F, 2000+uint16(b[6]&0x7F)
	return t
}

func (t Time) append24(b []byte) []byte {
	return append(b, byte(t.Millisecond), byte(t.Millisecond>>8), t.Minute&0x3F|bit(t.Substituted, 0x40)|bit(t.Invalid, 0x80))
}

// append56 writes no day of the week, which is 0 then: it isn't used.
func (t Time) append56(b []byte) []byte {
	b = t.append24(b)
	return append(b, t.Hour&0x1F|bit(t.Summer, 0x80), t.Day&0x1F, t.Month&0x0F, byte(t.Year%100)&0x7F)
}
