//go:build linux

package appliance

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/firmware-config/image/layout"
	"github.com/busbar/busbar/gateway/update"
)

// piSlots are those of a Raspberry Pi: partitions 2 and 3, of which the firmware starts the
// one that autoboot.txt names for all starts, or the one that it names for tryboot, once,
// if the restart before has asked for that. So a version that doesn't come up has one start.
// It implements update.Slots.
type piSlots struct {
	boot    string // where the first partition is mounted
	started layout.Started
	write   func(f func() error) error                     // has the first partition writable
	open    func(slot int, f func(dir string) error) error // has a slot's mounted and writable
	sync    func(dir string) error

	mu sync.Mutex // held while a partition is read or written

	runningMu sync.Mutex
	running   update.Slot
}

// trialName is a file of the first partition, from when a slot is to be tried until it is
// confirmed or dropped.
const trialName = "trial.txt"

func newPiSlots(boot string, started layout.Started, write func(f func() error) error, open func(slot int, f func(dir string) error) error) (*piSlots, error) {
	s := &piSlots{boot: boot, started: started, write: write, open: open, sync: syncAll}
	if started.Number != 2 && started.Number != 3 {
		return nil, fmt.Errorf("slot %d was started, expected 2 or 3", started.Number)
	}
	kept, err := s.kept()
	if err != nil {
		return nil, err
	}
	s.running = update.Slot{Number: started.Number, Version: started.Version, Epoch: started.Epoch, Content: started.Content, Trial: kept != started.Number}
	return s, nil
}

var bootPartition = regexp.MustCompile(`(?m)^boot_partition=([23])\r?$`)

// kept is the slot that the firmware starts, if it isn't told to try the other one.
func (s *piSlots) kept() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.boot, layout.PiAutoboot))
	if err != nil {
		return 0, err
	}
	m := bootPartition.FindSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%s names no partition 2 or 3", layout.PiAutoboot)
	}
	return strconv.Atoi(string(m[1]))
}

func (s *piSlots) Target() bundle.Target { return bundle.Pi }

func (s *piSlots) TrialArgument() string { return "0 tryboot" }

func (s *piSlots) Running() update.Slot {
	s.runningMu.Lock()
	defer s.runningMu.Unlock()
	return s.running
}

func (s *piSlots) other() int { return 5 - s.started.Number }

func (s *piSlots) Others() ([]update.Slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []update.Slot
	err := s.open(s.other(), func(dir string) error {
		line, err := os.ReadFile(filepath.Join(dir, layout.PiCommandLine))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		if is := layout.ParseStarted(string(line)); is.Number == s.other() {
			_, err := os.Stat(filepath.Join(s.boot, trialName))
			list = append(list, update.Slot{Number: is.Number, Version: is.Version, Epoch: is.Epoch, Content: is.Content, Trial: err == nil})
		}
		return nil
	})
	return list, err
}

func (s *piSlots) Stage(b *bundle.Reader) (update.Slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := layout.Started{Number: s.other(), Version: b.Manifest.Version, Epoch: b.Manifest.Epoch, Content: b.Content.String(), Local: s.started.Local}
	slot := update.Slot{Number: next.Number, Version: next.Version, Epoch: next.Epoch, Content: next.Content, Trial: true}
	var names []string
	for _, f := range b.Manifest.Files {
		names = append(names, f.Name)
		if (f.Name == layout.PiCommandLine || f.Name == layout.PiConfig) && f.Size > mostText {
			return slot, update.Unfit{Err: fmt.Errorf("%s has %d bytes, expected %d at most", f.Name, f.Size, mostText)}
		}
	}
	for _, name := range []string{layout.PiCommandLine, layout.PiConfig, layout.PiKernel, layout.Archive} {
		if !slices.Contains(names, name) {
			return slot, update.Unfit{Err: fmt.Errorf("it lacks %s", name)}
		}
	}
	if err := s.mark(false); err != nil {
		return slot, err
	}
	if err := s.open(next.Number, func(dir string) error { return s.fill(dir, b, next) }); err != nil {
		return slot, err
	}
	return slot, s.mark(true)
}

