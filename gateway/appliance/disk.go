//go:build linux

package appliance

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
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
	number int    // on the disk, from 1
}

var errNoPartition = errors.New("no disk has this partition")

func findAll(name string) ([]partition, error) {
	return findIn(os.DirFS("/sys/class/block"), os.DirFS("/dev"), name)
}

// findOn is a disk's partition of the name.
func findOn(disk, name string) (partition, error) {
	all, err := findAll(name)
	if err != nil {
		return partition{}, err
	}
	if i := slices.IndexFunc(all, func(p partition) bool { return p.disk == disk }); i >= 0 {
		return all[i], nil
	}
	return partition{}, fmt.Errorf("%s on %s: %w", name, disk, errNoPartition)
}

// findIn looks in what sysfs has below class/block for partitions of the name, or on boards
// whose partitions have none, of its number on media that are ours.
func findIn(block, dev fs.FS, name string) (found []partition, err error) {
	entries, err := fs.ReadDir(block, ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		event, err := fs.ReadFile(block, path.Join(e.Name(), "uevent"))
		if err != nil {
			continue
		}
		named := strings.Contains("\n"+string(event), "\nPARTNAME="+name+"\n")
		text, _ := fs.ReadFile(block, path.Join(e.Name(), "partition"))
		number, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		if !named && number != slices.Index(layout.PiNames[:], name)+1 {
			continue
		}
		for _, d := range entries { // the disk's directory has the partition's
			if _, err := fs.Stat(block, path.Join(d.Name(), e.Name(), "partition")); err == nil && (named || isPi(dev, d.Name())) {
				found = append(found, partition{"/dev/" + e.Name(), "/dev/" + d.Name(), number})
			}
		}
	}
	return found, nil
}

// Of the first sector of a disk with a table by MBR.
const (
	mbrDisk  = 440 // what identifies the disk
	mbrTable = 446 // four entries of 16 bytes
	mbrEnd   = 510 // 55 AA
)

// isPi reports whether a disk was flashed with an image for a Raspberry Pi.
func isPi(dev fs.FS, disk string) bool {
	f, err := dev.Open(disk)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, sector)
	_, err = io.ReadFull(f, head)
	return err == nil && isPiHead(head)
}

func isPiHead(head []byte) bool {
	return binary.LittleEndian.Uint32(head[mbrDisk:]) == layout.PiDisk && head[mbrEnd] == 0x55 && head[mbrEnd+1] == 0xaa
}

// await looks until something is there.
func await(ctx context.Context, alive func(), look func() (partition, error)) (partition, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		p, err := look()
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
	head := make([]byte, sector)
	if _, err := d.ReadAt(head, 0); err != nil {
		return err
	}
	add := addGPT
	if isPiHead(head) {
		add = addMBR
	}
	if err := add(d, size); err != nil {
		return err
	}
	if _, err := unix.IoctlRetInt(int(d.Fd()), unix.BLKRRPART); err != nil {
		return fmt.Errorf("have the kernel read the partitions again: %w", err)
	}
	return nil
}

// addGPT makes the file system and a partition by GPT.
func addGPT(d *os.File, size int64) error {
	table, err := gpt.Read(file.New(d, false), sector, sector)
	if err != nil {
		return err
	}
	p, err := free(table, uint64(size))
	if err != nil {
		return err
	}
	if err := format(d, int64(p.Start), int64(p.Size)); err != nil {
		return err
	}
	// All media that were flashed with an image have its ids until here: from now on this one
	// is told apart.
	table.GUID = randomID()
	for _, other := range table.Partitions {
		other.GUID = randomID()
	}
	table.Partitions = append(table.Partitions, p)
	return errors.Join(table.Write(d, size), d.Sync())
}

// randomID is a unique id by version 4 of RFC 9562.
func randomID() string {
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// addMBR makes the file system and the fourth partition by MBR, in which sectors are numbers
// of 32 bits.
func addMBR(d *os.File, size int64) error {
	head := make([]byte, sector)
	if _, err := d.ReadAt(head, 0); err != nil {
		return err
	}
	entry := func(n int) []byte { return head[mbrTable+16*n : mbrTable+16*(n+1)] }
	var last uint64
	for n := range 3 {
		last = max(last, uint64(binary.LittleEndian.Uint32(entry(n)[8:]))+uint64(binary.LittleEndian.Uint32(entry(n)[12:])))
	}
	start := (last + align - 1) / align * align
	// The last MiB stays free, as other tables have a copy of themselves there.
	until := (min(uint64(size)/sector, 1<<32-1)/align - 1) * align
	if until <= start || (until-start)*sector < layout.LeastData {
		return fmt.Errorf("too small: behind the partitions of versions there are less than %d MB", layout.LeastData>>20)
	}
	if err := format(d, int64(start), int64(until-start)*sector); err != nil {
		return err
	}
	const linux = 0x83
	data := entry(3)
	copy(data, []byte{0, 0xfe, 0xff, 0xff, linux, 0xfe, 0xff, 0xff})
	binary.LittleEndian.PutUint32(data[8:], uint32(start))
	binary.LittleEndian.PutUint32(data[12:], uint32(until-start))
	_, err := d.WriteAt(head, 0)
	return errors.Join(err, d.Sync())
}

// format makes the file system in what begins at a sector and has so many bytes. It is on the
// disk when it returns.
func format(d *os.File, start, size int64) error {
	_, err := ext4.Create(file.New(d, false), size, start*sector, sector, &ext4.Params{VolumeName: layout.DataName, Checksum: true})
	if err != nil {
		return err
	}
	return d.Sync()
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
	if end <= start || (end-start)*sector < layout.LeastData {
		return nil, fmt.Errorf("too small: behind the partition %s there are less than %d MB", layout.BootName, layout.LeastData>>20)
	}
	return &gpt.Partition{Index: index, Start: start, End: end - 1, Size: (end - start) * sector, Type: gpt.LinuxFilesystem, Name: layout.DataName, GUID: randomID()}, nil
}
