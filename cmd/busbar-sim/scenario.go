package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/sim/scenario"
)

type scenarioCommand struct {
	Run   scenarioRunCommand   `cmd:"" help:"Play a scenario as fast as it goes, and write what happened and what the edge told of it."`
	List  scenarioListCommand  `cmd:"" help:"List the scenarios that come with Busbar."`
	Show  scenarioShowCommand  `cmd:"" help:"Print one of them, or its grid, to begin one's own with."`
	Check scenarioCheckCommand `cmd:"" help:"Say what is wrong with scenarios."`
	Test  scenarioTestCommand  `cmd:"" help:"Play scenarios and compare what comes of them with what they expect. The exit code is 1 if something differs."`
}

type scenarioRunCommand struct {
	Scenario string  `arg:"" help:"The scenario: a file whose name ends in .yaml, or the name of one that comes with Busbar." placeholder:"FILE|NAME"`
	Seed     *uint64 `help:"Draw at random by this seed, instead of the scenario's."`
	written
}

func (scenarioRunCommand) Help() string {
	return `The same scenario and seed write the same bytes. docs/simulation.md describes the files. What a scenario expects is compared as well, unless it has another seed.

Exit codes: 0 it was played and came out as expected, 1 it didn't, 2 the scenario is wrong.

Examples:
  busbar-sim scenario run storm --truth truth.jsonl --evidence evidence.jsonl --model known.yaml
  busbar-sim scenario run my.yaml --seed 7
  busbar-sim scenario run storm --truth kafka: --evidence kafka: --kafka 127.0.0.1:9092`
}

func (c scenarioRunCommand) Run(ctx context.Context) (err error) {
	s, err := scenario.Open(c.Scenario, c.Seed)
	if err != nil {
		return err
	}
	var files outputs
	defer func() { err = errors.Join(err, files.close()) }()
	sinks, err := c.open(ctx, s, &files)
	if err != nil {
		return err
	}
	began := time.Now()
	result, err := s.Run(ctx, sinks)
	if err != nil {
		return err
	}
	summary := os.Stdout
	if c.toStdout() {
		summary = os.Stderr
	}
	fmt.Fprintf(summary, "%s: %v in %.1f s, %d service points\n", s.Name(), s.Lasts, time.Since(began).Seconds(), len(s.Model().ServicePoints))
	fmt.Fprintf(summary, "%d faults, %d outages of 3 minutes or more, %d momentary ones, %.1f customer-minutes, %d transformer overloads, %d pieces of evidence\n",
		result.Faults, result.Sustained, result.Momentary, result.CustomerMinutes, result.Overloads, result.Evidence)
	if c.Seed != nil {
		return nil
	}
	return report(summary, c.Scenario, result)
}

// report says what isn't as expected.
func report(to io.Writer, name string, r scenario.Result) error {
	for _, f := range r.Failures {
		fmt.Fprintf(to, "FAILED  %s: %s: %s\n", name, f.Path, f.Message)
	}
	if len(r.Failures) > 0 {
		return program.Silent(program.ExitFailure)
	}
	return nil
}

type scenarioListCommand struct{}

func (scenarioListCommand) Run() error {
	for _, name := range scenario.Library() {
		s, err := scenario.Open(name, nil)
		if err != nil {
			return err
		}
		fmt.Printf("%-22s %s\n", name, s.Description)
	}
	return nil
}

type scenarioShowCommand struct {
	Name string `arg:"" help:"A scenario's name, as scenario list prints it, or grids/town.yaml, its grid." placeholder:"NAME"`
}

func (c scenarioShowCommand) Run() error {
	src, err := scenario.Source(c.Name)
	if err != nil {
		return program.Usage{Err: err}
	}
	_, err = os.Stdout.Write(src)
	return err
}

type scenarioCheckCommand struct {
	Scenarios []string `arg:"" help:"Files whose names end in .yaml, or names." placeholder:"FILE|NAME"`
}

func (c scenarioCheckCommand) Run() error {
	var bad unopened
	for _, name := range c.Scenarios {
		s, err := scenario.Open(name, nil)
		if err != nil {
			bad.add(err)
			continue
		}
		fmt.Printf("%s: no errors; %d service points, %v, %d expectations\n", name, len(s.Model().ServicePoints), s.Lasts, len(s.Expect))
	}
	return bad.err()
}

// unopened is what is wrong with scenarios that couldn't be opened: one of them
// doesn't stop the others.
type unopened struct {
	wrong configfile.Errors
	other error
}

func (u *unopened) add(err error) {
	var here configfile.Errors
	if errors.As(err, &here) {
		u.wrong = append(u.wrong, here...)
		return
	}
	u.other = errors.Join(u.other, err)
}

func (u *unopened) err() error {
	if len(u.wrong) == 0 {
		return u.other
	}
	if u.other != nil {
		fmt.Fprintln(os.Stderr, u.other)
	}
	return u.wrong
}

type scenarioTestCommand struct {
	Scenarios []string `arg:"" optional:"" help:"Files whose names end in .yaml, or names; all that come with Busbar, if none is given." placeholder:"FILE|NAME"`
}

func (scenarioTestCommand) Help() string {
	return `Examples:
  busbar-sim scenario test
  busbar-sim scenario test my.yaml`
}

func (c scenarioTestCommand) Run(ctx context.Context) error {
	names := c.Scenarios
	if len(names) == 0 {
		names = scenario.Library()
	}
	var failed error
	var bad unopened
	for _, name := range names {
		s, err := scenario.Open(name, nil)
		if err != nil {
			bad.add(err)
			continue
		}
		began := time.Now()
		result, err := s.Run(ctx, scenario.Sinks{})
		if err != nil {
			return err
		}
		if err := report(os.Stdout, name, result); err != nil {
			failed = err
			continue
		}
		fmt.Printf("passed  %-22s %d expectations, %v in %.2f s\n", name, len(s.Expect), s.Lasts, time.Since(began).Seconds())
	}
	if err := bad.err(); err != nil {
		return err
	}
	return failed
}
