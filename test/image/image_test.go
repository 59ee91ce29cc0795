// Package image flashes virtual machines and has them read meters.
package image

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/peer"
)

// board is a kind of machine: its emulator with its medium, which is {card}, and its ports,
// and its firmware's code and variables. A Raspberry Pi's firmware isn't emulated: the
// emulator loads what that would.
type board struct {
	target, arch string
	kernel       string // what it is told beside what images tell it: its look at the timer fails where the emulator gets little time
	qemu         []string
	firmware     [2]string
}

var (
	ovmf = [2]string{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"}
	pc   = board{"pc", "amd64", "no_timer_check", []string{"qemu-system-x86_64", "-machine", "q35",
		"-drive", "if=none,id=card,format=raw,file={card}", "-device", "ahci,id=sata", "-device", "ide-hd,drive=card,bus=sata.0,bootindex=0",
		"-device", "e1000e,netdev=net,romfile=", "-device", "i6300esb", "-action", "watchdog=reset"}, ovmf}
	// industrial has an eMMC's controller and the chipset's own watchdog. The emulated firmware
	// has no driver for such a medium: it has the same one at a controller for which the image
	// has none.
	industrial = board{"pc-debian", "amd64", "no_timer_check", []string{"qemu-system-x86_64", "-machine", "q35",
		"-drive", "if=none,id=card,format=raw,file.locking=off,file={card}", "-device", "sdhci-pci", "-device", "sd-card,drive=card",
		"-drive", "if=none,id=firmware,format=raw,file.locking=off,file={card}", "-device", "piix3-ide,id=ide", "-device", "ide-hd,drive=firmware,bus=ide.0",
		"-device", "e1000e,netdev=net,romfile=", "-global", "ICH9-LPC.noreboot=false", "-action", "watchdog=reset"}, ovmf}
	arm64 = board{"arm64", "arm64", "", []string{"qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72",
		"-drive", "if=none,id=card,format=raw,file={card}", "-device", "virtio-blk-pci,drive=card", "-device", "virtio-net-pci,netdev=net,romfile="},
		[2]string{"/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"}}
	pi = board{"pi", "arm64", "", []string{"qemu-system-aarch64", "-machine", "raspi3b", "-device", "usb-net,netdev=net"}, [2]string{}}
)

// piKernel is what the emulated board's kernel has to be told beside what a real one is: where
// its serial port is, that its USB isn't interrupted as fast, and that its watchdog, which
// isn't emulated and starts it anew at once, is left alone.
const piKernel = "console=ttyAMA1,115200 console=ttyAMA0,115200 dwc_otg.fiq_fsm_enable=0 busbar.nowatchdog "

// card is the medium of a machine, which goes on over its power cuts.
type card struct {
	t         *testing.T
	board     board
	dir, path string
	monitor   string // the file of the socket at which its screen is asked for
	serial    string // the address of the RS-485 line behind its USB adapter; "": there is none
	address   string // in its network; "": by DHCP
	secret    string // the name of a key that was put beside its configuration; "": there is none
	page      string // the address at which its status page is reached
	beside    string // another flashed medium in a PC; "": there is none
	machine   *exec.Cmd
	consoles  int
}

// flash makes an image of the configuration and writes it onto a card of 1 GiB. more is what
// the image is built with.
func flash(t *testing.T, b board, config, serial string, more ...string) *card {
	t.Helper()
	peer.Program(t, b.qemu[0], "qemu-system")
	parts := filepath.Join(peer.Root(), ".peers", "image", b.target)
	if _, err := os.Stat(filepath.Join(parts, "vmlinuz")); err != nil {
		peer.Missing(t, "%v: make image-parts gets what images are made of", err)
	}
	c := &card{t: t, board: b, dir: t.TempDir(), serial: serial, page: peer.Address(t)}
	c.path, c.monitor = filepath.Join(c.dir, "card.img"), filepath.Join(c.dir, "monitor")
	yaml := filepath.Join(c.dir, "gateway.yaml")
	if err := os.WriteFile(yaml, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	build := []string{"image", "build", "--target", b.target, "--parts", parts, "--program", b.compile(t, "./cmd/busbar-gateway"), "--config", yaml, "--command-line", b.kernel, "-o", c.path}
	c.run(filepath.Join(peer.Root(), "bin", "busbar"), append(build, more...)...)
	c.run("truncate", "-s", "1G", c.path)
	if b.target == "pi" {
		c.sh(`mcopy -i "$1@@49M" ::kernel8.img ::initrd ::bcm2710-rpi-3-b.dtb ::cmdline.txt "$2"`, c.path, c.dir)
	} else {
		c.run("cp", b.firmware[1], filepath.Join(c.dir, "vars.fd"))
	}
	return c
}

var (
	programs  string // the directory of those that were compiled
	compiling = map[string]func() error{}
	compileMu sync.Mutex
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if programs, err = os.MkdirTemp("", "programs"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(programs)
		return m.Run()
	}())
}

// compile is a program for the board, which is compiled once for all tests.
func (b board) compile(t *testing.T, pkg string) (path string) {
	t.Helper()
	path = filepath.Join(programs, b.arch+"-"+filepath.Base(pkg))
	compileMu.Lock()
	if compiling[path] == nil {
		compiling[path] = sync.OnceValue(func() error {
			build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, pkg)
			build.Dir, build.Env = peer.Root(), append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+b.arch)
			if out, err := build.CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w\n%s", pkg, err, out)
			}
			return nil
		})
	}
	once := compiling[path]
	compileMu.Unlock()
	if err := once(); err != nil {
		t.Fatal(err)
	}
	return path
}

