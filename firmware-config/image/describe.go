package image

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/diskfs/go-diskfs/disk"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/partition/gpt"
	"github.com/diskfs/go-diskfs/partition/mbr"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/firmware-config/image/layout"
	"github.com/busbar/busbar/gatewayconfig"
)

// Partition is one of an image or medium.
type Partition struct {
	Number int
	Name   string
	Start  int64 // bytes
	Size   int64
}

// Version is what a machine can be started with.
type Version struct {
	Version   string
	Partition int
	Files     []Hash
}

// Hash is a file's SHA-256, in hexadecimal.
type Hash struct{ Name, SHA256 string }

// Description is what an image or medium holds.
type Description struct {
	Table      string // GPT or MBR
	Partitions []Partition
	Versions   []Version
	// Gateway is whose configuration is in it; "" if there is none that is valid, and Config
	// is then what is wrong with it.
	Gateway string
	Config  error
	// Missing are files that the configuration names and that aren't beside it. A gateway that
	// has started has taken them.
	Missing []string
	// Problems are why it doesn't start.
	Problems []string
}

type partition struct {
	Partition
	number int
	start  int64
}

func partitionsOf(d *disk.Disk) (table string, list []partition, err error) {
	t, err := d.GetPartitionTable()
	if err != nil {
		return "", nil, fmt.Errorf("it has no partitions: %w", err)
	}
	add := func(p Partition) { list = append(list, partition{p, p.Number, p.Start}) }
	switch t := t.(type) {
	case *gpt.Table:
		table = "GPT"
		for _, p := range t.Partitions {
			if p.Type != gpt.Unused {
				add(Partition{p.Index, p.Name, int64(p.Start) * sector, int64(p.End-p.Start+1) * sector})
			}
		}
	case *mbr.Table:
		table = "MBR"
		for _, p := range t.Partitions {
			if p.Type != mbr.Empty {
				name := ""
				if p.Index <= len(layout.PiNames) {
					name = layout.PiNames[p.Index-1]
				}
				add(Partition{p.Index, name, int64(p.Start) * sector, int64(p.Size) * sector})
			}
		}
	}
	return table, list, nil
}

// bootOf is the partition that people edit.
func bootOf(d *disk.Disk) (partition, error) {
	_, list, err := partitionsOf(d)
	if err != nil {
		return partition{}, err
	}
	for _, p := range list {
		if p.Name == layout.BootName {
			return p, nil
		}
	}
	return partition{}, fmt.Errorf("it has no partition %s: it is no image of a gateway", layout.BootName)
}

// Describe reads an image or a medium, and changes nothing.
func Describe(path string) (Description, error) {
	d, err := readOnly(path)
	if err != nil {
		return Description{}, err
	}
	defer d.Close()
	var about Description
	table, list, err := partitionsOf(d)
	if err != nil {
		return about, err
	}
	about.Table = table
	for _, p := range list {
		about.Partitions = append(about.Partitions, p.Partition)
	}
	p, err := bootOf(d)
	if err != nil {
		return about, err
	}
	boot, err := d.GetFilesystem(p.number)
	if err != nil {
		return about, fmt.Errorf("partition %d: %w", p.number, err)
	}
	about.configuration(boot)
	if table == "GPT" {
		about.entries(boot, p.number)
	} else {
		about.slots(d, list)
	}
	if len(about.Versions) == 0 {
		about.Problems = append(about.Problems, "it has no version to start")
	}
	return about, nil
}

func (a *Description) configuration(boot filesystem.FileSystem) {
	text, err := readFile(boot, layout.ConfigName)
	if err != nil {
		a.Config = fmt.Errorf("%s: %w", layout.ConfigName, err)
		return
	}
	config, err := gatewayconfig.ParseIn("", layout.ConfigName, text, func(name string) ([]byte, error) {
		src, err := readFile(boot, name)
		if err != nil {
			return nil, &configfile.ReadError{Err: err}
		}
		return src, nil
	})
	if err == nil {
		err = layout.CheckPaths(config)
	}
	if a.Config = err; err != nil {
		return
	}
	a.Gateway = config.Gateway.ID
	for _, name := range config.Files() {
		if _, err := boot.Stat(name); err != nil {
			a.Missing = append(a.Missing, name)
		}
	}
}

// entries are the versions of a machine with UEFI, as its loader knows them.
func (a *Description) entries(boot filesystem.FileSystem, number int) {
	const dir = layout.EntriesDir
	list, err := boot.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.Problems = append(a.Problems, fmt.Sprintf("%s: %v", dir, err))
	}
	for _, e := range list {
		text, err := readFile(boot, path.Join(dir, e.Name()))
		if err != nil {
			a.Problems = append(a.Problems, fmt.Sprintf("%s: %v", e.Name(), err))
			continue
		}
		v := Version{Partition: number}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch key {
			case "version":
				v.Version = value
			case "linux", "initrd":
				a.hash(&v, boot, strings.TrimPrefix(value, "/"))
			}
		}
		a.Versions = append(a.Versions, v)
	}
}

// slots are the versions of a Raspberry Pi, each in a partition of its own.
func (a *Description) slots(d *disk.Disk, list []partition) {
	for _, p := range list {
		if p.Name != layout.PiSlotA && p.Name != layout.PiSlotB {
			continue
		}
		slot, err := d.GetFilesystem(p.number)
		if err != nil {
			continue // nothing was ever put into it
		}
		line, err := readFile(slot, layout.PiCommandLine)
		if err != nil {
			continue
		}
		v := Version{Version: layout.ParseStarted(string(line)).Version, Partition: p.number}
		for _, name := range []string{layout.PiKernel, layout.Archive, layout.PiConfig, layout.PiCommandLine} {
			a.hash(&v, slot, name)
		}
		a.Versions = append(a.Versions, v)
	}
}

func (a *Description) hash(v *Version, in filesystem.FileSystem, name string) {
	f, err := in.Open(name)
	if err != nil {
		a.Problems = append(a.Problems, fmt.Sprintf("version %s: %s: %v", v.Version, name, err))
		return
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		a.Problems = append(a.Problems, fmt.Sprintf("version %s: %s: %v", v.Version, name, err))
		return
	}
	v.Files = append(v.Files, Hash{name, fmt.Sprintf("%x", sum.Sum(nil))})
}

// readFile reads a file at once: in pieces, the file system's reader goes on behind the
// file's end.
func readFile(in filesystem.FileSystem, name string) ([]byte, error) {
	info, err := in.Stat(name)
	if err != nil {
		return nil, err
	}
	f, err := in.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content := make([]byte, info.Size())
	_, err = io.ReadFull(f, content)
	return content, err
}
