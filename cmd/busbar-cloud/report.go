package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/busbar/busbar/cloud/outage/history"
	"github.com/busbar/busbar/cloud/reliability"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

type reportCommand struct {
	Indices reportIndices `cmd:"" help:"Compute SAIDI, SAIFI and other indices of what is stored, or of a table of interruptions."`
	Steps   reportSteps   `cmd:"" help:"Write the interruptions of a period as a regulator's table, with what became of each."`
}

func (reportCommand) Help() string {
	return `How reliably customers were supplied, by IEEE Std 1366 or as other regulators count. docs/reliability-indices.md has the tables'
columns, the profiles and the definitions.`
}

// interruptions are what both commands read, and how they count.
type interruptions struct {
	Config    string   `help:"Take them from the database of this configuration, instead of from tables." placeholder:"FILE" type:"path" xor:"from" required:""`
	Outages   string   `help:"The table of interruptions, by steps." placeholder:"FILE" type:"path" xor:"from" required:""`
	Customers string   `help:"The table of customers served." placeholder:"FILE" type:"path"`
	Points    string   `help:"The table that names the steps' service points; some indices need it." placeholder:"FILE" type:"path"`
	Profile   string   `help:"How is counted: ${enum}." enum:"ieee1366,bnetza,ofgem,generic" default:"ieee1366"`
	Without   []string `help:"Causes that are left out, instead of the profile's." placeholder:"CAUSE"`
	Period    []string `help:"Years, months or days, such as 2026, 2026-03 or 2026-03-29." required:""`
	TimeZone  string   `help:"Where they begin at midnight." default:"UTC" placeholder:"ZONE"`
	Now       string   `help:"Until when open interruptions have lasted; by default now." placeholder:"TIME"`
	Affected  float64  `help:"How many different customers had a sustained interruption, where no service points are named." placeholder:"N"`
	Out       string   `help:"The file to write, standard output by default. One that is there is replaced." placeholder:"FILE" type:"path"`
}

func (i interruptions) read(ctx context.Context) (in reliability.Input, q reliability.Question, err error) {
	wrong := func(err error) (reliability.Input, reliability.Question, error) {
		return in, q, program.Usage{Err: err}
	}
	q.Profile, _ = reliability.ProfileOf(i.Profile)
	if i.Without != nil {
		q.Profile.Without = i.Without
	}
	if q.Location, err = time.LoadLocation(i.TimeZone); err != nil || i.TimeZone == "Local" || i.TimeZone == "" {
		return wrong(fmt.Errorf("--time-zone %q: unknown, expected a name such as Europe/Berlin", i.TimeZone))
	}
	for _, text := range i.Period {
		p, err := reliability.ParsePeriod(text, q.Location)
		if err != nil {
			return wrong(fmt.Errorf("--period: %w", err))
		}
		q.Periods = append(q.Periods, p)
	}
	in.Now = telemetry.MicrosOf(time.Now())
	if i.Now != "" {
		t, err := time.Parse(time.RFC3339, i.Now)
		if err != nil {
			return wrong(fmt.Errorf("--now %q: expected a time such as 2026-03-17T12:12:20Z", i.Now))
		}
		in.Now = telemetry.MicrosOf(t)
	}
	if i.Affected < 0 {
		return wrong(fmt.Errorf("--affected %v is below zero", i.Affected))
	}
	if i.Config != "" {
		if i.Customers != "" || i.Points != "" {
			return wrong(errors.New("--customers and --points go with --outages, the database has its own"))
		}
		now := in.Now
		err := database{i.Config}.use(ctx, func(s *store.Store) error {
			in, err = history.Interruptions(ctx, s, 0, now)
			return err
		})
		return in, q, err
	}
	if i.Customers == "" {
		return wrong(errors.New("--customers is missing"))
	}
	in.Affected = i.Affected
	text, err := os.ReadFile(i.Outages)
	if err == nil {
		in.Steps, err = reliability.ReadSteps(i.Outages, text)
	}
	if err != nil {
		return wrong(err)
	}
	if text, err = os.ReadFile(i.Customers); err == nil {
		in.Served, err = reliability.ReadServed(i.Customers, text)
	}
	if err == nil && i.Points != "" {
		if text, err = os.ReadFile(i.Points); err == nil {
			err = reliability.ReadPoints(i.Points, text, in.Steps)
		}
	}
	if err != nil {
		return wrong(err)
	}
	return in, q, nil
}

// write writes whole files only.
func (i interruptions) write(what func(io.Writer) error) error {
	if i.Out == "" {
		return what(os.Stdout)
	}
	var text bytes.Buffer
	if err := what(&text); err != nil {
		return err
	}
	return configfile.Replace(i.Out, text.Bytes(), 0o644)
}

