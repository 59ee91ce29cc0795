package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry"
)

type userCommand struct {
	Add      addUser     `cmd:"" help:"Let somebody sign in to the console."`
	List     listUsers   `cmd:"" help:"List who may sign in."`
	Remove   removeUser  `cmd:"" help:"Let somebody sign in no more, and end their sessions."`
	Password setPassword `cmd:"" help:"Give somebody another password, and end their sessions."`
	SignOut  signOutUser `cmd:"" help:"End somebody's sessions."`
}

func (userCommand) Help() string {
	return `People sign in where console.sign_in is true. These commands work beside a cloud that runs, which obeys at the next request.`
}

// scope is what a user or a token may.
type scope struct {
	Role string   `help:"viewer: see; operator: also acknowledge alarms; engineer: also change the network's model; admin: also read the audit." required:"" placeholder:"ROLE"`
	Zone []string `help:"See only the gateways of this zone, as their gateway.zone says, and the assets of it and of the zones within it; may be repeated." default:"*" placeholder:"NAME"`
}

func (s scope) parse() (role access.Role, zones access.Zones, err error) {
	if role, err = access.ParseRole(s.Role); err == nil {
		zones, err = access.ParseZones(strings.Join(s.Zone, ","))
	}
	if err != nil {
		err = program.Usage{Err: err}
	}
	return role, zones, err
}

// newPassword is how a password is handed over: never as an argument, which other users
// of the machine can read.
type newPassword struct {
	PasswordFile string `help:"The file that holds the password; a line break at its end doesn't count. Without it, it is asked for on the terminal." placeholder:"FILE" type:"path"`
}

func (p newPassword) read() (string, error) {
	password, err := p.ask()
	if err != nil {
		return "", err
	}
	if err := access.CheckPassword(password); err != nil {
		return "", program.Usage{Err: err}
	}
	return password, nil
}

func (p newPassword) ask() (string, error) {
	if p.PasswordFile != "" {
		return kafkaconn.ReadPassword(p.PasswordFile)
	}
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		line, err := bufio.NewReader(io.LimitReader(os.Stdin, access.LongestPassword+2)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	var answers [2]string
	for i, prompt := range []string{"Password: ", "Once more: "} {
		fmt.Fprint(os.Stderr, prompt)
		typed, err := term.ReadPassword(in)
		fmt.Fprintln(os.Stderr)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		answers[i] = string(typed)
	}
	if answers[0] != answers[1] {
		return "", errors.New("these are two different passwords")
	}
	return answers[0], nil
}

type addUser struct {
	database
	scope
	newPassword
	Name string `arg:"" help:"What they are called, in the audit as well."`
	By   string `help:"Who adds them." default:"${user}" placeholder:"NAME"`
}

func (addUser) Help() string {
	return `Example:
  busbar-cloud user add --config cloud.yaml ana --role operator --zone region-1 --zone region-2`
}

func (a addUser) Run(ctx context.Context) error {
	role, zones, err := a.parse()
	if err != nil {
		return err
	}
	if err := access.CheckName(a.Name); err != nil {
		return program.Usage{Err: err}
	}
	password, err := a.read()
	if err != nil {
		return err
	}
	return a.use(ctx, func(s *store.Store) error {
		err := s.AddUser(ctx, store.User{Name: a.Name, Password: access.HashPassword(password), Role: role.String(), Zones: zones.String(),
			AddedAt: telemetry.MicrosOf(time.Now()), AddedBy: a.By})
		if err == nil {
			fmt.Printf("%s may sign in as %s\n", a.Name, role)
		}
		return err
	})
}

type listUsers struct {
	database
}

func (listUsers) Help() string {
	return `Example:
  busbar-cloud user list --config cloud.yaml`
}

func (l listUsers) Run(ctx context.Context) error {
	return l.use(ctx, func(s *store.Store) error {
		users, err := s.Users(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tROLE\tZONES\tADDED\tBY")
		for _, u := range users {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", shown(u.Name), u.Role, u.Zones, minute(u.AddedAt), shown(u.AddedBy))
		}
		return w.Flush()
	})
}

type removeUser struct {
	database
	Name string `arg:"" help:"The user."`
	By   string `help:"Who removes them." default:"${user}" placeholder:"NAME"`
}

func (removeUser) Help() string {
	return `What they have done stays in the audit.

Example:
  busbar-cloud user remove --config cloud.yaml ana`
}

func (r removeUser) Run(ctx context.Context) error {
	return r.use(ctx, func(s *store.Store) error {
		return s.RemoveUser(ctx, r.Name, r.By, telemetry.MicrosOf(time.Now()))
	})
}

type setPassword struct {
	database
	newPassword
	Name string `arg:"" help:"The user."`
	By   string `help:"Who sets it." default:"${user}" placeholder:"NAME"`
}

func (setPassword) Help() string {
	return `Example:
  busbar-cloud user password --config cloud.yaml ana`
}

func (p setPassword) Run(ctx context.Context) error {
	password, err := p.read()
	if err != nil {
		return err
	}
	return p.use(ctx, func(s *store.Store) error {
		return s.SetPassword(ctx, p.Name, access.HashPassword(password), p.By, telemetry.MicrosOf(time.Now()))
	})
}

type signOutUser struct {
	database
	Name string `arg:"" help:"The user; whoever signs in by OpenID Connect is oidc: and their name, as the audit has it."`
	By   string `help:"Who ends them." default:"${user}" placeholder:"NAME"`
}

func (signOutUser) Help() string {
	return `They can sign in again as long as they are users: busbar-cloud user remove takes away one of the cloud's own. One of an OpenID Connect provider is taken away there.

Example:
  busbar-cloud user sign-out --config cloud.yaml oidc:ana`
}

func (o signOutUser) Run(ctx context.Context) error {
	return o.use(ctx, func(s *store.Store) error {
		n, err := s.EndSessionsOf(ctx, o.Name, o.By, telemetry.MicrosOf(time.Now()))
		if err == nil {
			fmt.Printf("sessions of %s that have ended: %d\n", shown(o.Name), n)
		}
		return err
	})
}
