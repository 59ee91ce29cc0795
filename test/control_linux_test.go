package test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A person is asked on the terminal, and holds the selection meanwhile; only yes
// writes.
func TestAPersonIsAsked(t *testing.T) {
	t.Parallel()
	s, _ := controlSite(t, "control: enabled,")
	s.cloud(t)
	s.sim(t)
	s.gateway(t)
	await(t, "the gateway listens", time.Minute, func() bool { return reachable(s.status) })
	for _, c := range []struct {
		signal, types string
		interrupt     bool
		code          int
		says, shows   string
	}{
		{"Pos", "no\n", false, 1, "nothing was written, and the selection is given up", "false"},
		{"Pos", "\n", false, 1, "nothing was written, and the selection is given up", "false"},
		{"Pos", "", true, 1, "nothing was written, and the selection is given up", "false"},
		{"Pos", "yes\n", false, 0, "true was written; it showed false, and shows true", "true"},
		{"Earthed", "yes\n", false, 0, "true was written; it showed false, and shows true", "true"},
	} {
		said, code := onTerminal(t, s.dir, "Type yes: ", c.types, c.interrupt, "device", "write", "gateway.yaml", "bay-1", c.signal, "1")
		if code != c.code || !strings.Contains(said, c.signal+" of bay-1 shows false. It is selected for true until ") || !strings.Contains(said, c.says) {
			t.Errorf("%+v: exit code %d: %s", c, code, said)
		}
		if got := s.shown(t, c.signal); got != c.shows {
			t.Errorf("%+v: it shows %s", c, got)
		}
	}
	s.awaitControl(t, "a cancellation", func(c controlStep) bool { return c.Action == "cancel" && c.Outcome == "done" })
}

// onTerminal runs the tool on a terminal of its own, answers its question, or
// interrupts it there.
func onTerminal(t *testing.T, dir, question, types string, interrupt bool, args ...string) (said string, code int) {
	t.Helper()
	master, slave := openTerminal(t)
	tool := exec.Command(filepath.Join(bin, "busbar"), args...)
	tool.Dir = dir
	tool.Stdin, tool.Stdout, tool.Stderr = slave, slave, slave
	if err := tool.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var out bytes.Buffer
	part := make([]byte, 4096)
	master.SetReadDeadline(time.Now().Add(time.Minute))
	for asked := false; ; {
		n, err := master.Read(part)
		out.Write(part[:n])
		if !asked && strings.Contains(out.String(), question) {
			asked = true
			if interrupt {
				tool.Process.Signal(os.Interrupt)
			} else if _, err := io.WriteString(master, types); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil { // the tool has closed its end
			break
		}
	}
	tool.Wait()
	return out.String(), tool.ProcessState.ExitCode()
}

func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return master, slave
}
