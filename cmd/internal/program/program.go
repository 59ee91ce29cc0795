// Package program is what Busbar's programs have in common at their outermost:
// flags, logging, signals and exit codes.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/busbar/busbar/configfile"
)

// Exit codes beside 0.
const (
	ExitFailure = 1 // it was tried and failed
	ExitConfig  = 2 // the command line or a configuration file is wrong
)

// Info describes a program to its user.
type Info struct {
	Name, Version, Description string
	// Reloads says that SIGHUP doesn't stop the program, which sees to it itself.
	Reloads bool
}

// Logging is embedded by a program's command line, or by one of its commands,
// whose tag `set:"log_level=warn"` gives it another default.
type Logging struct {
	LogFormat string     `help:"Format of the log on standard error: text or json." enum:"text,json" default:"text"`
	LogLevel  slog.Level `help:"Least level that is logged: debug, info, warn or error." default:"${log_level=info}"`
}

// Logger writes to standard error.
func (l Logging) Logger() *slog.Logger { return l.LoggerTo(os.Stderr) }

// LoggerTo writes elsewhere.
func (l Logging) LoggerTo(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: l.LogLevel}
	if l.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Main parses the command line into commands, runs the chosen one's Run method
// and exits. Run may take a context, which ends at the first SIGINT,
// SIGTERM or SIGHUP; a second one kills the process. bindings are further arguments for Run.
func Main(info Info, commands any, bindings ...any) {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !info.Reloads && !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop)
	parser, err := kong.New(commands,
		kong.Name(info.Name),
		kong.Description(info.Description),
		kong.Vars{"version": info.Version, "user": userName()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(info),
		kong.Bind(bindings...),
	)
	if err != nil {
		panic(err)
	}
	if len(os.Args) == 1 {
		os.Args = append(os.Args, "--help")
	}
	chosen, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\nTry %s --help.\n", info.Name, err, info.Name)
		os.Exit(ExitConfig)
	}
	err = chosen.Run()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	os.Exit(Report(info, err))
}

// userName is who runs the program, "" if the system doesn't say.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// UntilStopped is err, or nil if ctx has ended and err says no more than that: a
// program that runs until it is stopped hasn't failed then.
func UntilStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Report prints err, if there is one, and returns the exit code for it.
func Report(info Info, err error) int {
	var wrong configfile.Errors
	var unreadable *configfile.ReadError
	var usage Usage
	var silent Silent
	switch {
	case err == nil:
		return 0
	case errors.As(err, &silent):
		return int(silent)
	case errors.As(err, &wrong):
		fmt.Fprintln(os.Stderr, wrong)
		plural := "s"
		if len(wrong) == 1 {
			plural = ""
		}
		fmt.Fprintf(os.Stderr, "%d error%s\n", len(wrong), plural)
		return ExitConfig
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", info.Name, err)
	if errors.As(err, &unreadable) || errors.As(err, &usage) {
		return ExitConfig
	}
	return ExitFailure
}

// Usage is an error of the command line that shows only when the command runs.
type Usage struct{ Err error }

func (u Usage) Error() string { return u.Err.Error() }

func (u Usage) Unwrap() error { return u.Err }

// Silent is an exit code for a failure that the program has already explained.
type Silent int

func (s Silent) Error() string { return fmt.Sprintf("exit code %d", int(s)) }
