package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gatewayconfig"
)

type applyCommand struct {
	File string        `arg:"" help:"The new configuration." type:"existingfile"`
	To   string        `help:"The configuration's file that the running gateway was started with." default:"/etc/busbar/gateway.yaml" placeholder:"FILE" type:"path"`
	Wait time.Duration `help:"How long devices that delivered data have to do so again, before the gateway goes back." default:"2m"`
	Yes  bool          `help:"Don't ask."`
	By   string        `help:"Who asks for it, for the gateway's log and events." default:"${user}" placeholder:"NAME"`
}

func (applyCommand) Help() string {
	return `The plan is shown, and confirmed on a terminal. Then the gateway runs with the new configuration, and watches: devices that
delivered data before and are still configured have to do so again within the wait, and the buffer has to take it. If not, it
goes back by itself, says which device has stopped and why, and the exit code is 1. Only a configuration that has held replaces the file, which
is kept as FILE.previous. What can't change while the gateway runs is refused by name.

It needs the right to write the directory of the file, and a gateway that runs on this machine, or one that is flashed, by --gateway. File names in the configuration are
relative to that directory. Of --wait, a second is the least.

Examples:
  busbar config apply gateway.yaml
  busbar config apply --yes --wait 30s --to /etc/busbar/gateway.yaml new.yaml
  busbar --gateway 10.0.0.20 config apply new.yaml`
}

func (c applyCommand) Run(ctx context.Context, at *away) error {
	if at.is() {
		return c.runAway(ctx, at)
	}
	from, err := gatewayconfig.Load(c.To)
	if err != nil {
		return err
	}
	if same(c.File, c.To) {
		return program.Usage{Err: fmt.Errorf("%s is the gateway's own file, which it tries when it gets SIGHUP, as by systemctl reload busbar-gateway; expected another one", c.File)}
	}
	if same(c.File, gateway.NewFile(c.To)) {
		return program.Usage{Err: fmt.Errorf("%s is where a configuration waits while it is tried, and is removed then; expected another name", c.File)}
	}
	source, err := configfile.Read(c.File)
	if err != nil {
		return err
	}
	config, err := gatewayconfig.ParseIn(filepath.Dir(c.To), c.File, source, configfile.Read)
	if err != nil {
		return err
	}
	changes := config.Changes(from)
	if err := printPlan(os.Stdout, changes, config, &from); err != nil {
		return err
	}
	if restarts := gatewayconfig.Restarts(changes); len(restarts) > 0 {
		return fmt.Errorf("%s can't change while the gateway runs: put %s in the place of %s and restart the gateway", names(restarts), c.File, c.To)
	}
	if err := c.confirm(ctx); err != nil {
		return err
	}
	replacement, err := gateway.Propose(c.To, source)
	if err != nil {
		return fmt.Errorf("put the configuration beside %s: %w", c.To, err)
	}
	fmt.Printf("the gateway tries it; devices have %v to deliver\n", c.Wait)
	outcome, err := gateway.TryRunning(ctx, from, filepath.Dir(c.To), source, c.By, c.Wait)
	if err != nil || !outcome.Held {
		if removing := replacement.Withdraw(); removing != nil {
			fmt.Fprintln(os.Stderr, removing)
		}
		switch {
		case ctx.Err() != nil:
			return errors.New("interrupted: if the gateway has begun to try it, it goes back by itself")
		case err != nil:
			return err
		}
		return fmt.Errorf("rolled back, and %s is as it was:\n  %s", c.To, strings.Join(outcome.Causes, "\n  "))
	}
	if err := replacement.Put(); err != nil {
		err = errors.Join(err, replacement.Withdraw())
		return fmt.Errorf("put it into %s: %w; the gateway goes back by itself", c.To, err)
	}
	if err := gateway.KeepRunning(ctx, from, filepath.Dir(c.To), source); err != nil {
		return fmt.Errorf("%s holds the new configuration, and the gateway doesn't say that it keeps it: %w", c.To, err)
	}
	fmt.Printf("it has held and is kept; the one before is %s\n", gateway.PreviousFile(c.To))
	for _, note := range outcome.Notes {
		fmt.Println(note)
	}
	return nil
}

// runAway has a gateway on another machine try it, which puts it into its own file.
func (c applyCommand) runAway(ctx context.Context, at *away) error {
	text, err := configfile.Read(c.File)
	if err != nil {
		return err
	}
	config, err := gatewayconfig.Parse(c.File, text)
	if err != nil {
		return err
	}
	door, err := at.door(ctx)
	if err != nil {
		return err
	}
	running, err := door.Configuration(ctx)
	if err != nil {
		return err
	}
	if from, err := gatewayconfig.Parse(c.File, running); err != nil {
		fmt.Println("what changes can't be shown, since what the gateway runs with can't be read here")
	} else if err := printPlan(os.Stdout, config.Changes(from), config, &from); err != nil {
		return err
	}
	if err := c.confirm(ctx); err != nil {
		return err
	}
	fmt.Printf("the gateway tries it; devices have %v to deliver\n", c.Wait)
	outcome, err := door.Replace(ctx, text, c.By, c.Wait)
	switch {
	case err != nil:
		return err
	case !outcome.Held:
		return fmt.Errorf("rolled back, and the gateway runs as before:\n  %s", strings.Join(outcome.Causes, "\n  "))
	}
	fmt.Println("it has held and is kept")
	for _, note := range outcome.Notes {
		fmt.Println(note)
	}
	return nil
}

// same reports whether two names are one file.
func same(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

func names(changes []gatewayconfig.Change) string {
	var list []string
	for _, c := range changes {
		list = append(list, c.Name())
	}
	return strings.Join(list, ", ")
}

// confirm asks whether to go on.
func (c applyCommand) confirm(ctx context.Context) error {
	switch {
	case c.Yes:
		return nil
	case !isatty.IsTerminal(os.Stdin.Fd()):
		return program.Usage{Err: errors.New("there is no terminal to ask on, expected --yes")}
	}
	switch strings.ToLower(answer(ctx, "Apply it? [y/N] ")) {
	case "y", "yes":
		return nil
	}
	return errors.New("not applied")
}
