//go:build linux

package appliance

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"aead.dev/minisign"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/firmware-config/image/layout"
)

// piCard is a card for a Raspberry Pi: three directories for its FAT partitions.
type piCard struct {
	card
	tryboot bool           // the restart before has asked for it
	told    layout.Started // what the kernel was told that runs
}

func newPiCard(t *testing.T) *piCard {
	c := &piCard{card: card{t: t, boot: t.TempDir()}}
	var err error
	if c.public, c.key, err = minisign.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"1/autoboot.txt": "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n",
		"2/cmdline.txt":  "quiet " + layout.Started{Number: 2, Version: "1.0", Epoch: 4, Local: "dwc_otg.speed=1 loglevel=4"}.String() + " -- init\n",
		"2/config.txt":   "arm_64bit=1\n", "2/kernel8.img": "kernel 1.0", "2/initrd": "archive 1.0", "3/.": "",
	} {
		path := filepath.Join(c.boot, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(c.boot, "3"), 0o755); err != nil {
		t.Fatal(err)
	}
	return c
}

// start starts the machine as the documentation of autoboot.txt says: sections that hold are
// followed in their order, [all] always and [tryboot] if the restart has asked for it, which
// is forgotten then. The partition's config.txt is read in the same way, and names the
// kernel's command line, which is in cmdline.txt if it doesn't.
func (c *piCard) start() *piSlots {
	c.t.Helper()
	say := func(file, key, unless string) string {
		text, err := os.ReadFile(filepath.Join(c.boot, file))
		if err != nil {
			c.t.Fatalf("it can't be started: %v", err)
		}
		holds := true
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "[") {
				holds = line == "[all]" || line == "[tryboot]" && c.tryboot
			} else if value, is := strings.CutPrefix(line, key+"="); is && holds {
				unless = value
			}
		}
		return unless
	}
	partition := say("1/"+layout.PiAutoboot, "boot_partition", "1")
	name := say(partition+"/"+layout.PiConfig, "cmdline", "cmdline.txt")
	c.tryboot = false
	line, err := os.ReadFile(filepath.Join(c.boot, partition, name))
	if err != nil {
		c.t.Fatal(err)
	}
	c.told = layout.ParseStarted(string(line))
	s, err := newPiSlots(filepath.Join(c.boot, "1"), c.told, func(f func() error) error { return f() },
		func(slot int, f func(dir string) error) error { return f(filepath.Join(c.boot, strconv.Itoa(slot))) })
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *piCard) stage(s *piSlots, version string) {
	c.t.Helper()
	slot, err := s.Stage(c.sign(bundle.Manifest{Version: version, Epoch: 5, Target: bundle.Pi}, piFiles(version)))
	if err != nil || slot.Number == s.Running().Number || !slot.Trial {
		c.t.Fatalf("%+v, %v", slot, err)
	}
	c.tryboot = s.TrialArgument() == "0 tryboot"
}

func piFiles(version string) fstest.MapFS {
	return fstest.MapFS{"cmdline.txt": {Data: []byte("quiet\n")}, "config.txt": {Data: []byte("arm_64bit=1\n")}, "kernel8.img": {Data: []byte("kernel " + version)},
		"initrd": {Data: []byte("archive " + version)}, "overlays/a.dtbo": {Data: []byte("overlay")}}
}

