// Package image makes what is written onto a gateway's card or disk.
//
// An image for a machine with UEFI has one partition, busbar-boot, with a boot loader,
// slots with the versions that it starts, each a kernel and an archive that holds the
// gateway's program and the keys that it trusts, and the gateway's configuration, which any
// computer can edit. The gateway makes a second one, busbar-data, out of the rest of the
// medium.
package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/firmware-config/cpio"
	"github.com/busbar/busbar/firmware-config/image/layout"
)

const (
	size     = 256 << 20 // bytes of an image
	sector   = 512
	firstAt  = 2048 // sectors: aligned to 1 MiB
	reserved = 2048 // sectors at the end, for the other copy of the partition table
)

// What identifies disk and partition is the same in each image: it is found by names.
const (
	diskID = "B05BA200-0000-4000-8000-000000000000"
	bootID = "B05BA200-0000-4000-8000-000000000001"
)

// Spec is what an image is made of. Files are named by their paths.
type Spec struct {
	Target  bundle.Target
	Version string
	Epoch   uint64 // that bundles must have at least
	Kernel  string
	// Modules is the directory of the kernel's modules, with the lists that depmod makes of
	// them; "": it has everything built in.
	Modules string
	Loader  string // systemd-boot; on a Pi there is none
	// Firmware is the directory of a Pi's firmware, device trees and overlays.
	Firmware string
	Gateway  string // the program busbar-gateway, linked statically
	// Trust are the public keys of those whose bundles the gateway takes, in minisign's form.
	Trust []string
	// Parts is the directory that says what the parts are; "": the image has no bill of
	// materials.
	Parts  string
	Config []byte // gateway.yaml
	// Files are those that the configuration names, relative to Dir, and Beside those that lie
	// elsewhere. All are put beside it.
	Files  []string
	Dir    string
	Beside []string
	// CommandLine is what this machine's kernel is told beside what every image has.
	CommandLine string
}

// loaders is where firmware looks for a boot loader, by target.
var loaders = map[bundle.Target]string{
	bundle.PC:       "EFI/BOOT/BOOTX64.EFI",
	bundle.PCDebian: "EFI/BOOT/BOOTX64.EFI",
	bundle.ARM64:    "EFI/BOOT/BOOTAA64.EFI",
}

// consoles is where a target's kernel writes to, the last one for its programs as well.
var consoles = map[bundle.Target]string{
	bundle.PC:       "console=tty0 console=ttyS0,115200",
	bundle.PCDebian: "console=tty0 console=ttyS0,115200",
	bundle.ARM64:    "console=tty0 console=ttyAMA0,115200",
	bundle.Pi:       piConsoles,
}

// file is one of the boot partition.
type file struct {
	name    string
	from    string // what is copied; "": content
	content []byte
}

// Build writes an image. The same spec gives the same bytes if SOURCE_DATE_EPOCH is set
// in the environment, which is the time of everything in it.
func Build(to string, s Spec) (err error) {
	make := buildUEFI
	if s.Target == bundle.Pi {
		make = buildPi
	} else if _, known := loaders[s.Target]; !known {
		return fmt.Errorf("target %q: there is no image for it", s.Target)
	}
	if !bundle.IsVersion(s.Version) {
		return fmt.Errorf("%q is no version", s.Version)
	}
	if err := isFile(to); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(to), "image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	image, err := make(work, s)
	if err != nil {
		return err
	}
	// It may hold keys.
	if err := os.Chmod(image, 0o600); err != nil {
		return err
	}
	return Pack(image, to)
}

func buildUEFI(work string, s Spec) (image string, err error) {
	archive := filepath.Join(work, layout.Archive)
	if err := s.writeArchive(archive); err != nil {
		return "", err
	}
	const first = 1
	entry := layout.Entry{Number: first, Version: s.Version, Epoch: s.Epoch, Options: s.options(), Local: s.CommandLine}
	files := []file{
		{name: loaders[s.Target], from: s.Loader},
		{name: "loader/loader.conf", content: []byte("timeout 0\neditor no\n")},
		{name: path.Join(layout.EntriesDir, entry.Name()), content: entry.Text()},
		{name: path.Join(layout.SlotDir(first), layout.Kernel), from: s.Kernel},
		{name: path.Join(layout.SlotDir(first), layout.Archive), from: archive},
		{name: layout.ConfigName, content: s.Config},
	}
	if files, err = s.beside(files); err != nil {
		return "", err
	}
	image = filepath.Join(work, "image")
	return image, write(image, files)
}

// writeArchive writes what the kernel unpacks.
func (s Spec) writeArchive(to string) error {
	keys, err := bundle.ParseKeys(s.Trust...)
	if err != nil && len(s.Trust) > 0 {
		return err
	}
	var trust strings.Builder
	for _, key := range keys {
		fmt.Fprintln(&trust, key)
	}
	content := []cpio.File{
		{Path: "init", From: s.Gateway},
		{Path: layout.Trust, Text: trust.String()},
		{Path: layout.Target, Text: string(s.Target)},
	}
	modules, err := s.modules()
	if err != nil {
		return err
	}
	return cpio.WriteFile(to, append(content, modules...)...)
}

// modules are the kernel's, in the order of names.
func (s Spec) modules() (list []cpio.File, err error) {
	if s.Modules == "" {
		return nil, nil
	}
	err = filepath.WalkDir(s.Modules, func(from string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(s.Modules, from)
		list = append(list, cpio.File{Path: path.Join(layout.Modules, filepath.ToSlash(name)), From: from})
		return err
	})
	return list, err
}

// options is what the kernel of every machine of the target is told.
func (s Spec) options() string { return consoles[s.Target] + " quiet panic=10 rdinit=/init" }

func write(to string, files []file) error {
	if err := fill(to, files); err != nil {
		return err
	}
	image, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(settle(image, firstAt*sector), image.Sync(), image.Close())
}

func fill(to string, files []file) (err error) {
	d, err := diskfs.Create(to, size, sector)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	err = d.Partition(&gpt.Table{
		LogicalSectorSize: sector, PhysicalSectorSize: sector, ProtectiveMBR: true, GUID: diskID,
		Partitions: []*gpt.Partition{{Index: 1, Start: firstAt, End: size/sector - reserved - 1, Type: gpt.EFISystemPartition, Name: layout.BootName, GUID: bootID}},
	})
	if err != nil {
		return fmt.Errorf("its partitions: %w", err)
	}
	return format(d, 1, "BUSBAR", files)
}

func (f file) put(boot filesystem.FileSystem, made map[string]bool) error {
	if dir := path.Dir(f.name); !made[dir] {
		if err := boot.Mkdir("/" + dir); err != nil {
			return err
		}
		made[dir] = true
	}
	in, err := f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := boot.OpenFile("/"+f.name, os.O_CREATE|os.O_RDWR|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