type reportIndices struct {
	interruptions
	By      string   `help:"What each period is divided by: area, feeder or cause." enum:",area,feeder,cause" default:"" placeholder:"WHAT"`
	Months  bool     `help:"Also each month of the years."`
	Indices []string `help:"Which indices, instead of the profile's; CEMI_n, CELID_s_h and CELID_t_h have a number." placeholder:"INDEX"`
	AtLeast bool     `help:"CEMI_n is of customers with n or more interruptions; by default the profile says whether it is of more than n."`
	Format  string   `help:"text, csv or json." enum:"text,csv,json" default:"text" placeholder:"FORMAT"`
}

func (reportIndices) Help() string {
	return `An index that isn't defined, as it would divide by zero or needs service points that aren't named, is shown as -; in CSV it is
empty, in JSON null. Provisional is what isn't over: the period, or an interruption that began in it.

Examples:
  busbar-cloud report indices --config cloud.yaml --period 2026 --time-zone Europe/Berlin --by area
  busbar-cloud report indices --outages outages.csv --customers customers.csv --period 2026 --time-zone Europe/Berlin
  busbar-cloud report indices --outages outages.csv --customers customers.csv --points points.csv --period 2026 --by feeder --format csv --out indices.csv
  busbar-cloud report indices --outages outages.csv --customers customers.csv --period 2026 --profile ofgem`
}

func (r reportIndices) Run(ctx context.Context) error {
	in, q, err := r.read(ctx)
	if err != nil {
		return err
	}
	q.By = reliability.By(r.By)
	q.Profile.CEMIAtLeast = q.Profile.CEMIAtLeast || r.AtLeast
	if r.Indices != nil {
		q.Profile.Indices = nil
		for _, name := range r.Indices {
			q.Profile.Indices = append(q.Profile.Indices, reliability.Index(name))
		}
	}
	if r.Months {
		for _, p := range slices.Clone(q.Periods) {
			if y, err := time.Parse("2006", p.Name); err == nil {
				q.Periods = append(q.Periods, reliability.Months(y.Year(), q.Location)...)
			}
		}
	}
	if err := q.Check(); err != nil {
		return program.Usage{Err: err}
	}
	rows := reliability.Report(in, q)
	return r.write(func(w io.Writer) error {
		switch r.Format {
		case "csv":
			return reliability.WriteIndices(w, rows, q)
		case "json":
			to := json.NewEncoder(w)
			to.SetIndent("", "  ")
			return to.Encode(reliability.AnswerOf(rows, q))
		}
		return writeIndices(w, rows, q)
	})
}

func writeIndices(out io.Writer, rows []reliability.Row, q reliability.Question) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	var heads []string
	for _, i := range q.Profile.Indices {
		heads = append(heads, string(i))
	}
	fmt.Fprintf(w, "PERIOD\tOF\tSTATE\tCUSTOMERS\tINTERRUPTIONS\t%s\t\n", strings.Join(heads, "\t"))
	line := func(r reliability.Row, t *reliability.Totals, of string) {
		state := "provisional"
		if r.Final {
			state = "final"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.6g\t%d\t", r.Period.Name, of, state, t.CustomersServed, t.Interruptions)
		for _, i := range q.Profile.Indices {
			text := "-"
			if v := t.Of(i, q.Profile); v != nil {
				text = fmt.Sprintf("%.4f", *v)
				if i == reliability.ASAI {
					text = fmt.Sprintf("%.8f", *v)
				}
			}
			fmt.Fprintf(w, "%s\t", text)
		}
		fmt.Fprintln(w)
	}
	for _, r := range rows {
		of := "all"
		if !r.Whole {
			if of = shown(r.Group); r.Group == "" {
				of = "(none)"
			}
		}
		line(r, &r.Totals, of)
		if r.WithoutMajor != nil && len(r.MajorDays) > 0 {
			line(r, r.WithoutMajor, of+", without major event days")
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		if !r.Whole {
			continue
		}
		for _, d := range r.MajorDays {
			fmt.Fprintf(out, "major event day %s: %.4f min, threshold %.4f of %d days\n", d.Day.Name, d.SAIDI, d.Threshold.TMED, d.Threshold.Days)
		}
		if q.Profile.MajorEventDays && r.WithoutMajor == nil {
			fmt.Fprintf(out, "%s has no threshold for major event days: there are no two days with interruptions in the five years before\n", r.Period.Name)
		}
	}
	return nil
}

type reportSteps struct {
	interruptions
}

func (reportSteps) Help() string {
	return `The columns of the table of interruptions, and how long each step lasted, whether it is sustained, whether its day is a major event
day, and whether it is final.

Examples:
  busbar-cloud report steps --config cloud.yaml --period 2026 --out filing.csv
  busbar-cloud report steps --outages outages.csv --customers customers.csv --period 2026 --out filing.csv`
}

func (r reportSteps) Run(ctx context.Context) error {
	in, q, err := r.read(ctx)
	if err != nil {
		return err
	}
	return r.write(func(w io.Writer) error { return reliability.WriteSteps(w, in, q) })
}
