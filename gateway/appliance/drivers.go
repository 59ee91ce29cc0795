//go:build linux

package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/firmware-config/image/layout"
)

// needed are modules that no device asks for: those of the file systems and of the firmware's
// variables, and of the tables of characters that the kernel's vfat begins with.
var needed = []string{"ext4", "vfat", "efivarfs", "nls_cp437", "nls_ascii", "nls_utf8"}

// watchdogs are modules of watchdogs and of the devices that those are parts of. They are
// loaded before others, so that a driver that hangs costs a start and no more.
var watchdogs = []string{"lpc_ich", "i2c_i801", "iTCO_wdt", "wdat_wdt", "sp5100_tco", "i6300esb"}

// settled is how long nothing may have come for what there is at the start to be known, and
// unsettled after how long the start goes on although something comes. What comes later, as on
// USB, is followed.
const (
	settled   = 50 * time.Millisecond
	unsettled = 10 * time.Second
)

// drivers loads modules for the devices that there are or come.
type drivers struct {
	m       *Machine
	modules *modules
	events  *os.File // of the kernel, about devices
	alive   func()   // is told after each name
}

// startDrivers loads what drives the devices that there are, and then that of those that
// come, until ctx ends. It returns when the first are driven. A kernel without modules has
// everything it can have.
func (m *Machine) startDrivers(ctx context.Context) {
	if _, err := os.Stat(layout.Modules); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err := m.drive(ctx); err != nil {
		m.log.Error("drivers can't be loaded", "error", err)
	}
}

func (m *Machine) drive(ctx context.Context) error {
	list, err := readModules(os.DirFS(layout.Modules), func(file string) error { return loadModule(filepath.Join(layout.Modules, file)) })
	if err != nil {
		return err
	}
	events, err := openEvents()
	if err != nil {
		return err
	}
	d := drivers{m, list, events, m.Alive}
	d.look(watchdogs...)
	d.follow(settled, unsettled)
	for _, name := range needed {
		d.want(name)
	}
	d.look()
	d.follow(settled, unsettled)
	d.alive = func() {} // what comes later doesn't say that the gateway runs
	context.AfterFunc(ctx, func() { _ = events.SetReadDeadline(time.Now()) })
	m.follows.Go(func() {
		defer events.Close()
		for ctx.Err() == nil {
			d.follow(0, 0)
		}
	})
	return nil
}

func (d drivers) want(name string, among ...string) {
	if err := d.modules.want(name, among...); err != nil {
		d.m.log.Error("a driver can't be loaded", "for", name, "error", err)
	}
	d.alive()
}

// look wants what the devices say that there are, if any modules are given only those.
func (d drivers) look(among ...string) {
	err := filepath.WalkDir("/sys/devices", func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != "modalias" {
			return nil // a device may go meanwhile
		}
		if name, err := os.ReadFile(file); err == nil {
			d.want(strings.TrimSpace(string(name)), among...)
		}
		return nil
	})
	if err != nil {
		d.m.log.Error("devices can't be listed", "error", err)
	}
}

// follow wants what the devices say that come, until none has come for a while, or at most for
// so long; 0: until the reading of events is ended.
func (d drivers) follow(quiet, most time.Duration) {
	event := make([]byte, 16<<10)
	end := time.Now().Add(most)
	for {
		if quiet > 0 {
			until := time.Now().Add(quiet)
			if until.After(end) {
				until = end
			}
			_ = d.events.SetReadDeadline(until)
		}
		n, err := d.events.Read(event)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			_ = d.events.SetReadDeadline(time.Time{})
			return
		case errors.Is(err, unix.ENOBUFS): // some were lost
			d.look()
		case err != nil:
			d.m.log.Error("the kernel's events can't be read", "error", err)
			time.Sleep(lookAgain)
		default:
			if name := deviceOf(event[:n]); name != "" {
				d.want(name)
			}
		}
	}
}

// deviceOf is what an event says a driver is wanted for; "" if it isn't about one.
func deviceOf(event []byte) string {
	for field := range bytes.SplitSeq(event, []byte{0}) {
		if name, ok := bytes.CutPrefix(field, []byte("MODALIAS=")); ok && bytes.HasPrefix(event, []byte("add@")) {
			return string(name)
		}
	}
	return ""
}

// openEvents opens what the kernel says about devices that come and go.
func openEvents() (*os.File, error) {
	const kernel, room = 1, 4 << 20
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("the kernel's events: %w", err)
	}
	err = errors.Join(unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room), unix.Bind(s, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernel}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the kernel's events: %w", err), unix.Close(s))
	}
	return os.NewFile(uintptr(s), "uevent"), nil
}
