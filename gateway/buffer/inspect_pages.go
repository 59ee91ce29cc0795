package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// pageReader reads bbolt's file format without bbolt: it takes no lock, maps no
// memory and writes nothing, and a damaged page costs what it holds and what
// lies below it, where bbolt panics. The format is that of bbolt 1.x on a
// little-endian machine.
type pageReader struct {
	file     io.ReaderAt
	size     int64 // bytes of the file
	pageSize int64
	meta     boltMeta
	invalid  int // meta pages that aren't valid
	visited  map[uint64]bool
	problems []Problem
}

// boltMeta is the root of one state of the file.
type boltMeta struct {
	pageSize       uint32
	root, freelist uint64
	high           uint64 // pages, used or free
	transaction    uint64
}

const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	boltMetaBytes  = 64
	boltHeader     = 16 // bytes before a page's elements, and of an element
	boltNoFreelist = 1<<64 - 1
	boltMinPage    = 1 << 10
	boltMaxPage    = 64 << 10

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketLeaf   = 0x01 // flag of an element whose value is a bucket
)

// readPages finds the newest state of a file. Without one, which is an error,
// the page size is still set, to what the file most likely has.
func readPages(file io.ReaderAt, size int64) (*pageReader, error) {
	p := &pageReader{file: file, size: size, pageSize: 4096, visited: map[uint64]bool{}}
	first, err := p.metaAt(0)
	if err == nil {
		p.pageSize = int64(first.pageSize)
	}
	second, err2 := p.metaAt(p.pageSize)
	for at := int64(boltMinPage); err != nil && err2 != nil && at <= boltMaxPage; at *= 2 {
		if second, err2 = p.metaAt(at); err2 == nil {
			p.pageSize = at
		}
	}
	switch {
	case err != nil && err2 != nil:
		return p, fmt.Errorf("%w: both of its meta pages are invalid: %w", errDamaged, err)
	case err != nil:
		p.meta, p.invalid = second, 1
	case err2 != nil:
		p.meta, p.invalid = first, 1
	case second.transaction > first.transaction:
		p.meta = second
	default:
		p.meta = first
	}
	return p, nil
}

func (p *pageReader) metaAt(at int64) (m boltMeta, err error) {
	data := make([]byte, boltHeader+boltMetaBytes)
	if _, err := p.file.ReadAt(data, at); err != nil {
		return m, err
	}
	data = data[boltHeader:]
	word := binary.LittleEndian.Uint32
	long := binary.LittleEndian.Uint64
	sum := fnv.New64a()
	sum.Write(data[:56])
	switch {
	case word(data) != boltMagic:
		return m, fmt.Errorf("magic number %08x", word(data))
	case word(data[4:]) != boltVersion:
		return m, fmt.Errorf("bbolt's format version %d", word(data[4:]))
	case long(data[56:]) != sum.Sum64():
		return m, fmt.Errorf("checksum %016x, %016x was stored", sum.Sum64(), long(data[56:]))
	}
	m = boltMeta{
		pageSize: word(data[8:]), root: long(data[16:]), freelist: long(data[32:]), high: long(data[40:]), transaction: long(data[48:]),
	}
	if n := m.pageSize; n < boltMinPage || n > boltMaxPage || n&(n-1) != 0 {
		return m, fmt.Errorf("page size %d", n)
	}
	return m, nil
}

// boltPage is a page with its overflow.
type boltPage struct {
	flags uint16
	count int
	data  []byte // with the header
}

func (p *pageReader) page(id uint64) (boltPage, error) {
	if id < 2 || id >= p.meta.high {
		return boltPage{}, fmt.Errorf("there is no page %d, only 2 to %d", id, int64(p.meta.high)-1)
	}
	header := make([]byte, boltHeader)
	if _, err := p.file.ReadAt(header, int64(id)*p.pageSize); err != nil {
		return boltPage{}, fmt.Errorf("page %d is behind the end of the file", id)
	}
	if own := binary.LittleEndian.Uint64(header); own != id {
		return boltPage{}, fmt.Errorf("page %d says that it is page %d", id, own)
	}
	at := int64(id) * p.pageSize
	if length := p.lengthOf(header); length > p.size-at {
		return boltPage{}, fmt.Errorf("page %d, of %d bytes, is cut short by the end of the file", id, length)
	}
	return p.pageAt(at, header)
}

// lengthOf is the bytes of a page and its overflow.
func (p *pageReader) lengthOf(header []byte) int64 {
	return (int64(binary.LittleEndian.Uint32(header[12:])) + 1) * p.pageSize
}

// pageAt reads the page at an offset, whose header that is, or what the file
// still has of it.
func (p *pageReader) pageAt(at int64, header []byte) (boltPage, error) {
	page := boltPage{
		flags: binary.LittleEndian.Uint16(header[8:]), count: int(binary.LittleEndian.Uint16(header[10:])),
		data: make([]byte, min(p.lengthOf(header), p.size-at)),
	}
	if _, err := p.file.ReadAt(page.data, at); err != nil {
		return boltPage{}, fmt.Errorf("page %d: %w", at/p.pageSize, err)
	}
	return page, nil
}

// leaf is an element of a leaf page.
type leaf struct {
	bucket     bool // value is a bucket
	key, value []byte
	at         int64 // offset of value in the page
}

