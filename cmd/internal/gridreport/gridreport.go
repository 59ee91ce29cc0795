// Package gridreport prints what is found out about a network.
package gridreport

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/grid"
)

// Report is what is said about a network.
type Report struct {
	grid.Summary
	Findings []grid.Finding
	Most     int // that are printed, 0: all
}

// Exit is the exit code's error: 1 if there is an error among the findings.
func (r Report) Exit() error {
	if grid.Errors(r.Findings) > 0 {
		return program.Silent(program.ExitFailure)
	}
	return nil
}

// Print writes it as text or as JSON.
func (r Report) Print(w io.Writer, asJSON bool) error {
	errors := grid.Errors(r.Findings)
	if asJSON {
		type finding struct {
			Severity grid.Severity `json:"severity"`
			Code     string        `json:"code"`
			Place    string        `json:"place,omitempty"`
			Asset    string        `json:"asset,omitempty"`
			Message  string        `json:"message"`
		}
		list := make([]finding, len(r.Findings))
		for i, f := range r.Findings {
			list[i] = finding{f.Severity, f.Code, f.Place.String(), f.Asset, f.Message}
		}
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(struct {
			grid.Summary
			Errors   int       `json:"errors"`
			Warnings int       `json:"warnings"`
			Findings []finding `json:"findings"`
		}{r.Summary, errors, len(r.Findings) - errors, list})
	}
	for i, f := range r.Findings {
		if r.Most > 0 && i == r.Most {
			fmt.Fprintf(w, "and %d more; --most 0 prints all\n", len(r.Findings)-i)
			break
		}
		fmt.Fprintf(w, "%s [%s]\n", f, f.Code)
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(w)
	}
	s := r.Summary
	count := func(n int64, one, more string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %s", n, more)
	}
	fmt.Fprintf(w, "%s, %s, %s, %s\n", count(int64(s.Substations), "substation", "substations"), count(int64(s.Sources), "source", "sources"),
		count(int64(s.Feeders), "feeder", "feeders"), count(int64(s.Nodes), "node", "nodes"))
	fmt.Fprintf(w, "%s, %s (%d normally open, %d telemetered), %s\n", count(int64(s.Lines), "line", "lines"),
		count(int64(s.Switches), "switch", "switches"), s.NormallyOpen, s.Telemetered, count(int64(s.Transformers), "transformer", "transformers"))
	fmt.Fprintf(w, "%s, %s\n", count(int64(s.ServicePoints), "service point", "service points"), count(s.Customers, "customer", "customers"))
	fmt.Fprintf(w, "%s without a source, %s\n", count(int64(s.UnfedIslands), "part", "parts"), count(int64(s.Loops), "loop", "loops"))
	fmt.Fprintf(w, "%s, %s\n", count(int64(errors), "error", "errors"), count(int64(len(r.Findings)-errors), "warning", "warnings"))
	return nil
}