func TestAPiTriesAndKeepsAVersion(t *testing.T) {
	c := newPiCard(t)
	for i, version := range []string{"2.0", "3.0", "2.5"} {
		c.stage(c.start(), version)
		s := c.start()
		if r := s.Running(); r.Version != version || !r.Trial || r.Number != 3-i%2 || r.Epoch != 5 || len(r.Content) != 64 {
			t.Fatalf("%+v", r)
		}
		if !c.told.Trial || c.told.Local != "dwc_otg.speed=1 loglevel=4" || c.told.Content != s.Running().Content {
			t.Errorf("on trial, the kernel is told %q", c.told)
		}
		if err := s.Confirm(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if r := c.start().Running(); r.Version != version || r.Trial || c.told.Trial || c.told.Local != "dwc_otg.speed=1 loglevel=4" {
				t.Fatalf("%+v, told %q", r, c.told)
			}
		}
	}
	others, err := c.start().Others()
	if err != nil || len(others) != 1 || others[0].Version != "3.0" || others[0].Trial {
		t.Errorf("%+v, %v", others, err)
	}
	if text, err := os.ReadFile(filepath.Join(c.boot, "3", "overlays", "a.dtbo")); err != nil || string(text) != "overlay" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestAPiLeavesAVersionThatDoesntComeUp(t *testing.T) {
	c := newPiCard(t)
	c.stage(c.start(), "2.0")
	if r := c.start().Running(); r.Version != "2.0" || !r.Trial { // and is restarted by its watchdog
		t.Fatalf("%+v", r)
	}
	s := c.start()
	others, err := s.Others()
	if r := s.Running(); r.Version != "1.0" || r.Trial || err != nil || len(others) != 1 || !others[0].Trial || others[0].Left != 0 {
		t.Fatalf("%+v, %+v, %v", r, others, err)
	}
	if err := s.Drop(3); err != nil {
		t.Fatal(err)
	}
	if others, err := s.Others(); err != nil || len(others) != 0 {
		t.Errorf("%+v, %v", others, err)
	}
	if err := s.Drop(2); err == nil {
		t.Error("the slot that runs was dropped")
	}
}

func TestAPiIsStartedWhereverItWasCut(t *testing.T) {
	for cut := 0; ; cut++ {
		c := newPiCard(t)
		s, steps, done := c.start(), 0, false
		cutting := func(dir string) error {
			if steps == cut {
				panic(errCut)
			}
			steps++
			return syncAll(dir)
		}
		func() {
			defer func() {
				if r := recover(); r != nil && r != errCut {
					panic(r)
				}
			}()
			s.sync = cutting
			c.stage(s, "2.0")
			s = c.start()
			s.sync = cutting
			if err := s.Confirm(); err != nil {
				t.Fatal(err)
			}
			done = true
		}()
		c.tryboot = false
		r := c.start().Running()
		for name, want := range map[string]string{layout.PiKernel: "kernel ", layout.Archive: "archive "} {
			if text, err := os.ReadFile(filepath.Join(c.boot, strconv.Itoa(r.Number), name)); err != nil || string(text) != want+r.Version {
				t.Errorf("cut at step %d, version %s: %s is %q, %v", cut, r.Version, name, text, err)
			}
		}
		if done {
			if cut < 4 || r.Version != "2.0" {
				t.Errorf("%d steps, %+v", cut, r)
			}
			return
		}
	}
}

func TestWhatCantBeAPisSlotIsRefused(t *testing.T) {
	c := newPiCard(t)
	for _, name := range []string{layout.PiCommandLine, layout.PiConfig, layout.PiKernel, layout.Archive} {
		files := piFiles("2.0")
		delete(files, name)
		if _, err := c.start().Stage(c.sign(bundle.Manifest{Version: "2.0", Epoch: 5, Target: bundle.Pi}, files)); err == nil || err.Error() != "it lacks "+name {
			t.Errorf("without %s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(c.boot, "1", layout.PiAutoboot), []byte("boot_partition=2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := c.start()
	if err := s.Confirm(); err == nil || !strings.Contains(err.Error(), "isn't as an image has it") {
		t.Errorf("an autoboot.txt that somebody has changed: %v", err)
	}
	if names, _ := os.ReadDir(filepath.Join(c.boot, "1")); len(names) != 1 || !slices.ContainsFunc(names, func(e os.DirEntry) bool { return e.Name() == layout.PiAutoboot }) {
		t.Errorf("%v", names)
	}
}