func (c *card) run(program string, args ...string) string {
	c.t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (c *card) sh(script string, args ...string) string {
	c.t.Helper()
	return c.run("sh", append([]string{"-ec", script, "sh"}, args...)...)
}

// boot puts the card into a machine and switches it on.
func (c *card) boot() {
	c.t.Helper()
	c.consoles++
	args := append(slices.Clone(c.board.qemu[1:]), "-accel", "tcg", "-display", "none", "-monitor", "unix:"+c.monitor+",server=on,wait=off",
		"-serial", "file:"+c.console(), "-netdev", "user,id=net,hostfwd=tcp:"+c.page+"-"+c.address+":9464")
	if c.board.target == "pi" {
		told, err := os.ReadFile(filepath.Join(c.dir, "cmdline.txt"))
		if err != nil {
			c.t.Fatal(err)
		}
		args = append(args, "-kernel", filepath.Join(c.dir, "kernel8.img"), "-initrd", filepath.Join(c.dir, "initrd"), "-dtb", filepath.Join(c.dir, "bcm2710-rpi-3-b.dtb"),
			"-append", piKernel+strings.TrimSpace(strings.ReplaceAll(string(told), "console=tty1 console=serial0,115200 ", "")), "-drive", "if=sd,format=raw,file="+c.path)
	} else {
		args = append(args, "-m", "512", "-drive", "if=pflash,format=raw,readonly=on,file="+c.board.firmware[0], "-drive", "if=pflash,format=raw,file="+filepath.Join(c.dir, "vars.fd"))
	}
	if c.beside != "" {
		args = append(args, "-drive", "if=none,id=beside,format=raw,file="+c.beside, "-device", "ide-hd,drive=beside,bus=sata.1")
	}
	if c.serial != "" {
		args = append(args, "-device", "qemu-xhci", "-chardev", "socket,id=line,host="+strings.Replace(c.serial, ":", ",port=", 1)+",reconnect=1",
			"-device", "usb-serial,chardev=line,always-plugged=on")
	}
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "{card}", c.path)
	}
	c.machine = exec.Command(c.board.qemu[0], args...)
	c.machine.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	errs, err := os.Create(filepath.Join(c.dir, "qemu.log"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer errs.Close()
	c.machine.Stderr = errs
	if err := c.machine.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		c.cut()
		if c.t.Failed() {
			console, _ := os.ReadFile(c.console())
			c.t.Logf("%s", console)
		}
	})
}

func (c *card) console() string {
	return filepath.Join(c.dir, fmt.Sprintf("console-%d", c.consoles))
}

// starting is for machines that are emulated side by side, and start several times.
const starting = 6 * time.Minute

// awaitConsole waits until the machine has said so since it was switched on.
func (c *card) awaitConsole(text string) {
	c.t.Helper()
	c.awaitTimes(text, 1)
}

