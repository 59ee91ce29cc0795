package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/busbar/busbar/cloud"
	"github.com/busbar/busbar/cloud/command"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

type commandCommand struct {
	Key       commandKey       `cmd:"" help:"Print the public key, as it goes into the file that gateway.commands of a gateway names."`
	RotateKey rotateCommandKey `cmd:"" help:"Replace the key by a new one, which the old one introduces."`
	List      listCommands     `cmd:"" help:"List what gateways were asked lately, and their answers."`
}

type commandKey struct {
	Config string `help:"The configuration file." default:"/etc/busbar/cloud.yaml" placeholder:"FILE" type:"path"`
}

func (commandKey) Help() string {
	return `The private key is made in command.key beside the store, if there is none. A gateway obeys nobody whose key isn't in its
file, and without one it reads no commands.

Example:
  busbar-cloud command key --config cloud.yaml > commands.pub`
}

func (k commandKey) Run() error {
	config, err := cloud.LoadConfig(k.Config)
	if err != nil {
		return err
	}
	key, err := cloud.CommandKey(config, filepath.Dir(k.Config))
	if err != nil {
		return err
	}
	_, err = fmt.Println(record.FormatPublicKey(key.Public()))
	return err
}

type rotateCommandKey struct {
	Config string `help:"The configuration file." default:"/etc/busbar/cloud.yaml" placeholder:"FILE" type:"path"`
}

func (rotateCommandKey) Help() string {
	return `A cloud that runs signs with the new key from then on. Each command says that the old key gives its word for the new one, so
gateways that trust the old one go on obeying. Put the new line into their files in place of the old one when it suits: from
then on a gateway obeys the new key alone. If somebody else may have the old key, do that first, at every gateway: whoever has
it can also introduce a key with it.

Example:
  busbar-cloud command rotate-key --config cloud.yaml`
}

func (k rotateCommandKey) Run() error {
	config, err := cloud.LoadConfig(k.Config)
	if err != nil {
		return err
	}
	before, after, err := cloud.RotateCommandKey(config, filepath.Dir(k.Config))
	if err != nil {
		return err
	}
	_, err = fmt.Printf("key %s introduces key %s, whose public key is\n%s\n", before.ID(), after.ID(), record.FormatPublicKey(after.Public()))
	return err
}

type listCommands struct {
	database
	Gateway string `help:"Only those to this gateway." placeholder:"NAME"`
	Limit   int    `help:"How many are listed, newest first." default:"50"`
}

func (listCommands) Help() string {
	return `Example:
  busbar-cloud command list --config cloud.yaml --gateway north-gw1`
}

