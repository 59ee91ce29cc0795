package modbus

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/telemetry"
)

func TestSerialSettings(t *testing.T) {
	for _, l := range []Line{
		{Baud: 9600, Parity: NoParity, StopBits: 1},
		{Baud: 19200, Parity: Even, StopBits: 1},
		{Baud: 115200, Parity: Odd, StopBits: 2},
		{Baud: 31250, Parity: NoParity, StopBits: 2}, // not one of the named rates
	} {
		_, slave := openPTY(t)
		p, err := openSerial(slave.Name(), l)
		if err != nil {
			t.Fatal(err)
		}
		got, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS2)
		if err != nil {
			t.Fatal(err)
		}
		if got.Ispeed != uint32(l.Baud) || got.Ospeed != uint32(l.Baud) || (got.Cflag&unix.CSTOPB != 0) != (l.StopBits == 2) || (got.Cflag&unix.PARODD != 0) != (l.Parity == Odd) {
			t.Errorf("%v: %+v", l, got)
		}
		if got.Lflag != 0 || got.Oflag != 0 || got.Iflag&^unix.INPCK != 0 {
			t.Errorf("%v isn't raw: %+v", l, got)
		}
		p.Close()
	}
}

// A port has one program. Afterwards another can have it, even if somebody
// has kept it open all the while.
func TestSerialPortIsExclusive(t *testing.T) {
	_, slave := openPTY(t)
	path := slave.Name()
	l := Line{Baud: 9600, Parity: NoParity, StopBits: 1}
	p, err := openSerial(path, l)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openSerial(path, l); err == nil || err.Error() != path+" is in use by another program" {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openSerial(path, l)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	// One that doesn't know of locks, and isn't root, finds it shut.
	exclusive := func() bool {
		set, err := unix.IoctlGetInt(int(slave.Fd()), unix.TIOCGEXCL)
		if err != nil {
			t.Fatal(err)
		}
		return set != 0
	}
	if exclusive() {
		t.Error("a port that was closed is still exclusive")
	}
	if p, err = openSerial(path, l); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if !exclusive() {
		t.Error("an open port isn't exclusive")
	}
}

func TestWhatIsNoSerialPort(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, terminal := openPTY(t)
	plain := Line{Baud: 9600, Parity: NoParity, StopBits: 1}
	switched := plain
	switched.RS485 = RS485{Enabled: true, RTSOnSend: true}
	for _, c := range []struct {
		path, want string
		line       Line
	}{
		{"/dev/ttyNone", "no such file", plain},
		{file, "no serial port", plain},
		{"/dev/null", "no serial port", plain},
		{terminal.Name(), "doesn't switch the direction of RS-485, expected no rs485 option", switched},
	} {
		if _, err := openSerial(c.path, c.line); err == nil || !strings.Contains(err.Error(), c.path) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", c.path, err, c.want)
		}
	}
}

// The layout of linux/serial.h: 32 bytes; flags, the delays in ms, padding.
func TestKernelRS485(t *testing.T) {
	if size := unsafe.Sizeof(kernelRS485{}); size != 32 {
		t.Errorf("%d bytes", size)
	}
	for _, c := range []struct {
		in   RS485
		want kernelRS485
	}{
		{RS485{Enabled: true, RTSOnSend: true}, kernelRS485{flags: 0b00011}},
		{RS485{Enabled: true, DelayBefore: time.Millisecond, DelayAfter: 20 * time.Millisecond}, kernelRS485{flags: 0b00101, delayBefore: 1, delayAfter: 20}},
		{RS485{Enabled: true, RTSOnSend: true, ReceiveWhileSending: true}, kernelRS485{flags: 0b10011}},
	} {
		if got := *newKernelRS485(c.in); got != c.want {
			t.Errorf("%+v: %+v, expected %+v", c.in, got, c.want)
		}
	}
}

// The converter is pulled out and plugged in again.
func TestUnpluggedPort(t *testing.T) {
	ours, theirs, unplug := twoTTYs(t)
	python := python(t)
	endpoint := "rtu://" + ours + "?baud=9600&parity=N"
	var out bytes.Buffer
	kill, exited := start(t, exec.Command(python, "testdata/meter.py", "rtu", theirs), &out)
	awaitMeter(t, endpoint, exited, &out)
	d, want := everyKind("d", endpoint, 1, 1000)
	a, sink := run(t, d)
	sink.await(t, "values", func() bool { return good(sink.from("d", 0), 2) })

	unplug()
	kill()
	sink.await(t, "the loss of the port", func() bool { return countBad(sink.from("d", 0), telemetry.NotConnected) > 2*len(want) })
	plug(t, ours, theirs)
	var again bytes.Buffer
	start(t, exec.Command(python, "testdata/meter.py", "rtu", theirs), &again)
	n := sink.count("d")
	sink.await(t, "values again", func() bool { return good(sink.from("d", n), 2) })
	for _, b := range sink.from("d", 0) {
		for i, s := range b.Samples[:len(want)] {
			if s.Quality == 0 && s.Value != want[i] {
				t.Fatalf("%s: %v", d.Points[i].Name, s.Value)
			}
		}
	}
	if r := a.Stats().Endpoints[0].Reconnects; r == 0 {
		t.Error("the port wasn't opened again")
	}
}
