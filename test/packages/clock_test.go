package packages

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/test/peer"
)

// The real program tells what the kernel says, to whoever reads it, and systemd that it goes on.
func TestTheClockServiceTells(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "discipline.json")
	path, hear := supervise(t)
	// umask as the unit has it: the gateway is another user.
	teller := exec.Command("sh", "-c", `umask 0077; exec "$0" clock --file "$1"`, filepath.Join(peer.Root(), "bin", "busbar-gateway"), file)
	teller.Env = append(os.Environ(), "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=300000", "WATCHDOG_PID=")
	teller.Stderr = t.Output()
	teller.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := teller.Start(); err != nil {
		t.Fatal(err)
	}
	defer teller.Process.Kill()
	if got := hear(); got != "READY=1" {
		t.Fatalf("it says %q", got)
	}
	k := clock.System()
	want, got := k.Discipline(), clock.Told(forbidden{k}, file, slog.New(slog.NewTextHandler(t.Output(), nil))).Discipline()
	// The kernel's bound may have been set or have grown since.
	if got.Synchronised != want.Synchronised || (got.MaxError-want.MaxError).Abs() > time.Second {
		t.Errorf("the kernel says %+v, it tells %+v", want, got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if got := hear(); got != "WATCHDOG=1" {
		t.Errorf("it says %q", got)
	}
	if err := teller.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := teller.Wait(); err != nil {
		t.Error(err)
	}
}

// forbidden is a machine that may not be asked about its clock's source.
type forbidden struct{ clock.Kernel }

func (forbidden) Discipline() clock.Discipline { return clock.Discipline{} }

// synchronised is a machine whose clock is.
type synchronised struct{ clock.Kernel }

func (synchronised) Discipline() clock.Discipline {
	return clock.Discipline{Synchronised: true, MaxError: time.Millisecond}
}

// A gateway that is forbidden to ask believes what it is told, and that only as long as somebody tells.
func TestAGatewayThatMayNotAskIsTold(t *testing.T) {
	t.Parallel()
	strace := peer.Program(t, "strace", "strace")
	dir, address := t.TempDir(), peer.Address(t)
	file := filepath.Join(dir, "discipline.json")
	// With -D it is the gateway that is killed, and strace goes with it.
	peer.Run(t, strace, "-D", "-f", "-qq", "--seccomp-bpf", "-o", filepath.Join(dir, "trace"),
		"-e", "trace=adjtimex", "-e", "inject=adjtimex:error=EPERM",
		filepath.Join(peer.Root(), "bin", "busbar-gateway"), "run", "--config", configured(t, address), "--clock", file)

	state := func() string {
		answer, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return ""
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		for line := range strings.Lines(string(text)) {
			if of, is := strings.CutPrefix(line, `busbar_gateway_clock_state{state="`); is && strings.HasSuffix(line, "} 1\n") {
				return strings.TrimSuffix(of, "\"} 1\n")
			}
		}
		return ""
	}
	await := func(want string, meanwhile func()) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); state() != want; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the clock is %q, want %q", state(), want)
			}
			meanwhile()
		}
	}
	await("free-running", func() {})
	await("synchronised", func() {
		if err := configfile.Replace(file, clock.Tell(synchronised{clock.System()}), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	await("free-running", func() {})
	if calls, err := os.ReadFile(filepath.Join(dir, "trace")); err != nil || !strings.Contains(string(calls), "(INJECTED)") {
		t.Errorf("it didn't ask: %v", err)
	}
}