func (l listCommands) Run(ctx context.Context) error {
	if l.Limit < 1 || l.Limit > 10_000 {
		return program.Usage{Err: fmt.Errorf("--limit %d is out of range, expected 1 to 10000", l.Limit)}
	}
	return l.use(ctx, func(s *store.Store) error {
		list, err := s.Commands(ctx, l.Gateway, store.Page[store.CommandPlace]{Limit: l.Limit})
		if err != nil {
			return err
		}
		now := telemetry.MicrosOf(time.Now())
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ISSUED\tGATEWAY\tKIND\tOF\tBY\tSTATE\tAFTER\tCAUSE")
		for _, c := range list {
			issued, after := "", ""
			if c.Issued != 0 {
				issued = c.Issued.Time().Format("2006-01-02T15:04:05Z")
			}
			if c.Issued != 0 && c.Answered != 0 {
				after = c.Answered.Sub(c.Issued).Round(time.Millisecond).String()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", issued, shown(c.Gateway), shown(string(c.Kind)), shown(c.Alarm+c.Device), shown(c.By), c.State(now), after, shown(c.Cause))
		}
		return w.Flush()
	})
}

// shown is a text of somebody else's as a terminal may show it.
func shown(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// asking is what all commands to a gateway have in common.
type asking struct {
	database
	By      string        `help:"Who asks; it is kept with the command." default:"${user}" placeholder:"NAME"`
	Timeout time.Duration `help:"How long to wait for the answer, from 1s to 2m." default:"10s" placeholder:"DURATION"`
	Gateway string        `arg:"" help:"The gateway's id, as in its configuration."`
}

const howCommandsWork = `The command is signed with the cloud's key, for the process of the gateway that runs now, and valid for 30 s, or as long as
--timeout if that is more. The answer comes as an event, by way of the log and the cloud that runs. The exit code is 0 if the
gateway has done it, and 1 if it has refused or doesn't answer in time; it may then still do it while the command is valid.
`

type ping struct {
	asking
}

func (ping) Help() string {
	return howCommandsWork + `
Example:
  busbar-cloud gateway ping --config cloud.yaml north-gw1`
}

func (p ping) Run(ctx context.Context) error { return p.ask(ctx, record.Ping, "", "") }

type read struct {
	asking
	Device string `arg:"" help:"The device's id, as in the gateway's configuration."`
}

func (read) Help() string {
	return howCommandsWork + `
The gateway reads the device now, between its polls. What it answers is evidence of whether there is supply, as polls are not
before a rule has decided.

Example:
  busbar-cloud gateway read --config cloud.yaml north-gw1 meter-7`
}

func (r read) Run(ctx context.Context) error { return r.ask(ctx, record.Read, "", r.Device) }

type ack struct {
	asking
	Alarm string `arg:"" help:"The alarm's id."`
}

func (ack) Help() string {
	return howCommandsWork + `
Acknowledging an alarm in the console does this by itself. This command alone doesn't acknowledge it there.

Example:
  busbar-cloud gateway ack --config cloud.yaml north-gw1 7f3a29c4d5e6b718 --by Ana`
}

func (a ack) Run(ctx context.Context) error { return a.ask(ctx, record.Ack, a.Alarm, "") }

type reset struct {
	asking
	Alarm string `arg:"" help:"The alarm's id."`
}

func (reset) Help() string {
	return howCommandsWork + `
If what raised the alarm still holds, it is raised again, as another alarm.

Example:
  busbar-cloud gateway reset --config cloud.yaml north-gw1 7f3a29c4d5e6b718 --by Ana`
}

func (r reset) Run(ctx context.Context) error { return r.ask(ctx, record.Reset, r.Alarm, "") }

// ask sends a command and prints what became of it.
func (a asking) ask(ctx context.Context, kind record.CommandKind, alarm, device string) error {
	if a.Timeout < time.Second || a.Timeout > record.MaxCommandLife {
		return program.Usage{Err: fmt.Errorf("--timeout %s is out of range, expected 1s to 2m", a.Timeout)}
	}
	if !gatewayName.MatchString(a.Gateway) {
		return program.Usage{Err: fmt.Errorf("%q is no gateway's id: expected 1 to 63 lower-case letters, digits and hyphens, the first no hyphen", a.Gateway)}
	}
	if a.By == store.ByCloud { // what it asks by itself isn't audited
		return program.Usage{Err: fmt.Errorf("--by %s: that is the cloud itself, expected who asks", a.By)}
	}
	config, err := cloud.LoadConfig(a.Config)
	if err != nil {
		return err
	}
	return a.use(ctx, func(s *store.Store) error {
		sender, err := cloud.NewSender(config, filepath.Dir(a.Config), s)
		if err != nil {
			return err
		}
		defer sender.Close()
		waiting, cancel := context.WithTimeout(ctx, a.Timeout)
		defer cancel()
		started := time.Now()
		sent, err := sender.Send(waiting, command.Request{
			Gateway: a.Gateway, Kind: kind, Alarm: alarm, Device: device, By: a.By, Life: max(a.Timeout, command.DefaultLife),
		})
		if err != nil {
			return err
		}
		answer, err := command.Await(waiting, s, sent.ID)
		switch {
		case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("%s doesn't answer %s within %s; it may still obey until %s. Does its gateway.commands name this cloud's key?",
				a.Gateway, kind, a.Timeout, sent.Expires.Time().Format(time.TimeOnly))
		case err != nil:
			return err
		case answer.Result != telemetry.CommandDone:
			return fmt.Errorf("%s refuses %s: %s", a.Gateway, kind, answer.Cause)
		}
		if answer.Cause == telemetry.NoAnswer {
			return fmt.Errorf("%s doesn't answer %s", device, a.Gateway)
		}
		fmt.Printf("%s: %s done in %s\n", a.Gateway, kind, time.Since(started).Round(time.Millisecond))
		return nil
	})
}
