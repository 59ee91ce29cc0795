package modbus

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openSerial opens a serial port for this process alone. Both locks are needed:
// TIOCEXCL doesn't stop root, and not everything asks for the other.
func openSerial(path string, l Line) (port, error) {
	f, err := os.OpenFile(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, inUse(path)
	}
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err == nil {
		var set error
		err = raw.Control(func(fd uintptr) { set = setUp(int(fd), path, l) })
		err = errors.Join(err, set)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &serialPort{f, raw}, nil
}

type serialPort struct {
	*os.File
	raw syscall.RawConn
}

// Close gives the port back. As long as another program has it open too, it would
// stay exclusive otherwise.
func (p *serialPort) Close() error {
	p.raw.Control(func(fd uintptr) { unix.IoctlSetInt(int(fd), unix.TIOCNXCL, 0) })
	return p.File.Close()
}

// SetBaud implements SerialPort.
func (p *serialPort) SetBaud(baud int) error {
	var set error
	err := p.raw.Control(func(fd uintptr) {
		var settings *unix.Termios
		if settings, set = unix.IoctlGetTermios(int(fd), unix.TCGETS2); set != nil {
			return
		}
		settings.Cflag = settings.Cflag&^unix.CBAUD | unix.BOTHER
		settings.Ispeed, settings.Ospeed = uint32(baud), uint32(baud)
		if set = unix.IoctlSetTermios(int(fd), unix.TCSETSW2, settings); set == nil {
			set = checkBaud(int(fd), p.Name(), baud)
		}
	})
	if err = errors.Join(err, set); err != nil {
		return fmt.Errorf("set %s to %d baud: %w", p.Name(), baud, err)
	}
	return nil
}

// checkBaud reports that a port has another speed than it was set to. A receiver in the middle
// of a bit takes 3 % on each side.
func checkBaud(fd int, path string, baud int) error {
	got, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		return fmt.Errorf("ask %s for its settings: %w", path, err)
	}
	if off := float64(got.Ospeed)/float64(baud) - 1; off < -0.03 || off > 0.03 {
		return fmt.Errorf("%s can't do %d baud, the nearest is %d", path, baud, got.Ospeed)
	}
	return nil
}

func inUse(path string) error { return fmt.Errorf("%s is in use by another program", path) }

func setUp(fd int, path string, l Line) error {
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return inUse(path)
	}
	if err := unix.IoctlSetInt(fd, unix.TIOCEXCL, 0); err != nil {
		return fmt.Errorf("%s is no serial port: %w", path, err)
	}
	// Raw: no characters are translated, none has a meaning, and a read returns
	// what is there. Parity errors become zeros, which the checksum finds.
	settings := unix.Termios{
		Cflag:  unix.CREAD | unix.CLOCAL | unix.CS8 | unix.BOTHER,
		Ispeed: uint32(l.Baud),
		Ospeed: uint32(l.Baud),
	}
	settings.Cc[unix.VMIN] = 1
	if l.DataBits == 7 {
		settings.Cflag = settings.Cflag&^unix.CSIZE | unix.CS7
	}
	if l.StopBits == 2 {
		settings.Cflag |= unix.CSTOPB
	}
	if l.Parity != NoParity {
		settings.Cflag |= unix.PARENB
		settings.Iflag |= unix.INPCK
	}
	if l.Parity == Odd {
		settings.Cflag |= unix.PARODD
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETS2, &settings); err != nil {
		return fmt.Errorf("set %s to %v: %w", path, l, err)
	}
	if err := checkBaud(fd, path, l.Baud); err != nil {
		return err
	}
	if l.RS485.Enabled {
		if err := ioctl(fd, unix.TIOCSRS485, newKernelRS485(l.RS485)); err != nil {
			return fmt.Errorf("the driver of %s doesn't switch the direction of RS-485, expected no rs485 option: %w", path, err)
		}
	}
	return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIOFLUSH)
}

// kernelRS485 is struct serial_rs485 of linux/serial.h.
type kernelRS485 struct {
	flags                   uint32
	delayBefore, delayAfter uint32 // ms
	_                       [5]uint32
}

const (
	rs485Enabled      = 1 << 0
	rs485RTSOnSend    = 1 << 1
	rs485RTSAfterSend = 1 << 2
	rs485RxDuringTx   = 1 << 4
)

func newKernelRS485(r RS485) *kernelRS485 {
	k := &kernelRS485{flags: rs485Enabled, delayBefore: uint32(r.DelayBefore / time.Millisecond), delayAfter: uint32(r.DelayAfter / time.Millisecond)}
	if r.RTSOnSend {
		k.flags |= rs485RTSOnSend
	} else {
		k.flags |= rs485RTSAfterSend
	}
	if r.ReceiveWhileSending {
		k.flags |= rs485RxDuringTx
	}
	return k
}

func ioctl(fd int, request uint, k *kernelRS485) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(k))); errno != 0 {
		return errno
	}
	return nil
}
