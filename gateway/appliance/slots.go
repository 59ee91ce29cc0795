//go:build linux

package appliance

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/firmware-config/image/layout"
	"github.com/busbar/busbar/gateway/update"
)

// loaderSlots are those of a machine with UEFI: directories of the boot partition, and
// systemd-boot's entries for them. It implements update.Slots.
type loaderSlots struct {
	boot    string // where the boot partition is mounted
	target  bundle.Target
	started layout.Started
	// write has the partition writable while it runs f.
	write func(f func() error) error
	sync  func(dir string) error // has everything of a directory's file system on the medium

	mu sync.Mutex // held while the partition is read or written

	runningMu sync.Mutex
	running   update.Slot
}

// newLoaderSlots are those of a boot partition that is mounted.
func newLoaderSlots(boot string, started layout.Started, write func(f func() error) error) (*loaderSlots, error) {
	s := &loaderSlots{boot: boot, started: started, write: write, sync: syncAll}
	s.running = update.Slot{Number: started.Number, Version: started.Version, Epoch: started.Epoch, Content: started.Content, Trial: started.Trial}
	entries, err := s.entries()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch {
		case e.Number != started.Number:
		case e.Trial:
			s.running.Left = e.Left
		default: // confirmed, also if the power failed before the other entry was gone
			s.running.Trial = false
		}
	}
	if !s.running.Trial {
		s.running.Left = 0
	}
	if started.Trial && !s.running.Trial {
		return s, s.Confirm()
	}
	return s, nil
}

// Slots are the machine's, or the error says why it has none.
func (m *Machine) Slots() (update.Slots, error) {
	if m.started.Number == 0 {
		return nil, errors.New("the kernel's command line doesn't say which slot was started: the image is of a version without slots")
	}
	if _, err := os.Stat(filepath.Join(layout.BootDir, layout.PiAutoboot)); err == nil {
		return newPiSlots(layout.BootDir, m.started, m.writeBoot, m.openPiSlot)
	}
	target, err := os.ReadFile(layout.Target)
	if err != nil {
		return nil, fmt.Errorf("what the version is for: %w", err)
	}
	s, err := newLoaderSlots(layout.BootDir, m.started, m.writeBoot)
	if err != nil {
		return nil, err
	}
	s.target = bundle.Target(target)
	return s, nil
}

// Free is how many bytes of a directory's file system are free.
func Free(dir string) (int64, error) {
	var s unix.Statfs_t
	err := unix.Statfs(dir, &s)
	return int64(s.Bavail) * int64(s.Bsize), err
}

// writeBoot does something while the boot partition can be written, which no two do at once.
func (m *Machine) writeBoot(f func() error) error {
	m.boot.Lock()
	defer m.boot.Unlock()
	remount := func(flags uintptr) error {
		if err := unix.Mount("", layout.BootDir, "", bootFlags|unix.MS_REMOUNT|flags, bootOptions); err != nil {
			return fmt.Errorf("remount %s: %w", layout.BootDir, err)
		}
		return nil
	}
	if err := remount(0); err != nil {
		return err
	}
	return errors.Join(f(), syncAll(layout.BootDir), remount(unix.MS_RDONLY))
}

func (s *loaderSlots) Target() bundle.Target { return s.target }

func (s *loaderSlots) TrialArgument() string { return "" }

func (s *loaderSlots) Running() update.Slot {
	s.runningMu.Lock()
	defer s.runningMu.Unlock()
	return s.running
}

func (s *loaderSlots) Others() ([]update.Slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := s.entries()
	if err != nil {
		return nil, err
	}
	var list []update.Slot
	for _, e := range entries {
		if e.Number != s.started.Number && e.Version != "" {
			list = append(list, update.Slot{Number: e.Number, Version: e.Version, Epoch: e.Epoch, Content: e.Content, Trial: e.Trial, Left: e.Left})
		}
	}
	return list, nil
}

func (s *loaderSlots) dir() string { return filepath.Join(s.boot, layout.EntriesDir) }

// entries are those of this program, by name.
func (s *loaderSlots) entries() (list []layout.Entry, err error) {
	files, err := os.ReadDir(s.dir())
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(s.dir(), f.Name()))
		if err != nil {
			return nil, err
		}
		if e, ok := layout.ParseEntry(f.Name(), text); ok {
			list = append(list, e)
		}
	}
	return list, nil
}

func (s *loaderSlots) Stage(b *bundle.Reader) (update.Slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := layout.Entry{Version: b.Manifest.Version, Epoch: b.Manifest.Epoch, Content: b.Content.String(), Trial: true, Left: layout.Tries}
	err := s.write(func() error { return s.stage(b, &next) })
	return update.Slot{Number: next.Number, Version: next.Version, Epoch: next.Epoch, Content: next.Content, Trial: true, Left: next.Left}, err
}

