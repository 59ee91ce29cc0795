//go:build linux

package appliance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf16"

	"golang.org/x/sys/unix"
)

// A FAT has no journal: power that fails while something is written leaves clusters that
// belong to no file, files that are longer than they say or the reverse, and the mark that
// all that may be. Left so, each such cut would cost room for ever, and the kernel would warn
// at each start.

// repairFAT puts the file system of a partition in order if it is marked as one that
// wasn't left so, and says what it did; nil if there is no mark.
func repairFAT(device string) (did []string, err error) {
	file, err := os.OpenFile(device, os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return repair(file)
}

// medium is what a file system is on, from its first byte.
type medium interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// fat is a FAT32 file system that is looked through.
type fat struct {
	medium
	head       [512]byte
	perCluster int64 // bytes
	tables     int64 // bytes, where the first is
	tableSize  int64 // bytes
	copies     int64
	data       int64 // bytes, where cluster 2 is
	next       []uint32
	owned      []bool
	did        []string
}

const (
	endOfChain   = 0x0fffffff
	firstEnd     = 0x0ffffff8
	badCluster   = 0x0ffffff7
	chainMask    = 0x0fffffff
	cleanMarks   = 0x0c000000 // in the table's second word: left in order, no error
	dirtyAt      = 0x41       // in the first sector, bit 0
	mostDepth    = 16
	entrySize    = 32
	attrLongName = 0x0f
	attrLabel    = 0x08
	attrDir      = 0x10
	deleted      = 0xe5
)

func repair(m medium) ([]string, error) {
	f, err := openFAT(m)
	if err != nil {
		return nil, err
	}
	if f.head[dirtyAt]&1 == 0 && f.next[1]&cleanMarks == cleanMarks {
		return nil, nil
	}
	root := binary.LittleEndian.Uint32(f.head[44:])
	chain := f.chain(root)
	if len(chain) == 0 {
		return nil, errors.New("its root directory is gone")
	}
	f.cutAfter(chain)
	if err := f.directory(chain, 0); err != nil {
		return nil, err
	}
	lost := 0
	for c := 2; c < len(f.next); c++ {
		if entry := f.next[c] & chainMask; !f.owned[c] && entry != 0 && entry != badCluster {
			f.next[c] &^= chainMask
			lost++
		}
	}
	if lost > 0 {
		f.did = append(f.did, fmt.Sprintf("%d clusters that belonged to nothing are free", lost))
	}
	return append(f.did, "the mark is gone"), f.finish()
}

func openFAT(m medium) (*fat, error) {
	f := &fat{medium: m}
	if _, err := m.ReadAt(f.head[:], 0); err != nil {
		return nil, err
	}
	word := func(at int) int64 { return int64(binary.LittleEndian.Uint16(f.head[at:])) }
	long := func(at int) int64 { return int64(binary.LittleEndian.Uint32(f.head[at:])) }
	perSector := word(11)
	if perSector != sector || f.head[13] == 0 || f.head[16] == 0 || f.head[16] > 2 || string(f.head[82:87]) != "FAT32" {
		return nil, errors.New("it is no FAT32")
	}
	f.perCluster = int64(f.head[13]) * sector
	f.tables, f.tableSize, f.copies = word(14)*sector, long(36)*sector, int64(f.head[16])
	f.data = f.tables + f.copies*f.tableSize
	clusters := (long(32)*sector - f.data) / f.perCluster
	if clusters < 1 || clusters > 1<<22 || (clusters+2)*4 > f.tableSize {
		return nil, fmt.Errorf("a FAT32 of %d clusters", clusters)
	}
	table := make([]byte, 4*(clusters+2))
	if _, err := m.ReadAt(table, f.tables); err != nil {
		return nil, err
	}
	f.next, f.owned = make([]uint32, clusters+2), make([]bool, clusters+2)
	for c := range f.next {
		f.next[c] = binary.LittleEndian.Uint32(table[4*c:])
	}
	return f, nil
}

// chain is the clusters from the first one on, as far as they are a chain of their own.
func (f *fat) chain(first uint32) (chain []uint32) {
	for c := first; c >= 2 && int64(c) < int64(len(f.next)) && !f.owned[c]; c = f.next[c] & chainMask {
		if entry := f.next[c] & chainMask; entry == 0 || entry == badCluster {
			break
		}
		f.owned[c] = true
		chain = append(chain, c)
	}
	return chain
}

// cutAfter ends a chain behind its last cluster.
func (f *fat) cutAfter(chain []uint32) {
	if last := chain[len(chain)-1]; f.next[last]&chainMask < firstEnd {
		f.next[last] = f.next[last]&^chainMask | endOfChain
	}
}

func (f *fat) at(cluster uint32) int64 { return f.data + int64(cluster-2)*f.perCluster }

// directory puts what is in a directory in order.
func (f *fat) directory(chain []uint32, depth int) error {
	if depth > mostDepth {
		return errors.New("its directories are too deep")
	}
	content := make([]byte, int64(len(chain))*f.perCluster)
	for i, c := range chain {
		if _, err := f.ReadAt(content[int64(i)*f.perCluster:int64(i+1)*f.perCluster], f.at(c)); err != nil {
			return err
		}
	}
	before := bytes.Clone(content)
	var names [][]byte // the parts of a long name that wait for their entry
	forget := func() {
		for _, n := range names {
			n[0] = deleted
		}
		names = nil
	}
	for at := 0; at < len(content); at += entrySize {
		e := content[at : at+entrySize]
		switch {
		case e[0] == 0:
			at = len(content)
			continue
		case e[0] == deleted:
			forget()
			continue
		case e[11]&0x3f == attrLongName:
			if e[0]&0x40 != 0 {
				forget()
			}
			names = append(names, e)
			continue
		case len(names) > 0 && !named(names, e):
			forget()
		}
		if e[11]&attrLabel == 0 && e[0] != '.' {
			keep, err := f.file(e, longName(names, e), depth)
			if err != nil {
				return err
			}
			if !keep {
				e[0] = deleted
				forget()
			}
		}
		names = nil
	}
	forget()
	if bytes.Equal(before, content) {
		return nil
	}
	for i, c := range chain {
		if _, err := f.WriteAt(content[int64(i)*f.perCluster:int64(i+1)*f.perCluster], f.at(c)); err != nil {
			return err
		}
	}
	return nil
}

// named reports whether the parts of a long name are the entry's: as many as they say, and
// with the sum of its short one.
func named(parts [][]byte, e []byte) bool {
	var sum byte
	for _, b := range e[:11] {
		sum = sum>>1 + sum<<7 + b
	}
	for i, p := range parts {
		if int(p[0]&0x3f) != len(parts)-i || p[13] != sum {
			return false
		}
	}
	return true
}

// longName is what a file is called, for people.
func longName(parts [][]byte, e []byte) string {
	var units []uint16
	for i := len(parts) - 1; i >= 0; i-- {
		for _, span := range [][2]int{{1, 11}, {14, 26}, {28, 32}} {
			for at := span[0]; at < span[1]; at += 2 {
				if u := binary.LittleEndian.Uint16(parts[i][at:]); u != 0 && u != 0xffff {
					units = append(units, u)
				}
			}
		}
	}
	if len(units) == 0 {
		return strings.TrimSpace(string(e[:8])) + "." + strings.TrimSpace(string(e[8:11]))
	}
	return string(utf16.Decode(units))
}

// file puts a file or directory in order. It isn't kept if it is a directory without
// content.
func (f *fat) file(e []byte, name string, depth int) (keep bool, err error) {
	first := uint32(binary.LittleEndian.Uint16(e[20:]))<<16 | uint32(binary.LittleEndian.Uint16(e[26:]))
	if first != 0 && int64(first) < int64(len(f.owned)) && f.owned[first] {
		return true, fmt.Errorf("%s has clusters of another file", name)
	}
	chain := f.chain(first)
	if e[11]&attrDir != 0 {
		if len(chain) == 0 || !f.isDirectory(chain[0]) {
			f.free(chain)
			f.did = append(f.did, fmt.Sprintf("directory %s had no content and is gone", name))
			return false, nil
		}
		f.cutAfter(chain)
		return true, f.directory(chain, depth+1)
	}
	size := int64(binary.LittleEndian.Uint32(e[28:]))
	clusters := (size + f.perCluster - 1) / f.perCluster
	switch {
	case int64(len(chain)) < clusters:
		size = int64(len(chain)) * f.perCluster
		binary.LittleEndian.PutUint32(e[28:], uint32(size))
		f.did = append(f.did, fmt.Sprintf("%s has %d bytes, fewer than it said", name, size))
	case int64(len(chain)) > clusters:
		f.free(chain[clusters:])
		chain = chain[:clusters]
		f.did = append(f.did, fmt.Sprintf("%s had clusters behind its end", name))
	}
	if len(chain) == 0 {
		clear(e[20:22])
		clear(e[26:28])
		return true, nil
	}
	f.cutAfter(chain)
	return true, nil
}

// isDirectory reports whether a cluster begins as those of directories do.
func (f *fat) isDirectory(cluster uint32) bool {
	var e [2 * entrySize]byte
	_, err := f.ReadAt(e[:], f.at(cluster))
	return err == nil && string(e[:11]) == ".          " && string(e[entrySize:entrySize+11]) == "..         "
}

func (f *fat) free(chain []uint32) {
	for _, c := range chain {
		f.next[c] &^= chainMask
		f.owned[c] = false
	}
}

// finish writes the tables, and when they are on the medium, that all is in order.
func (f *fat) finish() error {
	f.next[1] |= cleanMarks
	table := make([]byte, 0, 4*len(f.next))
	var free uint32
	for c, entry := range f.next {
		if c >= 2 && entry&chainMask == 0 {
			free++
		}
		table = binary.LittleEndian.AppendUint32(table, entry)
	}
	for copy := range f.copies {
		if _, err := f.WriteAt(table, f.tables+copy*f.tableSize); err != nil {
			return err
		}
	}
	info := int64(binary.LittleEndian.Uint16(f.head[48:])) * sector
	if _, err := f.WriteAt(binary.LittleEndian.AppendUint32(nil, free), info+488); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	f.head[dirtyAt] &^= 1
	if _, err := f.WriteAt(f.head[:], 0); err != nil {
		return err
	}
	return f.Sync()
}
