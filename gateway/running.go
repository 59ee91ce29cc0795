package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
)

// NewFile is where a configuration waits to be tried that is to replace file, and
// PreviousFile where the one is that it has replaced.
func NewFile(file string) string      { return file + ".new" }
func PreviousFile(file string) string { return file + ".previous" }

// TryNew implements status.Configurable.
func (g source) TryNew(t status.Trial) (Outcome, error) {
	if g.options.File == "" {
		return Outcome{}, errors.New("this gateway wasn't started with a file")
	}
	file := NewFile(g.options.File)
	config, source, err := readSource(file)
	if unreadable, ok := errors.AsType[*configfile.ReadError](err); ok {
		return Outcome{}, fmt.Errorf("this gateway runs with %s: %w", g.options.File, unreadable)
	}
	// What it holds isn't told: only who knows that can have it tried.
	if source.hash() != t.SHA256 {
		return Outcome{}, fmt.Errorf("%s isn't the file that is meant", file)
	}
	if err != nil {
		return Outcome{}, err
	}
	return g.Try(Trial{Config: config, Source: source, By: t.By, Wait: t.Wait})
}

// ErrNotRunning is that no gateway of a configuration runs on this machine.
var ErrNotRunning = errors.New("no gateway with this configuration runs on this machine")

// TryRunning has the gateway of a configuration that runs on this machine try the one
// with this content in NewFile, and returns when that has held or was rolled back.
// The configuration's file names are relative to dir. The gateway goes on if ctx ends, and then takes it back.
func TryRunning(ctx context.Context, config gatewayconfig.Config, dir string, source []byte, by string, wait time.Duration) (Outcome, error) {
	return askToConfigure(ctx, config, dir, "try", status.Trial{SHA256: hashOf(source), By: by, Wait: wait})
}

// KeepRunning tells it that the configuration's file holds what it has tried.
func KeepRunning(ctx context.Context, config gatewayconfig.Config, dir string, source []byte) error {
	_, err := askToConfigure(ctx, config, dir, "keep", status.Trial{SHA256: hashOf(source)})
	return err
}

func askToConfigure(ctx context.Context, config gatewayconfig.Config, dir, what string, t status.Trial) (outcome Outcome, err error) {
	answer, name, err := question{at: here(config, dir), path: "/configuration/" + what, body: t}.ask(ctx)
	if errors.Is(err, errNobody) {
		return outcome, fmt.Errorf("%w: %w", ErrNotRunning, err)
	} else if err != nil {
		return outcome, fmt.Errorf("the gateway has gone meanwhile; it starts with the file as that is: %w", err)
	}
	defer answer.Body.Close()
	if name != config.Gateway.ID {
		return outcome, fmt.Errorf("%w: at %s is another program, or gateway %q", ErrNotRunning, config.Status.Listen, name)
	}
	err = take(answer, &outcome)
	return outcome, err
}

// Replacement is what is about to replace a configuration's file.
type Replacement struct {
	file   string
	source []byte
}

// Propose puts a configuration into NewFile of the configuration's file, for those to
// read who may read that.
func Propose(file string, source []byte) (Replacement, error) {
	r := Replacement{file, source}
	return r, r.write(source, NewFile(file))
}

// write writes a file that those may read who may read the configuration's.
func (r Replacement) write(text []byte, to string) error {
	info, err := os.Stat(r.file)
	if err != nil {
		return err
	}
	temporary, err := configfile.Write(r.file, text, info.Mode().Perm())
	if err != nil {
		return err
	}
	if err := sameOwner(temporary, info); err != nil {
		os.Remove(temporary)
		return err
	}
	return configfile.Rename(temporary, to)
}

// Put puts it into the place of the configuration's file, of which PreviousFile holds
// what was in it. Whatever happens meanwhile, the file is one of the two, also if
// somebody else has put another one into NewFile, which nobody has tried.
func (r Replacement) Put() error {
	before, err := os.ReadFile(r.file)
	if err != nil {
		return err
	}
	if err := r.write(before, PreviousFile(r.file)); err != nil {
		return err
	}
	if err := r.write(r.source, r.file); err != nil {
		return err
	}
	_ = r.Withdraw() // left there, it does nothing
	return nil
}

// Withdraw removes it from NewFile, unless that is another one by now.
func (r Replacement) Withdraw() error {
	there, err := os.ReadFile(NewFile(r.file))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !bytes.Equal(there, r.source):
		return nil
	}
	return os.Remove(NewFile(r.file))
}
