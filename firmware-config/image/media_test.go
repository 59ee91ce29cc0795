package image

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/firmware-config/image/layout"
	"github.com/busbar/busbar/test/peer"
)

const flashed = `gateway: {id: north-gw1}
forward: {kafka: {brokers: ["10.0.0.1:9093"], tls: {ca: ca.crt, key: secrets/gw.key, cert: gw.crt}}}
buffer: {path: /var/lib/busbar}
devices: [{id: meter, profile: eastron/sdm630, modbus: {endpoint: "tcp://10.0.0.11"}}]
`

// piSpec is one whose firmware is no firmware.
func piSpec(t *testing.T) Spec {
	t.Helper()
	s := spec(t)
	s.Target, s.Loader, s.Firmware = bundle.Pi, "", t.TempDir()
	for _, name := range []string{"bootcode.bin", "start.elf", "bcm2710-rpi-3-b.dtb", "overlays/uart.dtbo"} {
		path := filepath.Join(s.Firmware, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Repeat(name, 1000)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestImagesOfAPiAreSoundAndTheSame(t *testing.T) {
	for program, from := range map[string]string{"sgdisk": "gdisk", "fsck.vfat": "dosfstools", "mtype": "mtools"} {
		peer.Program(t, program, from)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1790000000")
	s, dir := piSpec(t), t.TempDir()
	public, _, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.Epoch, s.CommandLine, s.Trust = 7, "x=y", []string{public.String()}
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
	run(t, `dd if="$1" of="$2" bs=1M skip=1 count=48 status=none; fsck.vfat -vn "$2"; for slot in 49 209; do dd if="$1" of="$2" bs=1M skip=$slot count=160 status=none; fsck.vfat -vn "$2"; done`, one, filepath.Join(dir, "part"))
	if got := run(t, `mtype -i "$1@@49M" ::cmdline.txt`, one); !strings.HasSuffix(got, " rdinit=/init busbar.slot=2 busbar.version=1.2.3 busbar.epoch=7 x=y -- init\n") {
		t.Errorf("the kernel is told %q", got)
	}
	if got := run(t, `mtype -i "$1@@49M" ::initrd | gzip -d | strings`, one); !strings.Contains(got, layout.Trust[1:]) || !strings.Contains(got, s.Trust[0]) {
		t.Error("the first slot trusts nobody")
	}
	if got := run(t, `mtype -i "$1@@1M" ::autoboot.txt`, one); got != autoboot {
		t.Errorf("the firmware is told %q", got)
	}
	if got := run(t, `mdir -b -i "$1@@49M" ::; mdir -b -i "$1@@49M" ::overlays`, one); !strings.Contains(got, "start.elf") || !strings.Contains(got, "kernel8.img") || !strings.Contains(got, "uart.dtbo") || strings.Contains(got, "bootcode.bin") {
		t.Errorf("a slot has\n%s", got)
	}
}

// A bundle for a Pi has the files that a slot has.
func TestTheFilesOfAPisVersion(t *testing.T) {
	s, dir := piSpec(t), t.TempDir()
	if err := s.WriteSlot(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{layout.PiKernel, layout.Archive, layout.PiConfig, "start.elf", "overlays/uart.dtbo"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if line, err := os.ReadFile(filepath.Join(dir, layout.PiCommandLine)); err != nil || string(line) != piConsoles+" quiet panic=10 rdinit=/init\n" {
		t.Errorf("the kernel is told %q, %v", line, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "bootcode.bin")); err == nil {
		t.Error("what is read before a slot is in it")
	}
}

// Whoever has no compiler puts a configuration into a released image, compressed or not,
// and it is then as if it had been built with it.
func TestAConfigurationIsPutIntoAnImage(t *testing.T) {
	for program, from := range map[string]string{"sgdisk": "gdisk", "fsck.vfat": "dosfstools", "mtype": "mtools"} {
		peer.Program(t, program, from)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1790000000")
	files := t.TempDir()
	for _, name := range []string{"ca.crt", "gw.crt", "secrets/gw.key"} {
		path := filepath.Join(files, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"ca.crt", "gw.crt", "secrets/gw.key"}
	for _, c := range []struct {
		spec     Spec
		base, to string
		boot     string // MiB
	}{
		{spec(t), "base.img.zst", "card.img", "254"},
		{piSpec(t), "base.img", "card.img.zst", "48"},
	} {
		dir := t.TempDir()
		base, to := filepath.Join(dir, c.base), filepath.Join(dir, c.to)
		if err := Build(base, c.spec); err != nil {
			t.Fatal(err)
		}
		if err := Inject(base, to, []byte("gateway: {id: first}\n"+strings.Repeat("# long\n", 2000)), nil, ""); err != nil {
			t.Fatal(err)
		}
		if err := Inject(to, to, []byte(flashed), names, files); err != nil {
			t.Fatal(err)
		}
		card := filepath.Join(dir, "plain.img")
		if err := expand(to, card); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(to, Compressed) {
			if info, err := os.Stat(to); err != nil || info.Size() > 1<<20 || info.Mode() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
		}
		if got := run(t, `mtype -i "$1@@1M" ::gateway.yaml`, card); got != flashed {
			t.Errorf("the configuration is %q", got)
		}
		if got := run(t, `mtype -i "$1@@1M" ::secrets/gw.key`, card); got != "of secrets/gw.key" {
			t.Errorf("the key is %q", got)
		}
		run(t, `sgdisk -v "$1" | grep "No problems"; dd if="$1" of="$2" bs=1M skip=1 count=$3 status=none; fsck.vfat -vn "$2"`, card, filepath.Join(dir, "part"), c.boot)
		about, err := Describe(card)
		if err != nil || about.Gateway != "north-gw1" || len(about.Missing) != 0 || len(about.Problems) != 0 || len(about.Versions) != 1 || about.Versions[0].Version != "1.2.3" {
			t.Errorf("%+v, %v", about, err)
		}
		for _, f := range about.Versions[0].Files {
			if len(f.SHA256) != 64 {
				t.Errorf("%+v", f)
			}
		}
	}
}

func TestWhatAnImageLacksIsSaid(t *testing.T) {
	dir := t.TempDir()
	card := filepath.Join(dir, "card.img")
	s := spec(t)
	s.Config = []byte("gateway: {id: north-gw1}\n")
	if err := Build(card, s); err != nil {
		t.Fatal(err)
	}
	about, err := Describe(card)
	if _, is := errors.AsType[configfile.Errors](about.Config); err != nil || !is || about.Gateway != "" {
		t.Errorf("a configuration that is wrong: %+v, %v", about, err)
	}
	if err := Inject(card, card, []byte(strings.ReplaceAll(flashed, "secrets/", "")), nil, ""); err != nil {
		t.Fatal(err)
	}
	if about, err := Describe(card); err != nil || !slices.Equal(about.Missing, []string{"ca.crt", "gw.crt", "gw.key"}) {
		t.Errorf("files that aren't there: %+v, %v", about, err)
	}
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Describe(other); err == nil {
		t.Error("something else is an image")
	}
	if err := Inject(other, card, []byte(flashed), nil, ""); err == nil || !strings.Contains(err.Error(), "partition") {
		t.Errorf("into something else: %v", err)
	}
}
