package buffer

import (
	"encoding/binary"
	"fmt"
	"os"
)

// checkBranches looks at what of a file that bbolt is to open could end the process,
// which nothing can catch. Where branch pages lead back to themselves, bbolt would
// follow them until it has no memory left. A small bucket that lies in an element
// may be copied into Go's memory, and bbolt would point beyond the copy, at what the
// garbage collector knows to be free. Other leaves, nearly all of the file, aren't read.
func checkBranches(path string) error {
	return inspected(path, func(p *pageReader) {
		root, err := p.page(p.meta.root)
		if err != nil {
			p.problem(p.meta.root, "%v", err)
			return
		}
		p.branches(p.meta.root, root)
		if root.flags != leafPage {
			return
		}
		p.visited = map[uint64]bool{}
		p.leaves(p.meta.root, root, func(e element) {
			if !e.bucket {
				return
			}
			if len(e.value) < 16 || binary.LittleEndian.Uint64(e.value) == 0 {
				p.within(e, func(element) {})
				return
			}
			id := binary.LittleEndian.Uint64(e.value)
			if page, err := p.page(id); err != nil {
				p.problem(id, "%v", err)
			} else {
				p.branches(id, page)
			}
		})
	})
}

// branches follows a branch page down to the leaves, all of which are equally deep.
func (p *pageReader) branches(id uint64, page boltPage) {
	if page.flags != branchPage || len(p.problems) > 0 {
		return
	}
	p.visited[id] = true
	last := true // level of branches
	for i := range page.count {
		child, ok := page.branch(i)
		if !ok || child < 2 || child >= p.meta.high || p.visited[child] {
			p.problem(id, "its element %d leads to page %d", i, child)
			return
		}
		p.visited[child] = true
		if i > 0 && last {
			continue
		}
		below, err := p.page(child)
		if err != nil {
			p.problem(child, "%v", err)
			return
		}
		last = below.flags != branchPage
		p.branches(child, below)
	}
}

// checkPages looks at every page of a small file that bbolt is to write: it would
// believe a wrong list of free pages, and overwrite what is in use.
func checkPages(path string) error {
	return inspected(path, func(p *pageReader) {
		var buckets func(e element)
		buckets = func(e element) {
			if e.bucket {
				p.within(e, buckets)
			}
		}
		p.walk(p.meta.root, buckets)
		if len(p.problems) == 0 {
			p.free()
		}
	})
}

// inspected reads a file by its pages, and fails with the first problem that look
// enters.
func inspected(path string, look func(*pageReader)) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	p, err := readPages(f, info.Size())
	if err == nil {
		look(p)
	}
	if err == nil && len(p.problems) > 0 {
		err = fmt.Errorf("%w: %s: %s", errDamaged, p.problems[0].Place, p.problems[0].What)
	}
	if err != nil {
		return fmt.Errorf("buffer: read %s: %w", path, err)
	}
	return nil
}
