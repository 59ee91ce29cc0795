package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/sim"
)

// binary is the program, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "busbar-sim-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "busbar-sim")
	if out, err := exec.Command("go", "build", "-ldflags", "-X main.version=v1.2.3", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bad := write("bad.yaml", "sim: {speed: -1}\ndevices:\n  - {id: a, feeder: f, listen: nowhere, profile: H0-A, rated_power: 1 kW}\n")
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"help", []string{"run", "--help"}, 0, []string{"sim.yaml", `kind: outage, for: 20s`}},
		{"version", []string{"--version"}, 0, []string{"v1.2.3"}},
		{"no file named", []string{"run"}, 2, []string{"--help"}},
		{"unknown flag", []string{"run", "--fast", "x"}, 2, []string{"--fast"}},
		{"no file", []string{"run", filepath.Join(dir, "none.yaml")}, 2, []string{"none.yaml"}},
		{"wrong configuration", []string{"run", bad}, 2, []string{bad + ":1:14: sim.speed", bad + ":3:32: devices[0].listen"}},
		{"help of a grid", []string{"grid", "--help"}, 0, []string{"--points 10000 --seed 1 --out grid.yaml"}},
		{"too many points", []string{"grid", "--points", "1000001"}, 2, []string{"1000001 service points, expected 1 to 1000000"}},
		{"a part below 0", []string{"grid", "--overhead=-1"}, 2, []string{"parts from 0 to 1"}},
		{"no place", []string{"grid", "--center", "10"}, 2, []string{"--center", "is no position"}},
		{"no directory", []string{"grid", "--out", filepath.Join(dir, "none", "grid.yaml")}, 1, []string{"no such file"}},
		{"failure", []string{"run", write("sim.yaml", "sim: {truth_log: no/truth}\n"+oneMeter)}, 1, []string{"truth log"}},
	} {
		out, err := exec.Command(binary, c.args...).CombinedOutput()
		if code := exitCode(err); code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.name, code, c.code)
		}
		for _, want := range c.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: no %s in\n%s", c.name, want, out)
			}
		}
	}
}

const oneMeter = `devices:
  - {id: a, feeder: f, listen: "127.0.0.1:0", profile: H0-A, rated_power: 1 kW}
`

func TestRunStopsCleanlyOnSignals(t *testing.T) {
	for _, stop := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(stop) {
			continue // inherited, as under nohup
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "sim.yaml"), []byte("sim: {truth_log: truth.jsonl}\n"+oneMeter), 0o644); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		command := exec.Command(binary, "run", filepath.Join(dir, "sim.yaml"))
		command.Stdout, command.Stderr = &out, &out
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		truth := func() string {
			text, _ := os.ReadFile(filepath.Join(dir, "truth.jsonl"))
			return string(text)
		}
		for deadline := time.Now().Add(20 * time.Second); !strings.Contains(truth(), `"what":"start"`); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not started within 20 s: %s", out.String())
			}
		}
		if err := command.Process.Signal(stop); err != nil {
			t.Fatal(err)
		}
		if err := command.Wait(); err != nil {
			t.Errorf("%v: %v: %s", stop, err, out.String())
		}
		if !strings.HasSuffix(truth(), "\"what\":\"stop\"}\n") {
			t.Errorf("%v: the truth log ends with %s", stop, truth())
		}
	}
}

func TestHelpShowsAConfigurationThatWorks(t *testing.T) {
	_, example, _ := strings.Cut(run{}.Help(), "\n\n")
	c, err := sim.ParseConfig("help", []byte(strings.ReplaceAll(example, "\n  ", "\n")[2:]))
	if err != nil || len(c.Devices) != 2 || len(c.Faults) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}
