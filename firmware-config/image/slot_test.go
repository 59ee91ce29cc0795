package image

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/firmware-config/image/layout"
)

// What the kernel unpacks has its modules where the gateway looks for them, says what it is
// for, and is the same whenever it is made.
func TestAnArchiveHasTheKernelsModules(t *testing.T) {
	s := spec(t)
	s.Target, s.Modules = bundle.PCDebian, t.TempDir()
	for name, text := range map[string]string{"modules.dep": "kernel/fs/ext4.ko:\n", "kernel/fs/ext4.ko": "a module"} {
		file := filepath.Join(s.Modules, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var archives [2][]byte
	for i := range archives {
		dir := t.TempDir()
		if err := s.WriteSlot(dir); err != nil {
			t.Fatal(err)
		}
		zip, err := os.ReadFile(filepath.Join(dir, layout.Archive))
		if err != nil {
			t.Fatal(err)
		}
		r, err := gzip.NewReader(bytes.NewReader(zip))
		if err != nil {
			t.Fatal(err)
		}
		if archives[i], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the same isn't the same archive")
	}
	for _, want := range []string{"lib/modules/modules.dep\x00", "kernel/fs/ext4.ko:\n", "lib/modules/kernel/fs/ext4.ko\x00", "a module", "etc/busbar/target\x00", "pc-debian"} {
		if !bytes.Contains(archives[0], []byte(want)) {
			t.Errorf("%q isn't in it", want)
		}
	}
	s.Modules = filepath.Join(s.Modules, "none")
	if err := s.WriteSlot(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the modules: %v", err)
	}
}
