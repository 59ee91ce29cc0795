package buffer

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/busbar/busbar/telemetry/record"
)

// salvaged is a record that was found without the tree.
type salvaged struct {
	position Position // 0 if it isn't known
	identity record.Identity
	page     int64 // offset of the page that has it
	index    int   // among those that recordsOf gives
}

// read reads a record that salvage found.
func (s salvaged) read(p *pageReader) (r record.Record, err error) {
	err = p.recordsOf(s.page, func(index int, e Entry) {
		if index == s.index {
			r = e.Record
		}
	})
	return r, err
}

// salvage looks at every sector of the file for a page of records, as the tree
// can't be followed, and returns what has a correct CRC, in the order of its
// numbers. bbolt copies pages when it changes them, so a record may be there
// several times, and may be one whose commit failed.
func (p *pageReader) salvage() []salvaged {
	const sector = 512
	var list []salvaged
	known := map[record.Identity]int{} // index in list, plus 1
	window := make([]byte, 1<<20)
	for start := int64(0); start < p.size; start += int64(len(window)) {
		n, _ := p.file.ReadAt(window, start)
		for at := int64(0); at+boltHeader <= int64(n); at += sector {
			if !isLeaf(window[at:]) {
				continue
			}
			p.recordsOf(start+at, func(index int, e Entry) {
				id := e.Record.Identity
				if known[id] == 0 {
					list = append(list, salvaged{e.Position, id, start + at, index})
					known[id] = len(list)
				} else if first := &list[known[id]-1]; first.position == 0 {
					first.position = e.Position
				}
			})
		}
	}
	slices.SortStableFunc(list, func(a, b salvaged) int {
		return cmp.Or(cmp.Compare(a.identity.Epoch, b.identity.Epoch), cmp.Compare(a.identity.First, b.identity.First))
	})
	return list
}

func isLeaf(header []byte) bool {
	return binary.LittleEndian.Uint16(header[8:]) == leafPage && binary.LittleEndian.Uint16(header[10:]) > 0
}

// recordsOf calls visit for every record with a correct CRC in the leaf page at
// an offset, also in a bucket that is small enough to lie in the page itself.
func (p *pageReader) recordsOf(at int64, visit func(index int, e Entry)) error {
	header := make([]byte, boltHeader)
	if _, err := p.file.ReadAt(header, at); err != nil {
		return err
	}
	page, err := p.pageAt(at, header)
	if err != nil {
		return err
	}
	index := 0
	take := func(flags uint32, key, value []byte) {
		if flags&bucketLeaf != 0 || len(key) != 8 && !bytes.Equal(key, keyRecord) {
			return
		}
		var e Entry
		if e.Record.UnmarshalBinary(value) != nil {
			return
		}
		if len(key) == 8 {
			e.Position = positionOf(key)
		}
		visit(index, e)
		index++
	}
	ignore := func(int) {}
	page.leaves(func(flags uint32, key, value []byte) {
		if inline, ok := inlineBucket(value); ok && flags&bucketLeaf != 0 {
			inline.leaves(take, ignore)
		}
		take(flags, key, value)
	}, ignore)
	return nil
}