// mostText bounds the files of a slot that are changed for the machine, in bytes.
const mostText = 16 << 10

// tried is what a slot's config.txt has behind what its version says: a start that tryboot
// was asked for is told so.
const tried = "\n[all]\n[tryboot]\ncmdline=" + layout.PiTrialLine + "\n[all]\n"

// fill writes a slot anew. What says which version it has is gone first and comes last.
func (s *piSlots) fill(dir string, b *bundle.Reader, next layout.Started) error {
	if err := s.empty(dir); err != nil {
		return err
	}
	var line string
	for {
		f, content, err := b.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		want := f.SHA256
		switch f.Name {
		case layout.PiCommandLine:
			text, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			if line, err = layout.ParseOptions(text); err != nil {
				return update.Unfit{Err: err}
			}
			continue
		case layout.PiConfig:
			text, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			text = append(text, tried...)
			content, want = bytes.NewReader(text), sha256.Sum256(text)
		}
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := putFile(path, content, want); err != nil {
			return err
		}
	}
	put := func(name string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, name), fmt.Appendf(nil, "%s %s -- init\n", line, next), 0o644), s.sync(dir))
	}
	next.Trial = true
	if err := put(layout.PiTrialLine); err != nil {
		return err
	}
	next.Trial = false
	return put(layout.PiCommandLine)
}

func (s *piSlots) empty(dir string) error {
	if err := os.Remove(filepath.Join(dir, layout.PiCommandLine)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.sync(dir); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, f.Name())))
	}
	return err
}

// mark says that the other slot is to be tried, or isn't.
func (s *piSlots) mark(trial bool) error {
	path := filepath.Join(s.boot, trialName)
	if _, err := os.Stat(path); (err == nil) == trial {
		return nil
	}
	return s.write(func() error {
		if !trial {
			return errors.Join(os.Remove(path), s.sync(s.boot))
		}
		return errors.Join(os.WriteFile(path, []byte("the other slot is to be tried, or was\n"), 0o644), s.sync(s.boot))
	})
}

// Confirm names the running slot for all starts. The text keeps its length, so that one
// sector is written, and nothing of the FAT.
func (s *piSlots) Confirm() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := filepath.Join(s.boot, layout.PiAutoboot)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	n := 0
	swapped := bootPartition.ReplaceAllFunc(text, func(line []byte) []byte {
		n++
		to := s.started.Number
		if n > 1 { // of the section [tryboot]
			to = s.other()
		}
		return bytes.Replace(line, line[len("boot_partition="):len("boot_partition=")+1], []byte(strconv.Itoa(to)), 1)
	})
	if n != 2 || !strings.HasPrefix(string(text), "[all]") || len(swapped) != len(text) || len(text) > sector {
		return fmt.Errorf("%s isn't as an image has it", layout.PiAutoboot)
	}
	err = s.write(func() error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(swapped, 0)
		return errors.Join(err, f.Sync(), f.Close())
	})
	if err != nil {
		return err
	}
	s.runningMu.Lock()
	s.running.Trial = false
	s.runningMu.Unlock()
	return s.mark(false)
}

func (s *piSlots) Drop(number int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number != s.other() {
		return errors.New("the slot that runs can't be dropped")
	}
	if err := s.open(number, s.empty); err != nil {
		return err
	}
	return s.mark(false)
}

// openPiSlot mounts a slot's partition of the disk that the machine was started from.
func (m *Machine) openPiSlot(slot int, f func(dir string) error) error {
	device := strings.TrimSuffix(m.bootDevice, "1") + strconv.Itoa(slot)
	dir := "/slot"
	if _, err := repairFAT(device); err != nil {
		m.log.Error("a slot wasn't left in order, and can't be put in order", "slot", slot, "error", err)
	}
	if err := mount(device, dir, "vfat", bootFlags, bootOptions); err != nil {
		return err
	}
	return errors.Join(f(dir), syncAll(dir), unix.Unmount(dir, 0))
}
