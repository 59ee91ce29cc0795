// Package packages installs the gateway's packages as a package manager does.
package packages

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/test/peer"
)

// build makes the packages of a version and returns their directory.
func build(t *testing.T, version, arches, formats string) string {
	t.Helper()
	dir := t.TempDir()
	run(t, "make", "-C", peer.Root(), "packages", "VERSION=v"+version, "PACKAGE_DIR="+dir, "PACKAGE_ARCHES="+arches, "PACKAGE_FORMATS="+formats)
	return dir
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// one is the only file that matches.
func one(t *testing.T, pattern ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v: %v, %v", pattern, found, err)
	}
	return found[0]
}

// system is this machine's file system with changes that are gone with the test.
type system struct {
	t    *testing.T
	root string
	pid  string
}

func newSystem(t *testing.T) system {
	t.Helper()
	if os.Getuid() != 0 {
		peer.Missing(t, "packages are installed by root")
	}
	s := system{t: t, root: t.TempDir()}
	holder := exec.Command("unshare", "--mount", "sh", "-ec", `
		mount -t tmpfs none "$0" && mkdir "$0/changes" "$0/work" "$0/root"
		mount -t overlay overlay -o "lowerdir=/,upperdir=$0/changes,workdir=$0/work" "$0/root"
		echo ready; exec sleep infinity`, s.root)
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	holder.Stderr = os.Stderr
	ready, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { holder.Process.Kill(); holder.Wait() })
	if n, err := ready.Read(make([]byte, 10)); n == 0 {
		t.Fatalf("a file system to install into can't be made: %v", err)
	}
	s.pid = strconv.Itoa(holder.Process.Pid)
	return s
}

// sh runs a script in the system.
func (s system) sh(script string, args ...string) string {
	s.t.Helper()
	return run(s.t, "nsenter", append([]string{"--target", s.pid, "--mount", "chroot", s.root + "/root", "sh", "-ec", script, "sh"}, args...)...)
}

// put copies a file into the system.
func (s system) put(file string) string {
	s.t.Helper()
	in, err := os.Open(file)
	if err != nil {
		s.t.Fatal(err)
	}
	defer in.Close()
	to := "/root/" + filepath.Base(file)
	copying := exec.Command("nsenter", "--target", s.pid, "--mount", "chroot", s.root+"/root", "sh", "-c", `cat > "$1"`, "sh", to)
	copying.Stdin = in
	if out, err := copying.CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return to
}

// expect fails if the script doesn't say this.
func (s system) expect(want, script string) {
	s.t.Helper()
	if got := strings.TrimSpace(s.sh(script)); got != want {
		s.t.Errorf("%s\nsays %q, want %q", script, got, want)
	}
}

const (
	whose    = `stat -c '%U:%G %a' /etc/busbar/gateway.yaml /etc/busbar /var/lib/busbar | tr '\n' ' '`
	services = `cd /usr/lib/systemd/system && echo busbar-*`
	inGroups = `id -nG busbar | grep -cw dialout`
	asBusbar = `setpriv --reuid busbar --regid busbar --init-groups `
	edit     = `sed -i 's/first-gateway/north-gw1/' /etc/busbar/gateway.yaml && echo kept > /var/lib/busbar/note`
	edited   = `grep -o north-gw1 /etc/busbar/gateway.yaml`
)

func (s system) expectInstalled(version string) {
	s.t.Helper()
	s.expect("root:busbar 640 root:busbar 750 busbar:busbar 700", whose)
	s.expect("1", inGroups)
	s.expect("busbar-clock.service busbar-gateway.service", services)
	s.expect("v"+version, asBusbar+`busbar-gateway --version`)
	if got := s.sh(asBusbar + `busbar config validate /etc/busbar/gateway.yaml`); !strings.Contains(got, "is valid") {
		s.t.Errorf("the packaged configuration: %s", got)
	}
}

