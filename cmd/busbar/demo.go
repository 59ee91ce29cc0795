package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar/busbar/cmd/busbar/demo"
	"github.com/busbar/busbar/cmd/internal/program"
)

type demoCommand struct {
	For      time.Duration `help:"End the story by itself after this time, at least 30s, and print a summary; without it, Ctrl-C ends it." placeholder:"60s"`
	Headless bool          `help:"Nobody watches: acknowledge alarms for the operator. Needs --for."`
	Console  string        `help:"Where the console listens." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	Dir      string        `help:"Keep configurations, logs and data in this directory; without it they are removed at the end." placeholder:"DIR" type:"path"`
}

func (c demoCommand) Validate() error {
	if c.Headless && c.For == 0 {
		return fmt.Errorf("--headless needs --for: nobody would end it")
	}
	return nil
}

func (c demoCommand) Run(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	summary, err := demo.Run(ctx, demo.Options{
		For: c.For, Headless: c.Headless, Console: c.Console, Dir: c.Dir,
		Programs: filepath.Dir(self), Out: os.Stdout,
	})
	if err != nil {
		return err
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
