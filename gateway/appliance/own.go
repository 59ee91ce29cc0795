//go:build linux

package appliance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/partition/gpt"
	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/firmware-config/image/layout"
)

// origin is what the firmware says about the medium that the machine was started from.
type origin struct {
	// partition is the loader's, by the unique id that a table by GPT has for it; "": it
	// isn't said.
	partition string
	// kind is how the disks are called that it can be on, mmcblk, sd or nvme; "": it isn't
	// said.
	kind string
	// cardFirst says that the board looks for a card before anything else, and doesn't say
	// what it has found.
	cardFirst bool
}

// loaderPartition is what systemd-boot says where it was started from, since version 240:
// the Boot Loader Interface.
const loaderPartition = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// piModes are the disks of a Raspberry Pi by what its bootloader says as boot-mode: the
// numbers of BOOT_ORDER in its documentation.
var piModes = map[uint32]string{1: "mmcblk", 4: "sd", 5: "sd", 6: "nvme"}

// readOrigin reads what the firmware says, in the variables that UEFI has and in the tree of
// devices.
func readOrigin(efivars, tree fs.FS) (o origin) {
	if text, err := fs.ReadFile(efivars, loaderPartition); err == nil && len(text) > 4 { // behind its attributes, by UTF-16
		var units []uint16
		for at := 4; at+1 < len(text); at += 2 {
			if u := binary.LittleEndian.Uint16(text[at:]); u != 0 {
				units = append(units, u)
			}
		}
		o.partition = strings.ToLower(string(utf16.Decode(units)))
	}
	if mode, err := fs.ReadFile(tree, "chosen/bootloader/boot-mode"); err == nil && len(mode) == 4 {
		o.kind = piModes[binary.BigEndian.Uint32(mode)]
	}
	board, _ := fs.ReadFile(tree, "compatible")
	o.cardFirst = o.kind == "" && strings.Contains(string(board), "raspberrypi")
	return o
}

// firmwareOrigin is this machine's.
func firmwareOrigin() origin {
	const efivars = "/sys/firmware/efi/efivars"
	if _, err := os.Stat(path.Dir(efivars)); err == nil {
		// Without it, and with one flashed medium, nothing is missing.
		_ = mount("efivarfs", efivars, "efivarfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "")
	}
	return readOrigin(os.DirFS(efivars), os.DirFS("/proc/device-tree"))
}

var errAlike = errors.New("several flashed media are in this machine, and nothing tells which one it was started from: take all but one out")

// own is the boot partition of the medium that the machine was started from, of those that
// there are, and the disks that were flashed as well. ids are the unique ids of a disk's
// partitions by their numbers, in lower case.
func (o origin) own(found []partition, ids func(disk string) (map[int]string, error)) (own partition, others []string, err error) {
	if len(found) == 0 {
		return own, nil, fmt.Errorf("%s: %w", layout.BootName, errNoPartition)
	}
	fit := found
	switch {
	case o.partition != "":
		fit = nil
		for _, p := range found {
			list, err := ids(p.disk)
			if err != nil {
				continue // of a disk that can't be read, or has another table
			}
			if list[p.number] == o.partition {
				fit = append(fit, p)
			}
		}
	case o.kind != "":
		fit = of(found, o.kind)
	case o.cardFirst:
		if fit = of(found, "mmcblk"); len(fit) == 0 {
			fit = found
		}
	}
	switch len(fit) {
	case 0:
		return own, nil, fmt.Errorf("%s: %s was flashed, and this machine was started from another medium: %w", layout.BootName, found[0].disk, errNoPartition)
	case 1:
	default:
		return own, nil, errAlike
	}
	for _, p := range found {
		if p.disk != fit[0].disk {
			others = append(others, p.disk)
		}
	}
	return fit[0], others, nil
}

// of are the partitions of a kind of disk.
func of(list []partition, kind string) []partition {
	return slices.DeleteFunc(slices.Clone(list), func(p partition) bool { return !strings.HasPrefix(path.Base(p.disk), kind) })
}

// partitionIDs are those of a disk with a table by GPT.
func partitionIDs(disk string) (map[int]string, error) {
	d, err := os.Open(disk)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	table, err := gpt.Read(file.New(d, true), sector, sector)
	if err != nil {
		return nil, err
	}
	ids := map[int]string{}
	for _, p := range table.Partitions {
		ids[p.Index] = strings.ToLower(p.GUID)
	}
	return ids, nil
}

// awaitBoot looks until the boot partition is there that the machine was started from, and
// says which further media were flashed: nothing of them is mounted.
func (m *Machine) awaitBoot(ctx context.Context) (partition, error) {
	origin := firmwareOrigin()
	var others []string
	p, err := await(ctx, m.Alive, func() (p partition, err error) {
		found, err := findAll(layout.BootName)
		if err == nil {
			p, others, err = origin.own(found, partitionIDs)
		}
		return p, err
	})
	for _, disk := range others {
		m.log.Warn("another flashed medium is in this machine, and is left alone", "disk", disk)
	}
	return p, err
}