func TestPackagesOnThisArchitecture(t *testing.T) {
	peer.Program(t, "rpm", "rpm")
	before, after := build(t, "1.0.0", "amd64", "deb rpm"), build(t, "1.1.0", "amd64", "deb rpm")

	t.Run("deb", func(t *testing.T) {
		s := newSystem(t)
		deb := s.put(one(t, before, "*.deb"))
		s.sh(`dpkg --force-depends -i "$1"`, deb)
		s.expectInstalled("1.0.0")
		s.sh(edit)
		s.sh(`dpkg --force-depends --force-confold -i "$1"`, s.put(one(t, after, "*.deb")))
		s.expectInstalled("1.1.0")
		s.expect("north-gw1", edited)
		s.sh(`dpkg -r busbar-gateway`)
		s.expect("north-gw1", edited)
		s.expect("kept", `cat /var/lib/busbar/note`)
		s.sh(`dpkg -P busbar-gateway`)
		s.expect("", `find /etc /usr /var/lib -xdev -name '*busbar*' -newer "`+deb+`"; getent passwd busbar || true; getent group busbar || true`)
	})
	t.Run("rpm", func(t *testing.T) {
		s := newSystem(t)
		s.sh(`rpm --initdb; rpm --nodeps -i "$1"`, s.put(one(t, before, "*.rpm")))
		s.expectInstalled("1.0.0")
		s.sh(edit)
		s.sh(`rpm --nodeps -U "$1"`, s.put(one(t, after, "*.rpm")))
		s.expectInstalled("1.1.0")
		s.expect("north-gw1", edited)
		s.sh(`rpm -e busbar-gateway`)
		s.expect("kept", `cat /var/lib/busbar/note; test ! -e /usr/bin/busbar-gateway`)
	})
}

// The smallest boards' processor has no ARM v7.
func TestPackagesOfOtherArchitectures(t *testing.T) {
	dir := build(t, "1.0.0", "arm64 arm6", "deb")
	for arch, emulator := range map[string][]string{
		"arm64": {peer.Program(t, "qemu-aarch64-static", "qemu-user-static")},
		"armhf": {peer.Program(t, "qemu-arm-static", "qemu-user-static"), "-cpu", "arm1176"},
	} {
		root := t.TempDir()
		run(t, "dpkg-deb", "-x", one(t, dir, "*_"+arch+".deb"), root)
		emulated := func(program string, args ...string) string {
			return run(t, emulator[0], append(append(emulator[1:], filepath.Join(root, "usr/bin", program)), args...)...)
		}
		if got := strings.TrimSpace(emulated("busbar-gateway", "--version")); got != "v1.0.0" {
			t.Errorf("%s: version %q", arch, got)
		}
		if got := emulated("busbar", "config", "validate", filepath.Join(root, "etc/busbar/gateway.yaml")); !strings.Contains(got, "is valid") {
			t.Errorf("%s: %s", arch, got)
		}
	}
}

var exposure = regexp.MustCompile(`Overall exposure level for [^:]*: ([0-9.]+)`)

// What is left: devices and networks are what a gateway is for, and somebody has to ask the kernel
// of its clock.
func TestTheServicesAreHardened(t *testing.T) {
	peer.Program(t, "systemd-analyze", "systemd")
	for _, service := range []string{"busbar-gateway.service", "busbar-clock.service"} {
		unit := filepath.Join(peer.Root(), "firmware-config", service)
		found := exposure.FindStringSubmatch(run(t, "systemd-analyze", "security", "--offline=true", "--no-pager", unit))
		if found == nil {
			t.Errorf("systemd says nothing of the exposure of %s", service)
			continue
		}
		if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > 1.5 {
			t.Errorf("%s: exposure %s, want 1.5 or less", service, found[1])
		}
	}
}

// supervise is systemd's side of a service: the socket's path, and what is said there next.
func supervise(t *testing.T) (path string, hear func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return path, func() string {
		t.Helper()
		message := make([]byte, 100)
		if err := socket.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := socket.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		return string(message[:n])
	}
}

// configured is the configuration of a gateway that reaches nothing, with its status page there.
func configured(t *testing.T, status string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
gateway: {id: quiet}
forward: {kafka: {brokers: ["127.0.0.1:1"]}}
buffer: {path: buffer}
status: {listen: %q}
devices: [{id: meter, modbus: {endpoint: "tcp://127.0.0.1:1", unit: 1}, signals: [{name: TotW, input: 0, type: float32, unit: W}]}]
`, status), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// What systemd is told by the real program.
func TestTheServiceTellsHowItIs(t *testing.T) {
	config := configured(t, "127.0.0.1:0")
	path, hear := supervise(t)
	gateway := exec.Command(filepath.Join(peer.Root(), "bin", "busbar-gateway"), "run", "--config", config)
	gateway.Env = append(os.Environ(), "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=300000", "WATCHDOG_PID=")
	gateway.Stderr = t.Output()
	gateway.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	defer gateway.Process.Kill()
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := hear(); got != want {
			t.Fatalf("it says %q, want %q", got, want)
		}
	}
	if err := gateway.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for got := hear(); got != "STOPPING=1"; got = hear() {
		if got != "WATCHDOG=1" {
			t.Fatalf("when it stops it says %q", got)
		}
	}
	if err := gateway.Wait(); err != nil {
		t.Error(err)
	}
}
