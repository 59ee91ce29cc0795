//go:build unix

package keyfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const lentPath = "BUSBAR_TEST_LENT_KEY"

// A key of root's that is there for the program's group can be read by a program that
// isn't root, and no more of it than that.
func TestAKeyThatRootLends(t *testing.T) {
	if path := os.Getenv(lentPath); path != "" {
		if _, err := Read(path); err != nil {
			t.Fatal(err)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can lend a key")
	}
	const group = 65532
	path := filepath.Join(t.TempDir(), "command.key")
	if _, _, err := OpenKey(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 0, group); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(filepath.Dir(path), "keyfile.test")
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	for mode, taken := range map[os.FileMode]bool{0o440: true, 0o640: true, 0o444: false, 0o460: false, 0o660: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		read := exec.Command(program, "-test.run=^TestAKeyThatRootLends$")
		read.Dir = filepath.Dir(path)
		read.Env = append(os.Environ(), lentPath+"="+path)
		read.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: group, Gid: group}}
		if out, err := read.CombinedOutput(); (err == nil) != taken {
			t.Errorf("mode %04o: %v\n%s", mode, err, out)
		} else if !taken && !strings.Contains(string(out), "so that others") {
			t.Errorf("mode %04o: %s", mode, out)
		}
	}
}
