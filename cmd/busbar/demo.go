package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/busbar/busbar/cmd/busbar/demo"
	"github.com/busbar/busbar/cmd/internal/program"
)

type demoCommand struct {
	For      time.Duration `help:"End the story by itself after this time, at least 30s, and print a summary; without it, Ctrl-C ends it." placeholder:"60s"`
	Headless bool          `help:"Nobody watches: acknowledge alarms for the operator. Needs --for."`
	Console  string        `help:"Where the console listens." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	Grid     string        `help:"Where the simulated grid's page is, at which faults can be caused by hand, and where busbar-sim fault and repair ask for them." default:"127.0.0.1:5080" placeholder:"HOST:PORT"`
	Dir      string        `help:"Keep configurations, logs and data in this directory, which must be empty; without it they are removed at the end, unless something went wrong." placeholder:"DIR" type:"path"`
}

func (c demoCommand) Validate() error {
	if c.Headless && c.For == 0 {
		return fmt.Errorf("--headless needs --for: nobody would end it")
	}
	if c.For != 0 && c.For < demo.MinFor {
		return fmt.Errorf("--for %v is too short for a feeder to fail and come back; give it %v or more", c.For, demo.MinFor)
	}
	if err := checkLoopback("console", c.Console, "127.0.0.1:8080"); err != nil {
		return err
	}
	return checkLoopback("grid", c.Grid, demo.DefaultGrid)
}

// checkLoopback says what is wrong with the address of a page that has no sign-in.
func checkLoopback(option, address, example string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--%s %q, expected host:port such as %s", option, address, example)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--%s %s is not a loopback address such as 127.0.0.1: the %s has no sign-in", option, address, option)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("--%s %s has port %s, expected 1 to 65535", option, address, port)
	}
	return nil
}

func (c demoCommand) Run(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// Whoever reads along may go; the demo still has to clean up after itself.
	signal.Ignore(syscall.SIGPIPE)
	summary, err := demo.Run(ctx, demo.Options{
		For: c.For, Headless: c.Headless, Console: c.Console, Grid: c.Grid, Dir: c.Dir,
		Programs: filepath.Dir(self), Out: os.Stdout,
	})
	if err != nil {
		return program.UntilStopped(ctx, err)
	}
	line, err := json.Marshal(summary)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	if len(summary.Problems) > 0 {
		return program.Silent(program.ExitFailure)
	}
	return nil
}