func (c *card) awaitTimes(text string, times int) {
	c.t.Helper()
	await.Within(c.t, starting, fmt.Sprintf("the console says %q, time %d", text, times), func() bool {
		console, _ := os.ReadFile(c.console())
		return strings.Count(string(console), text) >= times
	})
}

// get is the machine's status page.
func (c *card) get(password string) (code int, page string) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "https://"+c.page+"/", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if password != "" {
		request.SetBasicAuth("busbar", password)
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

var (
	passwordSaid    = regexp.MustCompile(`password: (\S+)\s`)
	certificateSaid = regexp.MustCompile(`certificate: ([0-9A-F:]{95})`)
)

// said is what the machine has said of itself since it was switched on, for the last time.
func (c *card) said(what *regexp.Regexp) (said string) {
	c.t.Helper()
	await.True(c.t, fmt.Sprintf("the console says %q", what), func() bool {
		console, _ := os.ReadFile(c.console())
		all := what.FindAllStringSubmatch(string(console), -1)
		if all != nil {
			said = all[len(all)-1][1]
		}
		return all != nil
	})
	return said
}

// through has busbar do something through the machine.
func (c *card) through(password, certificate string, args ...string) string {
	c.t.Helper()
	file := filepath.Join(c.dir, "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return c.run(filepath.Join(peer.Root(), "bin", "busbar"), append([]string{"--gateway", c.page, "--gateway-password-file", file, "--gateway-fingerprint", certificate}, args...)...)
}

// work works with the machine over the network, as who has read its screen can, once it has
// come up.
func (c *card) work() {
	c.t.Helper()
	c.awaitConsole("north-gw1 is at https://10.0.2.20:9464")
	password, certificate := c.said(passwordSaid), c.said(certificateSaid)
	await.True(c.t, "the status page shows the adapter and a value that was read", func() bool {
		code, page := c.get(password)
		return code == http.StatusOK && strings.Contains(page, "<td>/dev/ttyUSB0</td><td>/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_1") && !strings.Contains(page, "<p>0 good")
	})
	if code, _ := c.get(""); code != http.StatusUnauthorized {
		c.t.Errorf("without a password: %d", code)
	}
	for _, x := range []struct{ says, command string }{
		{"PhV.phsA", "device read --device meter"},
		{"gateway started", "logs"},
		{"telemetry: ", "buffer inspect"},
		{",meter,PhV.phsA,V,", "buffer export"},
		{"ttyUSB0?baud=9600", "config show"},
		{"runs: version 1 of epoch 1, slot 1", "update status"},
	} {
		await.True(c.t, fmt.Sprintf("busbar --gateway … %s says %q", x.command, x.says), func() bool {
			return strings.Contains(c.through(password, certificate, strings.Fields(x.command)...), x.says)
		})
	}
	if list := c.sh(`mdir -b -i "$1@@1M" ::`, c.path); c.secret != "" && strings.Contains(list, c.secret) || !strings.Contains(list, "gateway.yaml") {
		c.t.Errorf("on the card, which anybody can read, are\n%s", list)
	}
	c.picture(password)
}

// cut cuts the machine's power.
func (c *card) cut() {
	c.machine.Process.Kill()
	c.machine.Wait()
}

var dataAt = regexp.MustCompile(`First sector: (\d+)`)

// check has the system's own tools look at the card, after the journal was followed as a
// boot does.
func (c *card) check() {
	c.t.Helper()
	if out := c.sh(`sgdisk -v "$1"`, c.path); !strings.Contains(out, "No problems found") {
		c.t.Error(out)
	}
	data, boot := "2", "254"
	if c.board.target == "pi" {
		data, boot = "4", "48"
	}
	at := dataAt.FindStringSubmatch(c.sh(`sgdisk -i "$2" "$1"`, c.path, data))
	if at == nil {
		c.t.Fatal("there is no partition for data")
	}
	c.sh(`dd if="$1" of="$2/data" bs=512 skip="$3" conv=sparse status=none; e2fsck -fp "$2/data" || [ $? -le 1 ]; e2fsck -fn "$2/data"; rm "$2/data"`, c.path, c.dir, at[1])
	c.sh(`dd if="$1" of="$2/boot" bs=1M skip=1 count="$3" conv=sparse status=none; fsck.vfat -n "$2/boot"; rm "$2/boot"`, c.path, c.dir, boot)
}

// outside is an address of this machine that a virtual one reaches as well.
func outside(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	peer.Missing(t, "this machine has no network card")
	return ""
}

// An industrial PC whose medium is an eMMC reads a meter with drivers that are modules, and has
// a watchdog.
func TestAFlashedIndustrialPCReadsAMeter(t *testing.T) {
	t.Parallel()
	line := peer.Address(t)
	peer.Run(t, filepath.Join(peer.Root(), "bin", "busbar-sim"), "modbus", "eastron/sdm630", "--listen-rtu", line, "--no-pace")
	c := flash(t, industrial, `
gateway: {id: north-gw1}
forward: {kafka: {brokers: ["127.0.0.1:9092"]}}
buffer: {path: /var/lib/busbar, max_size: 128MiB}
status: {listen: "0.0.0.0:9464"}
network: {address: 10.0.2.20/24, gateway: 10.0.2.2, dns: [10.0.2.3]}
devices: [{id: meter, profile: eastron/sdm630, modbus: {endpoint: "rtu:///dev/ttyUSB0?baud=9600", unit: 1}}]
`, line, "--epoch", "1")
	c.address = inside
	began := time.Now()
	c.boot()
	c.awaitConsole("disk=/dev/mmcblk0")
	c.awaitConsole("gateway started")
	t.Logf("the gateway runs after %v", time.Since(began).Round(100*time.Millisecond))
	c.work()
	if console, err := os.ReadFile(c.console()); err != nil || strings.Contains(string(console), "no watchdog") || strings.Contains(string(console), "driver can't be loaded") {
		t.Errorf("%v\n%s", err, console)
	}
	c.cut()
	c.check()
}

// What is wrong with the configuration is told at the console.
func TestAFlashedARM64MachineSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	c := flash(t, arm64, `
gateway: {id: north-gw1}
forward: {kafka: {brokers: ["127.0.0.1:9092"]}}
buffer: {path: /var/lib/busbar}
devices: [{id: meter, profile: eastron/sdm630, modbus: {endpoint: "tcp://10.0.2.2:502", unit: 1}}]
`, "")
	c.sh(`printf 'gateway: {id: north-gw1}\ndevices: []\n' > "$2/wrong"; mcopy -o -i "$1@@1M" "$2/wrong" ::gateway.yaml`, c.path, c.dir)
	c.boot()
	c.awaitConsole("/boot/gateway.yaml:1:1: forward: the key is missing")
	await.True(t, "the status page says what is wrong", func() bool {
		code, page := c.get("")
		return code == http.StatusServiceUnavailable && strings.Contains(page, "line 1, column 1: forward: the key is missing")
	})
	c.cut()
	c.check()
}

// A flashed Raspberry Pi comes up with its data on the card and its secrets off the partition
// that anybody can read, and says of itself what it is asked with the password it was given.
func TestAFlashedPiComesUp(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "status.password")
	if err := os.WriteFile(secret, []byte("correct-horse-battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := flash(t, pi, `
gateway: {id: north-gw1}
forward: {kafka: {brokers: ["127.0.0.1:9092"]}}
buffer: {path: /var/lib/busbar, max_size: 128MiB}
status: {listen: "0.0.0.0:9464", password_file: status.password}
devices: [{id: meter, profile: eastron/sdm630, modbus: {endpoint: "tcp://10.0.2.2:502", unit: 1}}]
`, "", "--beside", secret)
	began := time.Now()
	c.boot()
	await.True(t, "the status page is there", func() bool {
		code, page := c.get("correct-horse-battery")
		return code == http.StatusOK && strings.Contains(page, "<h1>north-gw1</h1>")
	})
	t.Logf("its status page is there after %v", time.Since(began).Round(100*time.Millisecond))
	if list := c.sh(`mdir -b -i "$1@@1M" ::`, c.path); strings.Contains(list, "password") {
		t.Errorf("on the card, which anybody can read, are\n%s", list)
	}
	c.cut()
	c.check()
}
