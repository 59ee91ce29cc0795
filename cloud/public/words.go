package public

import (
	"cmp"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/public/cap"
)

// words are all that is said in a language. What stands in braces is put in.
type words struct {
	Tag  string // of the language, after BCP 47
	Name string // what it calls itself

	Stamp string // of a time, as a layout of package time
	Group string // what stands between thousands
	And   string // before the last of several names

	// The page.
	Title, Languages, Alerts                            string
	AsOf, IsOld, KnownThen                              string
	OldAfter                                            plural // {n} minutes
	Out, NoOutage, NoOutageButUnknown                   string
	Planned, Areas, Area, State                         string
	Outage, Work, Since, From, Until                    string
	Back, BackBy, BackUnknown, Crew, Cause, CauseUnsaid string
	Confirmed, Unconfirmed, Elsewhere                   string
	Footnote                                            string
	Others                                              template.HTML // leads to outages.json and feed.atom

	States  map[State]string
	Unsure  string // a state, and more isn't known
	Crews   map[Crew]string
	Causes  map[Cause]string
	Counted string // {n} customers, of whom there are never few

	Fewer, FewerEach, Uncounted, AlsoUncounted, Also string

	// What the page's script says.
	Ago, AgoOld, JustNow, Newer, Show string

	// Alerts.
	Event, EventPlanned                          string
	Headline, HeadlinePlanned, HeadlineSuspected string
	TellConfirmed, TellSuspected                 string
	TellPlanned, TellPlannedEnd                  string
	TellBack, TellBackUnknown, TellCause         string
	HeadlineOver                                 string
	NoteOver                                     string
}

// plural is a text for one and one for another number of things, which the languages here
// tell apart in the same way.
type plural struct{ One, Other string }

func (p plural) of(n int64) string {
	if n == 1 {
		return say(p.One, "n", "1")
	}
	return say(p.Other, "n", strconv.FormatInt(n, 10))
}

// known has every language, by its tag.
var known = map[string]*words{english.Tag: &english, german.Tag: &german, dutch.Tag: &dutch}

// Languages are those that there are, by their tags after BCP 47.
func Languages() []string {
	var tags []string
	for tag := range known {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags
}

// languages are those that are published, of which there is always one.
func (o Options) languages() []*words {
	var list []*words
	for _, tag := range o.Languages {
		if w := known[tag]; w != nil {
			list = append(list, w)
		}
	}
	if len(list) == 0 {
		return []*words{&english}
	}
	return list
}

// title is what the page is called in a language.
func (o Options) title(w *words) string { return cmp.Or(o.Title, w.Title) }

// pageName is the file of a language's page: the first one is what is found first.
func (o Options) pageName(w *words) string {
	if w == o.languages()[0] {
		return "index.html"
	}
	return "index." + w.Tag + ".html"
}

// say puts into a text what stands in braces: names and values in turn.
func say(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		pairs[i] = "{" + pairs[i] + "}"
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// alertWords are those of an alert.
type alertWords struct{ event, headline, description string }

func (w *words) alert(says told, areas []cap.Area, o Options) alertWords {
	var names []string
	for _, a := range areas {
		names = append(names, cmp.Or(a.Name, w.Elsewhere))
	}
	where := w.listed(names)
	n := w.grouped(says.Customers)
	at := func(seconds int64) string { return w.clock(time.Unix(seconds, 0), o.Location) }
	event, headline := w.Event, w.Headline
	var text []string
	switch {
	case says.Planned:
		event, headline = w.EventPlanned, w.HeadlinePlanned
		text = append(text, say(w.TellPlanned, "n", n, "since", at(says.Since)))
		if says.P80 != 0 {
			text = append(text, say(w.TellPlannedEnd, "time", at(says.P80)))
		}
		return alertWords{event, say(headline, "where", where), strings.Join(text, " ")}
	case says.Confirmed:
		text = append(text, say(w.TellConfirmed, "n", n, "since", at(says.Since)))
	default:
		headline = w.HeadlineSuspected
		text = append(text, say(w.TellSuspected, "n", n, "since", at(says.Since)))
	}
	if says.P80 != 0 {
		text = append(text, say(w.TellBack, "time", at(says.P80)))
	} else {
		text = append(text, w.TellBackUnknown)
	}
	if says.Cause != "" {
		text = append(text, say(w.TellCause, "cause", w.cause(says.Cause)))
	}
	return alertWords{event, say(headline, "where", where), strings.Join(text, " ")}
}

func (w *words) listed(names []string) string {
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + w.And + names[n-1]
	}
	return strings.Join(names, "")
}

// clock is a time in a zone that it names.
func (w *words) clock(t time.Time, in *time.Location) string {
	if in == nil {
		in = time.UTC
	}
	return t.In(in).Format(w.Stamp)
}

// grouped is a number with its thousands apart.
func (w *words) grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + w.Group + text[i:]
	}
	return text
}

func (w *words) cause(c Cause) string { return cmp.Or(w.Causes[c], string(c)) }

func (w *words) customers(c Count) string {
	switch {
	case c.Number != nil:
		return say(w.Counted, "n", w.grouped(*c.Number))
	case c.Unknown:
		return w.Uncounted
	}
	return say(w.Fewer, "n", strconv.FormatInt(c.FewerThan, 10))
}

func (w *words) name(a AreaView) string {
	if a.ID == "" {
		return w.Elsewhere
	}
	return a.Name
}

// sum is of how many customers of an area its outages are: those that are told are added
// up. A sum over the others would tell them.
func (w *words) sum(a AreaView) string {
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
	floor := strconv.Itoa(Floor)
	var parts []string
	if told > 0 {
		parts = append(parts, say(w.Counted, "n", w.grouped(numbers)))
	}
	switch {
	case small == 1:
		parts = append(parts, say(w.Fewer, "n", floor))
	case small > 1:
		parts = append(parts, say(w.FewerEach, "n", floor, "places", strconv.Itoa(small)))
	}
	if unknown > 0 {
		parts = append(parts, w.AlsoUncounted)
	}
	return strings.ToUpper(parts[0][:1]) + strings.Join(append([]string{parts[0][1:]}, parts[1:]...), w.Also)
}

// state is that of an area in the list of all.
func (w *words) state(a AreaView) string {
	if a.State == Out && !a.Known {
		return say(w.Unsure, "state", w.States[a.State])
	}
	return w.States[a.State]
}
