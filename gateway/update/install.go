package update

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/busbar/busbar/firmware-config/bundle"
)

var (
	errGathering  = errors.New("a bundle is being brought already")
	errInstalling = errors.New("another version is being installed")
	errOnTrial    = errors.New("the version that runs is on trial: it has to be confirmed first")
	errNoKeys     = Unfit{errors.New("this image trusts no key that could have signed a bundle")}
)

// Unfit is why a bundle is refused for good: this machine won't ever take it. Any other error
// may pass.
type Unfit struct{ Err error }

func (u Unfit) Error() string { return u.Err.Error() }
func (u Unfit) Unwrap() error { return u.Err }

// IsUnfit reports whether an error is for good.
func IsUnfit(err error) bool {
	_, is := errors.AsType[Unfit](err)
	return is
}

// install verifies a bundle that is whole, writes it into a slot, and has the machine
// restart with it. The error is why it isn't installed.
func (u *Updater) install(path string, digest bundle.Digest, health Health) error {
	if !u.installing.TryLock() {
		return errInstalling
	}
	defer u.installing.Unlock()
	if u.OnTrial() {
		return errOnTrial
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := u.verify(file); err != nil {
		return err
	}
	if _, err := file.Seek(0, 0); err != nil {
		return err
	}
	b, err := bundle.NewReader(file, u.o.Keys)
	if err != nil {
		return err
	}
	m, running := b.Manifest, u.o.Slots.Running()
	err = u.change(func(j *journal) {
		j.Attempt = &attempt{Version: m.Version, Epoch: m.Epoch, Content: b.Content.String(), From: running.Version, FromSlot: running.Number,
			Bundle: digest, Began: time.Now(), Devices: health.Answering}
	})
	if err != nil {
		return err
	}
	u.o.Log.Info("a version is being written into a slot", "version", m.Version, "epoch", m.Epoch)
	slot, err := u.o.Slots.Stage(b)
	if err != nil {
		return errors.Join(fmt.Errorf("write version %s into a slot: %w", m.Version, err), u.change(func(j *journal) { j.Attempt = nil }))
	}
	if err := u.change(func(j *journal) { j.Attempt.Slot = slot.Number }); err != nil {
		u.o.Log.Error("which slot is tried can't be noted", "error", err) // the next start finds it out
	}
	if err := os.Remove(path); err != nil {
		u.o.Log.Error("a bundle that was installed can't be removed", "error", err)
	}
	u.o.Log.Warn("the machine restarts to try a version", "version", slot.Version, "slot", slot.Number)
	u.o.Reboot(u.o.Slots.TrialArgument())
	return nil
}

// verify reads a whole bundle before anything of it is used.
func (u *Updater) verify(file *os.File) error {
	if len(u.o.Keys) == 0 {
		return errNoKeys
	}
	m, err := bundle.Verify(file, u.o.Keys)
	if err == nil {
		err = m.Suits(u.installed())
	}
	if _, unread := errors.AsType[*fs.PathError](err); err == nil || unread {
		return err
	}
	return Unfit{err}
}

func (u *Updater) installed() bundle.Installed {
	running := u.o.Slots.Running()
	u.mu.Lock()
	defer u.mu.Unlock()
	return bundle.Installed{Target: u.o.Slots.Target(), Epoch: max(u.journal.Epoch, running.Epoch)}
}
