package update

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/busbar/busbar/firmware-config/bundle"
)

var (
	errGathering  = errors.New("a bundle is being brought already")
	errInstalling = errors.New("another version is being installed")
	errOnTrial    = errors.New("the version that runs is on trial: it has to be confirmed first")
	errNoKeys     = errors.New("this image trusts no key that could have signed a bundle")
)

// install verifies a bundle that is whole, writes it into a slot, and has the machine
// restart with it. The error is why it is refused.
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
	manifest, err := u.verify(file)
	if err != nil {
		return err
	}
	running := u.o.Slots.Running()
	err = u.change(func(j *journal) {
		j.Attempt = &attempt{Version: manifest.Version, Epoch: manifest.Epoch, From: running.Version, Bundle: digest, Began: time.Now(), Devices: health.Answering}
	})
	if err != nil {
		return err
	}
	u.o.Log.Info("a version is being written into a slot", "version", manifest.Version, "epoch", manifest.Epoch)
	slot, err := u.stage(file)
	if err != nil {
		return errors.Join(err, u.change(func(j *journal) { j.Attempt = nil }))
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
func (u *Updater) verify(file *os.File) (m bundle.Manifest, err error) {
	if len(u.o.Keys) == 0 {
		return m, errNoKeys
	}
	if m, err = bundle.Verify(file, u.o.Keys); err != nil {
		return m, err
	}
	return m, m.Suits(u.installed())
}

func (u *Updater) installed() bundle.Installed {
	running := u.o.Slots.Running()
	u.mu.Lock()
	defer u.mu.Unlock()
	return bundle.Installed{Target: u.o.Slots.Target(), Epoch: max(u.journal.Epoch, running.Epoch)}
}

func (u *Updater) stage(file *os.File) (Slot, error) {
	if _, err := file.Seek(0, 0); err != nil {
		return Slot{}, err
	}
	b, err := bundle.NewReader(file, u.o.Keys)
	if err != nil {
		return Slot{}, err
	}
	slot, err := u.o.Slots.Stage(b)
	if err != nil {
		return slot, fmt.Errorf("write version %s into a slot: %w", b.Manifest.Version, err)
	}
	return slot, nil
}

// failed reports whether a bundle was rolled back here.
func (u *Updater) failed(d bundle.Digest) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Contains(u.journal.Failed, d)
}
