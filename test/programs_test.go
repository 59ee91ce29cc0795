// Package test runs Busbar's real programs, against each other and against
// peers that Busbar didn't write.
package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/test/kafka"
	"github.com/busbar/busbar/test/postgres"
)

// bin is where the programs under test are, built once for all tests.
var bin string

func TestMain(m *testing.M) {
	if spec := os.Getenv(readerSpec); spec != "" {
		read(spec)
	}
	dir, err := os.MkdirTemp("", "busbar-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bin = dir
	build := exec.Command("go", "build", "-o", dir, "../cmd/...")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	kafka.StopShared()
	postgres.Stop()
	os.RemoveAll(dir)
	os.Exit(code)
}

// program is a running program of Busbar.
type program struct {
	t    testing.TB
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start runs a program until the test ends. Its output goes to a file in dir,
// which is shown if the test fails.
func start(t testing.TB, dir, name string, args ...string) *program {
	t.Helper()
	return launch(t, dir, name, exec.Command(filepath.Join(bin, name), args...))
}

func launch(t testing.TB, dir, name string, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, cmd: cmd, done: make(chan struct{})}
	p.log = filepath.Join(dir, fmt.Sprintf("%s-%d.log", name, time.Now().UnixNano()))
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s:\n%s", name, tail(p.log))
		}
	})
	return p
}

func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// stop asks the program to end and waits until it has.
func (p *program) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.t.Errorf("%s didn't stop", p.cmd.Path)
		p.kill()
	}
}

func (p *program) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// awaitLog waits until the program has logged something with text in it.
func (p *program) awaitLog(text string) {
	p.t.Helper()
	await(p.t, fmt.Sprintf("%s logs %q", filepath.Base(p.cmd.Path), text), time.Minute, func() bool {
		out, err := os.ReadFile(p.log)
		return err == nil && strings.Contains(string(out), text)
	})
}

// startReader starts this test binary as the process that TestMain turns into
// read, until the test ends.
func startReader(t testing.TB) (pid int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

// get fetches a page.
func get(t testing.TB, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// reachable reports whether something listens at the address.
func reachable(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// call runs a program to its end.
func call(t testing.TB, dir, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, name), args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// enrol lets the gateway of gateway.yaml in dir write to the cloud of cloud.yaml
// beside it, as its operators do.
func enrol(t testing.TB, dir string) {
	t.Helper()
	key := gatewayKey(t, dir)
	if _, errs, code := call(t, dir, "busbar-cloud", "gateway", "enrol", "--config", "cloud.yaml", key["gateway"], key["public_key"]); code != 0 {
		t.Fatalf("enrol %v: exit code %d: %s", key, code, errs)
	}
}

// gatewayKey is what the gateway's program says of its key, by name.
func gatewayKey(t testing.TB, dir string) map[string]string {
	t.Helper()
	out, errs, code := call(t, dir, "busbar-gateway", "key", "--config", "gateway.yaml")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	values := map[string]string{}
	for line := range strings.Lines(out) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			values[name] = value
		}
	}
	return values
}

// freeAddress is an address on which nobody listens. Its port is below those that
// the kernel gives to connections, one of which could take it meanwhile.
func freeAddress(t testing.TB) string {
	t.Helper()
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.N(20_000))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// await asks until the answer is yes.
func await(t testing.TB, what string, within time.Duration, ask func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ask() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
