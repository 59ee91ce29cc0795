//go:build linux

// Package netem is a slow, long and lossy line for tests, made by the kernel's
// qdisc netem. The kernel is that of a virtual machine, since not every kernel has
// netem: the machine has two network cards and forwards packets between them,
// which netem delays, bounds and loses as they leave by either.
//
// Near the line is a network namespace, far from it this machine's own network.
// Everything but the line is of this machine: its programs, their clock, and its
// TCP, with reno near the line.
package netem

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/firmware-config/cpio"
	"github.com/busbar/busbar/test/machine"
)

// Options describe the line in each direction, as tc netem has it.
type Options struct {
	Rate  int           // bits a second, headers included; 0: no limit
	Delay time.Duration // one way
	Loss  float64       // probability that a packet is lost
	// How many packets may be on the line and in the queue before it; further ones
	// are lost. 0: tc's default, 1000.
	Queue int
}

// command is tc's for a network card.
func (o Options) command(card string) string {
	c := "tc qdisc add dev " + card + " root netem"
	if o.Rate > 0 {
		c += fmt.Sprintf(" rate %dbit", o.Rate)
	}
	c += fmt.Sprintf(" delay %dus loss %g%%", o.Delay.Microseconds(), 100*o.Loss)
	if o.Queue > 0 {
		c += fmt.Sprintf(" limit %d", o.Queue)
	}
	return c
}

// Line is a running line.
type Line struct {
	// Near is where the client is. All that it reaches is Far.
	Near *Namespace
	// Far is this machine's address at the other end.
	Far string

	console string
	taps    [2]*os.File // near and far; they end with their files
	machine *exec.Cmd
	ended   chan struct{}
}

// lines numbers the lines of this process.
var lines atomic.Int32

// Open makes a line. It needs root, qemu, iproute2 and the kernel of make guest,
// and keeps files in dir.
func Open(dir string, o Options) (l *Line, err error) {
	// Of the networks for measurements (RFC 2544), one for each line. Lines of
	// several processes share what the last of them took, if their numbers do.
	number := (os.Getpid()*8 + int(lines.Add(1))) % (1 << 13)
	at := func(host int) string {
		host += 8 * number
		return fmt.Sprintf("198.%d.%d.%d", 18+host>>16, host>>8&255, host&255)
	}
	near, nearGate, farGate := at(1), at(2), at(5)
	l = &Line{Far: at(6), console: filepath.Join(dir, "modem.console"), ended: make(chan struct{})}
	defer func() {
		if err != nil {
			l.Close()
			l, err = nil, fmt.Errorf("netem: %w", err)
		}
	}()
	if l.Near, err = NewNamespace(); err != nil {
		return l, err
	}
	var inner error
	err = l.Near.Inside(func() {
		if l.taps[0], inner = tap(nearCard, end{near, 0}, end{nearGate, 2}); inner == nil {
			inner = Run("ip", "route", "add", "default", "via", nearGate)
		}
		if inner == nil {
			// The only one that every kernel has; cubic is the same with so few segments
			// under way (RFC 9438, 4.3).
			inner = os.WriteFile("/proc/sys/net/ipv4/tcp_congestion_control", []byte("reno"), 0)
		}
	})
	if err = errors.Join(err, inner); err != nil {
		return l, err
	}
	if l.taps[1], err = tap(fmt.Sprintf("bbline%d", number), end{l.Far, 1}, end{farGate, 3}); err != nil {
		return l, err
	}
	if err := Run("ip", "route", "add", at(0)+"/30", "via", farGate); err != nil {
		return l, err
	}
	setup := append(connect("eth0", end{nearGate, 2}, end{near, 0}), connect("eth1", end{farGate, 3}, end{l.Far, 1})...)
	return l, l.boot(dir, append(setup, o.command("eth0"), o.command("eth1")))
}

// Close ends the line, and what is on it is lost.
func (l *Line) Close() {
	if l.machine != nil {
		l.machine.Process.Kill()
		<-l.ended
	}
	for _, t := range l.taps {
		if t != nil {
			t.Close()
		}
	}
	if l.Near != nil {
		l.Near.Close()
	}
}

// end is one end of a wire: an IP address, and the number of its card.
type end struct {
	address string
	card    int
}

func (e end) hardware() string { return fmt.Sprintf("52:54:00:00:00:%02x", e.card) }

