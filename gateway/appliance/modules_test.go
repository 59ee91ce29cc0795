//go:build linux

package appliance

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/busbar/busbar/test/peer"
)

func TestModulesComeAfterWhatTheyNeed(t *testing.T) {
	lists := fstest.MapFS{
		"modules.dep":     {Data: []byte("fs/ext4.ko: fs/jbd2.ko lib/crc16.ko\nfs/jbd2.ko: lib/crc16.ko\nlib/crc16.ko:\ncrypto/crc32c_generic.ko:\ncrypto/crc32c-intel.ko:\nnet/nic-pci.ko:\n")},
		"modules.softdep": {Data: []byte("# of the modules\nsoftdep ext4 pre: crypto-crc32c post: nic_pci\n")},
		"modules.alias":   {Data: []byte("# of the modules\nalias crypto-crc32c crc32c_generic\nalias crypto-crc32c crc32c_intel\nalias pci:v00008086d00001533sv*sd*bc*sc*i* nic_pci\nalias dmi*:svnMoxa*:pn?A-8[0-9]*: nic_pci\n")},
	}
	var loaded []string
	refuse := ""
	read := func() *modules {
		t.Helper()
		loaded = nil
		m, err := readModules(lists, func(file string) error {
			loaded = append(loaded, file)
			if file == refuse {
				return errors.New("refused")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := read()
	for range 2 { // once is enough
		if err := m.want("ext4"); err != nil {
			t.Error(err)
		}
	}
	want := []string{"lib/crc16.ko", "fs/jbd2.ko", "crypto/crc32c_generic.ko", "crypto/crc32c-intel.ko", "fs/ext4.ko"}
	if !slices.Equal(loaded, want) {
		t.Errorf("%q, want %q", loaded, want)
	}
	for name, want := range map[string][]string{
		"pci:v00008086d00001533sv00008086sd00000001bc02sc00i00": {"net/nic-pci.ko"},
		"pci:v00008086d00001534sv00008086sd00000001bc02sc00i00": nil,
		"usb:v00008086d00001533sv00008086sd00000001bc02sc00i00": nil,
		"dmi:bvnAMI:svnMoxa/Inc.:pnDA-820/C:":                   {"net/nic-pci.ko"}, // a board's own text has slashes
		"dmi:bvnAMI:svnMoxa/Inc.:pn/A-820/C:":                   {"net/nic-pci.ko"},
		"dmi:bvnAMI:svnMoxa/Inc.:pnDA-x20/C:":                   nil,
		"nic-pci":                                               {"net/nic-pci.ko"},
		"":                                                      nil,
	} {
		if err := read().want(name); err != nil || !slices.Equal(loaded, want) {
			t.Errorf("%s: %q, %v", name, loaded, err)
		}
	}
	const nic = "pci:v00008086d00001533sv00008086sd00000001bc02sc00i00"
	for among, want := range map[string][]string{"nic_pci": {"net/nic-pci.ko"}, "ext4": nil} {
		if err := read().want(nic, "crc16", among); err != nil || !slices.Equal(loaded, want) {
			t.Errorf("among %s: %q, %v", among, loaded, err)
		}
	}
	refuse = "crypto/crc32c-intel.ko"
	if err := read().want("ext4"); err == nil || !slices.Equal(loaded, want) {
		t.Errorf("one is refused: %q, %v", loaded, err)
	}
	delete(lists, "modules.dep")
	if _, err := readModules(lists, nil); err == nil {
		t.Error("lists without one of them")
	}
}

// What industrial PCs have is driven by what an image of Debian's kernel carries: the names
// are those that such devices give themselves.
func TestDebiansModulesAreForIndustrialPCs(t *testing.T) {
	dir := filepath.Join(peer.Root(), ".peers", "image", "pc-debian", "modules")
	if _, err := os.Stat(dir); err != nil {
		peer.Missing(t, "%v: make image-parts gets what images are made of", err)
	}
	for name, want := range map[string]string{
		"usb:v067Bp2303d0300dc00dsc00dp00icFFisc00ip00in00": "pl2303",
		"usb:v0403p6001d0600dc00dsc00dp00icFFiscFFipFFin00": "ftdi_sio",
		"usb:v10C4pEA60d0100dc00dsc00dp00icFFisc00ip00in00": "cp210x",
		"usb:v1A86p7523d0264dcFFdsc00dp00icFFisc01ip02in00": "ch341",
		"usb:v2341p0043d0001dc02dsc00dp00ic02isc02ip01in00": "cdc-acm",
		"mmc:block": "mmc_block",
		"pci:v00008086d00005ACCsv00008086sd00007270bc08sc05i01": "sdhci-pci",  // Apollo Lake's eMMC
		"acpi:80860F14:PNP0D40:":                                "sdhci-acpi", // Bay Trail's
		"platform:iTCO_wdt":                                     "iTCO_wdt",
		"platform:wdat_wdt":                                     "wdat_wdt",
		"pci:v00008086d00002918sv00001AF4sd00001100bc06sc01i00": "lpc_ich",
		"pci:v00008086d0000A323sv00008086sd00007270bc0Csc05i00": "i2c-i801", // Cannon Lake's, which has the watchdog
		"pci:v00001022d0000790Bsv00001022sd0000790Bbc0Csc05i00": "sp5100_tco",
		"pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00": "e1000e",
		"pci:v00008086d00001533sv00008086sd00000001bc02sc00i00": "igb",
		"pci:v00008086d000015F3sv00008086sd00000000bc02sc00i00": "igc",
		"pci:v000010ECd00008168sv000010ECsd00000123bc02sc00i00": "r8169",
		"pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02": "nvme",
		"pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01": "ahci",
		"pci:v00008086d00005AA8sv00008086sd00007270bc0Csc03i30": "xhci-pci",
		"pci:v000013A8d00000352sv000013A8sd00000352bc07sc00i02": "8250_exar",
		"virtio:d00000001v00001AF4":                             "virtio_net",
		"usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00":     "usb-storage",
		"vfat": "vfat",
	} {
		var last string
		m, err := readModules(os.DirFS(dir), func(file string) error {
			if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
				return err
			}
			last += " " + strings.TrimSuffix(path.Base(file), ".ko")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.want(name); err != nil || !slices.Contains(strings.Fields(last), want) {
			t.Errorf("%s: loads%s, %v; want %s", name, last, err, want)
		}
	}
}

func TestOnlyDevicesThatComeAreDriven(t *testing.T) {
	event := "add@/devices/pci0000:00/usb1/1-1/1-1:1.0\x00ACTION=add\x00SUBSYSTEM=usb\x00MODALIAS=usb:v067Bp2303\x00SEQNUM=7\x00"
	for text, want := range map[string]string{
		event: "usb:v067Bp2303",
		strings.ReplaceAll(event, "add", "remove"): "",
		"add@/class/tty\x00ACTION=add\x00":         "",
		"":                                         "",
	} {
		if got := deviceOf([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
