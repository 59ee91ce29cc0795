package devices

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// PTY is a pseudo terminal: a serial port without a line.
type PTY struct {
	*os.File // what is written here is read from Path, and the other way round
	slave    *os.File
}

// OpenPTY makes one. It is raw, so nothing that a client doesn't set changes what
// passes.
func OpenPTY() (*PTY, error) {
	master, err := os.OpenFile("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	slave, err := slaveOf(master)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pseudo terminal: %w", err), master.Close())
	}
	return &PTY{master, slave}, nil
}

func slaveOf(master *os.File) (*os.File, error) {
	raw, err := master.SyscallConn()
	if err != nil {
		return nil, err
	}
	var number int
	controlled := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err := errors.Join(controlled, err); err != nil {
		return nil, err
	}
	// It stays open, or the master couldn't be read while no client has it.
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	settings := unix.Termios{Cflag: unix.CREAD | unix.CLOCAL | unix.CS8 | unix.B9600}
	settings.Cc[unix.VMIN] = 1
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, &settings); err != nil {
		return nil, errors.Join(err, slave.Close())
	}
	return slave, nil
}

// Path is where a client opens it.
func (p *PTY) Path() string { return p.slave.Name() }

func (p *PTY) Close() error { return errors.Join(p.File.Close(), p.slave.Close()) }
