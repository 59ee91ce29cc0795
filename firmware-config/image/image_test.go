package image

import (
	"crypto/sha256"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/test/peer"
)

func spec(t *testing.T) Spec {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, n int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Repeat(name, n)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return Spec{Target: bundle.PC, Version: "1.2.3", Kernel: write("kernel", 1e6), Loader: write("loader", 1e4), Gateway: write("gateway", 1e6), Config: []byte("gateway: {id: north-gw1}\n")}
}

func digest(t *testing.T, path string) (sum [32]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	h.Sum(sum[:0])
	return sum
}

func run(t *testing.T, script string, args ...string) string {
	t.Helper()
	out, err := exec.Command("sh", append([]string{"-ec", script, "sh"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

func TestImagesAreSoundAndTheSame(t *testing.T) {
	for program, from := range map[string]string{"sgdisk": "gdisk", "fsck.vfat": "dosfstools", "mtype": "mtools"} {
		peer.Program(t, program, from)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1790000000")
	s, dir := spec(t), t.TempDir()
	one, other := filepath.Join(dir, "one.img"), filepath.Join(dir, "other.img")
	for _, to := range []string{one, other} {
		if err := Build(to, s); err != nil {
			t.Fatal(err)
		}
	}
	if digest(t, one) != digest(t, other) {
		t.Error("the same isn't the same image")
	}
	if out := run(t, `sgdisk -v "$1"`, one); !strings.Contains(out, "No problems found") {
		t.Error(out)
	}
	part := filepath.Join(dir, "part")
	run(t, `dd if="$1" of="$2" bs=1M skip=1 count=254 status=none; fsck.vfat -vn "$2"`, one, part)
	if got := run(t, `mtype -i "$1" ::gateway.yaml`, part); got != string(s.Config) {
		t.Errorf("the configuration is %q", got)
	}
	run(t, `mcopy -i "$1" ::busbar/1/vmlinuz "$2"; cmp "$2" "$3"`, part, filepath.Join(dir, "kernel"), s.Kernel)
	if got := run(t, `mtype -i "$1" ::loader/entries/busbar-1.conf`, part); !strings.Contains(got, "linux /busbar/1/vmlinuz") {
		t.Error(got)
	}
}

func TestWhatIsNoImageIsLeftAlone(t *testing.T) {
	s, dir := spec(t), t.TempDir()
	file := filepath.Join(dir, "card.img")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := s
	broken.Kernel = filepath.Join(dir, "none")
	if err := Build(file, broken); err == nil {
		t.Error("an image without a kernel")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "before" {
		t.Errorf("what was there is %q, %v", text, err)
	}
	device := filepath.Join(dir, "device")
	if err := os.Symlink("/dev/null", device); err != nil {
		t.Fatal(err)
	}
	if err := Build(device, s); err == nil || !strings.Contains(err.Error(), "isn't a file") {
		t.Errorf("onto a device: %v", err)
	}
	s.Version = "../1"
	if err := Build(file, s); err == nil || !strings.Contains(err.Error(), "no version") {
		t.Errorf("a version that leads elsewhere: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("what is left: %v, %v", left, err)
	}
}
