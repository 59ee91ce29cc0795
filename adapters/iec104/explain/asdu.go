// Package explain says what frames of IEC 60870-5-104 and -101 mean, and what is wrong with
// those that mean nothing, a line each, for people who look into a capture.
package explain

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

// ASDU says what an ASDU means, in one line.
func ASDU(p asdu.Params, b []byte) string {
	a, err := p.Parse(b)
	if err != nil {
		return "bad: " + strings.TrimPrefix(err.Error(), "iec104: ") + ": " + hex.EncodeToString(b)
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%v %v", a.Type, a.Cause)
	if a.Negative {
		s.WriteString(", negative")
	}
	if a.Test {
		s.WriteString(", test")
	}
	if a.Originator != 0 {
		fmt.Fprintf(&s, ", originator %d", a.Originator)
	}
	fmt.Fprintf(&s, ", station %d:", a.Address)
	for i := range a.Len() {
		if i > 0 {
			s.WriteByte(';')
		}
		s.WriteByte(' ')
		s.WriteString(object(a.Type, a.Object(i)))
	}
	return s.String()
}

func object(t asdu.Type, o asdu.Object) string {
	var words []string
	say := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	switch {
	case t.Monitors():
		say("%d = %s", o.Address, number(o.Value))
		if o.Quality != 0 {
			say("(%v)", o.Quality)
		}
	case t.Commands():
		say("%d = %s", o.Address, number(o.Value))
		if o.Select {
			say("select")
		} else {
			say("execute")
		}
		if o.Qualifier != 0 {
			say("QU %d", o.Qualifier)
		}
	default:
		if o.Address != 0 {
			say("%d", o.Address)
		}
		switch t {
		case asdu.Interrogation:
			say("QOI %d", o.Qualifier)
		case asdu.CounterInterrogation:
			say("QCC %d", o.Qualifier)
		case asdu.Read, asdu.ClockSync, asdu.TestCommand, asdu.TestCommandTime:
		default:
			say("value %s qualifier %d", number(o.Value), o.Qualifier)
		}
	}
	if o.Elapsed != 0 {
		say("%d ms", o.Elapsed)
	}
	if o.Time.Form != asdu.NoTime {
		say("at %s", moment(o.Time))
	}
	return strings.Join(words, " ")
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 32) }

// moment is a time as it was sent.
func moment(t asdu.Time) string {
	text := fmt.Sprintf("%02d:%06.3f", t.Minute, float64(t.Millisecond)/1000)
	if t.Form == asdu.Time56 {
		text = fmt.Sprintf("%04d-%02d-%02d %02d:%s", t.Year, t.Month, t.Day, t.Hour, text)
	}
	if t.Summer {
		text += " SU"
	}
	if t.Invalid {
		text += " IV"
	}
	if !t.Possible() {
		text += " impossible"
	}
	return text
}
