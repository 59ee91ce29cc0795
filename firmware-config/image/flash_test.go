//go:build linux

package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar/busbar/firmware-config/image/layout"
	"github.com/busbar/busbar/test/peer"
)

func TestOnlyWhatIsRemovableIsWritten(t *testing.T) {
	sys := t.TempDir()
	disk := func(name, at string, files map[string]string) {
		t.Helper()
		dir := filepath.Join(sys, "devices", at, name)
		for file, text := range files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(filepath.Join(sys, "class/block"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(dir, filepath.Join(sys, "class/block", name)); err != nil {
			t.Fatal(err)
		}
	}
	disk("sda", "pci/ata1", map[string]string{"removable": "0", "size": "1000"})
	disk("sda1", "pci/ata1/sda", map[string]string{"partition": "1", "size": "1000"})
	disk("sdb", "pci/ata2", map[string]string{"removable": "1", "size": "1000"})
	disk("sdc", "pci/usb1/1-1", map[string]string{"removable": "0", "size": "1000"})
	disk("sdd", "pci/usb1/1-2", map[string]string{"removable": "1", "size": "0"})
	disk("sde", "pci/usb1/1-3", map[string]string{"removable": "1", "size": "1000", "ro": "1"})
	disk("mmcblk0", "mmc0", map[string]string{"removable": "0", "size": "1000", "device/type": "SD"})
	disk("mmcblk1", "mmc1", map[string]string{"removable": "0", "size": "1000", "device/type": "MMC"})
	for name, want := range map[string]string{
		"sda": "isn't removable", "sda1": "is a partition", "sdb": "", "sdc": "", "sdd": "no medium", "sde": "can't be written",
		"mmcblk0": "", "mmcblk1": "isn't removable", "sdz": "no disk",
	} {
		if err := mayFlash(sys, name, false); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	for name, want := range map[string]bool{"sda": true, "sda1": false, "mmcblk1": true} {
		if err := mayFlash(sys, name, true); (err == nil) != want {
			t.Errorf("%s, fixed: %v", name, err)
		}
	}
	if _, err := Flash(t.Context(), "image", filepath.Join(sys, "class/block/sda/size"), true, nil); err == nil || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("a file: %v", err)
	}
}

// medium is one that counts what is written to it, and may forget.
type counted struct {
	bytes   []byte
	written int
	loses   int64 // what is written from there on isn't kept; 0: everything is
}

func (c *counted) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > int64(len(c.bytes)) {
		return 0, io.EOF
	}
	return copy(p, c.bytes[at:]), nil
}

func (c *counted) WriteAt(p []byte, at int64) (int, error) {
	c.written += len(p)
	if c.loses > 0 && at >= c.loses {
		return len(p), nil
	}
	return copy(c.bytes[at:], p), nil
}

func TestWhatIsEmptyIsWrittenOnlyWhereSomethingIs(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	content := make([]byte, 6*block+100)
	copy(content, "first")
	copy(content[5*block:], "last")
	if err := os.WriteFile(image, content, 0o600); err != nil {
		t.Fatal(err)
	}
	ignore := func(int64) {}
	used := &counted{bytes: bytes.Repeat([]byte("old"), 10*block/3)}
	size, err := writeTo(t.Context(), image, used, int64(len(used.bytes)), ignore)
	if err != nil || size != int64(len(content)) || !bytes.Equal(used.bytes[:size], content) || compare(t.Context(), image, used, ignore) != nil {
		t.Errorf("onto a used one: %d, %v", size, err)
	}
	if len(bytes.Trim(used.bytes[9*block:], "\x00")) > 0 || !bytes.HasPrefix(used.bytes[7*block:], []byte("old"[1:])) {
		t.Error("its end isn't empty, or more than that")
	}
	again := &counted{bytes: used.bytes}
	if _, err := writeTo(t.Context(), image, again, int64(len(again.bytes)), ignore); err != nil || again.written > 5*block {
		t.Errorf("again: %d bytes, %v", again.written, err)
	}
	least := int64(len(content)) + layout.LeastData + layout.BesideData
	if err := fits(t.Context(), image, least-1); err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("too small: %v", err)
	}
	if err := fits(t.Context(), image, least); err != nil {
		t.Error(err)
	}
	worn := &counted{bytes: make([]byte, 10*block), loses: 4 * block}
	if _, err := writeTo(t.Context(), image, worn, 10*block, ignore); err != nil {
		t.Error(err)
	}
	if err := compare(t.Context(), image, worn, ignore); err == nil || !strings.Contains(err.Error(), "something else than was written") {
		t.Errorf("worn out: %v", err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := writeTo(stopped, image, used, int64(len(used.bytes)), ignore); !errors.Is(err, context.Canceled) {
		t.Errorf("broken off: %v", err)
	}
}

// A disk of the kernel's own is written, unless it is in use.
func TestADiskIsWritten(t *testing.T) {
	dir := t.TempDir()
	backing, image := filepath.Join(dir, "backing"), filepath.Join(dir, "image")
	if err := os.WriteFile(backing, bytes.Repeat([]byte("x"), 8*block), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(backing, layout.LeastData+layout.BesideData+8*block); err != nil {
		t.Fatal(err)
	}
	content := append([]byte("first"), make([]byte, 2*block)...)
	if err := os.WriteFile(image, content, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", backing).CombinedOutput()
	if err != nil {
		peer.Missing(t, "loop devices need root: %v: %s", err, out)
	}
	loop := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "--detach", loop).Run() })
	ignore := func(string, int64) {}
	if _, err := Flash(t.Context(), image, loop, false, ignore); err == nil || !strings.Contains(err.Error(), "isn't removable") {
		t.Errorf("not asked for: %v", err)
	}
	if size, err := Flash(t.Context(), image, loop, true, ignore); err != nil || size != int64(len(content)) {
		t.Errorf("%d, %v", size, err)
	}
	if now, err := os.ReadFile(backing); err != nil || !bytes.Equal(now[:len(content)], content) {
		t.Errorf("it isn't there: %v", err)
	}
	held, err := os.OpenFile(loop, os.O_RDONLY|os.O_EXCL, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := Flash(t.Context(), image, loop, true, ignore); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("in use: %v", err)
	}
}