// leaves calls visit for every element of a leaf page, and bad for one that
// doesn't lie in it. The elements of a page don't overlap, so however its bytes
// read, it is no more work than a few times its length.
func (p boltPage) leaves(visit func(l leaf), bad func(i int)) {
	work := 4 * uint64(len(p.data))
	for i := range p.count {
		at := boltHeader + 16*i
		if at+16 > len(p.data) {
			bad(i)
			return
		}
		e := p.data[at:]
		from := uint64(at) + uint64(binary.LittleEndian.Uint32(e[4:]))
		middle := from + uint64(binary.LittleEndian.Uint32(e[8:]))
		to := middle + uint64(binary.LittleEndian.Uint32(e[12:]))
		if to > uint64(len(p.data)) || to-from > work {
			bad(i)
			continue
		}
		work -= to - from
		visit(leaf{binary.LittleEndian.Uint32(e)&bucketLeaf != 0, p.data[from:middle], p.data[middle:to], int64(middle)})
	}
}

// branch is element i of a branch page.
func (p boltPage) branch(i int) (child uint64, ok bool) {
	at := boltHeader + 16*i
	if at+16 > len(p.data) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(p.data[at+8:]), true
}

// element is one key of a bucket and where it was found.
type element struct {
	leaf
	page uint64
}

// walk calls visit for every element below page id, in the order in which the
// tree has them. What can't be read is entered as a problem and passed over.
func (p *pageReader) walk(id uint64, visit func(element)) {
	p.descend(id, 0, p.ordered(visit))
}

// ordered enters keys that don't ascend as problems.
func (p *pageReader) ordered(visit func(element)) func(element) {
	var last []byte
	return func(e element) {
		if last != nil && bytes.Compare(last, e.key) >= 0 {
			p.problem(e.page, "key %x comes after %x", e.key, last)
		}
		last = append(last[:0], e.key...)
		visit(e)
	}
}

// maxDepth is far beyond any tree that fits into a file.
const maxDepth = 32

func (p *pageReader) descend(id uint64, depth int, visit func(element)) {
	if p.visited[id] || depth > maxDepth {
		p.problem(id, "the tree comes to it twice")
		return
	}
	page, err := p.page(id)
	if err != nil {
		p.problem(id, "%v", err)
		return
	}
	for n := range uint64(len(page.data)) / uint64(p.pageSize) {
		p.visited[id+n] = true
	}
	switch page.flags {
	case leafPage:
		p.leaves(id, page, visit)
	case branchPage:
		for i := range page.count {
			child, ok := page.branch(i)
			if !ok {
				p.problem(id, "its %d elements don't fit into it", page.count)
				return
			}
			p.descend(child, depth+1, visit)
		}
	default:
		p.problem(id, "it is of no known kind (%#x)", page.flags)
	}
}

func (p *pageReader) leaves(id uint64, page boltPage, visit func(element)) {
	page.leaves(func(l leaf) {
		visit(element{page: id, leaf: l})
	}, func(i int) {
		p.problem(id, "element %d of %d doesn't lie in it", i+1, page.count)
	})
}

// within walks the bucket that an element's value is.
func (p *pageReader) within(e element, visit func(element)) {
	if len(e.value) >= 16 && binary.LittleEndian.Uint64(e.value) != 0 {
		p.walk(binary.LittleEndian.Uint64(e.value), visit)
		return
	}
	page, ok := inlineBucket(e.value)
	if !ok {
		p.problem(e.page, "bucket %q is none, or is cut short", e.key)
		return
	}
	p.leaves(e.page, page, p.ordered(visit))
}

// inlineBucket is the page that a small bucket's value carries; ok is false if
// it carries none.
func inlineBucket(value []byte) (page boltPage, ok bool) {
	if len(value) < 16+boltHeader || binary.LittleEndian.Uint64(value) != 0 {
		return page, false
	}
	data := value[16:]
	page = boltPage{flags: binary.LittleEndian.Uint16(data[8:]), count: int(binary.LittleEndian.Uint16(data[10:])), data: data}
	return page, page.flags == leafPage
}

// free checks the list of free pages against the pages that were visited, which
// must be all that are in use.
func (p *pageReader) free() {
	if p.meta.freelist == boltNoFreelist {
		return
	}
	page, err := p.page(p.meta.freelist)
	if err != nil {
		p.problem(p.meta.freelist, "list of free pages: %v", err)
		return
	}
	if page.flags != freelistPage {
		p.problem(p.meta.freelist, "it is no list of free pages (%#x)", page.flags)
		return
	}
	ids := page.data[boltHeader:]
	count := uint64(page.count)
	if count == 0xffff {
		count, ids = binary.LittleEndian.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids))/8 {
		p.problem(p.meta.freelist, "its %d free pages don't fit into it", count)
		return
	}
	for n := range uint64(len(page.data)) / uint64(p.pageSize) {
		p.visited[p.meta.freelist+n] = true
	}
	for i := range count {
		id := binary.LittleEndian.Uint64(ids[8*i:])
		if id < 2 || id >= p.meta.high || p.visited[id] {
			p.problem(id, "it is listed as free and isn't")
		}
		p.visited[id] = true
	}
	for id := uint64(2); id < p.meta.high && len(p.problems) == 0; id++ {
		if !p.visited[id] {
			p.problem(id, "it is neither in use nor free")
		}
	}
}

func (p *pageReader) problem(page uint64, format string, args ...any) {
	p.problems = append(p.problems, Problem{Place: fmt.Sprintf("page %d", page), What: fmt.Sprintf(format, args...)})
}
