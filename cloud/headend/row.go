package headend

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/telemetry"
)

// cell is one value of a row, and where it stands.
type cell struct {
	Place
	text string
}

// cells are a row's, those that are empty left out.
type cells map[Field]cell

// Refusal is why a row, or what follows, can't be taken.
type Refusal struct {
	Place
	Cause string
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d:%d: %s", r.Line, r.Column, r.Cause) }

func refuse(at Place, format string, args ...any) error {
	return &Refusal{at, fmt.Sprintf(format, args...)}
}

const (
	longestText = 256 // bytes of a name, a code or a text
	earliest    = telemetry.Micros(946_684_800_000_000)
	ahead       = telemetry.Micros(24 * 3600 * 1e6) // by which a clock may be wrong
	shortest    = telemetry.Micros(60 * 1e6)
	longest     = telemetry.Micros(24 * 3600 * 1e6)
)

// row is what the cells of a row say. at is where the row begins.
func (d *Decoder) row(at Place, c cells) (Row, error) {
	if of, is := c[Line]; is {
		n, err := strconv.Atoi(of.text)
		if err != nil || n < 1 {
			return Row{}, refuse(of.Place, "line %q, expected a number from 1", short(of.text))
		}
		at = Place{Line: n}
	}
	meter, err := c.name(at, Meter)
	if err != nil {
		return Row{}, err
	}
	point, err := c.optional(Point)
	if err != nil {
		return Row{}, err
	}
	if _, is := c[Code]; is {
		event, err := d.event(at, c)
		event.Meter, event.Point = meter, point
		return Row{Place: at, Event: &event}, err
	}
	read, err := d.read(at, c)
	if err != nil || read.Status == Missing {
		return Row{Place: at}, err
	}
	read.Meter, read.Point = meter, point
	return Row{Place: at, Read: &read}, nil
}

func (d *Decoder) event(at Place, c cells) (e Event, err error) {
	if e.Code, err = c.name(at, Code); err != nil {
		return e, err
	}
	if e.Number, err = c.optional(ID); err != nil {
		return e, err
	}
	if e.Words, err = c.optional(Text); err != nil {
		return e, err
	}
	if k, is := c[Known]; is {
		if e.Kind = EventKind(k.text); !slices.Contains(EventKinds, e.Kind) {
			return e, refuse(k.Place, "%s %q, expected %s", Known, short(k.text), oneOf(EventKinds))
		}
	} else if e.Kind = d.format.Events[e.Code]; e.Kind == "" {
		if e.Kind = EventKind(e.Code); !slices.Contains(EventKinds, e.Kind) {
			e.Kind = Other
		}
	}
	when, is := c[Time]
	if !is {
		return e, refuse(at, "no %s, expected when the event was", Time)
	}
	e.At, err = d.instant(when)
	return e, err
}

func (d *Decoder) read(at Place, c cells) (r Read, err error) {
	r.Status = Actual
	if q, is := c[Quality]; is {
		known := false
		if r.Status, known = d.format.Qualities[q.text]; !known {
			if r.Status = Status(q.text); !slices.Contains(Statuses, r.Status) {
				return r, refuse(q.Place, "quality %q isn't known, expected %s, or one that the head-end's qualities name", short(q.text), oneOf(Statuses))
			}
		}
	}
	if r.Status == Missing {
		return r, nil
	}
	value, is := c[Number]
	if !is {
		return r, refuse(at, "no %s, expected a number; a read that is missing has the quality %s", Number, Missing)
	}
	channel, err := d.channel(at, c)
	if err != nil {
		return r, err
	}
	r.Signal, r.Kind = channel.Signal, channel.Kind
	if r.Value, r.Unit, err = d.number(value, channel.Unit); err != nil {
		return r, err
	}
	if v, is := c[Version]; is {
		if r.Version, err = d.version(v); err != nil {
			return r, err
		}
	}
	if channel.Interval {
		r.At, r.Interval, err = d.interval(at, c)
		return r, err
	}
	when, is := c[Time]
	if !is {
		if when, is = c[End]; !is {
			return r, refuse(at, "no %s, expected when the register was read", Time)
		}
	}
	r.At, err = d.instant(when)
	return r, err
}

// channel is what a read is of.
func (d *Decoder) channel(at Place, c cells) (Channel, error) {
	unit, err := c.optional(Unit)
	if err != nil {
		return Channel{}, err
	}
	if signal, is := c[Signal]; is {
		if len(signal.text) > longestText || !plain(signal.text) {
			return Channel{}, refuse(signal.Place, "signal %q, expected letters, digits, points, dashes and underscores", short(signal.text))
		}
		_, interval := c[Interval]
		ch := Channel{Signal: signal.text, Unit: unit, Kind: telemetry.Gauge, Interval: interval || c.has(Start)}
		if k, is := c[Kind]; is {
			switch ch.Kind = telemetry.Kind(k.text); ch.Kind {
			case telemetry.Gauge, telemetry.Counter, telemetry.State:
			default:
				return Channel{}, refuse(k.Place, "kind %q, expected gauge, counter or state", short(k.text))
			}
		}
		return ch, nil
	}
	of, is := c[Of]
	if !is {
		if of = (cell{at, d.format.Channel}); of.text == "" {
			return Channel{}, refuse(at, "neither %s nor %s, expected what was read", Of, Signal)
		}
	}
	ch, known := d.format.Channels[of.text]
	if !known {
		if ch, err = obisChannel(of.text, unit); err != nil {
			return Channel{}, refuse(of.Place, "channel %q isn't known, expected an OBIS code such as 1-0:1.8.0, or one that the head-end's channels name", short(of.text))
		}
	}
	if unit != "" {
		ch.Unit = unit
	}
	if ch.Unit == "" {
		return Channel{}, refuse(at, "no %s, expected one such as kWh", Unit)
	}
	return ch, nil
}

// intervalled is behind the name of a counter in that of what an interval adds to it.
const intervalled = ".interval"

// perInterval is D of what an interval adds to a counter (IEC 62056-6-1).
const perInterval = 29

// obisChannel is a channel of an OBIS code, whose numbers have a unit.
func obisChannel(code, unit string) (Channel, error) {
	parsed, err := obis.ParseCode([]byte(code))
	if err != nil {
		return Channel{}, err
	}
	r := obis.Register{Code: parsed, Value: telemetry.FloatValue(0)}
	if _, base, ok := obis.Measured([]byte("1*" + written(unit))); ok {
		r.Unit = base
	}
	if parsed.D == perInterval {
		r.Code.D = 8
		name, _ := r.Name()
		return Channel{Signal: name + intervalled, Unit: unit, Kind: telemetry.Gauge, Interval: true}, nil
	}
	name, kind := r.Name()
	return Channel{Signal: name, Unit: unit, Kind: kind, Interval: parsed.D == 4 || parsed.D == 5}, nil
}

// number is a value in the unit without a prefix.
func (d *Decoder) number(value cell, unit string) (float64, string, error) {
	text, example := value.text, "0.25"
	if d.format.Comma {
		text, example = strings.Replace(text, ",", ".", 1), "0,25"
	}
	one, base, _ := obis.Measured([]byte("1*" + written(unit)))
	if n, _, ok := obis.Measured([]byte(text + "*" + written(unit))); ok {
		if base == "" {
			base = unit
		}
		return n.Float(), base, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, "", refuse(value.Place, "%q is no number, expected one such as %s", short(value.text), example)
	}
	if base == "" {
		return v, unit, nil
	}
	if v *= one.Float(); math.IsInf(v, 0) {
		return 0, "", refuse(value.Place, "%q is too large", short(value.text))
	}
	return v, base, nil
}

// written is a unit as meters write it, that may be as UCUM does.
func written(unit string) string { return strings.ReplaceAll(unit, ".", "") }

// version is a whole number, or a time in µs since 1970.
func (d *Decoder) version(c cell) (int64, error) {
	if n, err := strconv.ParseInt(c.text, 10, 64); err == nil && n >= 0 {
		return n, nil
	}
	at, err := d.instant(c)
	if err != nil {
		return 0, refuse(c.Place, "version %q, expected a whole number from 0 or a time", short(c.text))
	}
	return int64(at), nil
}

// interval is when an interval began and how long it was.
func (d *Decoder) interval(at Place, c cells) (start, width telemetry.Micros, err error) {
	width = d.format.Interval
	if of, is := c[Interval]; is {
		if width, err = ParseInterval(of.text); err != nil {
			return 0, 0, refuse(of.Place, "%v", err)
		}
	}
	begin, begins := c[Start]
	end, ends := c[End]
	if when, is := c[Time]; is && !begins && !ends {
		if begins = d.format.Starts; begins {
			begin = when
		} else {
			end, ends = when, true
		}
	}
	var until telemetry.Micros
	if begins {
		if start, err = d.instant(begin); err != nil {
			return 0, 0, err
		}
	}
	if ends {
		if until, err = d.instant(end); err != nil {
			return 0, 0, err
		}
	}
	switch {
	case begins && ends:
		if given := until - start; width == 0 || !c.has(Interval) {
			width = given
		} else if given != width {
			return 0, 0, refuse(end.Place, "from start to end are %s, and the interval is %s", length(given), length(width))
		}
	case width == 0:
		return 0, 0, refuse(at, "no %s, expected how long it was, such as 15m", Interval)
	case ends:
		start = until - width
	case !begins:
		return 0, 0, refuse(at, "neither %s, %s nor %s, expected when the interval was", Time, Start, End)
	}
	if width < shortest || width > longest {
		return 0, 0, refuse(at, "an interval of %s, expected 1m to 24h", length(width))
	}
	return start, width, nil
}

func length(m telemetry.Micros) time.Duration { return time.Duration(m) * time.Microsecond }

// ParseInterval reads a length as 15m, 1h30m or, after ISO 8601, PT15M.
func ParseInterval(text string) (telemetry.Micros, error) {
	plain := text
	if iso, is := strings.CutPrefix(text, "PT"); is {
		plain = strings.ToLower(iso)
	} else if text == "P1D" {
		plain = "24h"
	}
	d, err := time.ParseDuration(plain)
	width := telemetry.Micros(d.Microseconds())
	if err != nil || width < shortest || width > longest || d%time.Second != 0 {
		return 0, fmt.Errorf("interval %q, expected 1m to 24h, as 15m or PT15M", short(text))
	}
	return width, nil
}

var errNoTime = errors.New("no time")

// layouts are those of times where the format says nothing.
var layouts = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"}

// instant is a time. What a clock shows twice, as in autumn, or not at all can't be told.
func (d *Decoder) instant(c cell) (telemetry.Micros, error) {
	t, err := time.Parse(time.RFC3339Nano, c.text)
	if err != nil {
		t, err = d.local(c.text)
	}
	expected := "RFC 3339, such as 2026-10-01T06:15:00Z, or 2026-10-01 06:15:00"
	if d.format.Layout != "" {
		expected = "RFC 3339, or one like " + time.Date(2026, 10, 1, 6, 15, 0, 0, time.UTC).Format(d.format.Layout)
	}
	switch {
	case errors.Is(err, errNoTime):
		return 0, refuse(c.Place, "%q is no time, expected %s", short(c.text), expected)
	case err != nil:
		return 0, refuse(c.Place, "%q %v", short(c.text), err)
	}
	at := telemetry.MicrosOf(t)
	if at < earliest || at > d.now+ahead {
		return 0, refuse(c.Place, "%q is out of range, expected %s to %s", short(c.text), earliest.Time().Format(time.DateOnly), (d.now + ahead).Time().Format(time.DateOnly))
	}
	return at, nil
}

func (d *Decoder) local(text string) (time.Time, error) {
	loc := d.format.Location
	if loc == nil {
		loc = time.UTC
	}
	list := layouts
	if d.format.Layout != "" {
		list = []string{d.format.Layout}
	}
	for _, layout := range list {
		t, err := time.ParseInLocation(layout, text, loc)
		if err != nil {
			continue
		}
		if shown, err := time.Parse(layout, text); err != nil || wall(shown) != wall(t) {
			return t, fmt.Errorf("is left out on that day in %s", loc)
		}
		_, before := t.Add(-beside).Zone()
		_, after := t.Add(beside).Zone()
		for _, shift := range []int{after - before, before - after} {
			if other := t.Add(time.Duration(shift) * time.Second); shift != 0 && wall(other) == wall(t) {
				return t, fmt.Errorf("comes twice on that day in %s, expected a time with its offset", loc)
			}
		}
		return t, nil
	}
	return time.Time{}, errNoTime
}

// beside is from a time to those before and after the clocks were changed about it.
const beside = 4 * time.Hour

func wall(t time.Time) string { return t.Format("2006-01-02 15:04:05") }

func (c cells) has(f Field) bool { _, is := c[f]; return is }

func (c cells) name(at Place, f Field) (string, error) {
	if !c.has(f) {
		return "", refuse(at, "no %s", f)
	}
	return c.optional(f)
}

func (c cells) optional(f Field) (string, error) {
	of := c[f]
	if len(of.text) > longestText || !utf8.ValidString(of.text) || strings.ContainsFunc(of.text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", refuse(of.Place, "%s %q, expected at most %d bytes of text", f, short(of.text), longestText)
	}
	return of.text, nil
}

// plain reports whether a text can be a signal's name.
func plain(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("._-", r))
	})
}

// short is as much of a text as a message shows.
func short(text string) string {
	const most = 60
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

func oneOf[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, one := range list {
		texts[i] = string(one)
	}
	return strings.Join(texts[:len(texts)-1], ", ") + " or " + texts[len(texts)-1]
}