func (s *loaderSlots) stage(b *bundle.Reader, next *layout.Entry) error {
	if err := suits(b.Manifest); err != nil {
		return update.Unfit{Err: err}
	}
	entries, err := s.entries()
	if err != nil {
		return err
	}
	next.Number = s.started.Number
	for _, e := range entries {
		next.Number = max(next.Number, e.Number)
		if e.Number == s.started.Number && e.Local != "" {
			next.Local = e.Local
		}
	}
	next.Number++
	if err := s.removeBut(s.started.Number); err != nil {
		return err
	}
	if err := s.room(b.Manifest); err != nil {
		return err
	}
	if err := s.put(b, next); err != nil {
		return errors.Join(err, os.RemoveAll(filepath.Join(s.boot, layout.SlotDir(next.Number))))
	}
	return s.putEntry(*next)
}

// suits says why a bundle can't be a slot of this machine.
func suits(m bundle.Manifest) error {
	var names []string
	for _, f := range m.Files {
		names = append(names, f.Name)
		if f.Name == layout.CommandLine && f.Size > 4096 {
			return fmt.Errorf("%s has %d bytes, expected 4096 at most", f.Name, f.Size)
		}
	}
	slices.Sort(names)
	want := []string{layout.CommandLine, layout.Archive, layout.Kernel}
	if !slices.Equal(names, want) {
		return fmt.Errorf("it holds %v, expected %v", names, want)
	}
	return nil
}

// removeBut removes all slots but one.
func (s *loaderSlots) removeBut(keep int) error {
	entries, err := s.entries()
	if err != nil {
		return err
	}
	for _, e := range entries { // a slot without an entry is no harm; an entry without a slot is
		if e.Number != keep {
			err = errors.Join(err, os.Remove(filepath.Join(s.dir(), e.Name())))
		}
	}
	if err = errors.Join(err, s.sync(s.boot)); err != nil {
		return err
	}
	dirs, err := os.ReadDir(filepath.Join(s.boot, "busbar"))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if d.Name() != strconv.Itoa(keep) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.boot, "busbar", d.Name())))
		}
	}
	return err
}

// spare is what is left free beside a slot's files, in bytes.
const spare = 1 << 20

func (s *loaderSlots) room(m bundle.Manifest) error {
	var needed int64
	for _, f := range m.Files {
		needed += f.Size
	}
	free, err := Free(s.boot)
	if err == nil && free < needed+spare {
		err = fmt.Errorf("it needs %d MB of the boot partition, where %d MB are free", (needed+spare)>>20, free>>20)
	}
	return err
}

// put writes the files of a slot, and reads them back.
func (s *loaderSlots) put(b *bundle.Reader, next *layout.Entry) error {
	dir := filepath.Join(s.boot, layout.SlotDir(next.Number))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for {
		f, content, err := b.Next()
		switch {
		case errors.Is(err, io.EOF):
			return s.sync(s.boot)
		case err != nil:
			return err
		case f.Name == layout.CommandLine:
			line, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			if next.Options, err = layout.ParseOptions(line); err != nil {
				return update.Unfit{Err: err}
			}
			continue
		}
		if err := putFile(filepath.Join(dir, f.Name), content, f.SHA256); err != nil {
			return err
		}
	}
}

// putFile writes a file, and reads it again from the medium.
func putFile(path string, content io.Reader, want bundle.Digest) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, content); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if got := bundle.Digest(h.Sum(nil)); got != want {
		return fmt.Errorf("%s was written, and what is read back is something else: the medium is failing", filepath.Base(path))
	}
	return file.Close()
}

// putEntry writes an entry, which is what has the loader start a slot.
func (s *loaderSlots) putEntry(e layout.Entry) error {
	file, err := os.OpenFile(filepath.Join(s.dir(), e.Name()), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(e.Text())
	return errors.Join(err, file.Sync(), file.Close(), s.sync(s.boot))
}

// Confirm writes an entry that isn't on trial beside the one that is, and then removes
// that: renaming it could leave two names of one file behind.
func (s *loaderSlots) Confirm() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := s.entries()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(entries, func(e layout.Entry) bool { return e.Number == s.started.Number && e.Version != "" })
	if i < 0 {
		return fmt.Errorf("slot %d has no entry any more", s.started.Number)
	}
	confirmed := entries[i]
	confirmed.Trial = false
	err = s.write(func() error {
		if err := s.putEntry(confirmed); err != nil {
			return err
		}
		for _, e := range entries {
			if e.Number == confirmed.Number && e.Trial {
				err = errors.Join(err, os.Remove(filepath.Join(s.dir(), e.Name())))
			}
		}
		return errors.Join(err, s.sync(s.boot))
	})
	if err == nil {
		s.runningMu.Lock()
		defer s.runningMu.Unlock()
		s.running.Trial, s.running.Left = false, 0
	}
	return err
}

func (s *loaderSlots) Drop(number int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number == s.started.Number {
		return errors.New("the slot that runs can't be dropped")
	}
	entries, err := s.entries()
	if err != nil {
		return err
	}
	return s.write(func() error {
		for _, e := range entries {
			if e.Number == number {
				err = errors.Join(err, os.Remove(filepath.Join(s.dir(), e.Name())))
			}
		}
		if err = errors.Join(err, s.sync(s.boot)); err != nil {
			return err
		}
		return os.RemoveAll(filepath.Join(s.boot, layout.SlotDir(number)))
	})
}

// syncAll has everything of the file system that a directory is in on the medium.
func syncAll(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return &fs.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return nil
}