// connect are the commands for a card. Each knows the card at the other end: an
// answer that says which it is would be delayed and lost as well.
func connect(name string, self, peer end) []string {
	return []string{
		"ip link set " + name + " address " + self.hardware(),
		"ip addr add " + self.address + "/30 dev " + name,
		"ip link set " + name + " up",
		"ip neigh replace " + peer.address + " lladdr " + peer.hardware() + " dev " + name,
	}
}

// tap makes a network card of this machine that ends where the file is read.
func tap(name string, self, peer end) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	file := os.NewFile(uintptr(fd), name)
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		err = fmt.Errorf("make the network card %s: %w", name, err)
	}
	for _, command := range connect(name, self, peer) {
		if err == nil {
			err = Run(strings.Fields(command)...)
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// boot starts the machine and returns when it forwards.
func (l *Line) boot(dir string, setup []string) error {
	m, err := machine.Find(machine.PC)
	if err != nil {
		return err
	}
	if err := m.Build(dir, "github.com/busbar/busbar/test/netem/modem"); err != nil {
		return err
	}
	files := []cpio.File{{Path: "/init", From: filepath.Join(dir, "modem")}, {Path: "/setup", Text: strings.Join(setup, "\n")}}
	modules, err := m.Modules()
	if err != nil {
		return err
	}
	for _, module := range modules {
		files = append(files, cpio.File{Path: "/modules/" + filepath.Base(module), From: module})
	}
	for _, name := range []string{"ip", "tc"} {
		more, err := program(name)
		if err != nil {
			return err
		}
		files = append(files, more...)
	}
	initrd := filepath.Join(dir, "modem.initrd")
	if err := cpio.WriteFile(initrd, files...); err != nil {
		return err
	}
	// Emulated, since that works everywhere, and the line is slower.
	cmd := m.Command(initrd, l.console, "", "-accel", "tcg", "-cpu", "max", "-m", "192")
	for i, t := range l.taps {
		// As the tap has no headers of cards, no packet is larger than the line's.
		cmd.Args = append(cmd.Args, "-netdev", fmt.Sprintf("tap,id=n%d,fd=%d", i, 3+i),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=n%d,romfile=,addr=%d", i, 4+i))
		cmd.ExtraFiles = append(cmd.ExtraFiles, t)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var errs strings.Builder
	cmd.Stderr = &errs
	started := make(chan error)
	go func() {
		// A child that is to end with its parent ends with the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(l.ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	l.machine = cmd
	deadline := time.After(bootTime)
	for {
		said, _ := os.ReadFile(l.console)
		if strings.Contains(string(said), "modem: ready") {
			return nil
		}
		select {
		case <-l.ended:
			said, _ = os.ReadFile(l.console)
			return fmt.Errorf("the machine ended: %v: %s%s", cmd.ProcessState, errs.String(), said)
		case <-deadline:
			return fmt.Errorf("the machine isn't ready after %v: %s", bootTime, said)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// bootTime is what the machine may take to boot, emulated on a busy machine.
const bootTime = 5 * time.Minute

// program are a program of this machine and the libraries that it needs.
func program(name string) ([]cpio.File, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		return nil, fmt.Errorf("libraries of %s: %w", path, err)
	}
	files := []cpio.File{{Path: "/bin/" + name, From: path}}
	for _, library := range libraries.FindAllString(string(out), -1) {
		files = append(files, cpio.File{Path: library, From: library})
	}
	return files, nil
}

var libraries = regexp.MustCompile(`/\S+`)

// Count is what has crossed an end of the line.
type Count struct {
	Packets uint64
	Bytes   uint64 // of IP, its header included
}

// Counts is what the near end has sent into the line, and what came out of it there.
func (l *Line) Counts() (sent, received Count, err error) {
	var text []byte
	if e := l.Near.Inside(func() { text, err = os.ReadFile("/proc/thread-self/net/dev") }); e != nil || err != nil {
		return sent, received, errors.Join(e, err)
	}
	for line := range strings.Lines(string(text)) {
		name, numbers, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != nearCard {
			continue
		}
		columns := strings.Fields(numbers)
		for i, c := range []*Count{&received, &sent} {
			fmt.Sscan(columns[8*i], &c.Bytes)
			fmt.Sscan(columns[8*i+1], &c.Packets)
			c.Bytes -= etherBytes * c.Packets
		}
		return sent, received, nil
	}
	return sent, received, fmt.Errorf("netem: the network card %s is gone", nearCard)
}

const (
	nearCard   = "line"
	etherBytes = 14 // of Ethernet, in front of each packet
)
