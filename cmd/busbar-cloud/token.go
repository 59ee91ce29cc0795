package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/telemetry"
)

type tokenCommand struct {
	Add    addToken    `cmd:"" help:"Make a token for a program, and print it once."`
	List   listTokens  `cmd:"" help:"List the tokens and what they may, not the tokens themselves."`
	Remove removeToken `cmd:"" help:"Take nothing any more from who shows a token."`
}

func (tokenCommand) Help() string {
	return `A program shows its token in the header Authorization, as Bearer bb_…, where console.sign_in is true.`
}

const longestToken = 366 * 24 * time.Hour

type addToken struct {
	database
	scope
	Name    string        `arg:"" help:"What the token is called, in the audit as well."`
	Expires time.Duration `help:"After how long it ends, from 1m to 8784h." default:"2160h" placeholder:"DURATION"`
	By      string        `help:"Who makes it." default:"${user}" placeholder:"NAME"`
}

func (addToken) Help() string {
	return `The token is kept nowhere: only its hash is.

Example:
  busbar-cloud token add --config cloud.yaml prometheus --role viewer --expires 8760h > prometheus.token`
}

func (a addToken) Run(ctx context.Context) error {
	role, zones, err := a.parse()
	if err != nil {
		return err
	}
	if err := access.CheckName(a.Name); err != nil {
		return program.Usage{Err: err}
	}
	if a.Expires < time.Minute || a.Expires > longestToken {
		return program.Usage{Err: fmt.Errorf("--expires %s is out of range, expected 1m to 8784h", a.Expires)}
	}
	return a.use(ctx, func(s *store.Store) error {
		secret := access.TokenPrefix + access.NewSecret()
		now := telemetry.MicrosOf(time.Now())
		err := s.AddAPIToken(ctx, store.APIToken{Name: a.Name, Role: role.String(), Zones: zones.String(),
			AddedAt: now, AddedBy: a.By, Expires: now + telemetry.Micros(a.Expires.Microseconds())}, secret)
		if err == nil {
			fmt.Println(secret)
		}
		return err
	})
}

type listTokens struct {
	database
}

func (listTokens) Help() string {
	return `Example:
  busbar-cloud token list --config cloud.yaml`
}

func (l listTokens) Run(ctx context.Context) error {
	return l.use(ctx, func(s *store.Store) error {
		tokens, err := s.APITokens(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tROLE\tZONES\tADDED\tBY\tENDS")
		for _, t := range tokens {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", shown(t.Name), t.Role, t.Zones, minute(t.AddedAt), shown(t.AddedBy), minute(t.Expires))
		}
		return w.Flush()
	})
}

type removeToken struct {
	database
	Name string `arg:"" help:"The token's name."`
	By   string `help:"Who removes it." default:"${user}" placeholder:"NAME"`
}

func (removeToken) Help() string {
	return `Example:
  busbar-cloud token remove --config cloud.yaml prometheus`
}

func (r removeToken) Run(ctx context.Context) error {
	return r.use(ctx, func(s *store.Store) error {
		return s.RemoveAPIToken(ctx, r.Name, r.By, telemetry.MicrosOf(time.Now()))
	})
}
