package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/backtest"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/grid/gridfile"
)

type outageCommand struct {
	Infer outageInfer `cmd:"" help:"Say which outages there were, by evidence in a file."`
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

func writeFindings(path string, findings []backtest.Finding) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return backtest.Write(file, findings)
}
