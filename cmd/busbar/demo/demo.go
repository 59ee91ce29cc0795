// Package demo runs the whole of Busbar on one machine: a simulated grid with its
// meters, a gateway, an embedded log, the cloud and its console, and a feeder that fails.
// Each part is its own process, the real program with a configuration file, and
// any of them may be killed: it is started again.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
)

// Options are the demo's command line.
type Options struct {
	For      time.Duration // MinFor or more; 0: until ctx ends
	Headless bool          // nobody watches: acknowledge the alarm for the operator
	Console  string        // host:port of the console
	Grid     string        // host:port of the simulated grid's page, by which faults are caused by hand
	Dir      string        // keep everything here; "" uses a directory that is removed if all went well
	Programs string        // directory of busbar-sim, busbar-gateway and busbar-cloud
	Out      io.Writer
}

// DefaultGrid is where busbar-sim looks for a grid if it isn't told.
const DefaultGrid = "127.0.0.1:5080"

// MinFor is the shortest story: a feeder needs time to fail and to come back.
const MinFor = 30 * time.Second

// Run tells the story and returns its summary. The error says why it couldn't
// be told, or is ctx's if that ended first; how it came out is in the summary.
func Run(ctx context.Context, o Options) (summary Summary, err error) {
	if err := errors.Join(checkFree("console", o.Console), checkFree("grid", o.Grid)); err != nil {
		return Summary{}, err
	}
	dir := o.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "busbar-demo-"); err != nil {
			return Summary{}, err
		}
		defer func() {
			if len(summary.Problems) == 0 && (err == nil || errors.Is(err, context.Canceled)) {
				os.RemoveAll(dir)
				return
			}
			fmt.Fprintf(o.Out, "\n  configurations, logs and data are kept in %s\n\n", dir)
		}()
	} else if err := checkEmpty(dir); err != nil {
		return Summary{}, err
	}
	setup, err := prepare(dir, o)
	if err != nil {
		return Summary{}, err
	}

	s := newStory(o, setup)
	s.say("two feeders with %d service points, their meters and switches, one gateway, an embedded single-node log, and the cloud", points)
	running := s.parts()
	defer running.stopAll()
	if err := s.start(ctx, running); err != nil {
		if ctx.Err() != nil {
			s.say("stopping")
		}
		return Summary{}, err
	}

	watching, stopWatching := context.WithCancel(context.Background())
	defer stopWatching()
	if err := s.awaitConsole(ctx, running); err != nil {
		if ctx.Err() != nil {
			s.say("stopping")
		}
		return Summary{}, err
	}
	fmt.Fprintf(o.Out, "\n  console   http://%s/desk\n  grid      http://%s\n  gateway   http://%s\n  files     %s\n\n", o.Console, o.Grid, setup.Status, dir)
	if o.For == 0 {
		at := ""
		if o.Grid != DefaultGrid {
			at = " --at " + o.Grid
		}
		sim := filepath.Join(o.Programs, "busbar-sim")
		fmt.Fprintf(o.Out, "  feeder-2 fails after about %v. By hand, from another terminal:\n    %s fault feeder-1%s\n    %s repair feeder-1 --close%s\n  Ctrl-C stops everything.\n\n", faultAfter, sim, at, sim, at)
	}
	go s.watchAlarms(watching)
	go s.watchFaults(watching)

	told, err := s.pass(ctx, running)
	if err != nil {
		return Summary{}, err
	}
	return s.finish(running, told), nil
}

// pass lets the time of the story go by; false if it was interrupted.
func (s *story) pass(ctx context.Context, running *processes) (told bool, err error) {
	telling, stop := context.WithCancel(ctx)
	defer stop()
	go s.tellFaults(telling)
	var end <-chan time.Time
	if s.options.For > 0 {
		timer := time.NewTimer(s.options.For - time.Since(s.began))
		defer timer.Stop()
		end = timer.C
	}
	select {
	case <-ctx.Done():
		s.say("stopping")
		return false, nil
	case <-end:
		s.say("the story is over; stopping")
		return true, nil
	case p := <-running.refused:
		return false, p.refusal()
	}
}

// prepare writes the configuration files.
func prepare(dir string, o Options) (setup, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return setup{}, err
	}
	s := setup{Dir: dir, Console: o.Console}
	addresses, err := freeAddresses(2)
	if err != nil {
		return setup{}, err
	}
	s.Kafka, s.Status = addresses[0], addresses[1]
	if s.Devices, err = freeRun(devices); err != nil {
		return setup{}, err
	}
	return s, s.write(dir)
}

// checkFree says which option moves what can't listen.
func checkFree(what, address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("the %s can't listen on %s: %w; choose another address with --%s", what, address, errors.Unwrap(err), what)
	}
	return l.Close()
}

// checkEmpty refuses what an earlier run has left: counted together they would
// give neither's result.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return program.Usage{Err: fmt.Errorf("--dir: %w", err)}
	case len(entries) > 0:
		return program.Usage{Err: fmt.Errorf("--dir %s is not empty; give an empty or a new directory", dir)}
	}
	return nil
}

// freeAddresses finds loopback ports that nobody listens on.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// freeRun is the first of n loopback addresses, one port after the other, that nobody
// listens on. They are below the ports that systems give to connections by themselves.
func freeRun(n int) (first string, err error) {
	for range 100 {
		base := 20000 + rand.IntN(12000)
		if err = free(base, n); err == nil {
			return fmt.Sprintf("127.0.0.1:%d", base), nil
		}
	}
	return "", fmt.Errorf("no %d ports one after the other: %w", n, err)
}

func free(base, n int) error {
	for port := base; port < base+n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		defer l.Close()
	}
	return nil
}
