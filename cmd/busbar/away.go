package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/alecthomas/kong"
	"github.com/mattn/go-isatty"
	"golang.org/x/term"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/keyfile"
)

// away is a gateway on another machine, which some commands work through.
type away struct {
	Gateway             string `help:"Work through the gateway at this address, whose status.listen other machines reach: for device read, device scan, rules explain, logs, buffer inspect, buffer export, config show, config apply, update status and update install." placeholder:"HOST"`
	GatewayPasswordFile string `help:"What holds its password. Without it, you are asked." placeholder:"FILE" type:"path"`
	GatewayFingerprint  string `help:"The fingerprint of its certificate, as its console says. Without it, the one that it showed when you said yes to it." placeholder:"SHA256"`

	opening sync.Mutex
	opened  *gateway.Door
}

// throughGateway are the commands that a gateway on another machine can be asked for.
var throughGateway = []string{"device read", "device scan", "rules explain", "logs", "buffer inspect", "buffer export", "config show", "config apply", "update status", "update install"}

// AfterApply implements kong's hook: of commands that work here, none pretends otherwise.
func (a *away) AfterApply(chosen *kong.Context) error {
	command := strings.TrimSpace(strings.Split(chosen.Command(), "<")[0])
	if a.is() && !slices.Contains(throughGateway, command) {
		return fmt.Errorf("%s doesn't work through a gateway, expected no --gateway", command)
	}
	return nil
}

func (a *away) is() bool { return a.Gateway != "" }

// door is the way to the gateway. It asks for what is missing, once.
func (a *away) door(ctx context.Context) (gateway.Door, error) {
	a.opening.Lock()
	defer a.opening.Unlock()
	if a.opened != nil {
		return *a.opened, nil
	}
	if !a.is() {
		return gateway.Door{}, program.Usage{Err: errors.New("which gateway? expected --gateway with its address")}
	}
	address := a.Gateway
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), "9464")
	}
	password, err := a.password(address)
	if err != nil {
		return gateway.Door{}, err
	}
	door := gateway.Away(address, password, func(fingerprint string) error { return a.trusts(ctx, address, fingerprint) })
	a.opened = &door
	return door, nil
}

func (a *away) password(address string) (string, error) {
	if a.GatewayPasswordFile != "" {
		text, err := keyfile.Read(a.GatewayPasswordFile)
		return strings.TrimRight(string(text), "\r\n"), err
	}
	if !isatty.IsTerminal(os.Stdin.Fd()) {
		return "", program.Usage{Err: errors.New("there is no terminal to ask for the password on, expected --gateway-password-file")}
	}
	fmt.Fprintf(os.Stderr, "Password of %s: ", address)
	text, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	return string(text), err
}

// trusts says whether it is the gateway that is meant, by its certificate's fingerprint:
// the one that is given, or known from before, or that somebody says yes to now.
func (a *away) trusts(ctx context.Context, address, fingerprint string) error {
	if a.GatewayFingerprint != "" {
		if !sameFingerprint(a.GatewayFingerprint, fingerprint) {
			return fmt.Errorf("its certificate isn't the one of --gateway-fingerprint, but %s", fingerprint)
		}
		return nil
	}
	path, err := knownGateways()
	if err != nil {
		return err
	}
	known, err := readKnown(path)
	if err != nil {
		return err
	}
	switch before := known[address]; {
	case before != "" && sameFingerprint(before, fingerprint):
		return nil
	case before != "":
		return fmt.Errorf("its certificate isn't the one that it is known by, but %s: it is another gateway, was flashed anew, or somebody is in between; if its console says the same, remove its line from %s", fingerprint, path)
	case !isatty.IsTerminal(os.Stdin.Fd()):
		return fmt.Errorf("it isn't known yet, and there is no terminal to ask on; if its console says the same: --gateway-fingerprint %s", fingerprint)
	}
	fmt.Fprintf(os.Stderr, "%s isn't known yet. Its certificate's fingerprint, which its console says too, is\n  %s\n", address, fingerprint)
	if strings.ToLower(answer(ctx, "Is it the same? Type yes: ")) != "yes" {
		return errors.New("it isn't trusted")
	}
	known[address] = fingerprint
	return writeKnown(path, known)
}

func sameFingerprint(a, b string) bool {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, ":", "")) }
	return plain(a) == plain(b)
}

// knownGateways is the file of those that somebody has said yes to: a line of address and
// fingerprint each.
func knownGateways() (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "busbar", "known-gateways"), err
}

func readKnown(path string) (map[string]string, error) {
	known := map[string]string{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 2 {
			known[fields[0]] = fields[1]
		}
	}
	return known, err
}

func writeKnown(path string, known map[string]string) error {
	var lines []string
	for address, fingerprint := range known {
		lines = append(lines, address+" "+fingerprint+"\n")
	}
	slices.Sort(lines)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return configfile.Replace(path, []byte(strings.Join(lines, "")), 0o600)
}

type logsCommand struct {
	Follow bool `short:"f" help:"Go on with the lines that come, until stopped."`
}

func (logsCommand) Help() string {
	return `A gateway keeps the last 256 KiB of its log in memory.

Example:
  busbar --gateway 10.0.0.20 logs --follow`
}

func (c logsCommand) Run(ctx context.Context, from *away) error {
	door, err := from.door(ctx)
	if err != nil {
		return err
	}
	return program.UntilStopped(ctx, door.Logs(ctx, c.Follow, os.Stdout))
}
