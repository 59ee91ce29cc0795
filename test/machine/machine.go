// Package machine boots small virtual machines whose kernel `make guest` gets and
// whose only process is a program of the test.
package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// ErrMissing is that qemu or the kernel is missing.
var ErrMissing = errors.New("no qemu, or no kernel: make guest gets the kernels")

// Board is the kind of computer that a machine is.
type Board struct {
	qemu, model, arch string
	dir               string // of the kernel, in .peers
	kernel            string // what it is told
}

var (
	// PC is a PC with a serial line.
	PC = Board{qemu: "qemu-system-x86_64", model: "pc", arch: "amd64", dir: "linux", kernel: "console=ttyS0 no_timer_check"} // the kernel's look at the timer fails where the emulator gets little time
	// ARM is QEMU's own 64-bit ARM board, which has GPIO lines: at the fourth one, of
	// offset 3, is its power key, which the monitor's system_powerdown presses for 100 ms.
	ARM = Board{qemu: "qemu-system-aarch64", model: "virt", arch: "arm64", dir: "linux-arm64", kernel: "console=ttyAMA0"}
)

// Machine is what a virtual machine is made of.
type Machine struct {
	Board
	qemu, dir string
}

// Find looks for it in the module's directory, from wherever a test runs.
func Find(b Board) (Machine, error) {
	root, err := os.Getwd()
	if err != nil {
		return Machine{}, err
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			return Machine{}, fmt.Errorf("%w (this directory is in no module)", ErrMissing)
		}
		root = filepath.Dir(root)
	}
	m := Machine{Board: b, dir: filepath.Join(root, ".peers", b.dir)}
	if m.qemu, err = exec.LookPath(b.qemu); err == nil {
		_, err = os.Stat(filepath.Join(m.dir, "vmlinuz"))
	}
	if err != nil {
		return Machine{}, fmt.Errorf("%w (%v)", ErrMissing, err)
	}
	return m, nil
}

// Demand is Find for a test, which fails under CI if something is missing, and is
// skipped elsewhere.
func Demand(t testing.TB, b Board) Machine {
	t.Helper()
	m, err := Find(b)
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
	return m
}

// Modules are the kernel's modules that `make guest` gets, to be loaded in the
// order of their names: a network card and the qdisc netem.
func (m Machine) Modules() ([]string, error) {
	modules, err := filepath.Glob(filepath.Join(m.dir, "modules", "*.ko"))
	if err == nil && len(modules) == 0 {
		err = fmt.Errorf("%w (no modules in %s)", ErrMissing, m.dir)
	}
	return modules, err
}

// Build builds programs of this module for the machine, into dir.
func (m Machine) Build(dir string, packages ...string) error {
	build := exec.Command("go", append([]string{"build", "-ldflags", "-s -w", "-o", dir + "/"}, packages...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+m.arch, "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %v: %w\n%s", packages, err, out)
	}
	return nil
}

// Command runs a machine that starts the program /init of the archive initrd with
// the argument, unless it is empty. What it writes to /dev/console goes to the file
// console, and args to qemu. It has no disk, no network card and no clock but what
// args give it, and is off when its init ends.
func (m Machine) Command(initrd, console, argument string, args ...string) *exec.Cmd {
	if argument != "" {
		argument = " -- " + argument
	}
	return exec.Command(m.qemu, append([]string{"-machine", m.model, "-nodefaults", "-display", "none", "-no-reboot",
		"-serial", "file:" + console, "-kernel", filepath.Join(m.dir, "vmlinuz"), "-initrd", initrd,
		"-append", m.kernel + " quiet panic=-1 rdinit=/init" + argument}, args...)...)
}
