package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

type medium interface {
	io.ReaderAt
	io.WriterAt
}

// settle makes a FAT32 file system at an offset what fsck.vfat finds nothing about:
// go-diskfs leaves the number of free clusters out, and has directories of the root name
// the root's cluster as their parent, which has to be 0.
func settle(disk medium, offset int64) error {
	head := make([]byte, 512)
	if _, err := disk.ReadAt(head, offset); err != nil {
		return err
	}
	word := func(at int) int64 { return int64(binary.LittleEndian.Uint16(head[at:])) }
	long := func(at int) int64 { return int64(binary.LittleEndian.Uint32(head[at:])) }
	perSector, perCluster, root := word(11), int64(head[13]), long(44)
	if perSector != 512 || perCluster == 0 || string(head[82:87]) != "FAT32" {
		return fmt.Errorf("no FAT32 at byte %d", offset)
	}
	table := offset + word(14)*perSector
	data := table + int64(head[16])*long(36)*perSector
	clusters := (long(32)*perSector - (data - offset)) / (perCluster * perSector)
	at := func(cluster int64) int64 { return data + (cluster-2)*perCluster*perSector }

	next := make([]byte, 4*(clusters+2))
	if _, err := disk.ReadAt(next, table); err != nil {
		return err
	}
	after := func(cluster int64) int64 { return int64(binary.LittleEndian.Uint32(next[4*cluster:]) & 0x0fffffff) }
	var free uint32
	for c := int64(2); c < clusters+2; c++ {
		if after(c) == 0 {
			free++
		}
	}
	entries := make([]byte, perCluster*perSector)
	for c := root; c >= 2 && c < clusters+2; c = after(c) {
		if _, err := disk.ReadAt(entries, at(c)); err != nil {
			return err
		}
		for e := range len(entries) / 32 {
			entry := entries[32*e : 32*e+32]
			if attributes := entry[11]; attributes&0x3f == 0x10 && entry[0] != 0xe5 && entry[0] != 0 {
				first := int64(binary.LittleEndian.Uint16(entry[20:]))<<16 | int64(binary.LittleEndian.Uint16(entry[26:]))
				if err := pointToRoot(disk, at(first)+32); err != nil {
					return err
				}
			}
		}
	}
	return write32(disk, offset+word(48)*perSector+488, free)
}

// pointToRoot has the entry .. at a place say that the parent is the root.
func pointToRoot(disk medium, at int64) error {
	entry := make([]byte, 32)
	if _, err := disk.ReadAt(entry, at); err != nil {
		return err
	}
	if !bytes.HasPrefix(entry, []byte("..         ")) {
		return fmt.Errorf("no entry .. at byte %d", at)
	}
	copy(entry[20:22], []byte{0, 0})
	copy(entry[26:28], []byte{0, 0})
	_, err := disk.WriteAt(entry, at)
	return err
}

func write32(disk io.WriterAt, at int64, value uint32) error {
	_, err := disk.WriteAt(binary.LittleEndian.AppendUint32(nil, value), at)
	return err
}
