package main

import (
	"encoding/json"
	"errors"
	"os"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/sim/score"
)

type scoreCommand struct {
	Truth  string `help:"The truth, as scenario run has written it." required:"" type:"existingfile" placeholder:"FILE"`
	Result string `help:"What was concluded, as JSON lines." required:"" type:"existingfile" placeholder:"FILE"`
	JSON   string `name:"json" help:"Write the score as JSON as well, - for standard output instead of the table." placeholder:"FILE"`
}

func (scoreCommand) Help() string {
	return `A result is one line for each outage and each suspect:

  {"what":"outage","detected_us":…,"device":"lateral-fuse","start_us":…,"end_us":…,"points":["mill-1","mill-2"]}
  {"what":"suspect","detected_us":…,"point":"mill-3","since_us":…}

Times are µs since 1970 UTC; an end of 0 means that it lasts. docs/simulation.md says how each figure is found.

Examples:
  busbar-sim score --truth truth.jsonl --result result.jsonl
  busbar-sim score --truth truth.jsonl --result result.jsonl --json score.json`
}

func (c scoreCommand) Run() (err error) {
	s, err := compare(c.Truth, c.Result)
	if err != nil {
		return err
	}
	if c.JSON != "" {
		var files outputs
		defer func() { err = errors.Join(err, files.close()) }()
		w, err := files.open(c.JSON)
		if err != nil {
			return err
		}
		lines := json.NewEncoder(w)
		lines.SetIndent("", "  ")
		if err := lines.Encode(s); err != nil {
			return err
		}
	}
	if c.JSON == "-" {
		return nil
	}
	return s.Table(os.Stdout)
}

func compare(truth, result string) (score.Score, error) {
	t, err := os.Open(truth)
	if err != nil {
		return score.Score{}, err
	}
	defer t.Close()
	r, err := os.Open(result)
	if err != nil {
		return score.Score{}, err
	}
	defer r.Close()
	s, err := score.Compare(t, r)
	if err != nil {
		return score.Score{}, program.Usage{Err: err}
	}
	return s, nil
}
