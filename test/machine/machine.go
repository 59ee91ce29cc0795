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
var ErrMissing = errors.New("no qemu-system-x86_64, or no kernel: make guest gets the kernel")

// Machine is what a virtual machine is made of.
type Machine struct {
	qemu, dir string
}

// Find looks for it in the module's directory, from wherever a test runs.
func Find() (Machine, error) {
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
	m := Machine{dir: filepath.Join(root, ".peers", "linux")}
	if m.qemu, err = exec.LookPath("qemu-system-x86_64"); err == nil {
		_, err = os.Stat(filepath.Join(m.dir, "vmlinuz"))
	}
	if err != nil {
		return Machine{}, fmt.Errorf("%w (%v)", ErrMissing, err)
	}
	return m, nil
}

// Demand is Find for a test, which fails under CI if something is missing, and is
// skipped elsewhere.
func Demand(t testing.TB) Machine {
	t.Helper()
	m, err := Find()
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

// Build builds programs of this module for a machine, into dir.
func Build(dir string, packages ...string) error {
	build := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", dir + "/"}, packages...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64", "GOOS=linux")
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
	// The kernel's look at the timer fails where the emulator gets little time.
	return exec.Command(m.qemu, append([]string{"-machine", "pc", "-nodefaults", "-display", "none", "-no-reboot",
		"-serial", "file:" + console, "-kernel", filepath.Join(m.dir, "vmlinuz"), "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 no_timer_check rdinit=/init" + argument}, args...)...)
}
