//go:build linux

package appliance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend"
	"github.com/diskfs/go-diskfs/filesystem/fat32"

	"github.com/busbar/busbar/test/peer"
)

// write is one that a medium was asked for.
type write struct {
	at      int64
	content []byte
}

// recorded is a file as go-diskfs writes to it, that notes what is written.
type recorded struct {
	*os.File
	writes []write
}

func (r *recorded) WriteAt(p []byte, at int64) (int, error) {
	r.writes = append(r.writes, write{at, bytes.Clone(p)})
	return r.File.WriteAt(p, at)
}
func (r *recorded) Sys() (*os.File, error)                  { return r.File, nil }
func (r *recorded) Writable() (backend.WritableFile, error) { return r, nil }
func (r *recorded) Path() string                            { return r.Name() }

func shell(t *testing.T, script string, args ...string) string {
	t.Helper()
	out, err := exec.Command("sh", append([]string{"-ec", script, "sh"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// emptyFAT is one of 40 MB with directories and a file, as mkfs.vfat and mtools make it.
func emptyFAT(t *testing.T) string {
	for program, from := range map[string]string{"mkfs.vfat": "dosfstools", "mcopy": "mtools"} {
		peer.Program(t, program, from)
	}
	path := filepath.Join(t.TempDir(), "fat")
	shell(t, `mkfs.vfat -F 32 -s 1 -C "$1" 40960 >/dev/null; echo kept > "$1.kept"; mmd -i "$1" ::loader ::loader/entries ::busbar ::busbar/1; mcopy -i "$1" "$1.kept" ::loader/entries/busbar-1.conf`, path)
	return path
}

// repaired marks a file system as not left in order, has it repaired, and has fsck.vfat
// look at it.
func repaired(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{1}, dirtyAt); err != nil {
		t.Fatal(err)
	}
	did, err := repair(f)
	if err != nil {
		t.Error(err)
	}
	if out, err := exec.Command("fsck.vfat", "-n", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if again, err := repair(f); again != nil || err != nil {
		t.Errorf("once more: %v, %v", again, err)
	}
	return did
}

// A file system on which a write was cut off is one that fsck.vfat finds nothing about, and
// what nobody has written to is there.
func TestAFileSystemOfWhichAWriteWasCutIsPutInOrder(t *testing.T) {
	path := emptyFAT(t)
	base, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := &recorded{File: f}
	fs, err := fat32.Read(r, int64(len(base)), 0, 512)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/busbar/1/vmlinuz", "/loader/entries/busbar-2+3.conf", "/busbar/1/a much longer name than the others.conf"} {
		out, err := fs.OpenFile(name, os.O_CREATE|os.O_RDWR)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := out.Write(bytes.Repeat([]byte(name), 500)); err != nil {
				t.Fatal(err)
			}
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := fs.Remove("/busbar/1/vmlinuz"); err != nil {
		t.Fatal(err)
	}
	put := func(w write) {
		if _, err := f.WriteAt(w.content, w.at); err != nil {
			t.Fatal(err)
		}
	}
	for cut := 0; cut < len(r.writes); cut += max(1, len(r.writes)/40) {
		for _, missing := range []int{-1, cut / 2} { // also one write that never came though later ones did
			for _, w := range r.writes {
				put(write{w.at, base[w.at:][:len(w.content)]})
			}
			for i, w := range r.writes[:cut] {
				if i != missing {
					put(w)
				}
			}
			repaired(t, path)
			if kept := shell(t, `mtype -i "$1" ::loader/entries/busbar-1.conf`, path); kept != "kept\n" {
				t.Errorf("cut at write %d: %q", cut, kept)
			}
			if t.Failed() {
				t.Fatalf("cut at write %d of %d, without %d", cut, len(r.writes), missing)
			}
		}
	}
	t.Logf("%d writes", len(r.writes))
}

func TestWhatIsWrongWithAFileSystemIsTold(t *testing.T) {
	path := emptyFAT(t)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := openFAT(f)
	if err != nil {
		t.Fatal(err)
	}
	for c := range uint32(5) { // nobody's
		if _, err := f.WriteAt(binary.LittleEndian.AppendUint32(nil, endOfChain), v.tables+4*int64(1000+c)); err != nil {
			t.Fatal(err)
		}
	}
	if did := strings.Join(repaired(t, path), "; "); did != "5 clusters that belonged to nothing are free; the mark is gone" {
		t.Error(did)
	}
}

// hostile is a medium in memory.
type hostile []byte

func (h hostile) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at >= int64(len(h)) {
		return 0, io.EOF
	}
	if n := copy(p, h[at:]); n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return len(p), nil
}

func (h hostile) WriteAt(p []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(p)) > int64(len(h)) {
		return 0, fmt.Errorf("%d bytes at %d", len(p), at)
	}
	return copy(h[at:], p), nil
}

func (h hostile) Sync() error { return nil }

// small is a FAT32 that no formatter would make, of 60 clusters, with a directory in it.
func small() hostile {
	h := make(hostile, 64*512)
	copy(h[11:], []byte{0, 2, 1, 2, 0, 1}) // sectors of 512 bytes, one a cluster; two reserved, one table
	binary.LittleEndian.PutUint32(h[32:], 64)
	binary.LittleEndian.PutUint32(h[36:], 1)
	binary.LittleEndian.PutUint32(h[44:], 2)
	h[48], h[dirtyAt] = 1, 1
	copy(h[82:], "FAT32")
	for i, entry := range []uint32{0x0ffffff8, 0x0fffffff, 0x0fffffff, 0x0fffffff, 5, 0x0fffffff} {
		binary.LittleEndian.PutUint32(h[2*512+4*i:], entry)
	}
	at := func(cluster int) []byte { return h[(3+cluster-2)*512:] }
	copy(at(2), "DIR        \x10")
	at(2)[26] = 3
	copy(at(2)[32:], "FILE    TXT ")
	at(2)[32+26], at(2)[32+29] = 4, 3
	copy(at(3), ".          \x10")
	copy(at(3)[32:], "..         \x10")
	return h
}

func FuzzRepair(f *testing.F) {
	f.Add([]byte(small()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, disk []byte) {
		h := hostile(bytes.Clone(disk))
		if _, err := repair(h); err != nil {
			return
		}
		if did, err := repair(h); did != nil || err != nil {
			t.Errorf("what was put in order isn't: %v, %v", did, err)
		}
	})
}
