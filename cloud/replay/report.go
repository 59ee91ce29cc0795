package replay

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a replay has found. Of the same log and the same store it is the same,
// byte by byte.
type Report struct {
	From string `json:"from"` // as it was asked for; "": where the log begins
	To   string `json:"to"`   // "": how far the cloud had read
	Only string `json:"only"` // what was run again; "": everything

	Spans    []SpanOf `json:"spans"`    // what was read
	Compared []Count  `json:"compared"` // of what how much

	Same        bool         `json:"same"`
	Count       int          `json:"count"` // of differences
	Differences []Difference `json:"differences"`
	// Edge is what differs because it isn't all in what was read. Its number is EdgeCount.
	EdgeCount int          `json:"edge_count"`
	Edge      []Difference `json:"edge"`
	Notes     []string     `json:"notes"`
}

// MostListed bounds the differences that a Report lists; all are counted.
const MostListed = 1000

// SpanOf is what was read of a partition: from From up to and without To.
type SpanOf struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
	Begin     int64  `json:"begin"` // of the log
}

func (s SpanOf) compare(o SpanOf) int {
	return cmp.Or(cmp.Compare(s.Topic, o.Topic), cmp.Compare(s.Partition, o.Partition))
}

// Count is how much was compared.
type Count struct {
	What   string `json:"what"`
	Live   int64  `json:"live"` // of what lies in what was read, as far as that can be told
	Replay int64  `json:"replay"`
}

// Kind is how something differs.
type Kind string

const (
	Missing Kind = "missing" // in the cloud's store
	Extra   Kind = "extra"   // in the cloud's store, and the log doesn't say it
	Differs Kind = "differs"
	Twice   Kind = "twice" // more often in the cloud's store than in the log
)

// Difference is one thing that isn't in both stores alike.
type Difference struct {
	What string `json:"what"`
	Kind Kind   `json:"kind"`
	// Key is what it is known by, as name=value.
	Key    []string `json:"key"`
	Fields []Field  `json:"fields,omitempty"` // that differ
	// Samples is how many samples of a series' hour it is, and At is the first of them.
	Samples int64  `json:"samples,omitempty"`
	At      string `json:"at,omitempty"`
	Why     string `json:"why,omitempty"` // that it is at an edge
}

// Field is a value in both stores.
type Field struct {
	Name   string `json:"name"`
	Live   string `json:"live"`
	Replay string `json:"replay"`
}

func newReport(cfg Config) *Report {
	r := &Report{Only: string(cfg.Only), Spans: []SpanOf{}, Compared: []Count{}, Differences: []Difference{}, Edge: []Difference{}, Notes: []string{}}
	if !cfg.From.IsZero() {
		r.From = cfg.From.UTC().Format(time.RFC3339Nano)
	}
	if !cfg.To.IsZero() {
		r.To = cfg.To.UTC().Format(time.RFC3339Nano)
	}
	return r
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *Report) add(d Difference) {
	if d.Why != "" {
		if r.EdgeCount++; len(r.Edge) < MostListed {
			r.Edge = append(r.Edge, d)
		}
		return
	}
	if r.Count++; len(r.Differences) < MostListed {
		r.Differences = append(r.Differences, d)
	}
}

// WriteText writes the report as tables.
func (r *Report) WriteText(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "READ\tFROM OFFSET\tTO OFFSET\tRECORDS")
	for _, s := range r.Spans {
		fmt.Fprintf(w, "%s/%d\t%d\t%d\t%d\n", s.Topic, s.Partition, s.From, s.To, s.To-s.From)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "COMPARED\tLIVE\tREPLAY")
	for _, c := range r.Compared {
		fmt.Fprintf(w, "%s\t%d\t%d\n", c.What, c.Live, c.Replay)
	}
	table := func(title string, total int, list []Difference) {
		if total == 0 {
			return
		}
		fmt.Fprintf(w, "\n%s\tKIND\tWHICH\tSAMPLES\tFIRST\tLIVE\tREPLAY\n", title)
		for _, d := range list {
			line(w, d)
		}
		if total > len(list) {
			fmt.Fprintf(w, "and %d more\n", total-len(list))
		}
	}
	table("DIFFERENCE", r.Count, r.Differences)
	table("AT THE EDGE", r.EdgeCount, r.Edge)
	if len(r.Notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, note := range r.Notes {
		fmt.Fprintln(w, "note: "+note)
	}
	switch r.Count {
	case 0:
		fmt.Fprintln(w, "\nthe same")
	case 1:
		fmt.Fprintln(w, "\n1 difference")
	default:
		fmt.Fprintf(w, "\n%d differences\n", r.Count)
	}
	return w.Flush()
}

const longestShown = 60 // bytes of a value in a table

func shown(text string) string {
	if len(text) > longestShown {
		text = text[:longestShown] + "…"
	}
	quoted := fmt.Sprintf("%q", text)
	if inner := quoted[1 : len(quoted)-1]; inner != text || text == "" {
		return quoted
	}
	return text
}

func line(w io.Writer, d Difference) {
	key := make([]string, len(d.Key))
	for i, k := range d.Key {
		key[i] = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return '\ufffd'
			}
			return r
		}, k)
	}
	var live, again []string
	for _, f := range d.Fields {
		live, again = append(live, f.Name+"="+shown(f.Live)), append(again, f.Name+"="+shown(f.Replay))
	}
	samples := ""
	if d.Samples > 0 {
		samples = fmt.Sprint(d.Samples)
	}
	if d.Why != "" {
		again = append(again, "("+d.Why+")")
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.What, d.Kind, strings.Join(key, " "), samples, d.At, strings.Join(live, " "), strings.Join(again, " "))
}
