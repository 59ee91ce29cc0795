package publisher

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/configfile"
)

// Kind is something that edge nodes do wrong, or that happens to them.
type Kind string

const (
	Gap      Kind = "gap"
	Swap     Kind = "swap"
	Cut      Kind = "cut"
	Unwilled Kind = "unwilled"
	Unborn   Kind = "unborn"
	Clock    Kind = "clock"
)

// KindInfo describes a kind to people.
type KindInfo struct {
	Kind  Kind
	Time  string // that it takes after an equals sign, if nothing else is said; "": it takes none
	Every int    // readings from one to the next, if nothing else is said; 0: it is always so
	About string
}

// Kinds are all kinds, in the order in which they are listed to people.
func Kinds() []KindInfo { return slices.Clone(kinds) }

var kinds = []KindInfo{
	{Gap, "", 10, "a message of data is left out, and its number with it"},
	{Swap, "", 10, "two messages of data come in the wrong order"},
	{Cut, "5s", 60, "the connection breaks off for D; what is measured meanwhile follows as values of the past"},
	{Unwilled, "5s", 60, "the same without a last will, so that nobody is told that the node has gone; nor at the end"},
	{Unborn, "1s", 60, "the node restarts, which takes D, and goes on by aliases that nobody knows until it is asked for its births"},
	{Clock, "-1h", 0, "the node's clock is off by D"},
}

// Misbehaviour is one thing that all edge nodes do wrong.
type Misbehaviour struct {
	Kind  Kind
	Time  time.Duration // of a kind that takes one
	Every int           // readings from one to the next; 0 if it is always so
}

// longest bounds the times of misbehaviours.
const longest = 24 * time.Hour

// ParseMisbehaviours reads some, with semicolons between them, like
//
//	gap,every=100; cut=10s
//
// The error says what was expected.
func ParseMisbehaviours(text string) (list []Misbehaviour, err error) {
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		m, err := parseMisbehaviour(part)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
		if slices.ContainsFunc(list, func(other Misbehaviour) bool { return other.Kind == m.Kind }) {
			return nil, fmt.Errorf("%s is given more than once, expected it once", m.Kind)
		}
		list = append(list, m)
	}
	return list, nil
}

func parseMisbehaviour(text string) (m Misbehaviour, err error) {
	what, option, optional := strings.Cut(text, ",")
	name, argument, given := strings.Cut(what, "=")
	at := slices.IndexFunc(kinds, func(k KindInfo) bool { return string(k.Kind) == name })
	if at < 0 {
		var names []string
		for _, k := range kinds {
			names = append(names, string(k.Kind))
		}
		if nearest := configfile.Nearest(name, names); nearest != "" {
			return m, fmt.Errorf("%q is no misbehaviour, did you mean %s?", name, nearest)
		}
		return m, fmt.Errorf("%q is no misbehaviour; there are %s", name, strings.Join(names, ", "))
	}
	info := kinds[at]
	m = Misbehaviour{Kind: info.Kind, Every: info.Every}
	switch {
	case given && info.Time == "":
		return m, fmt.Errorf("%s takes no value", m.Kind)
	case !given:
		argument = info.Time
	}
	if info.Time != "" {
		m.Time, err = time.ParseDuration(argument)
		if err != nil || m.Time == 0 || m.Time < 0 && m.Kind != Clock || m.Time.Abs() > longest {
			return m, fmt.Errorf("%s takes a time of at most %v, like %s=%s; got %q", m.Kind, longest, m.Kind, info.Time, argument)
		}
	}
	if !optional {
		return m, nil
	}
	number, is := strings.CutPrefix(strings.TrimSpace(option), "every=")
	if !is || m.Every == 0 {
		return m, fmt.Errorf("%q is no option of %s; those that happen now and then have every=N", option, m.Kind)
	}
	if m.Every, err = strconv.Atoi(number); err != nil || m.Every < 1 || m.Every > 1_000_000 {
		return m, fmt.Errorf("every takes a number of readings from 1 to 1000000, got %q", number)
	}
	return m, nil
}
