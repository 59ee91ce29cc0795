package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/rules/replay"
	"github.com/busbar/busbar/telemetry"
)

type rulesReplayCommand struct {
	bufferPath
	Config string `help:"The configuration whose rules are tried." placeholder:"FILE" type:"path" required:""`
	From   string `help:"Leave out what is older, such as 2026-10-01T06:00:00Z or 2026-10-01." placeholder:"TIME"`
	To     string `help:"Leave out what is from this time on." placeholder:"TIME"`
	JSON   bool   `help:"Events as JSON lines, as a gateway sends them, instead of text." name:"json"`
}

func (rulesReplayCommand) Help() string {
	return `Lets the rules of a configuration take the samples of a buffer, and prints the alarms that they would have raised and
cleared. Rules begin without a state. Signals are those of the same device and name, whatever they were configured as.
What was left out, and what the buffer has only a part of, is said on standard error. A buffer keeps what the log hasn't
acknowledged, in whole files: copy one aside to keep it.

Examples:
  busbar rules replay --config new.yaml /var/lib/busbar/buffer
  busbar rules replay --config new.yaml --from 2026-10-01 --to 2026-10-08 saved/telemetry
  busbar rules replay --config new.yaml --json saved/telemetry/q-00000000000000000001.db`
}

func (c rulesReplayCommand) Run(ctx context.Context) error {
	config, err := gatewayconfig.Load(c.Config)
	if err != nil {
		return err
	}
	selection, _, err := buffer.ParseSelection("", "", c.From, c.To, "")
	if err != nil {
		return program.Usage{Err: fmt.Errorf("--%w", err)}
	}
	i, err := c.open()
	if err != nil {
		return err
	}
	model := asStored(config)
	engine, err := compileStored(config.Rules, model)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	report := alarmReport{json: c.JSON, out: out}
	player := replay.New(engine, model, report.take)
	var samples []replay.Sample
	take := func(measured []buffer.Measured) {
		samples = samples[:0]
		for _, m := range measured {
			samples = append(samples, replay.Sample{Device: m.Signal.Device, Name: m.Signal.Name, Sample: m.Sample})
		}
		player.Take(samples)
	}
	for _, path := range i.Segments() {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := i.Samples(path, selection, take)
		if errors.Is(err, os.ErrNotExist) {
			continue // a gateway that runs has removed it
		}
		if err != nil {
			return err
		}
		if d := n.Damage(path); d != "" {
			fmt.Fprintln(os.Stderr, "busbar: "+d)
		}
		if n.Thinned && n.Lines > 0 {
			fmt.Fprintf(os.Stderr, "busbar: %s was thinned: its %d samples are a part of what was read, and for rules nothing was read between them\n", path, n.Lines)
		}
	}
	report.summary(os.Stderr, player.Counts())
	return errors.Join(report.err, out.Flush())
}

// asStored is the model of what a buffer has of a configuration's signals: where not
// every value is stored, the last one holds until the next.
func asStored(config gatewayconfig.Config) rules.Model {
	model := config.Model()
	for _, d := range config.Devices {
		period := d.PollEvery
		for _, s := range d.Signals {
			if s.Deadband != nil || s.SwingingDoor > 0 {
				period = max(period, s.ReportEvery)
			}
		}
		at := slices.IndexFunc(model.Devices, func(m rules.Device) bool { return m.ID == d.ID })
		if at < 0 || period == d.PollEvery {
			continue
		}
		model.Devices[at].PollEvery = time.Duration(period)
		fmt.Fprintf(os.Stderr, "busbar: not every value of device %s is stored: one counts for up to %s, as if it were read every %s\n", d.ID, 3*period, period)
	}
	return model
}

// compileStored leaves out the rules that can't be decided by what is stored, such as
// those with a window shorter than the time between two values.
func compileStored(entries []rules.Rule, m rules.Model) (*rules.Engine, error) {
	entries = slices.Clone(entries)
	places := make([]int, len(entries)) // of the entries in the configuration
	for i := range places {
		places[i] = i
	}
	engine, problems := rules.Compile(entries, m)
	for len(problems) > 0 {
		p := problems[0]
		at := p.Rule
		p.Rule = places[at]
		fmt.Fprintf(os.Stderr, "busbar: left out, as not every value is stored: %v\n", p)
		name := entries[at].Name
		entries, places = slices.Delete(entries, at, at+1), slices.Delete(places, at, at+1)
		for i := range entries {
			entries[i].SuppressedBy = slices.DeleteFunc(slices.Clone(entries[i].SuppressedBy), func(by string) bool { return by == name })
		}
		engine, problems = rules.Compile(entries, m)
	}
	if len(entries) == 0 {
		return nil, program.Usage{Err: errors.New("the configuration has no rules that can be replayed")}
	}
	return engine, nil
}

// alarmReport prints alarms as they are raised and cleared.
type alarmReport struct {
	json            bool
	out             io.Writer
	raised, cleared int
	err             error
}

func (r *alarmReport) take(e telemetry.Event) {
	switch e.Kind {
	case telemetry.AlarmRaised:
		r.raised++
	case telemetry.AlarmCleared:
		r.cleared++
	default:
		return
	}
	if r.err != nil {
		return
	}
	if r.json {
		r.err = json.NewEncoder(r.out).Encode(e)
		return
	}
	what, about := "cleared", alarmAt(e.Alarm.Rule, e.Alarm.Asset, e.Alarm.Device)
	if e.Kind == telemetry.AlarmRaised {
		what, about = "raised ", about+": "+e.Alarm.Summary
	}
	_, r.err = fmt.Fprintf(r.out, "%s  %s  %s\n", precise(e.Time), what, about)
}

// summary says what was replayed and what wasn't.
func (r *alarmReport) summary(w io.Writer, n replay.Counts) {
	span := ""
	if n.Replayed > 0 {
		span = fmt.Sprintf(" of %s to %s", instant(n.From), instant(n.To))
	}
	fmt.Fprintf(w, "busbar: %d samples%s: %d alarms raised, %d cleared\n", n.Replayed, span, r.raised, r.cleared)
	for _, left := range []struct {
		samples uint64
		why     string
	}{
		{n.Unknown, "the configuration doesn't have their signals"},
		{n.Untimed, "the gateway didn't know the time"},
		{n.Estimated, "they were computed when the buffer was thinned"},
	} {
		if left.samples > 0 {
			fmt.Fprintf(w, "busbar: %d samples were left out: %s\n", left.samples, left.why)
		}
	}
}
