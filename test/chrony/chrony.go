// Package chrony starts real time servers for tests. They tell what this machine's
// clock says, and don't touch it.
package chrony

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Start starts a server with further directives, such as "local stratum 8", and
// returns its address. It runs until the test ends, and may not answer at once.
// Without the program, the test is skipped, or fails if CI is set.
func Start(t testing.TB, directives string) string {
	t.Helper()
	program, err := exec.LookPath("chronyd")
	if err != nil {
		program = "/usr/sbin/chronyd" // which isn't in everybody's path
	}
	if _, err := os.Stat(program); err != nil {
		report := t.Skipf
		if os.Getenv("CI") != "" {
			report = t.Fatalf
		}
		report("no chronyd: apt-get install chrony")
	}
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := socket.LocalAddr().(*net.UDPAddr)
	socket.Close()
	dir := t.TempDir()
	config := fmt.Sprintf("port %d\nbindaddress 127.0.0.1\nallow 127.0.0.1\ncmdport 0\nbindcmdaddress /\npidfile %s/pid\n%s\n", address.Port, dir, directives)
	path := filepath.Join(dir, "chrony.conf")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	user := "nobody"
	if os.Getuid() == 0 {
		user = "root"
	}
	cmd := exec.Command(program, "-x", "-U", "-u", user, "-d", "-f", path)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("chronyd: %s", said.String())
		}
	})
	return fmt.Sprintf("127.0.0.1:%d", address.Port)
}
