package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar/busbar/cloud"
	"github.com/busbar/busbar/cloud/replay"
	"github.com/busbar/busbar/cmd/internal/program"
)

type replayCommand struct {
	Config string `help:"The configuration file." default:"/etc/busbar/cloud.yaml" placeholder:"FILE" type:"path"`
	From   string `help:"Leave out what was written before, such as 2026-10-01T06:00:00Z or 2026-10-01. Default: where the log begins." placeholder:"TIME"`
	To     string `help:"Leave out what was written from this time on. Default: how far the cloud has come." placeholder:"TIME"`
	Into   string `help:"A new SQLite file for what comes of it; it stays." required:"" placeholder:"FILE" type:"path"`
	Only   string `help:"Run these alone: alarms is what follows from events, accounts of gateways included; ingest is the samples and what sums them up." enum:"alarms,ingest," default:"" placeholder:"alarms|ingest"`
	JSON   bool   `help:"The report as JSON." name:"json"`
}

func (replayCommand) Help() string {
	return `Takes gateways' records again from the log, as the cloud took them, into a store of their own, and compares that with the
cloud's store, of which nothing is changed: alarms, accounts and losses, samples, and what sums these up. Nothing is sent to
anybody. The cloud may be running; if its log is the embedded one, it has to be. Signal tables are read however old they are.

What differs because a part of it lies outside of the time is listed apart, as at the edge. Not compared is what doesn't
follow from the log: who acknowledged an alarm, the alarms that the cloud raises by its own clock, about gateways that
are silent or records that were refused, and those that come from Alertmanager.

The exit code is 0 if nothing differs, 1 if something does, and 2 if it couldn't be found out.

Examples:
  busbar-cloud replay --config cloud.yaml --from 2026-10-01 --to 2026-10-02 --into /tmp/shadow.db
  busbar-cloud replay --config cloud.yaml --only alarms --json --into /tmp/shadow.db > report.json
  sqlite3 /tmp/shadow.db 'SELECT * FROM rollup_1h'`
}

func (r replayCommand) Run(ctx context.Context, logging *program.Logging) error {
	report, err := r.replay(ctx, logging)
	if err == nil {
		err = r.print(report)
	}
	switch {
	case err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "busbar-cloud: interrupted; nothing is left of it")
		return program.Silent(program.ExitConfig)
	case err != nil:
		if code := program.Report(program.Info{Name: "busbar-cloud"}, err); code != 0 {
			return program.Silent(program.ExitConfig)
		}
	case !report.Same:
		return program.Silent(program.ExitFailure)
	}
	return nil
}

func (r replayCommand) replay(ctx context.Context, logging *program.Logging) (*replay.Report, error) {
	tell := progress()
	options := cloud.ReplayOptions{Dir: filepath.Dir(r.Config), Into: r.Into, Only: replay.Analytics(r.Only), Log: logging.Logger(),
		Progress: func(p replay.Progress) {
			tell(func() string { return fmt.Sprintf("%s: %d of %d", p.Step, p.Done, p.Of) })
		}}
	for _, bound := range []struct {
		flag, text string
		at         *time.Time
	}{{"--from", r.From, &options.From}, {"--to", r.To, &options.To}} {
		if bound.text == "" {
			continue
		}
		var err error
		if *bound.at, err = instant(bound.text); err != nil {
			return nil, program.Usage{Err: fmt.Errorf("%s: %w", bound.flag, err)}
		}
	}
	if !options.From.IsZero() && !options.To.IsZero() && !options.From.Before(options.To) {
		return nil, program.Usage{Err: fmt.Errorf("--from %s isn't before --to %s", r.From, r.To)}
	}
	config, err := cloud.LoadConfig(r.Config)
	if err != nil {
		return nil, err
	}
	return cloud.Replay(ctx, config, options)
}

func instant(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time, expected one such as 2026-10-01T06:00:00Z or 2026-10-01", text)
}

func (r replayCommand) print(report *replay.Report) error {
	if !r.JSON {
		return report.WriteText(os.Stdout)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(report)
}

// progress prints a line on standard error every few seconds.
func progress() func(line func() string) {
	const every = 5 * time.Second
	last := time.Now()
	return func(line func() string) {
		if time.Since(last) >= every {
			last = time.Now()
			fmt.Fprintln(os.Stderr, line())
		}
	}
}
