//go:build linux

package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/ext4"
	"github.com/diskfs/go-diskfs/partition/gpt"
	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/firmware-config/image/layout"
)

// partition is one as the kernel knows it.
type partition struct {
	device string // /dev/sda1
	disk   string // /dev/sda
}

var errNoPartition = errors.New("no disk has this partition")

func find(name string) (partition, error) {
	return findIn(os.DirFS("/sys/class/block"), name)
}

// findIn looks in what sysfs has below class/block for a partition of the name.
func findIn(block fs.FS, name string) (partition, error) {
	entries, err := fs.ReadDir(block, ".")
	if err != nil {
		return partition{}, err
	}
	for _, e := range entries {
		event, err := fs.ReadFile(block, path.Join(e.Name(), "uevent"))
		if err != nil || !strings.Contains("\n"+string(event), "\nPARTNAME="+name+"\n") {
			continue
		}
		for _, d := range entries { // the disk's directory has the partition's
			if _, err := fs.Stat(block, path.Join(d.Name(), e.Name(), "partition")); err == nil {
				return partition{"/dev/" + e.Name(), "/dev/" + d.Name()}, nil
			}
		}
	}
	return partition{}, fmt.Errorf("%s: %w", name, errNoPartition)
}

// await looks until the partition is there.
func await(ctx context.Context, name string, alive func()) (partition, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		p, err := find(name)
		if err == nil {
			return p, nil
		}
		alive()
		select {
		case <-ctx.Done():
			return p, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

const (
	sector = 512
	align  = 2048 // sectors
)

// makeData makes a file system of what is free at a disk's end, and then its partition: one
// that is there has a whole file system, also if the supply fails meanwhile.
func makeData(disk string) error {
	d, err := os.OpenFile(disk, os.O_RDWR|unix.O_EXCL, 0) // no partition of it is in use
	if err != nil {
		return err
	}
	defer d.Close()
	size, err := d.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	storage := file.New(d, false)
	table, err := gpt.Read(storage, sector, sector)
	if err != nil {
		return err
	}
	p, err := free(table, uint64(size))
	if err != nil {
		return err
	}
	_, err = ext4.Create(storage, int64(p.Size), int64(p.Start)*sector, sector, &ext4.Params{VolumeName: layout.DataName, Checksum: true})
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	table.Partitions = append(table.Partitions, p)
	if err := errors.Join(table.Write(d, size), d.Sync()); err != nil {
		return err
	}
	if _, err := unix.IoctlRetInt(int(d.Fd()), unix.BLKRRPART); err != nil {
		return fmt.Errorf("have the kernel read the partitions again: %w", err)
	}
	return nil
}

// free is what is behind the last partition, as one of its own. The table's own end is moved
// to the disk's.
func free(table *gpt.Table, size uint64) (*gpt.Partition, error) {
	if err := table.Repair(size); err != nil {
		return nil, err
	}
	var last uint64
	index := 1
	for _, p := range table.Partitions {
		last, index = max(last, p.End), max(index, p.Index+1)
	}
	start := (last/align + 1) * align
	end := table.LastDataSector() / align * align
	if end <= start || (end-start)*sector < least {
		return nil, fmt.Errorf("too small: behind the partition %s there are less than %d MB", layout.BootName, least>>20)
	}
	return &gpt.Partition{Index: index, Start: start, End: end - 1, Size: (end - start) * sector, Type: gpt.LinuxFilesystem, Name: layout.DataName}, nil
}

// least is how small a partition for data may be, in bytes.
const least = 128 << 20
