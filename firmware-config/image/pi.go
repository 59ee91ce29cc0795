package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/disk"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/partition/mbr"

	"github.com/busbar/busbar/firmware-config/image/layout"
)

// Sizes of a Raspberry Pi's partitions, in bytes: of the one that people edit, and of each
// slot. Its firmware reads a table by MBR, whose fourth and last partition is for data.
const (
	piBoot = 48 << 20
	piSlot = 160 << 20
	piSize = firstAt*sector + piBoot + 2*piSlot + reserved*sector
)

// autoboot tells the firmware which partition it goes on with: the first slot, and the other
// one when it is told to try that.
const autoboot = `[all]
tryboot_a_b=1
boot_partition=2
[tryboot]
boot_partition=3
`

// piConfig is what a slot tells the firmware.
const piConfig = `arm_64bit=1
enable_uart=1
disable_splash=1
kernel=` + layout.PiKernel + `
initramfs ` + layout.Archive + ` followkernel
`

// piConsoles are the screen and the serial port at the header's pins 8 and 10, which the
// firmware gives its name.
const piConsoles = "console=tty1 console=serial0,115200"

// piFirst are the files that the oldest boards look for before they know of slots.
var piFirst = []string{"bootcode.bin"}

func buildPi(work string, s Spec) (image string, err error) {
	archive := filepath.Join(work, layout.Archive)
	if err := s.writeArchive(archive); err != nil {
		return "", err
	}
	boot := []file{
		{name: layout.PiAutoboot, content: []byte(autoboot)},
		{name: layout.ConfigName, content: s.Config},
	}
	for _, name := range piFirst {
		boot = append(boot, file{name: name, from: filepath.Join(s.Firmware, name)})
	}
	if boot, err = s.beside(boot); err != nil {
		return "", err
	}
	slot, err := s.piFiles()
	if err != nil {
		return "", err
	}
	slot = append(slot, file{name: layout.PiCommandLine, content: s.piCommandLine()}, file{name: layout.Archive, from: archive})
	image = filepath.Join(work, "image")
	if err := fillPi(image, boot, slot); err != nil {
		return "", err
	}
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	signature := binary.LittleEndian.AppendUint32(nil, layout.PiDisk)
	_, err = f.WriteAt(signature, 440)
	return image, errors.Join(err, settle(f, firstAt*sector), settle(f, firstAt*sector+piBoot), settle(f, firstAt*sector+piBoot+piSlot), f.Sync(), f.Close())
}

// piCommandLine is what the kernel in the first slot is told.
func (s Spec) piCommandLine() []byte {
	return fmt.Appendf(nil, "%s %s -- init\n", s.options(), layout.Started{Number: layout.PiSlots[0], Version: s.Version, Epoch: s.Epoch, Local: s.CommandLine})
}

// piFiles are those of a slot that are the same in all.
func (s Spec) piFiles() ([]file, error) {
	firmware, err := firmwareOf(s.Firmware, s.Kernel)
	return append([]file{{name: layout.PiConfig, content: []byte(piConfig)}, {name: layout.PiKernel, from: s.Kernel}}, firmware...), err
}

// firmwareOf is what the board's own firmware needs of a directory, in the order of names.
func firmwareOf(dir, kernel string) (files []file, err error) {
	err = filepath.WalkDir(dir, func(from string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || from == kernel || e.Name() == ComponentsName || e.Name() == LicencesName {
			return err
		}
		name, err := filepath.Rel(dir, from)
		if err == nil && !slices.Contains(piFirst, name) {
			files = append(files, file{name: filepath.ToSlash(name), from: from})
		}
		return err
	})
	return files, err
}

func fillPi(to string, boot, slot []file) (err error) {
	d, err := diskfs.Create(to, piSize, sector)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	table := &mbr.Table{LogicalSectorSize: sector, PhysicalSectorSize: sector}
	start := uint32(firstAt)
	for i, size := range []uint32{piBoot, piSlot, piSlot} {
		table.Partitions = append(table.Partitions, &mbr.Partition{Index: i + 1, Type: mbr.Fat32LBA, Start: start, Size: size / sector})
		start += size / sector
	}
	if err := d.Partition(table); err != nil {
		return fmt.Errorf("its partitions: %w", err)
	}
	for i, p := range []struct {
		label string
		files []file
	}{{"BUSBAR", boot}, {"BUSBAR-A", slot}, {"BUSBAR-B", nil}} {
		if err := format(d, i+1, p.label, p.files); err != nil {
			return err
		}
	}
	return nil
}

// format makes a file system with files in a partition.
func format(d *disk.Disk, number int, label string, files []file) (err error) {
	partition, err := d.CreateFilesystem(disk.FilesystemSpec{Partition: number, FSType: filesystem.TypeFat32, VolumeLabel: label, Reproducible: true})
	if err != nil {
		return fmt.Errorf("its file system: %w", err)
	}
	defer func() { err = errors.Join(err, partition.Close()) }()
	made := map[string]bool{".": true}
	for _, f := range files {
		if err := f.put(partition, made); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// beside adds what belongs to the configuration, and what says what the image is made of, to
// the files of the partition.
func (s Spec) beside(files []file) ([]file, error) {
	materials, err := s.materials()
	if err != nil {
		return nil, err
	}
	files = append(files, materials...)
	for _, name := range s.Files {
		files = append(files, file{name: filepath.ToSlash(name), from: filepath.Join(s.Dir, name)})
	}
	for _, from := range s.Beside {
		name := filepath.Base(from)
		if slices.ContainsFunc(files, func(f file) bool { return strings.EqualFold(f.name, name) }) {
			return nil, fmt.Errorf("%s: the image has a file of this name", from)
		}
		files = append(files, file{name: name, from: from})
	}
	return files, nil
}
