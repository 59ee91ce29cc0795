package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"aead.dev/minisign"

	"github.com/busbar/busbar/test/peer"
)

var files = fstest.MapFS{
	"kernel":          {Data: bytes.Repeat([]byte("kernel"), 300)},
	"initrd":          {Data: []byte("initrd")},
	"overlays/a.dtbo": {Data: nil},
}

func manifest() Manifest {
	return Manifest{Version: "1.2.3", Epoch: 7, Target: PC, Files: []File{{Name: "kernel"}, {Name: "initrd"}, {Name: "overlays/a.dtbo"}}}
}

func newKey(t testing.TB) (minisign.PublicKey, minisign.PrivateKey) {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

func write(t testing.TB, m Manifest, key minisign.PrivateKey) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Write(&b, m, files, key); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatWasSignedIsRead(t *testing.T) {
	public, private := newKey(t)
	spare, _ := newKey(t)
	whole := write(t, manifest(), private)
	if again := write(t, manifest(), private); !bytes.Equal(whole, again) {
		t.Error("the same content isn't the same bundle")
	}
	b, err := NewReader(bytes.NewReader(whole), Keys{spare, public})
	if err != nil {
		t.Fatal(err)
	}
	if m := b.Manifest; m.Version != "1.2.3" || m.Epoch != 7 || m.Target != PC {
		t.Errorf("it says %+v", m)
	}
	for range files {
		f, content, err := b.Next()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(content)
		if err != nil || !bytes.Equal(got, files[f.Name].Data) {
			t.Errorf("%s: %d bytes, %v", f.Name, len(got), err)
		}
	}
	if _, _, err := b.Next(); err != io.EOF {
		t.Errorf("behind the last file: %v", err)
	}
}

func TestAnyByteThatIsntAsItWasIsNoticed(t *testing.T) {
	public, private := newKey(t)
	whole := write(t, manifest(), private)
	keys := Keys{public}
	if _, err := Verify(bytes.NewReader(whole), keys); err != nil {
		t.Fatal(err)
	}
	for end := range whole[:len(whole)-1024] { // its end is two empty blocks
		if _, err := Verify(bytes.NewReader(whole[:end]), keys); err == nil {
			t.Fatalf("cut after %d of %d bytes it is taken", end, len(whole))
		}
	}
	content := map[int]bool{} // the bytes that mean something: not padding, nor what is only said of files in the archive
	r := bytes.NewReader(whole)
	for a := tar.NewReader(r); ; {
		h, err := a.Next()
		if err != nil {
			break
		}
		begin := len(whole) - r.Len()
		for i := range int(h.Size) {
			content[begin+i] = true
		}
	}
	comment := bytes.Index(whole, []byte("untrusted comment"))
	for at := range content {
		swapped := bytes.Clone(whole)
		swapped[at] ^= 0x10 // the last bit of a signature's last digit means nothing
		_, err := Verify(bytes.NewReader(swapped), keys)
		unsigned := at >= comment && at < comment+len("untrusted comment: signature of manifest.json\n")
		if err == nil && !unsigned {
			t.Fatalf("with byte %d swapped (%q) it is taken", at, whole[max(0, at-20):at+1])
		}
	}
}

func TestWhatIsRefusedHasAReason(t *testing.T) {
	public, private := newKey(t)
	_, foreign := newKey(t)
	keys := Keys{public}
	reason := func(t *testing.T, want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	_, err := Verify(bytes.NewReader(write(t, manifest(), foreign)), keys)
	reason(t, "no key that is trusted", err)
	whole := write(t, manifest(), private)
	_, err = Verify(bytes.NewReader(whole[:2600]), keys)
	reason(t, "kernel", err)
	_, err = Verify(bytes.NewReader(bytes.Replace(whole, []byte("kernelkernel"), []byte("kernelKernel"), 1)), keys)
	reason(t, "kernel isn't what was signed", err)
	_, err = Verify(strings.NewReader("no archive"), keys)
	reason(t, "manifest.json", err)

	var more bytes.Buffer
	more.Write(whole[:len(whole)-1024])
	a := tar.NewWriter(&more)
	if err := put(a, "init", []byte("more")); err != nil {
		t.Fatal(err)
	}
	a.Close()
	_, err = Verify(&more, keys)
	reason(t, `"init" isn't in its manifest`, err)

	m := manifest()
	reason(t, "epoch 7, and this gateway has had 8", m.Suits(Installed{PC, 8}))
	reason(t, "for target pc, and this is pi", m.Suits(Installed{Pi, 7}))
	if err := m.Suits(Installed{PC, 7}); err != nil {
		t.Error(err)
	}
	m.AllowDowngrade = true
	if err := m.Suits(Installed{PC, 8}); err != nil {
		t.Error(err)
	}
}

func TestManifestsThatCantBe(t *testing.T) {
	_, private := newKey(t)
	for name, change := range map[string]func(*Manifest){
		"version":        func(m *Manifest) { m.Version = "1 2" },
		"target":         func(m *Manifest) { m.Target = "toaster" },
		"0 files":        func(m *Manifest) { m.Files = nil },
		"twice":          func(m *Manifest) { m.Files[1] = m.Files[0] },
		"does not exist": func(m *Manifest) { m.Files[0].Name = "none" },
	} {
		m := manifest()
		change(&m)
		if _, err := Write(io.Discard, m, files, private); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "/a", "../a", "a/../b", ".a", "a/.b", "a//b", "a\\b", "C:a", "a\nb"} {
		if local(name) {
			t.Errorf("%q is taken for a name", name)
		}
	}
}

// minisign checks what was signed, and what it signs is taken.
func TestMinisign(t *testing.T) {
	minisignProgram := peer.Program(t, "minisign", "minisign")
	public, private := newKey(t)
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole.bundle")
	if err := os.WriteFile(whole, write(t, manifest(), private), 0o600); err != nil {
		t.Fatal(err)
	}
	check := exec.Command("sh", "-ec", `cd "$0"; tar -xf whole.bundle; "$1" -Vm manifest.json -P "$2"; grep -q "$(sha256sum kernel | cut -d' ' -f1)" manifest.json`, dir, minisignProgram, public.String())
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("minisign: %v\n%s", err, out)
	} else if !strings.Contains(string(out), "busbar 1.2.3 for pc, epoch 7") {
		t.Errorf("its comment: %s", out)
	}

	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	sign := exec.Command("sh", "-ec", `cd "$0"; "$1" -G -W -p key.pub -s key; "$1" -S -s key -m manifest.json -x theirs`, dir, minisignProgram)
	if out, err := sign.CombinedOutput(); err != nil {
		t.Fatalf("minisign: %v\n%s", err, out)
	}
	pub, err := os.ReadFile(filepath.Join(dir, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeys(string(pub))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := os.ReadFile(filepath.Join(dir, "theirs"))
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.verify(text, signature); err != nil {
		t.Error(err)
	}
}

func FuzzReader(f *testing.F) {
	public, private := newKey(f)
	whole := write(f, manifest(), private)
	f.Add(whole)
	f.Add(whole[:2000])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := Verify(bytes.NewReader(b), Keys{public}); err == nil && m.Version != "1.2.3" {
			t.Errorf("something else is taken: %+v", m)
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"format":1,"version":"1","epoch":1,"target":"pi","files":[{"name":"a","size":1,"sha256":"` + strings.Repeat("00", 32) + `"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, err := parseManifest(text); err == nil && m.Check() != nil {
			t.Error("what can't be is taken")
		}
	})
}
