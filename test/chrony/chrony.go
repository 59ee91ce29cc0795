// Package chrony starts real time servers for tests. They tell what this machine's
// clock says, and don't touch it.
package chrony

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/busbar/busbar/test/peer"
)

// Start starts a server with further directives, such as "local stratum 8", and
// returns its address. It runs until the test ends, and may not answer at once.
// Without the program, the test is skipped, or fails if CI is set.
func Start(t testing.TB, directives string) string {
	t.Helper()
	program := peer.Program(t, "chronyd", "chrony")
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
	peer.Run(t, program, "-x", "-U", "-u", user, "-d", "-f", path)
	return fmt.Sprintf("127.0.0.1:%d", address.Port)
}
