//go:build linux

// Package appliance is what a gateway does that is alone on its machine: it is the
// first process, and there is no other. It mounts what it needs, makes the partition for
// its data, brings the network up and feeds the watchdog.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/firmware-config/image/layout"
)

// patience is how long a medium may take to appear, as on USB.
const patience = 20 * time.Second

// Machine is one that has started.
type Machine struct {
	log     *slog.Logger
	started layout.Started
	trial   trial
	// bootDevice is the first partition's.
	bootDevice string
	boot       sync.Mutex // held while that can be written
	watchdog   *watchdog
	stop       context.CancelFunc
	follows    sync.WaitGroup
	refused    error // why the configuration in the boot partition wasn't taken
}

// Start makes of a kernel that has just started a machine on which a gateway can run.
// What fails is told and gone without, but for the partitions: the error is about those, and
// the machine is there nevertheless, so that it can say so. The configuration is taken from
// where people edit it.
func Start(ctx context.Context, log *slog.Logger) (*Machine, error) {
	m := &Machine{log: log}
	if err := mountKernel(); err != nil {
		return m, err
	}
	m.readStart()
	ctx, m.stop = context.WithCancel(ctx)
	m.watchdog = newWatchdog(log)
	m.startDrivers(ctx)
	switch err := m.watchdog.open(); {
	case errors.Is(err, fs.ErrNotExist):
		log.Warn("this machine has no watchdog")
	case err != nil:
		log.Error("the watchdog can't be used", "error", err)
	}
	m.Alive()
	err := m.mountDisk(ctx)
	x := exchange{boot: layout.BootDir, data: layout.ConfigDir, write: m.writeBoot, log: log}
	if err == nil {
		m.refused = x.take()
	}
	network, name := x.settings()
	if name != "" {
		if err := unix.Sethostname([]byte(name)); err != nil {
			log.Error("this machine can't be given its name", "error", err)
		}
	}
	m.startNetwork(ctx, network, name)
	m.startSerial(ctx)
	return m, err
}

// Refused is why the configuration in the boot partition isn't the one that runs; nil if
// it is.
func (m *Machine) Refused() error { return m.refused }

// Alive keeps the watchdog from starting the machine anew for a while, unless a version is on
// trial that had its time.
func (m *Machine) Alive() {
	if !m.trial.over() {
		m.watchdog.feed()
	}
}

// Reboot ends what the machine does and starts it anew, saying the argument to the firmware
// unless it is "". It returns only if it can't.
func (m *Machine) Reboot(argument string) error {
	if m.stop != nil {
		m.stop()
		m.follows.Wait()
	}
	err := errors.Join(unmount(layout.DataDir), unmount(layout.BootDir))
	unix.Sync()
	if argument != "" {
		err = errors.Join(err, rebootWith(argument))
	}
	return errors.Join(err, unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}

func unmount(dir string) error {
	if err := unix.Unmount(dir, 0); err != nil && !errors.Is(err, unix.EINVAL) { // nothing is mounted
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

func mount(source, dir, kind string, flags uintptr, data string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, dir, kind, flags, data); err != nil && !errors.Is(err, unix.EBUSY) { // the kernel has done so
		return fmt.Errorf("mount %s at %s: %w", kind, dir, err)
	}
	return nil
}

func mountKernel() error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return errors.Join(
		mount("proc", "/proc", "proc", flags, ""),
		mount("sysfs", "/sys", "sysfs", flags, ""),
		mount("devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, ""),
		mount("tmpfs", "/tmp", "tmpfs", flags, "size=16m"),
		os.MkdirAll("/etc", 0o755),
	)
}

// How the boot partition is mounted: what is in a directory is on the medium before what
// comes after.
const (
	bootFlags   = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_DIRSYNC
	bootOptions = "umask=0077"
)

func (m *Machine) mountDisk(ctx context.Context) error {
	boot, err := m.awaitBoot(ctx)
	if err != nil {
		return err
	}
	data, err := findOn(boot.disk, layout.DataName)
	if errors.Is(err, errNoPartition) {
		m.log.Info("making the partition for data", "disk", boot.disk)
		started := time.Now()
		if err = makeData(boot.disk); err != nil {
			return fmt.Errorf("the partition for data can't be made on %s: %w", boot.disk, err)
		}
		m.log.Info("the partition for data is made", "took", time.Since(started).Round(time.Millisecond))
		data, err = await(ctx, m.Alive, func() (partition, error) { return findOn(boot.disk, layout.DataName) })
	}
	if err != nil {
		return err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME
	m.bootDevice = boot.device
	switch freed, err := repairFAT(boot.device); {
	case err != nil:
		m.log.Error("the boot partition wasn't left in order, and can't be put in order", "error", err)
	case freed != nil:
		m.log.Warn("the boot partition wasn't left in order, and was put in order", "what", freed)
	}
	if err := mount(boot.device, layout.BootDir, "vfat", bootFlags|unix.MS_RDONLY, bootOptions); err != nil {
		return err
	}
	if err := mount(data.device, layout.DataDir, "ext4", flags, "errors=remount-ro"); err != nil {
		return err
	}
	return errors.Join(os.Chmod(layout.DataDir, 0o700), os.MkdirAll(layout.ConfigDir, 0o700))
}
