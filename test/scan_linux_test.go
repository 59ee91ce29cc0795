package test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// at19200 is a terminal behind which unit 5 refuses every request, and answers only
// those that were sent at 19,200 baud.
func at19200(t *testing.T) (path string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	number, baud := 0, uint32(0)
	raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	path = fmt.Sprintf("/dev/pts/%d", number)
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0) // so that the master can be read whoever has it
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		request := make([]byte, 256)
		for {
			n, err := master.Read(request)
			if err != nil {
				return
			}
			raw.Control(func(fd uintptr) {
				if settings, err := unix.IoctlGetTermios(int(fd), unix.TCGETS2); err == nil {
					baud = settings.Ospeed
				}
			})
			if n < 4 || request[0] != 5 || baud != 19200 {
				continue
			}
			answer := []byte{5, request[1] | 0x80, 2}
			sum := uint16(0xFFFF)
			for _, b := range answer {
				sum ^= uint16(b)
				for range 8 {
					if sum&1 != 0 {
						sum = sum>>1 ^ 0xA001
					} else {
						sum >>= 1
					}
				}
			}
			master.Write(append(answer, byte(sum), byte(sum>>8)))
		}
	}()
	t.Cleanup(func() {
		master.Close()
		slave.Close()
	})
	return path
}

func TestTheSettingsOfALineAreFound(t *testing.T) {
	t.Parallel()
	dir, line := t.TempDir(), at19200(t)
	out, errs, code := call(t, dir, "busbar", "device", "scan", "rtu://"+line, "--lines", "--units", "4-6", "--timeout", "500ms")
	if code != 0 || !strings.Contains(out, "rtu://"+line+"?baud=19200&parity=E: 3 units asked, 1 answered") || !strings.Contains(out, "Unit 5: it doesn't say what it is.") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if out, errs, code := call(t, dir, "busbar", "device", "scan", "rtu://"+line+"?baud=9600", "--units", "4-6", "--timeout", "50ms"); code != 1 || !strings.Contains(out, "0 answered") || !strings.Contains(errs, "--lines tries other speeds") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}
