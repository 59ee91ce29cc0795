package public

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/public/cap"
)

type words struct{ event, headline, description string }

// wordsOf are those of an alert.
func wordsOf(says told, areas []cap.Area, o Options) words {
	var names []string
	for _, a := range areas {
		names = append(names, a.Name)
	}
	where := listed(names)
	at := func(seconds int64) string { return clock(time.Unix(seconds, 0), o.Location) }
	w := words{event: "Power outage", headline: "Power outage in " + where}
	var text []string
	add := func(format string, args ...any) { text = append(text, fmt.Sprintf(format, args...)) }
	switch {
	case says.Planned:
		w.event, w.headline = "Planned power outage", "Planned power outage in "+where
		add("Supply is off for work, for about %s customers, from %s on.", grouped(says.Customers), at(says.Since))
		if says.P80 != 0 {
			add("It is planned to be back at %s.", at(says.P80))
		}
		return finish(w, text)
	case says.Confirmed:
		add("About %s customers have been without electricity since %s.", grouped(says.Customers), at(says.Since))
	default:
		w.headline = "Power outage suspected in " + where
		add("About %s customers seem to have been without electricity since %s. This isn't confirmed yet.", grouped(says.Customers), at(says.Since))
	}
	if says.P80 != 0 {
		add("Supply is expected to be back by %s.", at(says.P80))
	} else {
		add("It is being assessed when supply will be back.")
	}
	if says.Cause != "" {
		add("Cause: %s.", says.Cause)
	}
	return finish(w, text)
}

func finish(w words, text []string) words {
	w.description = strings.Join(text, " ")
	return w
}

func listed(names []string) string {
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// clock is a time in a zone that it names.
func clock(t time.Time, in *time.Location) string {
	if in == nil {
		in = time.UTC
	}
	return t.In(in).Format("2 Jan 2006, 15:04 MST")
}

// grouped is a number with its thousands apart.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func customersText(c Count) string {
	switch {
	case c.Number != nil:
		return grouped(*c.Number) + " customers"
	case c.Unknown:
		return "number of customers not known"
	}
	return fmt.Sprintf("fewer than %d customers", c.FewerThan)
}

// sumText is of how many customers of an area its outages are: those that are told are
// added up. A sum over the others would tell them.
func sumText(a AreaView) string {
	numbers, small, unknown, told := int64(0), 0, 0, 0
	for _, out := range a.Outages {
		switch c := out.Customers; {
		case c.Number != nil:
			numbers, told = numbers+*c.Number, told+1
		case c.Unknown:
			unknown++
		default:
			small++
		}
	}
	var parts []string
	if told > 0 {
		parts = append(parts, grouped(numbers)+" customers")
	}
	switch {
	case small == 1:
		parts = append(parts, fmt.Sprintf("fewer than %d customers", Floor))
	case small > 1:
		parts = append(parts, fmt.Sprintf("fewer than %d customers in each of %d places", Floor, small))
	}
	if unknown > 0 {
		parts = append(parts, "a number of customers that isn’t known")
	}
	return strings.ToUpper(parts[0][:1]) + strings.Join(append([]string{parts[0][1:]}, parts[1:]...), ", and ")
}

// stateText is that of an area in the list of all.
func stateText(a AreaView) string {
	text := map[State]string{Out: "Outage", Planned: "Planned work", None: "No outage known", Unknown: "Not known"}[a.State]
	if a.State == Out && !a.Known {
		text += ", and more isn’t known"
	}
	return text
}
