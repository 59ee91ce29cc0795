// Package image makes what is written onto a gateway's card or disk.
//
// An image for a machine with UEFI has one partition, busbar-boot, with a boot loader,
// slots with the versions that it starts, each a kernel and an archive that holds the gateway's program
// and nothing else, and the gateway's configuration, which any computer can edit. The
// gateway makes a second one, busbar-data, out of the rest of the medium.
package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/disk"
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
	Target  bundle.Target // PC or ARM64
	Version string
	Epoch   uint64 // that bundles must have at least
	Kernel  string
	Loader  string // systemd-boot
	Gateway string // the program busbar-gateway, linked statically
	// Trust are the public keys of those whose bundles the gateway takes, in minisign's form.
	Trust  []string
	Config []byte // gateway.yaml
	// Beside are files that the configuration names, which are put beside it.
	Beside []string
	// CommandLine is what the kernel is told beside what every image has.
	CommandLine string
}

// loaders is where firmware looks for a boot loader, by target.
var loaders = map[bundle.Target]string{
	bundle.PC:    "EFI/BOOT/BOOTX64.EFI",
	bundle.ARM64: "EFI/BOOT/BOOTAA64.EFI",
}

// consoles is where a target's kernel writes to, the last one for its programs as well.
var consoles = map[bundle.Target]string{
	bundle.PC:    "console=tty0 console=ttyS0,115200",
	bundle.ARM64: "console=tty0 console=ttyAMA0,115200",
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
	loader, known := loaders[s.Target]
	switch info, err := os.Lstat(to); {
	case !known:
		return fmt.Errorf("target %q: there is no image for it", s.Target)
	case !bundle.IsVersion(s.Version):
		return fmt.Errorf("%q is no version", s.Version)
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s isn't a file: make one, and write that", to)
	}
	work, err := os.MkdirTemp(filepath.Dir(to), "image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := s.WriteSlot(work); err != nil {
		return err
	}
	const first = 1
	entry := layout.Entry{Number: first, Version: s.Version, Epoch: s.Epoch, Options: s.options(), Local: s.CommandLine}
	files := []file{
		{name: loader, from: s.Loader},
		{name: "loader/loader.conf", content: []byte("timeout 0\neditor no\n")},
		{name: path.Join(layout.EntriesDir, entry.Name()), content: entry.Text()},
		{name: path.Join(layout.SlotDir(first), layout.Kernel), from: s.Kernel},
		{name: path.Join(layout.SlotDir(first), layout.Archive), from: filepath.Join(work, layout.Archive)},
		{name: layout.ConfigName, content: s.Config},
	}
	for _, from := range s.Beside {
		name := filepath.Base(from)
		if slices.ContainsFunc(files, func(f file) bool { return strings.EqualFold(f.name, name) }) {
			return fmt.Errorf("%s: the image has a file of this name", from)
		}
		files = append(files, file{name: name, from: from})
	}
	image := filepath.Join(work, "image")
	if err := write(image, files); err != nil {
		return err
	}
	// It may hold keys.
	if err := os.Chmod(image, 0o600); err != nil {
		return err
	}
	return os.Rename(image, to)
}

// WriteSlot writes what a version is made of beside its kernel into a directory: the archive,
// and what the kernel is told. With the kernel, those are the files of a bundle.
func (s Spec) WriteSlot(dir string) error {
	keys, err := bundle.ParseKeys(s.Trust...)
	if err != nil && len(s.Trust) > 0 {
		return err
	}
	var trust strings.Builder
	for _, key := range keys {
		fmt.Fprintln(&trust, key)
	}
	err = cpio.WriteFile(filepath.Join(dir, layout.Archive), cpio.File{Path: "init", From: s.Gateway}, cpio.File{Path: layout.Trust, Text: trust.String()})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, layout.CommandLine), []byte(s.options()+"\n"), 0o644)
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
	boot, err := d.CreateFilesystem(disk.FilesystemSpec{Partition: 1, FSType: filesystem.TypeFat32, VolumeLabel: "BUSBAR", Reproducible: true})
	if err != nil {
		return fmt.Errorf("its file system: %w", err)
	}
	defer func() { err = errors.Join(err, boot.Close()) }()
	made := map[string]bool{".": true}
	for _, f := range files {
		if err := f.put(boot, made); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

func (f file) put(boot filesystem.FileSystem, made map[string]bool) error {
	if dir := path.Dir(f.name); !made[dir] {
		if err := boot.Mkdir("/" + dir); err != nil {
			return err
		}
		made[dir] = true
	}
	var in io.Reader = bytes.NewReader(f.content)
	if f.from != "" {
		source, err := os.Open(f.from)
		if err != nil {
			return err
		}
		defer source.Close()
		in = source
	}
	out, err := boot.OpenFile("/"+f.name, os.O_CREATE|os.O_RDWR|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
