package main

import (
	"fmt"
	"os"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/rules/ruletest"
)

type rulesCommand struct {
	Explain rulesExplainCommand `cmd:"" help:"Say why the alarms of the running gateway are active or aren't."`
	Replay  rulesReplayCommand  `cmd:"" help:"Let rules take the samples of a buffer, and print the alarms that they would have raised."`
	Test    rulesTestCommand    `cmd:"" help:"Run tests of rules, which are files with series of values and the alarms expected of them. The exit code is 1 if one fails."`
}

type rulesTestCommand struct {
	Files   []string `arg:"" help:"The files." placeholder:"FILE"`
	Verbose bool     `short:"v" help:"Print a line for each test, not only for those that fail."`
}

func (rulesTestCommand) Help() string {
	return `A file has assets, devices, rules and tests, or names a configuration that has the first three:

  configuration: gateway.yaml
  tests:
    - name: a transformer that is hot for less than two minutes isn't reported
      every: 10s
      series:
        transformer-monitor: {TopOilTmp: 90x5 96x11 94x30}
    - name: one that stays hot is
      every: 10s
      series:
        transformer-monitor: {TopOilTmp: 90x5 96x30}
      alarms:
        - {rule: transformer-hot, asset: T1, raised: 1m}

docs/rules.md describes it. Exit codes: 0 all tests pass, 1 one fails, and each difference is printed with its place, 2 a
file is wrong.

Examples:
  busbar rules test rules.test.yaml
  busbar rules test -v tests/*.yaml`
}

func (c rulesTestCommand) Run() error {
	var wrong error
	passed, failed := 0, 0
	for _, file := range c.Files {
		suite, err := ruletest.Load(file)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			wrong = program.Silent(program.ExitConfig)
			continue
		}
		for _, r := range suite.Run() {
			if len(r.Failures) == 0 {
				passed++
				if c.Verbose {
					fmt.Printf("passed  %s: %s\n", file, r.Name)
				}
				continue
			}
			failed++
			fmt.Printf("FAILED  %s: %s\n%v\n", file, r.Name, r.Failures)
		}
	}
	fmt.Printf("%d tests passed, %d failed\n", passed, failed)
	if wrong == nil && failed > 0 {
		return program.Silent(program.ExitFailure)
	}
	return wrong
}
