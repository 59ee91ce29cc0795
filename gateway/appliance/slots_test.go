//go:build linux

package appliance

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
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

// choose is which entry systemd-boot 252 starts, by its source (config_entry_compare and
// config_default_entry_select of src/boot/efi/boot.c) for entries without sort-key: those
// with no starts left come last, then the name in descending order of versions, then more
// starts left first. It counts the start in the entry's name, as the loader does before it.
func choose(t *testing.T, dir string) layout.Started {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	type candidate struct {
		layout.Entry
		file string
		text []byte
	}
	var list []candidate
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		e, ok := layout.ParseEntry(f.Name(), text)
		if !ok || !bytes.Contains(text, []byte("\nlinux ")) { // the loader ignores what it can't start
			continue
		}
		list = append(list, candidate{e, f.Name(), text})
	}
	if len(list) == 0 {
		t.Fatal("the loader finds nothing to start")
	}
	spent := func(c candidate) int {
		if c.Trial && c.Left == 0 {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		if d := spent(a) - spent(b); d != 0 {
			return d
		}
		if d := b.Number - a.Number; d != 0 {
			return d
		}
		if !a.Trial || !b.Trial {
			return 0
		}
		return b.Left - a.Left
	})
	first := list[0]
	if first.Trial && first.Left > 0 {
		counted := first.Entry
		counted.Left--
		counted.Done++
		if err := os.Rename(filepath.Join(dir, first.file), filepath.Join(dir, counted.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(string(first.text)) {
		if options, ok := strings.CutPrefix(line, "options "); ok && strings.Contains(options, "busbar.slot") {
			return layout.ParseStarted(options)
		}
	}
	t.Fatalf("%s doesn't say which slot it is", first.file)
	return layout.Started{}
}

// card is a boot partition as an image has it, in a directory, and what signs its bundles.
type card struct {
	t      *testing.T
	boot   string
	public minisign.PublicKey
	key    minisign.PrivateKey
}

func newCard(t *testing.T) *card {
	c := &card{t: t, boot: t.TempDir()}
	var err error
	if c.public, c.key, err = minisign.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	entry := layout.Entry{Number: 1, Version: "1.0", Epoch: 4, Options: "quiet rdinit=/init", Local: "loglevel=4"}
	for name, text := range map[string]string{
		filepath.Join(layout.EntriesDir, entry.Name()): string(entry.Text()), layout.SlotDir(1) + "/vmlinuz": "kernel 1.0", layout.SlotDir(1) + "/initrd": "archive 1.0",
	} {
		path := filepath.Join(c.boot, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// start starts the machine: its slots are those of what the loader chose.
func (c *card) start() *loaderSlots {
	s, err := newLoaderSlots(c.boot, choose(c.t, filepath.Join(c.boot, layout.EntriesDir)), func(f func() error) error { return f() })
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *card) bundle(version string, change func(fstest.MapFS)) *bundle.Reader {
	c.t.Helper()
	files := fstest.MapFS{
		"cmdline": {Data: []byte("quiet rdinit=/init version=" + version + "\n")}, "initrd": {Data: []byte("archive " + version)}, "vmlinuz": {Data: []byte("kernel " + version)},
	}
	if change != nil {
		change(files)
	}
	return c.sign(bundle.Manifest{Version: version, Epoch: 5, Target: bundle.PC}, files)
}

// sign is a bundle of the files, as it is read.
func (c *card) sign(m bundle.Manifest, files fstest.MapFS) *bundle.Reader {
	c.t.Helper()
	for name := range files {
		m.Files = append(m.Files, bundle.File{Name: name})
	}
	slices.SortFunc(m.Files, func(a, b bundle.File) int { return strings.Compare(a.Name, b.Name) })
	var text bytes.Buffer
	if _, err := bundle.Write(&text, m, files, c.key); err != nil {
		c.t.Fatal(err)
	}
	r, err := bundle.NewReader(&text, bundle.Keys{c.public})
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *card) stage(s *loaderSlots, version string) {
	c.t.Helper()
	if _, err := s.Stage(c.bundle(version, nil)); err != nil {
		c.t.Fatal(err)
	}
}

// entries are the names of the loader's.
func (c *card) entries() []string {
	var names []string
	files, err := os.ReadDir(filepath.Join(c.boot, layout.EntriesDir))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

func TestAVersionIsTriedAndKept(t *testing.T) {
	c := newCard(t)
	s := c.start()
	if r := s.Running(); r.Version != "1.0" || r.Trial || r.Epoch != 4 {
		t.Fatalf("%+v", r)
	}
	c.stage(s, "2.0")
	s = c.start()
	if r := s.Running(); r.Version != "2.0" || !r.Trial || r.Left != 2 || r.Epoch != 5 {
		t.Fatalf("%+v", r)
	}
	if err := s.Confirm(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if r := c.start().Running(); r.Version != "2.0" || r.Trial {
			t.Fatalf("%+v", r)
		}
	}
	if got := c.entries(); !slices.Equal(got, []string{"busbar-1.conf", "busbar-2.conf"}) {
		t.Error(got)
	}
	text, err := os.ReadFile(filepath.Join(c.boot, layout.EntriesDir, "busbar-2.conf"))
	content := c.start().Running().Content
	if want := "options quiet rdinit=/init version=2.0\noptions loglevel=4\noptions busbar.slot=2 busbar.version=2.0 busbar.epoch=5 busbar.content=" + content + " -- init\n"; len(content) != 64 || err != nil || !strings.HasSuffix(string(text), want) {
		t.Errorf("%s, %v", text, err)
	}
	c.stage(c.start(), "3.0")
	if got := c.entries(); !slices.Equal(got, []string{"busbar-2.conf", "busbar-3+3.conf"}) {
		t.Error(got)
	}
	if _, err := os.Stat(filepath.Join(c.boot, layout.SlotDir(1))); !os.IsNotExist(err) {
		t.Error("the slot before the last is there still")
	}
}

func TestAVersionThatDoesntComeUpIsLeft(t *testing.T) {
	c := newCard(t)
	c.stage(c.start(), "2.0")
	for range layout.Tries {
		if r := c.start().Running(); r.Version != "2.0" {
			t.Fatalf("%+v", r)
		}
	}
	s := c.start()
	if r := s.Running(); r.Version != "1.0" || r.Trial {
		t.Fatalf("%+v", r)
	}
	others, err := s.Others()
	if err != nil || len(others) != 1 || others[0].Version != "2.0" || !others[0].Trial || others[0].Left != 0 {
		t.Errorf("%+v, %v", others, err)
	}
	if err := s.Drop(others[0].Number); err != nil {
		t.Fatal(err)
	}
	if got := c.entries(); !slices.Equal(got, []string{"busbar-1.conf"}) {
		t.Error(got)
	}
	if err := s.Drop(1); err == nil {
		t.Error("the slot that runs was dropped")
	}
}

// An older version comes after a newer one: what was installed last is what is tried.
func TestAnOlderVersionIsTriedToo(t *testing.T) {
	c := newCard(t)
	for i, version := range []string{"9.0", "10.0", "2.0", "1.0"} {
		s := c.start()
		c.stage(s, version)
		s = c.start()
		if r := s.Running(); r.Version != version || r.Number != i+2 {
			t.Fatalf("%+v", r)
		}
		if err := s.Confirm(); err != nil {
			t.Fatal(err)
		}
	}
}

// The machine is started after each step at which the power can fail, and what it starts is
// the version before until the new one is whole, and one of the two from then on.
func TestACutAnywhereLeavesWhatCanBeStarted(t *testing.T) {
	for cut := 0; ; cut++ {
		c := newCard(t)
		s := c.start()
		steps, done := 0, false
		func() { // ends as by a cut: nothing that is deferred to an error is done
			defer func() {
				if r := recover(); r != nil && r != errCut {
					panic(r)
				}
			}()
			b := c.bundle("2.0", nil)
			cutting := func(dir string) error {
				if steps == cut {
					panic(errCut)
				}
				steps++
				return syncAll(dir)
			}
			s.sync = cutting
			if _, err := s.Stage(b); err != nil {
				t.Fatal(err)
			}
			if s = c.start(); s.Running().Version != "2.0" {
				t.Fatalf("%+v", s.Running())
			}
			s.sync = cutting
			if err := s.Confirm(); err != nil {
				t.Fatal(err)
			}
			done = true
		}()
		s = c.start()
		r := s.Running()
		for name, want := range map[string]string{"vmlinuz": "kernel ", "initrd": "archive "} {
			text, err := os.ReadFile(filepath.Join(c.boot, layout.SlotDir(r.Number), name))
			if err != nil || string(text) != want+r.Version {
				t.Errorf("cut at step %d, version %s: %s is %q, %v", cut, r.Version, name, text, err)
			}
		}
		if r.Version == "1.0" {
			c.stage(s, "2.0")
			if r := c.start().Running(); r.Version != "2.0" {
				t.Errorf("cut at step %d: afterwards %+v", cut, r)
			}
		}
		if done {
			if cut < 3 {
				t.Errorf("%d steps", cut)
			}
			return
		}
	}
}

func TestWhatCantBeASlotIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(fstest.MapFS)
		says   string
	}{
		"a file too few":       {func(f fstest.MapFS) { delete(f, "vmlinuz") }, "it holds [cmdline initrd]"},
		"a file too many":      {func(f fstest.MapFS) { f["more"] = &fstest.MapFile{} }, "it holds [cmdline initrd more vmlinuz]"},
		"two lines":            {func(f fstest.MapFS) { f["cmdline"].Data = []byte("a\nb") }, "one line"},
		"another init":         {func(f fstest.MapFS) { f["cmdline"].Data = []byte("quiet -- sh") }, "without --"},
		"a command line of MB": {func(f fstest.MapFS) { f["cmdline"].Data = bytes.Repeat([]byte("x"), 5000) }, "4096 at most"},
	} {
		card := newCard(t)
		if _, err := card.start().Stage(card.bundle("2.0", c.change)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if r := card.start().Running(); r.Version != "1.0" {
			t.Errorf("%s: %+v is started", name, r)
		}
		if dirs, _ := os.ReadDir(filepath.Join(card.boot, "busbar")); len(dirs) != 1 || dirs[0].Name() != strconv.Itoa(1) {
			t.Errorf("%s: %v", name, dirs)
		}
	}
}

var errCut = fmt.Errorf("cut")
