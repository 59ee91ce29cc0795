package public

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/public/cap"
	"github.com/busbar/busbar/telemetry"
)

//go:embed page
var pages embed.FS

// alertsDir is the directory of alerts among the files.
const alertsDir = "cap/"

// FilesOf makes the files of a picture, by name, and brings the ledger up to it. Of alerts it
// has those that are new; the ledger says which earlier ones are still listed.
func FilesOf(p Picture, o Options, now telemetry.Micros, l *Ledger) (map[string][]byte, error) {
	alerts := l.alertsOf(p, o, now)
	files := map[string][]byte{}
	for id, a := range alerts {
		text, err := a.XML()
		if err != nil {
			return nil, fmt.Errorf("public: alert %s: %w", id, err)
		}
		files[alertsDir+id+".xml"] = text
	}
	view := ViewOf(p, o, now, l.name)
	var err error
	if files["outages.json"], err = json.MarshalIndent(view, "", " "); err != nil {
		return nil, fmt.Errorf("public: %w", err)
	}
	for _, w := range o.languages() {
		if files[o.pageName(w)], err = pageOf(view, o, w); err != nil {
			return nil, err
		}
	}
	if files["feed.atom"], err = l.feed(o).XML(); err != nil {
		return nil, err
	}
	for _, name := range []string{"page.css", "page.js"} {
		if files[name], err = pages.ReadFile("page/" + name); err != nil {
			return nil, fmt.Errorf("public: %w", err)
		}
	}
	return files, nil
}

// feed lists the alerts that are kept, newest first.
func (l *Ledger) feed(o Options) cap.Feed {
	f := cap.Feed{Title: o.title(o.languages()[0]), Language: o.languages()[0].Tag, Author: o.Operator, Base: o.URL, Self: "feed.atom", Updated: time.Unix(0, 0)}
	for _, e := range l.Outages {
		for _, m := range e.Alerts {
			sent := time.Unix(m.Sent, 0)
			f.Entries = append(f.Entries, cap.Entry{Identifier: m.Identifier, Title: m.Title, Link: alertsDir + m.Identifier + ".xml", Published: sent})
			if sent.After(f.Updated) {
				f.Updated = sent
			}
		}
	}
	slices.SortFunc(f.Entries, func(a, b cap.Entry) int {
		return cmp.Or(b.Published.Compare(a.Published), cmp.Compare(a.Identifier, b.Identifier))
	})
	return f
}

// listed are the files of alerts that the feed has.
func (l *Ledger) listed() map[string]bool {
	names := map[string]bool{}
	for _, e := range l.Outages {
		for _, m := range e.Alerts {
			names[m.Identifier+".xml"] = true
		}
	}
	return names
}

// around is a text before and after the time in it.
type around struct{ Before, After string }

var marks = map[State]string{Out: "✕", Planned: "◷", None: "–", Unknown: "?"}

// link leads to the page in another language.
type link struct{ Tag, Name, File string }

// pageOf is the page in a language.
func pageOf(v View, o Options, w *words) ([]byte, error) {
	t, err := template.New("page.html").Funcs(template.FuncMap{
		"when": func(at any) template.HTML {
			var m telemetry.Micros
			switch at := at.(type) {
			case telemetry.Micros:
				m = at
			case *telemetry.Micros:
				m = *at
			}
			t := m.Time().Truncate(time.Second)
			return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.Format(time.RFC3339), template.HTMLEscapeString(w.clock(t, o.Location))))
		},
		"around": func(text string) around {
			before, after, _ := strings.Cut(text, "{time}")
			return around{before, after}
		},
		"words":     func() *words { return w },
		"mark":      func(s State) string { return marks[s] },
		"name":      w.name,
		"sum":       w.sum,
		"state":     w.state,
		"customers": func(out OutageView) string { return w.customers(out.Customers) },
		"crew":      func(c Crew) string { return w.Crews[c] },
		"cause":     w.cause,
	}).ParseFS(pages, "page/page.html")
	if err != nil {
		return nil, fmt.Errorf("public: page: %w", err)
	}
	of := struct {
		View
		Others       []link
		Contact      string
		Out, Planned []AreaView
		Sure         bool // every area is known
		OldAfter     string
		Footnote     string
	}{View: v, Contact: o.Contact, Sure: v.Current, OldAfter: w.OldAfter.of(v.StaleUs / 60_000_000), Footnote: say(w.Footnote, "n", strconv.Itoa(Floor))}
	of.Title = o.title(w)
	for _, other := range o.languages() {
		if other != w {
			of.Others = append(of.Others, link{other.Tag, other.Name, o.pageName(other)})
		}
	}
	for _, a := range v.Areas {
		of.Sure = of.Sure && a.Known
		unplanned, planned := a, a
		unplanned.Outages, planned.Outages = nil, nil
		for _, out := range a.Outages {
			if out.Planned {
				planned.Outages = append(planned.Outages, out)
			} else {
				unplanned.Outages = append(unplanned.Outages, out)
			}
		}
		if len(unplanned.Outages) > 0 {
			of.Out = append(of.Out, unplanned)
		}
		if len(planned.Outages) > 0 {
			planned.State = Planned
			of.Planned = append(of.Planned, planned)
		}
	}
	var text bytes.Buffer
	if err := t.Execute(&text, of); err != nil {
		return nil, fmt.Errorf("public: page: %w", err)
	}
	return text.Bytes(), nil
}
