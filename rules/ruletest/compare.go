package ruletest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// compare finds what is otherwise than the test at path expects.
func (s *Suite) compare(path string, t test, raised []*occurrence) (failures configfile.Errors) {
	fail := func(path, format string, args ...any) {
		failures = append(failures, s.file.ErrorAt(path, format, args...))
	}
	c := comparison{telemetry.Micros(t.Start), map[string]string{}}
	for _, o := range raised {
		c.rules[o.ID] = o.Rule
	}
	found := make([]*occurrence, len(t.Alarms))
	rest := slices.Clone(raised)
	// Those that are as expected come first, so that the others are told by what is
	// left.
	for _, fits := range []func(alarm, *occurrence) bool{
		func(a alarm, o *occurrence) bool { return a.about(o) && len(c.differences(a, o)) == 0 },
		func(a alarm, o *occurrence) bool { return a.about(o) && c.offset(o.raised) == time.Duration(*a.Raised) },
		func(a alarm, o *occurrence) bool { return a.about(o) },
	} {
		for j, a := range t.Alarms {
			if n := slices.IndexFunc(rest, func(o *occurrence) bool { return fits(a, o) }); found[j] == nil && n >= 0 {
				found[j] = rest[n]
				rest = slices.Delete(rest, n, n+1)
			}
		}
	}
	for j, a := range t.Alarms {
		at := configfile.Item(path+".alarms", j)
		if found[j] == nil {
			fail(at, "%s isn't raised, %s", a, c.list(raised))
			continue
		}
		for _, d := range c.differences(a, found[j]) {
			fail(at+"."+d.key, "%s: %s, expected %s", a, d.is, d.expected)
		}
	}
	for _, o := range rest {
		fail(path, "an alarm that isn't expected: %s", c.show(o))
	}
	return failures
}

// about reports whether an alarm is of the rule and of what is meant.
func (s subject) about(o *occurrence) bool {
	return s.Rule == o.Rule && s.Device == o.Device && (s.Asset == o.Asset || s.Asset == "" && s.Device != "")
}

func (s subject) String() string { return about(s.Rule, s.Asset, s.Device) }

func about(rule, asset, device string) string {
	if device != "" {
		return rule + " at device " + device
	}
	return rule + " at asset " + asset
}

// comparison tells times from the start of a test.
type comparison struct {
	start telemetry.Micros
	rules map[string]string // of the alarms, by id
}

func (c comparison) offset(t telemetry.Micros) time.Duration { return t.Sub(c.start) }

// difference is what an alarm has otherwise at one key.
type difference struct{ key, is, expected string }

func (c comparison) differences(a alarm, o *occurrence) (list []difference) {
	at := func(t telemetry.Micros) string { return configfile.Duration(c.offset(t)).String() }
	if c.offset(o.raised) != time.Duration(*a.Raised) {
		list = append(list, difference{"raised", "raised at " + at(o.raised), a.Raised.String()})
	}
	switch {
	case o.cleared == nil && a.Cleared != nil:
		list = append(list, difference{"cleared", "active at the end", "cleared at " + a.Cleared.String()})
	case o.cleared != nil && a.Cleared == nil:
		list = append(list, difference{"cleared", "cleared at " + at(*o.cleared), "active at the end"})
	case o.cleared != nil && c.offset(*o.cleared) != time.Duration(*a.Cleared):
		list = append(list, difference{"cleared", "cleared at " + at(*o.cleared), a.Cleared.String()})
	}
	if a.Confirmed != nil && c.offset(o.Confirmed) != time.Duration(*a.Confirmed) {
		list = append(list, difference{"confirmed", "confirmed at " + at(o.Confirmed), a.Confirmed.String()})
	}
	if a.Priority != "" && a.Priority != o.Priority {
		list = append(list, difference{"priority", "its priority is " + string(o.Priority), string(a.Priority)})
	}
	if a.Summary != "" && a.Summary != o.Summary {
		list = append(list, difference{"summary", fmt.Sprintf("its summary is %q", o.Summary), fmt.Sprintf("%q", a.Summary)})
	}
	if first := c.rules[o.FirstUp]; a.FirstUp != "" && a.FirstUp != first {
		list = append(list, difference{"first_up", fmt.Sprintf("what came first is %q", first), a.FirstUp})
	}
	return list
}

// show is an alarm in words.
func (c comparison) show(o *occurrence) string {
	text := fmt.Sprintf("%s, raised at %s", about(o.Rule, o.Asset, o.Device), configfile.Duration(c.offset(o.raised)))
	if o.cleared == nil {
		return text + ", active at the end"
	}
	return text + ", cleared at " + configfile.Duration(c.offset(*o.cleared)).String()
}

// mostListed bounds the alarms that one message lists.
const mostListed = 5

func (c comparison) list(raised []*occurrence) string {
	if len(raised) == 0 {
		return "and no alarm is"
	}
	var shown []string
	for _, o := range raised[:min(len(raised), mostListed)] {
		shown = append(shown, c.show(o))
	}
	if len(raised) > mostListed {
		shown = append(shown, fmt.Sprintf("and %d more", len(raised)-mostListed))
	}
	return "but " + strings.Join(shown, "; ")
}
