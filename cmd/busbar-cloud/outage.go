package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/backtest"
	"github.com/busbar/busbar/cloud/outage/cim"
	"github.com/busbar/busbar/cloud/outage/reported"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/telemetry"
)

type outageCommand struct {
	Infer outageInfer `cmd:"" help:"Say which outages there were, by evidence in a file."`
	Take  outageTake  `cmd:"" help:"Take outages that another system knows of, to be shown beside ours."`
}

type outageInfer struct {
	Model    string `help:"The network: YAML, a table of CSV, or a directory of those." required:"" placeholder:"PATH"`
	Evidence string `help:"What the edge told, as JSON lines in the order of arrival; - is standard input." required:"" placeholder:"FILE"`
	Result   string `help:"Write the outages that people would have been told of, as JSON lines that busbar-sim score reads; - is standard output." placeholder:"FILE"`
}

func (outageInfer) Help() string {
	return `The engine that makes outages of evidence gets it at the times at which it arrived, as fast as it goes. docs/outage.md says how it
decides and what a line of evidence is. Nothing of the cloud is read or changed.

Exit codes: 0 it was done, 2 the network or the evidence can't be read.

Examples:
  busbar-sim scenario run storm --truth truth.jsonl --evidence evidence.jsonl --model known.yaml
  busbar-cloud outage infer --model known.yaml --evidence evidence.jsonl --result result.jsonl
  busbar-sim score --truth truth.jsonl --result result.jsonl`
}

func (o outageInfer) Run() (err error) {
	model, _, err := gridfile.Open(o.Model)
	if err != nil {
		return program.Usage{Err: err}
	}
	from := io.Reader(os.Stdin)
	if o.Evidence != "-" {
		file, err := os.Open(o.Evidence)
		if err != nil {
			return program.Usage{Err: err}
		}
		defer file.Close()
		from = file
	}
	began := time.Now()
	result, err := backtest.Run(&model, outage.Defaults(), from)
	if err != nil {
		return program.Usage{Err: fmt.Errorf("%s: %w", o.Evidence, err)}
	}
	summary := io.Writer(os.Stdout)
	if o.Result == "-" {
		summary = os.Stderr
		err = backtest.Write(os.Stdout, result.Findings)
	} else if o.Result != "" {
		err = writeFindings(o.Result, result.Findings)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(summary, "%d pieces of evidence in %.1f s, %d of them about what the network hasn't got\n", result.Evidence, time.Since(began).Seconds(), result.Strange)
	_, err = fmt.Fprintf(summary, "%d outages to tell people of; beside them %d that were over before, %d with lost phases only, %d that were part of another, %d withdrawn; %d service points to be asked\n",
		len(result.Findings), result.Momentary, result.PhaseLoss, result.Merged, result.Withdrawn, result.Asked)
	return err
}

type outageTake struct {
	database
	Path     string `arg:"" help:"The outages, as JSON; - is standard input." placeholder:"FILE"`
	From     string `help:"What the other system is called here: letters, digits, point, hyphen and underscore." required:"" placeholder:"SYSTEM"`
	Complete bool   `help:"The file has all of its outages that go on: what it lacks is gone."`
	By       string `help:"Who takes them." default:"${user}" placeholder:"NAME"`
}

func (outageTake) Help() string {
	return `The file is JSON that is shaped like UnplannedOutage and PlannedOutage of IEC 61968's CIM, as GET /api/v1/cim/outages answers it; it is experimental.
The desk shows these outages as reported by that system, beside ours, and nothing is concluded from them. The same file again changes nothing, nor does an
older one by its timeStamp. It works beside a cloud that runs.

Exit codes: 0 they are taken, 2 the file can't be read, and nothing of it is taken.

Examples:
  busbar-cloud outage take --config cloud.yaml --from oms-west outages.json
  curl -s https://other.example/api/v1/cim/outages | busbar-cloud outage take --config cloud.yaml --from other --complete -`
}

var systemName = regexp.MustCompile(`^[0-9A-Za-z._-]{1,64}$`)

func (o outageTake) Run(ctx context.Context) error {
	if !systemName.MatchString(o.From) {
		return program.Usage{Err: fmt.Errorf("--from %q: expected up to 64 letters, digits, points, hyphens and underscores", o.From)}
	}
	text, err := readAll(o.Path)
	if err != nil {
		return program.Usage{Err: err}
	}
	d, err := cim.Read(text)
	if err != nil {
		return program.Usage{Err: fmt.Errorf("%s: %w", o.Path, err)}
	}
	return o.use(ctx, func(s *store.Store) error {
		n, err := reported.Take(ctx, s, reported.Report{System: o.From, Document: d, Complete: o.Complete, By: o.By, At: telemetry.MicrosOf(time.Now())})
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d outages added, %d changed, %d unchanged, %d gone; %d left out as a later report has said something of them, %d as they are ours\n",
			o.From, n.Added, n.Changed, n.Unchanged, n.Gone, n.Older, n.Own)
		return nil
	})
}

// readAll is what a file has, or standard input.
func readAll(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(path)
}

func writeFindings(path string, findings []backtest.Finding) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return backtest.Write(file, findings)
}
