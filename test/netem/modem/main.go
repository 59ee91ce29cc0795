//go:build linux

// The only process of a virtual machine that is the line between two networks. It
// loads the kernel's modules in /modules, carries out /setup, one command a line,
// says "ready" on the console and stays.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(); err != nil {
		fmt.Printf("\nmodem: failed: %v\n", err)
		unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	fmt.Print("\nmodem: ready\n")
	for {
		// For whoever wonders what was lost, and how long the queues are.
		time.Sleep(10 * time.Second)
		out, _ := exec.Command("tc", "-s", "qdisc").Output()
		os.Stdout.Write(out)
	}
}

func run() error {
	for _, m := range []struct{ what, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		os.MkdirAll(m.at, 0o755)
		if err := unix.Mount(m.what, m.at, m.what, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	modules, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return err
	}
	for _, m := range modules {
		if err := load(m); err != nil {
			return fmt.Errorf("load %s: %w", m, err)
		}
	}
	os.Setenv("PATH", "/bin")
	setup, err := os.ReadFile("/setup")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(setup)) {
		words := strings.Fields(line)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
	}
	cards, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, c := range cards {
		if err := keepApart(c.Name); err != nil && c.Name != "lo" {
			return fmt.Errorf("packets of %s: %w", c.Name, err)
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}

func load(module string) error {
	file, err := os.Open(module)
	if err != nil {
		return err
	}
	defer file.Close()
	return unix.FinitModule(int(file.Fd()), "", 0)
}

// keepApart lets a card pass on packets as they come. It would join those of one
// connection into a large one, which netem would lose as a whole.
func keepApart(card string) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	value := struct{ command, data uint32 }{unix.ETHTOOL_SGRO, 0}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], card)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}
